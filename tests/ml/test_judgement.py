import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics

from fraud_assets.ml.baselines import BASELINES, baseline_predictions
from fraud_assets.ml.bootstrap import ResampledMetrics, draw_counts
from fraud_assets.ml.chance import chance_level
from fraud_assets.ml.fraud_metrics import MetricSettings, fraud_score
from fraud_assets.ml.judgement import Judgement, judge
from fraud_assets.ml.schema import DataError
from fraud_assets.ml.scored_rows import ScoredRows
from tests.ml.scored import scored
from tests.ml.tables import dataset_of, permuted, transactions

SETTINGS = MetricSettings(alerts_per_day=10, max_false_positive_rate=0.1)
THRESHOLD = 0.3


def scikit_learns(rows: ScoredRows) -> dict[str, float]:
    called = rows.probability >= THRESHOLD
    return {
        "accuracy": metrics.accuracy_score(rows.y, called),
        "precision": metrics.precision_score(rows.y, called, zero_division=0),
        "recall": metrics.recall_score(rows.y, called),
        "f1": metrics.f1_score(rows.y, called),
        "roc_auc": metrics.roc_auc_score(rows.y, rows.probability),
        "average_precision": metrics.average_precision_score(rows.y, rows.probability),
        "log_loss": metrics.log_loss(rows.y, rows.probability),
        "brier": metrics.brier_score_loss(rows.y, rows.probability),
    }


@pytest.mark.parametrize("steps", [0, 8])
@pytest.mark.parametrize("entities", [True, False])
def test_metrics_of_a_resample_are_those_of_its_rows_repeated(steps: int, entities: bool) -> None:
    rows = scored(steps=steps)
    rows = rows if entities else replace(rows, entity=None)
    cluster = np.arange(len(rows)) if rows.entity is None else np.unique(rows.entity, return_inverse=True)[1]
    resampled = ResampledMetrics(rows, THRESHOLD, SETTINGS)

    [counts] = draw_counts(rows.y, cluster, 5, seed=3)
    values = resampled(counts)

    for i in range(5):
        times = counts[cluster, i].astype(int)
        copies = rows.take(np.repeat(np.arange(len(rows)), times))
        if copies.entity is not None:
            # A card drawn twice is two cards.
            copy = np.concatenate([np.arange(n) for n in times])
            copies = replace(copies, entity=copies.entity * 100 + copy)
        expected = scikit_learns(copies) | fraud_score(copies, THRESHOLD, SETTINGS)
        assert {name: value[i] for name, value in values.items()} == pytest.approx(expected)


def test_a_resample_draws_whole_clusters_as_many_as_there_are_and_has_both_classes() -> None:
    y = np.zeros(100, np.int8)
    y[:3] = 1
    cluster = np.repeat(np.arange(20), 5)

    counts = np.hstack(list(draw_counts(y, cluster, 500, seed=0)))

    assert counts.shape == (20, 500)
    assert (counts.sum(axis=0) == 20).all()
    assert (counts[0] > 0).all()
    assert counts[1:].mean() == pytest.approx(18.4 / 19, abs=0.02)


def test_equal_seeds_judge_alike() -> None:
    first, again = (judge(scored(), THRESHOLD, {}, SETTINGS, resamples=100, seed=4).to_dict() for _ in range(2))

    assert first == again
    assert first != judge(scored(), THRESHOLD, {}, SETTINGS, resamples=100, seed=5).to_dict()


def test_a_judgement_has_the_value_of_each_metric_on_the_rows_and_an_interval_around_it() -> None:
    rows = scored()

    judgement = judge(rows, THRESHOLD, {}, SETTINGS, resamples=200)

    expected = scikit_learns(rows) | fraud_score(rows, THRESHOLD, SETTINGS)
    assert {name: interval.value for name, interval in judgement.metrics.items()} == pytest.approx(expected)
    assert all(interval.low < interval.value < interval.high for interval in judgement.metrics.values())
    assert (judgement.rows, judgement.frauds, judgement.prevalence) == (400, 40, 0.1)


def test_the_interval_covers_the_truth_at_its_rate() -> None:
    # ROC AUC of two normal distributions 1.5 apart is 0.8556.
    samples = [replace(scored(frauds=60, seed=seed), day=None, entity=None, amount=None) for seed in range(100)]
    intervals = [judge(rows, 0.5, {}, SETTINGS, resamples=200).metrics["roc_auc"] for rows in samples]

    assert 89 <= sum(i.low <= 0.8556 <= i.high for i in intervals) <= 99


def test_cards_that_behave_alike_make_intervals_wider_than_rows_would() -> None:
    one = scored(100, frauds=20, cards=10_000)
    copies = one.take(np.repeat(np.arange(100), 9))

    by_card = judge(copies, THRESHOLD, {}, SETTINGS, resamples=300).metrics["roc_auc"]
    by_row = judge(replace(copies, entity=None), THRESHOLD, {}, SETTINGS, resamples=300).metrics["roc_auc"]

    assert (by_card.high - by_card.low) / (by_row.high - by_row.low) == pytest.approx(3, rel=0.25)


def test_a_gain_is_judged_on_the_same_resamples() -> None:
    rows = scored()
    slightly_worse = rows.probability + np.random.default_rng(0).normal(0, 0.05, len(rows)).clip(-0.1, 0.1)
    worse = np.clip(slightly_worse, 0, 1)

    judgement = judge(rows, THRESHOLD, {"worse": worse, "same": rows.probability}, SETTINGS, resamples=200)

    own, gain = judgement.metrics["roc_auc"], judgement.baselines["worse"].gain["roc_auc"]
    assert gain.high - gain.low < (own.high - own.low) / 2
    assert gain.value == pytest.approx(own.value - metrics.roc_auc_score(rows.y, worse))
    for interval in judgement.baselines["same"].gain.values():
        assert (interval.value, interval.low, interval.high) == (0, 0, 0)


def test_a_gain_is_positive_where_less_is_better_too() -> None:
    rows = scored(signal=3)

    gain = judge(rows, THRESHOLD, {"none": np.full(400, 0.5)}, SETTINGS, resamples=100).baselines["none"].gain

    assert gain["log_loss"].low > 0
    assert gain["brier"].low > 0
    assert gain["average_precision"].low > 0


def test_a_baseline_without_a_threshold_is_not_compared_in_what_needs_one() -> None:
    rows = scored()
    constant = np.full(len(rows), 0.1)

    judgement = judge(
        rows,
        THRESHOLD,
        {"without": constant, "with": constant},
        SETTINGS,
        baseline_thresholds={"with": 0.05},
        resamples=100,
    )

    needing = {"accuracy", "precision", "recall", "f1", "expected_cost"}
    assert set(judgement.metrics) - set(judgement.baselines["without"].gain) == needing
    assert judgement.baselines["with"].metrics["recall"].value == 1
    assert set(judgement.baselines["with"].gain) == set(judgement.metrics)


def test_a_judgement_survives_json() -> None:
    rows = scored()
    judgement = judge(rows, THRESHOLD, {"constant": np.full(len(rows), 0.1)}, SETTINGS, resamples=100)

    stored = json.loads(json.dumps(judgement.to_dict(), allow_nan=False))

    assert Judgement.from_dict(stored) == judgement
    assert stored["has_signal"] is judgement.has_signal


def of_cards(seed: int, *, knows: bool) -> ScoredRows:
    """A hundred frauds or so in bursts on 20 of 300 cards, and scores that tell cards apart."""
    random = np.random.default_rng(seed)
    entity = random.integers(0, 300, 3000)
    compromised = random.permutation(300) < 20
    y = (compromised[entity] & (random.random(3000) < 0.5)).astype(np.int8)
    score = random.random(300)[entity] + 0.1 * random.random(3000) + (0.5 * compromised[entity] if knows else 0)
    return ScoredRows(y, score / 2, entity=entity)


def without_cards(seed: int, signal: float, frauds: int = 100, rows: int = 2000) -> ScoredRows:
    return replace(scored(rows, frauds=frauds, signal=signal, seed=seed), day=None, entity=None, amount=None)


def signals(samples: list[ScoredRows]) -> int:
    return sum(judge(rows, 0.5, {}, SETTINGS, resamples=160).has_signal for rows in samples)


def test_scores_that_know_nothing_are_called_no_signal() -> None:
    assert signals([without_cards(seed, signal=0) for seed in range(100)]) <= 5


@pytest.mark.parametrize("frauds", [2, 10])
def test_scores_that_know_nothing_about_a_few_frauds_are_called_no_signal(frauds: int) -> None:
    assert signals([without_cards(seed, signal=0, frauds=frauds, rows=500) for seed in range(100)]) <= 5


def test_scores_that_only_tell_cards_apart_are_called_no_signal() -> None:
    assert signals([of_cards(seed, knows=False) for seed in range(100)]) <= 5


def test_chance_moves_the_frauds_of_a_card_together() -> None:
    samples = [of_cards(seed, knows=False) for seed in range(100)]

    by_card = sum(chance_level(rows, 160, seed=0).p_value <= 0.05 for rows in samples)
    by_row = sum(chance_level(replace(rows, entity=None), 160, seed=0).p_value <= 0.05 for rows in samples)

    assert by_card <= 10
    assert by_row >= 20


def test_an_interval_that_holds_the_prevalence_is_no_signal() -> None:
    judgement = judge(scored(signal=2), 0.5, {}, SETTINGS, resamples=100)
    own = judgement.metrics["average_precision"]
    wide = judgement.metrics | {"average_precision": replace(own, low=judgement.prevalence)}

    assert judgement.has_signal
    assert not replace(judgement, metrics=wide).has_signal


def test_scores_that_know_something_are_called_a_signal() -> None:
    assert signals([without_cards(seed, signal=1) for seed in range(20)]) == 20
    assert signals([of_cards(seed, knows=True) for seed in range(20)]) >= 19


def test_one_fraud_in_twenty_found_without_a_false_alert_is_a_signal_though_auc_sees_none() -> None:
    rows = without_cards(1, signal=0)
    probability = rows.probability.copy()
    probability[np.flatnonzero(rows.y)[:5]] = 0.99

    judgement = judge(rows.with_probability(probability), 0.5, {}, SETTINGS, resamples=500)

    assert judgement.metrics["roc_auc"].low < 0.5
    assert judgement.has_signal


def test_one_score_for_all_is_no_signal() -> None:
    judgement = judge(scored().with_probability(np.full(400, 0.1)), 0.5, {}, SETTINGS, resamples=100)

    assert not judgement.has_signal
    assert judgement.chance.p_value == 1
    assert judgement.chance.average_precision == pytest.approx(0.1)


def test_chance_is_the_mean_average_precision_of_permuted_labels() -> None:
    rows = without_cards(0, signal=2, frauds=10, rows=200)
    random = np.random.default_rng(0)
    shuffled = [metrics.average_precision_score(random.permutation(rows.y), rows.probability) for _ in range(300)]

    chance = chance_level(rows, 1000, seed=0)

    assert chance.average_precision == pytest.approx(np.mean(shuffled), rel=0.06)
    assert chance.average_precision > 1.2 * 10 / 200
    assert chance.p_value == 1 / 1001


def test_baselines_learn_what_there_is_from_columns_of_every_kind() -> None:
    dataset = dataset_of(transactions(1500))
    fit, predict = np.arange(1000), np.arange(1000, 1500)

    predictions = baseline_predictions(dataset, fit, predict, seed=0, threads=1)
    of_noise = baseline_predictions(permuted(dataset), fit, predict, seed=0, threads=1)

    assert tuple(predictions) == BASELINES
    y = dataset.y[predict]
    assert predictions["prevalence"].tolist() == [dataset.y[fit].mean()] * 500
    for name in ("xgboost_defaults", "logistic_regression"):
        assert metrics.roc_auc_score(y, predictions[name]) > 0.85
        assert metrics.roc_auc_score(permuted(dataset).y[predict], of_noise[name]) == pytest.approx(0.5, abs=0.1)


def test_one_class_only_can_not_be_judged() -> None:
    with pytest.raises(DataError, match="expected both classes"):
        judge(replace(scored(), y=np.zeros(400, np.int8)), 0.5, {}, SETTINGS)


def test_too_few_resamples_for_an_interval_are_refused() -> None:
    with pytest.raises(ValueError, match="resamples 50; expected"):
        judge(scored(), 0.5, {}, SETTINGS, resamples=50)


def test_a_threshold_of_no_baseline_is_refused() -> None:
    with pytest.raises(ValueError, match=r"thresholds for \['xgboost'\]"):
        judge(scored(), 0.5, {}, SETTINGS, baseline_thresholds={"xgboost": 0.2})
