from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from fraud_assets.ml.fraud_metrics import MetricSettings
from fraud_assets.ml.intervals import interval, tail, with_unseen_frauds
from fraud_assets.ml.judgement import judge
from fraud_assets.ml.scored_rows import ScoredRows
from tests.ml.scored import scored


def without_cards(seed: int, frauds: int, signal: float) -> ScoredRows:
    rows = scored(600, frauds=frauds, signal=signal, seed=seed)
    return replace(rows, day=None, entity=None, amount=None)


# ROC AUC of two normal distributions 1.5 and 3 apart.
@pytest.mark.parametrize(("frauds", "signal", "auc"), [(5, 1.5, 0.8556), (12, 1.5, 0.8556), (12, 3, 0.9831)])
def test_intervals_of_a_few_frauds_cover_what_other_data_say(frauds: int, signal: float, auc: float) -> None:
    others = [without_cards(seed, frauds, signal) for seed in range(1000, 1300)]
    truth = {
        "roc_auc": auc,
        "average_precision": np.mean([average_precision_score(rows.y, rows.probability) for rows in others]),
    }
    samples = [without_cards(seed, frauds, signal) for seed in range(100)]

    judgements = [judge(rows, 0.5, {}, MetricSettings(), resamples=200).metrics for rows in samples]

    for name, value in truth.items():
        assert sum(metrics[name].low <= value <= metrics[name].high for metrics in judgements) >= 90


def test_the_fewer_units_the_more_of_the_resamples_are_inside() -> None:
    tails = [tail(0.95, units) for units in (1, 2, 5, 20, 100, 10_000)]

    assert tails == sorted(tails)
    assert tails[0] == 0
    assert 0.5 * 0.025 < tails[3] < 0.7 * 0.025
    assert tails[-1] == pytest.approx(0.025, rel=0.001)


def test_of_one_unit_an_interval_holds_every_resample() -> None:
    drawn = np.random.default_rng(0).random(100)

    held = interval(0.5, drawn, 0.95, 1)

    assert (held.value, held.low, held.high) == (0.5, drawn.min(), drawn.max())


def test_of_a_perfect_ranking_of_a_few_frauds_the_interval_is_no_point() -> None:
    rows = without_cards(0, 10, 1.5)
    perfect = rows.with_probability(0.2 + 0.6 * rows.y + 0.1 * rows.probability)

    auc = judge(perfect, 0.5, {}, MetricSettings(), resamples=200).metrics["roc_auc"]

    assert (auc.value, auc.high) == (1, 1)
    assert 0.7 < auc.low < 0.95


def test_frauds_like_none_of_those_seen_make_no_difference_beside_many() -> None:
    drawn = np.random.default_rng(0).normal(0.9, 0.01, 1000)

    beside_few, beside_many = (with_unseen_frauds(drawn, units, seed=0) for units in (10, 10_000))

    assert np.mean(beside_few) == pytest.approx(0.9 - 0.4 / 11, abs=0.004)
    assert np.mean(beside_many) == pytest.approx(np.mean(drawn), abs=0.0001)


def test_scores_that_know_nothing_do_not_gain_from_frauds_that_nobody_saw() -> None:
    rows = without_cards(3, 20, 0)
    opposite = rows.with_probability(1 - rows.probability)

    for one in (rows, opposite):
        auc = judge(one, 0.5, {}, MetricSettings(), resamples=200).metrics["roc_auc"]
        assert auc.low < auc.value < auc.high
