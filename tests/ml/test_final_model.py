from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fraud_assets.ml.estimator import FraudClassifier, Member
from fraud_assets.ml.evaluate import score
from fraud_assets.ml.final_model import FinalModel, build_final_model, describe_model
from fraud_assets.ml.fraud_metrics import MetricSettings
from fraud_assets.ml.schema import DataError, Dataset
from fraud_assets.ml.scoring import Scoring
from fraud_assets.ml.split import Split, SplitSettings, make_split
from fraud_assets.ml.threshold import ThresholdPolicy
from tests.ml.tables import LABEL, dataset_of, permuted, transactions

PARAMS = {"booster": "gbtree", "resampler": "passthrough", "n_estimators": 20, "max_depth": 3}
MEMBERS = [Member(PARAMS, 0.75), Member({"booster": "forest", "n_estimators": 10, "max_depth": 5}, 0.25)]
THRESHOLD = 0.3


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return dataset_of(transactions(900))


@pytest.fixture(scope="module")
def split(dataset: Dataset) -> Split:
    return make_split(dataset, SplitSettings())


def build(dataset: Dataset, split: Split, **more: Any) -> FinalModel:
    return build_final_model(
        dataset, split, MEMBERS, Scoring(), threshold=THRESHOLD, seed=1, threads=1, resamples=200, **more
    )


def by_hand(dataset: Dataset, rows: np.ndarray) -> FraudClassifier:
    return FraudClassifier.fit(
        dataset.X.iloc[rows],
        dataset.y[rows],
        dataset.roles.categorical,
        MEMBERS,
        threshold=THRESHOLD,
        seed=1,
        threads=1,
    )


def test_the_holdout_is_judged_by_a_fit_that_did_not_see_it(dataset: Dataset, split: Split) -> None:
    model = build(dataset, split)

    expected = by_hand(dataset, split.judged_fit).predict_proba(dataset.X.iloc[split.holdout])[:, 1]
    assert np.array_equal(model.holdout.probability, expected)
    told = {name: model.judgement.metrics[name].value for name in score(model.holdout.y, expected)}
    assert told == pytest.approx(score(model.holdout.y, expected, THRESHOLD))


def test_the_judgement_does_not_depend_on_the_holdouts_labels_having_been_seen(dataset: Dataset, split: Split) -> None:
    labels = dataset.y.copy()
    labels[split.holdout] = 1 - labels[split.holdout]
    column = dataset.table.column_names.index(LABEL)
    flipped = replace(dataset, table=dataset.table.set_column(column, LABEL, pa.array(labels)))

    assert np.array_equal(build(flipped, split).holdout.probability, build(dataset, split).holdout.probability)


@pytest.mark.parametrize("refit_on_all", [True, False])
def test_what_is_delivered_is_fitted_on_all_rows_or_is_what_was_judged(
    dataset: Dataset, split: Split, refit_on_all: bool
) -> None:
    rows = np.arange(len(dataset)) if refit_on_all else split.judged_fit
    delivered = build(dataset, split, refit_on_all=refit_on_all).classifier

    assert np.array_equal(delivered.predict_proba(dataset.X), by_hand(dataset, rows).predict_proba(dataset.X))


def test_permuted_labels_leave_no_signal(dataset: Dataset) -> None:
    nothing = permuted(dataset)
    judgement = build(nothing, make_split(nothing, SplitSettings())).judgement

    assert not judgement.has_signal
    auc = judgement.metrics["roc_auc"]
    assert auc.low < 0.5 < auc.high


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_a_calibrated_model_has_a_threshold_for_its_calibrated_probabilities(
    dataset: Dataset, split: Split, method: str
) -> None:
    plain, calibrated = build(dataset, split), build(dataset, split, calibration=method)

    assert calibrated.classifier.calibrator is not None
    assert calibrated.classifier.threshold != plain.classifier.threshold
    assert calibrated.calibration.brier <= plain.calibration.brier + 0.01
    # A calibrator never reverses the ranking.
    order = np.argsort(plain.holdout.probability, kind="stable")
    assert (np.diff(calibrated.holdout.probability[order]) >= 0).all()


def test_the_card_tells_sizes_metrics_and_verdict(dataset: Dataset, split: Split) -> None:
    model = build(dataset, split)
    best_params = {
        "metric": "f1",
        "search_space": "article",
        "trials": {"finished": 7, "failed": 1},
        "members": [{"name": f"trial-{i}", "weight": m.weight, "params": m.params} for i, m in enumerate(MEMBERS)],
        "metrics": {"f1": 0.61, "f1_std": 0.02},
        "scoring": Scoring().to_dict(),
    }
    card = describe_model(
        dataset, split, best_params, model, name="fraud_model", version=3, run="run-id", refit_on_all=True
    ).render()

    for told in (
        "fraud_model, version 3",
        "models:/fraud_model/3",
        "holdout",
        "best_f1",
        "logistic_regression",
        "run-id",
        "| trial-0 | 75%   | booster = gbtree, resampler = passthrough",
    ):
        assert told in card


def test_a_metric_without_its_columns_is_told_before_anything_is_fitted(dataset: Dataset, split: Split) -> None:
    rows = Scoring().rows(dataset, split.tuning)
    with pytest.raises(DataError, match="time"):
        Scoring().require("precision_at_k", rows)
    with pytest.raises(DataError, match="cost_false_negative or amount_column"):
        Scoring().require("expected_cost", rows)
    with pytest.raises(DataError, match="amount column 'price' is not in the data"):
        Scoring(amount_column="price").rows(dataset, split.tuning)
    Scoring(MetricSettings(cost_false_negative=50)).require("expected_cost", rows)


def test_a_scoring_comes_back_from_json_as_it_was() -> None:
    scoring = Scoring(MetricSettings(50, 0.02, 2, None), ThresholdPolicy("alerts_per_day", 20), "amount")
    assert Scoring.from_dict(scoring.to_dict()) == scoring
