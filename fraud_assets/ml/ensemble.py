"""Ensemble selection from the trials of a study: which of them to average, and how often each counts.

Greedy forward selection with replacement (Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries
of models", ICML 2004): start with the best trials, then add, again and again, the one that makes the average best.
A trial that was best by luck on a few folds weighs less in an average than it does as the only one chosen.

What is averaged is the log-odds, not the probability: it keeps the order among the many rows that every member calls
almost certainly legitimate, and the average is again a probability, the normalized geometric mean.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

# Higher is better: (labels, scores) -> number. The scores are log-odds, so it must depend on their order alone.
RankingMetric = Callable[[np.ndarray, np.ndarray], float]

# Where a probability in float32 can't be told from 0 or 1, its log-odds are infinite.
_SMALLEST = 1e-7


@dataclass(frozen=True)
class Selection:
    """The outcome of ensemble selection.

    Attributes:
        weights: the share of each trial in the average, shape (trials,), float64; they sum to 1, most are 0.
        scores: the metric of the averaged predictions on each fold, shape (folds,), float64. The folds chose the
            members, so these are too good; a holdout has to judge.
    """

    weights: np.ndarray
    scores: np.ndarray

    @property
    def members(self) -> list[int]:
        """The positions of the trials with a weight, the heaviest first."""
        order = np.argsort(-self.weights, kind="stable")
        return [int(i) for i in order if self.weights[i] > 0]


def log_odds(probability: np.ndarray) -> np.ndarray:
    """The log-odds of probabilities of any shape, float64, bounded at about 16 on either side."""
    bounded = np.clip(np.asarray(probability, dtype=np.float64), _SMALLEST, 1 - _SMALLEST)
    return np.log(bounded) - np.log1p(-bounded)


def average(probabilities: Sequence[np.ndarray], weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """The weighted average of models in log-odds, as a probability.

    Args:
        probabilities: one array of the same shape for each model.
        weights: one for each model, of any positive sum.

    Returns:
        Probabilities of that shape, float64.
    """
    mean = np.average([log_odds(p) for p in probabilities], axis=0, weights=weights)
    return np.asarray(1 / (1 + np.exp(-mean)))


def select_members(
    predictions: Sequence[Sequence[np.ndarray]],
    labels: Sequence[np.ndarray],
    metric: RankingMetric,
    *,
    candidates: int = 20,
    start: int = 5,
    rounds: int = 20,
    spread_penalty: float = 0.0,
) -> Selection:
    """Choose the trials whose average is best on the mean over folds, minus a multiple of the spread.

    Args:
        predictions: for each trial and fold the probabilities of the fold's validating rows, shape (rows,).
        labels: for each fold the labels of these rows, shape (rows,), 0 or 1.
        metric: of (labels, scores), higher is better, blind to monotone changes of the scores: average precision or
            ROC AUC, not F1 at a threshold.
        candidates: only this many trials, the best alone, may become members; it bounds the work and the luck.
        start: the average starts with this many of the best, which guards against overfitting the folds.
        rounds: how many times a member is added, of which the best moment is kept; the work is `rounds * candidates`
            calls of the metric a fold.
        spread_penalty: how many standard deviations over folds are taken off the mean.

    Raises:
        ValueError: no trial, or trials and labels don't agree on the number of folds or rows.
    """
    _check(predictions, labels)

    def value(scores: np.ndarray) -> float:
        return float(scores.mean() - spread_penalty * scores.std())

    def judge(odds: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([metric(y, fold) for y, fold in zip(labels, odds, strict=True)])

    alone = np.array([value(judge(trial)) for trial in predictions])
    library = np.argsort(-alone, kind="stable")[:candidates]
    odds = {int(i): [log_odds(fold) for fold in predictions[i]] for i in library}

    counts = np.zeros(len(predictions))
    counts[library[:start]] = 1
    total = [np.sum([odds[int(i)][fold] for i in library[:start]], axis=0) for fold in range(len(labels))]
    best_counts, best_scores = counts.copy(), judge(total)
    for _ in range(rounds):
        # The order of a sum is that of the average: nothing is divided here.
        judged = {i: judge([a + b for a, b in zip(total, odds[i], strict=True)]) for i in odds}
        added = max(judged, key=lambda i: value(judged[i]))
        counts[added] += 1
        total = [a + b for a, b in zip(total, odds[added], strict=True)]
        if value(judged[added]) > value(best_scores):
            best_counts, best_scores = counts.copy(), judged[added]
    return Selection(best_counts / best_counts.sum(), best_scores)


def _check(predictions: Sequence[Sequence[np.ndarray]], labels: Sequence[np.ndarray]) -> None:
    if not predictions:
        raise ValueError("there is no trial to choose from")
    expected = [len(fold) for fold in labels]
    for position, trial in enumerate(predictions):
        shapes = [len(fold) for fold in trial]
        if shapes != expected:
            raise ValueError(f"trial {position} predicts folds of {shapes} rows, and the labels have {expected}")
