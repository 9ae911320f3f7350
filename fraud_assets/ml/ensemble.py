"""Ensemble selection from the trials of a study: which of them to average, and how often each counts.

Greedy forward selection with replacement (Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries
of models", ICML 2004): start with the best trials, then add, again and again, the one that makes the average best.
A trial that was best by luck on a few folds weighs less in an average than it does as the only one chosen.

What is averaged is the log-odds, not the probability: it keeps the order among the many rows that every member calls
almost certainly legitimate, and the average is again a probability, the normalized geometric mean.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# (probabilities of the validating rows of each fold) -> the score of each fold, shape (folds,); higher is better.
FoldScores = Callable[[Sequence[np.ndarray]], np.ndarray]

# Where a probability in float32 can't be told from 0 or 1, its log-odds are infinite.
_SMALLEST = 1e-7


@dataclass(frozen=True)
class SelectionSettings:
    """How far ensemble selection goes.

    Attributes:
        most: how many different trials may be averaged; with 1, the best trial is alone.
        library: only so many trials, the best alone, may be chosen from; it bounds the work and the luck.
        of_each_kind: so many of the best of each kind may be chosen too: a worse trial that errs elsewhere helps more
            than one more like the best.
        start: the average starts with so many of the best, which guards against overfitting the folds.
        rounds: how many times a trial is added, of which the best moment is kept.
        spread_penalty: how many standard deviations over folds are taken off the mean.

    Raises:
        ValueError: a field is out of its range.
    """

    most: int = 10
    library: int = 20
    of_each_kind: int = 5
    start: int = 5
    rounds: int = 20
    spread_penalty: float = 0.0

    def __post_init__(self) -> None:
        for name, least in {"most": 1, "library": 1, "of_each_kind": 0, "start": 1, "rounds": 0}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; expected {least} or more")
        if self.spread_penalty < 0:
            raise ValueError(f"spread_penalty is {self.spread_penalty}; expected 0 or more")

    def value(self, scores: np.ndarray) -> float:
        """What the scores of the folds are worth: their mean, less the penalty for their spread."""
        return float(scores.mean() - self.spread_penalty * scores.std())


@dataclass(frozen=True)
class Selection:
    """The outcome of ensemble selection.

    Attributes:
        weights: the share of each chosen trial by its position, the heaviest first; they sum to 1.
        scores: the averaged predictions' score on each fold, shape (folds,). The folds chose the members, so these are
            too good; a holdout has to judge.
    """

    weights: Mapping[int, float]
    scores: np.ndarray


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
        Probabilities of that shape; of one model those that it had.
    """
    if len(probabilities) == 1:
        return np.asarray(probabilities[0])
    return _probability(np.average([log_odds(p) for p in probabilities], axis=0, weights=weights))


def _probability(odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-odds)))


def candidates(kinds: Sequence[str], settings: SelectionSettings) -> list[int]:
    """The positions of the trials among which an ensemble is selected.

    Args:
        kinds: of each trial, such as its booster; the best trial comes first.
        settings: how many.
    """
    if settings.most == 1:
        return [0] if kinds else []
    best = max(settings.library, settings.start)
    return [i for i, kind in enumerate(kinds) if i < best or kinds[:i].count(kind) < settings.of_each_kind]


def select_members(
    predictions: Sequence[Sequence[np.ndarray]], judge: FoldScores, settings: SelectionSettings | None = None
) -> Selection:
    """Choose the trials whose average is best on the mean over folds, minus a multiple of the spread.

    Where no average is better than the best trial, that is alone.

    Args:
        predictions: for each trial and fold the probabilities of the fold's validating rows, shape (rows,).
        judge: scores probabilities of all folds.
        settings: how far it goes; None for the defaults.

    Raises:
        ValueError: there is no trial, or trials differ in the number of folds or rows.
    """
    settings = settings or SelectionSettings()
    _check(predictions)
    alone = [judge(trial) for trial in predictions]
    order = sorted(range(len(predictions)), key=lambda i: -settings.value(alone[i]))
    best = Selection({order[0]: 1.0}, alone[order[0]])
    if settings.most == 1:
        return best
    odds = [[log_odds(fold) for fold in trial] for trial in predictions]
    counts = dict.fromkeys(order[: min(settings.start, settings.most)], 1)
    total = [np.sum([odds[i][fold] for i in counts], axis=0) for fold in range(len(odds[0]))]

    def joined(added: Sequence[np.ndarray], size: int) -> np.ndarray:
        return judge([_probability((a + b) / size) for a, b in zip(total, added, strict=True)])

    chosen = dict(counts)
    scores = joined([np.zeros(len(fold)) for fold in total], len(counts))
    for _ in range(settings.rounds):
        size = sum(counts.values()) + 1
        allowed = [i for i in order if i in counts or len(counts) < settings.most]
        judged = {i: joined(odds[i], size) for i in allowed}
        added = max(judged, key=lambda i: settings.value(judged[i]))
        counts[added] = counts.get(added, 0) + 1
        total = [a + b for a, b in zip(total, odds[added], strict=True)]
        if settings.value(judged[added]) > settings.value(scores):
            chosen, scores = dict(counts), judged[added]
    if settings.value(scores) <= settings.value(best.scores):
        return best
    whole = sum(chosen.values())
    heaviest = sorted(chosen.items(), key=lambda item: -item[1])
    return Selection({i: count / whole for i, count in heaviest}, scores)


def _check(predictions: Sequence[Sequence[np.ndarray]]) -> None:
    if not predictions:
        raise ValueError("there is no trial to choose from")
    expected = [len(fold) for fold in predictions[0]]
    for position, trial in enumerate(predictions):
        shapes = [len(fold) for fold in trial]
        if shapes != expected:
            raise ValueError(f"trial {position} predicts folds of {shapes} rows, and the first one of {expected}")
