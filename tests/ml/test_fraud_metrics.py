from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fraud_assets.ml.fraud_metrics import (
    FRAUD_METRICS,
    MetricSettings,
    available_metrics,
    card_precision_at_k,
    expected_cost,
    fraud_score,
    precision_at_k,
    recall_at_fpr,
)
from fraud_assets.ml.schema import DataError
from fraud_assets.ml.scored_rows import ScoredRows
from tests.bench_data import handbook_protocol
from tests.ml.scored import scored


def frame_of(rows: ScoredRows) -> pd.DataFrame:
    return pd.DataFrame(
        {"y": rows.y, "p": rows.probability, "day": rows.day, "card": rows.entity, "amount": rows.amount}
    )


@pytest.fixture
def handbook() -> Any:
    return handbook_protocol()


@pytest.mark.parametrize("k", [1, 7, 30, 1000])
@pytest.mark.parametrize("steps", [0, 20])
@pytest.mark.parametrize("seed", range(5))
def test_card_precision_is_the_handbooks(handbook: Any, k: int, steps: int, seed: int) -> None:
    rows = scored(2000, frauds=150, days=9, cards=150, steps=steps, seed=seed)
    frame = frame_of(rows).rename(columns={"y": handbook.LABEL, "day": handbook.TIME, "card": handbook.ENTITY})

    assert card_precision_at_k(rows, k) == pytest.approx(handbook.card_precision(frame, rows.probability, k), abs=1e-12)


def test_a_card_that_was_found_is_not_looked_at_again() -> None:
    days = np.array(["2026-03-01", "2026-03-02", "2026-03-02"], "datetime64[D]")
    rows = ScoredRows(np.array([1, 1, 1], np.int8), np.array([0.9, 0.9, 0.5]), days, np.array([7, 7, 8]))

    assert card_precision_at_k(rows, 1) == 1.0
    assert card_precision_at_k(rows, 2) == 0.5


@pytest.mark.parametrize("k", [1, 10, 200])
def test_precision_at_k_is_the_share_of_frauds_in_each_days_first_k(k: int) -> None:
    rows = scored()
    daily = [day.nlargest(k, "p")["y"].sum() / k for _, day in frame_of(rows).groupby("day")]

    assert precision_at_k(rows, k) == pytest.approx(np.mean(daily))


@pytest.mark.parametrize("steps", [1, 4, 20])
def test_precision_at_k_of_equal_probabilities_is_the_mean_over_their_orders(steps: int) -> None:
    rows = scored(steps=steps)
    random = np.random.default_rng(0)
    assert rows.day is not None
    day = rows.day

    def shuffled() -> float:
        order = np.lexsort((random.random(len(rows)), -rows.probability))
        return float(np.mean([rows.y[order][day[order] == date][:10].mean() for date in np.unique(day)]))

    assert precision_at_k(rows, 10) == pytest.approx(np.mean([shuffled() for _ in range(300)]), abs=0.015)


def test_the_order_of_rows_leaves_no_trace() -> None:
    rows = scored(steps=5)
    shuffled = rows.take(np.random.default_rng(1).permutation(len(rows)))

    assert fraud_score(rows, 0.5, MetricSettings(10)) == pytest.approx(fraud_score(shuffled, 0.5, MetricSettings(10)))


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("steps", [0, 10])
def test_recall_at_a_false_positive_rate_is_that_of_the_best_allowed_threshold(rate: float, steps: int) -> None:
    rows = scored(steps=steps)
    fraud = rows.y == 1
    recalls = [
        (rows.probability[fraud] >= t).mean()
        for t in [*np.unique(rows.probability), 2]
        if (rows.probability[~fraud] >= t).mean() <= rate
    ]

    assert recall_at_fpr(rows, rate) == max(recalls)


def test_a_missed_fraud_costs_its_amount_and_a_false_alert_its_own_cost() -> None:
    rows = ScoredRows(
        np.array([1, 1, 0, 0], np.int8), np.array([0.9, 0.1, 0.8, 0.2]), amount=np.array([50.0, 70.0, np.nan, 9.0])
    )

    assert expected_cost(rows, 0.5, MetricSettings(cost_false_positive=3)) == (70 + 3) / 4
    assert expected_cost(rows, 0.5, MetricSettings(cost_false_positive=3, cost_false_negative=11)) == (11 + 3) / 4


@pytest.mark.parametrize(
    ("lacking", "metric", "told"),
    [
        ("day", "precision_at_k", "precision_at_k needs a time"),
        ("day", "card_precision_at_k", "card_precision_at_k needs a time"),
        ("entity", "card_precision_at_k", "card_precision_at_k needs an entity"),
        ("amount", "expected_cost", "set cost_false_negative or amount_column"),
    ],
)
def test_a_metric_says_which_column_it_lacks(lacking: str, metric: Any, told: str) -> None:
    rows = replace(scored(), **{lacking: None})  # type: ignore[arg-type]

    assert metric not in available_metrics(rows, MetricSettings())
    with pytest.raises(DataError, match=told):
        fraud_score(rows, 0.5, MetricSettings(), [metric])


@pytest.mark.parametrize("amount", [np.nan, -1.0])
def test_a_fraud_without_a_usable_amount_is_refused(amount: float) -> None:
    rows = scored()
    assert rows.amount is not None
    amounts = np.where(rows.y == 1, amount, rows.amount)

    with pytest.raises(DataError, match="the amount of 40 of 40 frauds is missing or negative"):
        expected_cost(replace(rows, amount=amounts), 0.5, MetricSettings())


def test_all_metrics_are_scored_where_the_data_has_everything() -> None:
    assert tuple(fraud_score(scored(), 0.5, MetricSettings())) == FRAUD_METRICS


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only_has_no_score(label: int) -> None:
    rows = replace(scored(), y=np.full(400, label, np.int8))

    with pytest.raises(DataError, match="of 400 scored rows are frauds"):
        fraud_score(rows, 0.5, MetricSettings())


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: MetricSettings(alerts_per_day=0),
        lambda: MetricSettings(max_false_positive_rate=1),
        lambda: MetricSettings(cost_false_positive=-1),
        lambda: MetricSettings(cost_false_negative=float("nan")),
    ],
)
def test_impossible_settings_are_refused(wrong: Callable[[], MetricSettings]) -> None:
    with pytest.raises(ValueError, match="expected"):
        wrong()
