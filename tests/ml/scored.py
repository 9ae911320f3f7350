"""Predictions in memory."""

import numpy as np

from fraud_assets.ml.fraud_metrics import MetricSettings
from fraud_assets.ml.scored_rows import ScoredRows
from fraud_assets.ml.threshold import ThresholdPolicy, choose_threshold


def scored(
    rows: int = 400,
    *,
    frauds: int = 40,
    signal: float = 1.5,
    days: int = 5,
    cards: int = 60,
    steps: int = 0,
    seed: int = 0,
) -> ScoredRows:
    """Predictions that see the frauds as far as `signal` lets them, rounded to `steps` steps if that isn't 0."""
    random = np.random.default_rng(seed)
    y = np.zeros(rows, dtype=np.int8)
    y[random.choice(rows, frauds, replace=False)] = 1
    probability = 1 / (1 + np.exp(2 - random.normal(size=rows) - signal * y))
    if steps:
        probability = np.round(probability * steps) / steps
    return ScoredRows(
        y=y,
        probability=probability,
        day=np.datetime64("2026-03-01", "D") + random.integers(0, days, rows),
        entity=random.integers(0, cards, rows),
        amount=np.round(np.exp(random.normal(3, 1, rows)), 2),
    )


def best_f1_threshold(y: np.ndarray, probability: np.ndarray) -> float:
    """What the default policy chooses on these predictions."""
    return choose_threshold(ScoredRows(y, probability), ThresholdPolicy(), MetricSettings()).threshold
