"""How good predictions are: the metrics of a trial and of a holdout."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar, get_args

import numpy as np

from fraud_assets.ml.fraud_metrics import FraudMetric

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
    """The seven metrics of predictions, by scikit-learn.

    Args:
        y: labels, shape (rows,), 0 or 1; both must occur.
        probability: predicted probability of fraud, shape (rows,).
        threshold: a row is called fraud where its probability is at least this.
    """
    return {metric: classic_score(metric, y, probability, threshold) for metric in CLASSIC_METRICS}


def classic_score(metric: ClassicMetric, y: np.ndarray, probability: np.ndarray, threshold: float = 0.5) -> float:
    """One of the seven metrics; arguments as in `score`."""
    from sklearn import metrics

    if metric == "average_precision":
        return average_precision(y, probability)
    if metric == "roc_auc":
        return float(metrics.roc_auc_score(y, probability))
    if metric == "log_loss":
        return float(metrics.log_loss(y, probability))
    label = (probability >= threshold).astype(np.int8)
    if metric == "accuracy":
        return float(metrics.accuracy_score(y, label))
    if metric == "precision":
        return float(metrics.precision_score(y, label, zero_division=0))
    return float(metrics.recall_score(y, label) if metric == "recall" else metrics.f1_score(y, label))


def average_precision(y: np.ndarray, scores: np.ndarray) -> float:
    """scikit-learn's average precision at a fraction of its cost: early stopping and ensemble selection live by it.

    Args:
        y: labels, shape (rows,), 0 or 1; a fraud must occur.
        scores: of any scale, more is more suspicious, shape (rows,).
    """
    frauds = np.sort(scores[y == 1])
    # For each fraud: how many frauds, and how many rows, have at least its score.
    hits = len(frauds) - np.searchsorted(frauds, frauds, side="left")
    alerts = len(scores) - np.searchsorted(np.sort(scores), frauds, side="left")
    return float(np.mean(hits / alerts))


def summarize_folds(scores: Sequence[Mapping[_Name, float]]) -> dict[str, float]:
    """The mean of each metric over folds under its own name, and its standard deviation as `<metric>_std`."""
    summary: dict[str, float] = {}
    for metric in scores[0]:
        values = [fold[metric] for fold in scores]
        summary[metric] = float(np.mean(values))
        summary[f"{metric}_std"] = float(np.std(values))
    return summary
