import numpy as np
import pytest
from sklearn import metrics

from fraud_assets.ml.evaluate import METRICS, Metric, direction, score, summarize_folds
from tests.ml.scored import best_f1_threshold


def predictions(seed: int, rows: int = 200, digits: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities that know something of them; few digits make many equal ones."""
    random = np.random.default_rng(seed)
    y = (random.random(rows) < 0.2).astype(np.int8)
    y[:2] = 0, 1
    return y, np.clip(0.3 * y + 0.7 * random.random(rows), 0, 1).round(digits).astype(np.float32)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("digits", [1, 3, 7])
def test_metrics_are_those_of_scikit_learn(threshold: float, digits: int) -> None:
    y, probability = predictions(0, digits=digits)
    called = probability >= threshold

    expected = {
        "accuracy": metrics.accuracy_score(y, called),
        "precision": metrics.precision_score(y, called),
        "recall": metrics.recall_score(y, called),
        "f1": metrics.f1_score(y, called),
        "roc_auc": metrics.roc_auc_score(y, probability),
        "log_loss": metrics.log_loss(y, probability),
        "average_precision": metrics.average_precision_score(y, probability),
    }
    # Of float32 probabilities scikit-learn's log loss is as precise as that.
    assert score(y, probability, threshold) == pytest.approx(expected, rel=1e-6)
    assert set(score(y, probability)) <= set(METRICS)


def test_a_probability_at_the_threshold_is_called_fraud() -> None:
    y, probability = np.array([0, 1]), np.array([0.1, 0.7], dtype=np.float32)
    assert score(y, probability, threshold=float(probability[1]))["recall"] == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_certainty_in_what_is_wrong_costs_what_it_costs_in_scikit_learn(dtype: type) -> None:
    y = np.array([0, 1, 1])
    probability: np.ndarray = np.array([1.0, 0.0, 1.0]).astype(dtype)
    assert score(y, probability)["log_loss"] == pytest.approx(metrics.log_loss(y, probability), rel=1e-6)


@pytest.mark.filterwarnings("error")
def test_nothing_called_fraud_scores_zero_without_a_warning() -> None:
    y, probability = predictions(0)
    scores = score(y, probability, threshold=1.5)
    assert (scores["precision"], scores["recall"], scores["f1"]) == (0, 0, 0)


def test_the_direction_of_a_metric_is_where_good_predictions_are() -> None:
    y, _ = predictions(0)
    good, bad = score(y, np.where(y, 0.9, 0.1)), score(y, np.where(y, 0.1, 0.9))

    assert direction("log_loss") == "min"
    for metric, value in good.items():
        assert value > bad[metric] if direction(metric) == "max" else value < bad[metric]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("digits", [1, 2, 7])
def test_no_threshold_has_a_higher_f1_than_the_best_one(seed: int, digits: int) -> None:
    y, probability = predictions(seed, digits=digits)

    best = score(y, probability, best_f1_threshold(y, probability))["f1"]

    # Between two neighbouring probabilities all thresholds are the same.
    called = [probability >= threshold for threshold in (*np.unique(probability), 1.1)]
    f1 = [2 * (rows & (y == 1)).sum() / (rows.sum() + y.sum()) for rows in called]
    assert best == pytest.approx(max(f1), abs=1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 0.05, 1.0])
def test_equal_probabilities_are_all_called_fraud(value: float) -> None:
    y, _ = predictions(0)
    probability = np.full(len(y), value, dtype=np.float32)
    assert best_f1_threshold(y, probability) == probability[0]
    assert score(y, probability, best_f1_threshold(y, probability))["recall"] == 1


def test_the_threshold_parts_what_can_be_parted() -> None:
    y, probability = np.array([0, 1, 0, 1]), np.array([0.1, 0.6, 0.2, 0.4])
    assert best_f1_threshold(y, probability) == 0.4


def test_folds_are_summed_up_by_mean_and_deviation() -> None:
    folds: list[dict[Metric, float]] = [dict(score(*predictions(seed)).items()) for seed in range(3)]
    summary = summarize_folds(folds)

    assert set(summary) == {*folds[0], *(f"{metric}_std" for metric in folds[0])}
    for metric in folds[0]:
        values = [fold[metric] for fold in folds]
        assert summary[metric] == pytest.approx(sum(values) / 3)
        assert summary[f"{metric}_std"] == pytest.approx(np.sqrt(np.var(values)))
    assert all(value == 0 for name, value in summarize_folds(folds[:1]).items() if name.endswith("_std"))
