"""How good predictions are: the metrics of a trial and of a holdout."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar, get_args

import numpy as np

from fraud_assets.ml.fraud_metrics import FraudMetric
from fraud_assets.ml.fraud_ranks import FraudRanks

ClassicMetric = Literal["accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "average_precision"]
Metric = Literal[ClassicMetric, FraudMetric]
CLASSIC_METRICS: tuple[ClassicMetric, ...] = get_args(ClassicMetric)
METRICS: tuple[Metric, ...] = get_args(Metric)

# What else a trial reports that a search may weigh against a metric.
TradeOff = Literal["alert_rate_at_threshold", "fit_seconds"]
Objective = Literal[Metric, TradeOff]

_Name = TypeVar("_Name", bound=str)

# Of these less is better; of all others more.
LESS_IS_BETTER = ("log_loss", "brier", "expected_cost", *get_args(TradeOff))


def direction(metric: Objective) -> Literal["min", "max"]:
    """Whether less or more of `metric` is better."""
    return "min" if metric in LESS_IS_BETTER else "max"


def score(y: np.ndarray, probability: np.ndarray, threshold: float = 0.5) -> dict[ClassicMetric, float]:
    """The seven metrics of predictions, as scikit-learn defines them.

    Args:
        y: labels, shape (rows,), 0 or 1; both must occur.
        probability: predicted probability of fraud, shape (rows,).
        threshold: a row is called fraud where its probability is at least this.
    """
    ranks = FraudRanks.of(y, probability)
    fraud, called = y == 1, probability >= threshold
    frauds, alerts, hits = int(fraud.sum()), int(called.sum()), int((fraud & called).sum())
    return {
        "accuracy": float((fraud == called).mean()),
        "precision": hits / alerts if alerts else 0.0,
        "recall": hits / frauds,
        "f1": 2 * hits / (alerts + frauds),
        "roc_auc": ranks.roc_auc(),
        "log_loss": log_loss(y, probability),
        "average_precision": ranks.average_precision(),
    }


def log_loss(y: np.ndarray, probability: np.ndarray) -> float:
    """The mean negative log-likelihood; certainty is clipped to what the probabilities' type can tell from it."""
    tiny = np.finfo(probability.dtype).eps
    of_label = np.where(y == 1, probability, 1 - probability)
    return float(-np.log(np.clip(of_label, tiny, 1 - tiny), dtype=np.float64).mean())


def average_precision(y: np.ndarray, scores: np.ndarray) -> float:
    """See `FraudRanks.average_precision`; arguments are those of `FraudRanks.of`."""
    return FraudRanks.of(y, scores).average_precision()


def summarize_folds(scores: Sequence[Mapping[_Name, float]]) -> dict[str, float]:
    """The mean of each metric over folds under its own name, and its standard deviation as `<metric>_std`."""
    summary: dict[str, float] = {}
    for metric in scores[0]:
        values = [fold[metric] for fold in scores]
        summary[metric] = float(np.mean(values))
        summary[f"{metric}_std"] = float(np.std(values))
    return summary
