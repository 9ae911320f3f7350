"""The result of a search as an Optuna study, for people who go on with it there."""

import json
from typing import Any

import optuna
import pandas as pd
import pyarrow as pa
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from fraud_assets.ml.evaluate import METRICS
from fraud_assets.ml.optuna_study import to_study
from fraud_assets.ml.result_grid import grid_frame
from fraud_assets.ml.schema import DataError, with_info
from fraud_assets.ml.search_space import SEARCH_SPACES, SearchSpace

TREES = {"eta": 0.1, "booster": "gbtree", "max_depth": 4, "n_estimators": 200}
LINEAR = {"eta": 0.2, "booster": "gblinear", "n_estimators": 200}


def suggest(trial: optuna.trial.Trial) -> dict[str, Any]:
    trial.suggest_float("eta", 0.01, 0.3, log=True)
    if trial.suggest_categorical("booster", ["gbtree", "gblinear"]) == "gbtree":
        trial.suggest_int("max_depth", 2, 8)
    return {"n_estimators": 200}


SPACE = SearchSpace("ours", suggest)


def grid() -> pd.DataFrame:
    """A finished trial, a pruned one and a failed one."""
    trials: list[dict[str, Any]] = []
    for i, (params, status) in enumerate([(TREES, "finished"), (TREES, "pruned"), (LINEAR, "failed")]):
        metrics = dict.fromkeys(METRICS, 0.5) | {"rounds": 50, "fit_seconds": 3} if status != "failed" else {}
        common = {"seconds": 4, "error": None, "mlflow_run_id": None}
        trials.append(
            {"trial_id": str(i), "name": f"trial-{i}", "status": status, "params": params, "metrics": metrics, **common}
        )
    return grid_frame(trials)


def table(second: str | None = None) -> pa.Table:
    info = {"metric": "f1", "preference": {"second": second}, "experiment": "fraud-f1-0123abcd-1"}
    return with_info(pa.Table.from_pandas(grid(), preserve_index=False), info)


def test_a_table_knows_its_metric_and_its_experiment() -> None:
    study = to_study(table())
    assert (study.study_name, study.direction.name) == ("fraud-f1-0123abcd-1", "MAXIMIZE")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert [trial.value for trial in study.trials] == [0.5, 0.5, None]


def test_a_table_of_a_search_for_two_makes_a_study_of_two() -> None:
    study = to_study(table("fit_seconds"))
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.trials[0].values == [0.5, 3]


def test_another_metric_than_the_searched_one_can_be_asked_for() -> None:
    assert to_study(table("fit_seconds"), "log_loss").direction.name == "MINIMIZE"


def test_a_frame_has_to_come_with_its_metric() -> None:
    with pytest.raises(DataError, match="which metric was improved"):
        to_study(grid())


def test_with_the_search_space_the_study_has_its_ranges_and_is_gone_on_with() -> None:
    study = to_study(table(), space=SPACE)
    assert study.trials[0].distributions == {
        "eta": FloatDistribution(0.01, 0.3, log=True),
        "booster": CategoricalDistribution(("gbtree", "gblinear")),
        "max_depth": IntDistribution(2, 8),
    }
    assert study.trials[2].params == {"eta": 0.2, "booster": "gblinear"}
    assert study.trials[0].user_attrs["constants"] == {"n_estimators": 200}
    trial = study.ask()
    assert suggest(trial)
    study.tell(trial, 0.7)
    assert study.best_trial.number == 3


def test_a_space_that_does_not_suggest_the_trials_is_told() -> None:
    with pytest.raises(ValueError, match="'resampler' is not found"):
        to_study(table(), space=SEARCH_SPACES["article"])


def test_the_study_keeps_each_value_of_a_configuration_without_a_space() -> None:
    assert [trial.params for trial in to_study(table()).trials] == [json.loads(text) for text in grid()["params"]]
