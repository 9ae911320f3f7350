"""How good predictions are: the metrics of a trial and of a holdout."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar, get_args

import numpy as np

from fraud_assets.ml.fraud_metrics import FraudMetric

ClassicMetric = Literal["accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "average_precision"]
Metric = Literal[ClassicMetric, FraudMetric]
METRICS: tuple[Metric, ...] = get_args(Metric)

_Name = TypeVar("_Name", bound=str)

# Of these less is better; of all others more.
LESS_IS_BETTER = ("log_loss", "brier", "expected_cost")


def direction(metric: Metric) -> Literal["min", "max"]:
    """Whether less or more of `metric` is better."""
    return "min" if metric in LESS_IS_BETTER else "max"


def score(y: np.ndarray, probability: np.ndarray, threshold: float = 0.5) -> dict[ClassicMetric, float]:
    """The seven metrics of predictions, by scikit-learn.

    Args:
        y: labels, shape (rows,), 0 or 1; both must occur.
        probability: predicted probability of fraud, shape (rows,).
        threshold: a row is called fraud where its probability is at least this.
    """
    from sklearn import metrics

    label = (probability >= threshold).astype(np.int8)
    return {
        "accuracy": float(metrics.accuracy_score(y, label)),
        "precision": float(metrics.precision_score(y, label, zero_division=0)),
        "recall": float(metrics.recall_score(y, label)),
        "f1": float(metrics.f1_score(y, label)),
        "roc_auc": float(metrics.roc_auc_score(y, probability)),
        "log_loss": float(metrics.log_loss(y, probability)),
        "average_precision": float(metrics.average_precision_score(y, probability)),
    }


def summarize_folds(scores: Sequence[Mapping[_Name, float]]) -> dict[str, float]:
    """The mean of each metric over folds under its own name, and its standard deviation as `<metric>_std`."""
    summary: dict[str, float] = {}
    for metric in scores[0]:
        values = [fold[metric] for fold in scores]
        summary[metric] = float(np.mean(values))
        summary[f"{metric}_std"] = float(np.std(values))
    return summary
