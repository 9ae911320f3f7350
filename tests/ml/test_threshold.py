from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from fraud_assets.ml.fraud_metrics import MetricSettings, expected_cost
from fraud_assets.ml.schema import DataError
from fraud_assets.ml.scored_rows import ScoredRows
from fraud_assets.ml.threshold import ThresholdPolicy, choose_threshold
from tests.ml.scored import scored

SETTINGS = MetricSettings(cost_false_positive=4.0)
CASES = [scored(steps=steps, seed=seed, signal=signal) for steps in (0, 10) for seed in range(3) for signal in (0, 2)]


def every_threshold(rows: ScoredRows) -> list[float]:
    """From the one that calls nothing fraud to the one that calls everything."""
    return [2.0, *np.unique(rows.probability)[::-1].tolist()]


def alerts_at(rows: ScoredRows, threshold: float) -> int:
    return int((rows.probability >= threshold).sum())


def found_at(rows: ScoredRows, threshold: float) -> int:
    return int(rows.y[rows.probability >= threshold].sum())


def precision_at(rows: ScoredRows, threshold: float) -> float:
    called = rows.probability >= threshold
    return float(rows.y[called].mean()) if called.any() else 0.0


@pytest.mark.parametrize("rows", CASES)
def test_best_f1_is_the_best_of_all_thresholds(rows: ScoredRows) -> None:
    choice = choose_threshold(rows, ThresholdPolicy("best_f1"), SETTINGS)

    best = max(2 * found_at(rows, t) / (alerts_at(rows, t) + rows.y.sum()) for t in every_threshold(rows))
    assert choice.achieved["f1"] == pytest.approx(best)
    assert f1_score(rows.y, rows.probability >= choice.threshold) == pytest.approx(best)


@pytest.mark.parametrize("rows", CASES)
def test_least_cost_is_the_least_of_all_thresholds(rows: ScoredRows) -> None:
    choice = choose_threshold(rows, ThresholdPolicy("least_cost"), SETTINGS)

    least = min(expected_cost(rows, t, SETTINGS) for t in every_threshold(rows))
    assert choice.achieved["expected_cost"] == pytest.approx(least)
    assert expected_cost(rows, choice.threshold, SETTINGS) == pytest.approx(least)


@pytest.mark.parametrize("rows", CASES)
@pytest.mark.parametrize("value", [0.11, 0.3, 0.5])
def test_a_fixed_precision_finds_as_many_frauds_as_it_can(rows: ScoredRows, value: float) -> None:
    choice = choose_threshold(rows, ThresholdPolicy("precision", value), SETTINGS)

    enough = [t for t in every_threshold(rows) if precision_at(rows, t) >= value]
    assert choice.reached is bool(enough)
    if enough:
        assert precision_at(rows, choice.threshold) >= value
        assert found_at(rows, choice.threshold) == max(found_at(rows, t) for t in enough)


def test_a_precision_out_of_reach_is_told_with_the_best_there_is() -> None:
    rows = ScoredRows(np.array([0, 1, 1, 0, 0], np.int8), np.array([0.9, 0.8, 0.7, 0.6, 0.5]))

    choice = choose_threshold(rows, ThresholdPolicy("precision", 0.95), SETTINGS)

    assert not choice.reached
    assert choice.threshold == 0.7
    assert choice.achieved["precision"] == 2 / 3
    assert "no threshold reaches a precision of 0.95 on these rows: the best is 0.6667, at 0.7" in choice.message


@pytest.mark.parametrize("rows", CASES)
@pytest.mark.parametrize("value", [0.2, 3, 10.5, 1000])
def test_alerts_a_day_are_as_many_as_allowed(rows: ScoredRows, value: float) -> None:
    choice = choose_threshold(rows, ThresholdPolicy("alerts_per_day", value), SETTINGS)

    allowed = [alerts_at(rows, t) for t in every_threshold(rows) if alerts_at(rows, t) <= 5 * value]
    assert alerts_at(rows, choice.threshold) == max(allowed)
    assert choice.achieved["alerts_per_day"] == max(allowed) / 5
    assert choice.reached is (max(allowed) > 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_calling_nothing_fraud_can_be_the_cheapest_and_then_nothing_is_called(dtype: type) -> None:
    rows = scored(signal=0)
    rows = rows.with_probability(rows.probability.astype(dtype))

    choice = choose_threshold(rows, ThresholdPolicy("least_cost"), MetricSettings(cost_false_positive=1e6))

    assert choice.achieved["alerts"] == 0
    assert not (rows.probability >= choice.threshold).any()


def test_more_rows_than_alerts_at_the_highest_probability_is_told() -> None:
    rows = scored().with_probability(np.full(400, 0.5))

    choice = choose_threshold(rows, ThresholdPolicy("alerts_per_day", 10), SETTINGS)

    assert not choice.reached
    assert choice.achieved["alerts"] == 0
    assert "more transactions than that share the highest probability" in choice.message


def test_of_equally_good_thresholds_the_one_with_fewer_alerts_is_chosen() -> None:
    # F1 is 2/3 at 0.9 (1 of 1 alert right, 1 of 2 frauds) and at 0.3 (2 of 4 right, 2 of 2 frauds).
    rows = ScoredRows(np.array([1, 0, 0, 1, 0], np.int8), np.array([0.9, 0.8, 0.7, 0.3, 0.1]))

    assert choose_threshold(rows, ThresholdPolicy("best_f1"), SETTINGS).threshold == 0.9


@pytest.mark.parametrize(
    "policy",
    [
        ThresholdPolicy("best_f1"),
        ThresholdPolicy("precision", 0.3),
        ThresholdPolicy("alerts_per_day", 9),
        ThresholdPolicy("least_cost"),
    ],
)
def test_what_a_threshold_achieves_is_what_it_does_on_these_rows(policy: ThresholdPolicy) -> None:
    rows = scored()
    choice = choose_threshold(rows, policy, SETTINGS)

    tn, fp, fn, tp = confusion_matrix(rows.y, rows.probability >= choice.threshold).ravel()
    assert choice.achieved == pytest.approx(
        {
            "precision": tp / (tp + fp),
            "recall": tp / (tp + fn),
            "f1": 2 * tp / (2 * tp + fp + fn),
            "false_positive_rate": fp / (fp + tn),
            "alerts": tp + fp,
            "alerts_per_day": (tp + fp) / 5,
            "expected_cost": expected_cost(rows, choice.threshold, SETTINGS),
        }
    )


def test_a_policy_says_what_the_data_lacks() -> None:
    with pytest.raises(DataError, match="alerts_per_day needs a time"):
        choose_threshold(replace(scored(), day=None), ThresholdPolicy("alerts_per_day", 5), SETTINGS)
    with pytest.raises(DataError, match="set cost_false_negative or amount_column"):
        choose_threshold(replace(scored(), amount=None), ThresholdPolicy("least_cost"), SETTINGS)
    with pytest.raises(DataError, match="expected both classes"):
        choose_threshold(replace(scored(), y=np.zeros(400, np.int8)), ThresholdPolicy(), SETTINGS)


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("best_f1", 0.5),
        ("least_cost", 1),
        ("precision", None),
        ("precision", 1.2),
        ("precision", 0),
        ("alerts_per_day", 0),
    ],
)
def test_a_policy_that_means_nothing_is_refused(target: str, value: float | None) -> None:
    with pytest.raises(ValueError, match=target):
        ThresholdPolicy(target, value)  # type: ignore[arg-type]
