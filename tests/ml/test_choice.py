"""What a study's trials come to: the members of the model."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from fraud_assets.ml.choice import choose_members
from fraud_assets.ml.result_grid import Preference, grid_frame, rank
from fraud_assets.ml.split import SplitSettings
from fraud_assets.ml.study import StudyData, run_trial
from tests.ml.studies import matrices_of
from tests.ml.tables import dataset_of, split_by_group, transactions

DATASET = dataset_of(transactions(1200, signal=1))
CONFIGURATIONS: list[dict[str, Any]] = [
    {"booster": "gbtree", "n_estimators": 5, "max_depth": 2},
    {"booster": "gbtree", "n_estimators": 30, "max_depth": 3, "eta": 0.1},
    {"booster": "forest", "n_estimators": 30, "max_depth": 8, "colsample_bynode": 0.5, "subsample": 0.6},
    {"booster": "gblinear", "n_estimators": 10},
]


@pytest.fixture(scope="module")
def study() -> StudyData:
    return StudyData.prepare(DATASET, split_by_group(DATASET, SplitSettings(folds=3)), seed=1)


@pytest.fixture(scope="module")
def trials(study: StudyData) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The grid of a few trials, one of which failed, and their predictions."""
    records: list[dict[str, Any]] = []
    predictions = {}
    for i, params in enumerate(CONFIGURATIONS):
        metrics, unseen = run_trial(params, matrices_of(study))
        predictions[f"t{i}"] = np.concatenate(unseen.predictions)
        records.append(
            {"trial_id": f"t{i}", "name": f"t{i}", "status": "finished", "params": params} | {"metrics": metrics}
        )
    failed = {"trial_id": "failed", "name": "failed", "status": "failed", "params": {}, "metrics": {}, "error": "boom"}
    return grid_frame([failed, *records]), predictions


@pytest.mark.parametrize("metric", ["average_precision", "f1", "log_loss", "recall_at_fpr"])
def test_the_average_is_no_worse_on_its_folds_than_the_best_trial(
    study: StudyData, trials: tuple[pd.DataFrame, dict[str, np.ndarray]], metric: Any
) -> None:
    grid, predictions = trials
    preference = Preference(metric)
    choice = choose_members(grid, preference, study, predictions.__getitem__, most=10)
    best = rank(grid, preference).iloc[0]

    assert preference.value(choice.report[metric], 0) >= preference.value(best[metric], 0) - 1e-9
    assert sum(choice.weights.values()) == pytest.approx(1)
    assert set(choice.weights) <= set(predictions)


def test_a_single_member_reports_what_its_trial_reported(
    study: StudyData, trials: tuple[pd.DataFrame, dict[str, np.ndarray]]
) -> None:
    grid, predictions = trials
    choice = choose_members(grid, Preference("roc_auc"), study, predictions.__getitem__, most=1)
    best = rank(grid, Preference("roc_auc")).iloc[0]

    assert choice.weights == {best["trial_id"]: 1.0}
    assert choice.report == pytest.approx({name: best[name] for name in choice.report})


def test_a_trade_off_is_that_of_one_trial(study: StudyData, trials: tuple[pd.DataFrame, dict[str, np.ndarray]]) -> None:
    grid, predictions = trials
    assert (
        len(choose_members(grid, Preference("average_precision"), study, predictions.__getitem__, most=10).weights) > 1
    )
    weighed = Preference("average_precision", second="fit_seconds")
    best = rank(grid, weighed)["trial_id"].iloc[0]
    assert choose_members(grid, weighed, study, predictions.__getitem__, most=10).weights == {best: 1.0}
    fast = Preference("average_precision", second="fit_seconds", limit=float(grid["fit_seconds"].min()))
    choice = choose_members(grid, fast, study, predictions.__getitem__, most=10)
    assert choice.weights == {grid.loc[grid["fit_seconds"].idxmin(), "trial_id"]: 1.0}


def test_only_candidates_are_read(study: StudyData, trials: tuple[pd.DataFrame, dict[str, np.ndarray]]) -> None:
    grid, predictions = trials
    read = []

    def remember(trial: str) -> np.ndarray:
        read.append(trial)
        return predictions[trial]

    choose_members(grid, Preference("average_precision"), study, remember, most=1)
    assert len(read) == 1
