"""Where a ranking puts the frauds, and the metrics that ask nothing else of it."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class FraudRanks:
    """How many rows are at least as suspicious as each fraud: one sort for all metrics that ask no more.

    The metrics are those of scikit-learn, at a fraction of their cost: each trial asks for them on every fold, and
    early stopping and ensemble selection live by one of them.

    Attributes:
        frauds: for each fraud, how many frauds have at least its score, itself among them; shape (frauds,).
        legitimate: the same of the legitimate rows.
        equal: how many of these have just its score.
        negatives: how many legitimate rows there are.
    """

    frauds: np.ndarray
    legitimate: np.ndarray
    equal: np.ndarray
    negatives: int

    @classmethod
    def of(cls, y: np.ndarray, scores: np.ndarray) -> "FraudRanks":
        """The ranks by `scores`, shape (rows,), of any scale, more is more suspicious; a fraud must occur in `y`."""
        is_fraud = y == 1
        frauds, legitimate = np.sort(scores[is_fraud]), np.sort(scores[~is_fraud])
        below = np.searchsorted(legitimate, frauds, side="left")
        return cls(
            frauds=len(frauds) - np.searchsorted(frauds, frauds, side="left"),
            legitimate=len(legitimate) - below,
            equal=np.searchsorted(legitimate, frauds, side="right") - below,
            negatives=len(legitimate),
        )

    def average_precision(self) -> float:
        """The mean over the frauds of the precision where alerts go down to its score."""
        return float(np.mean(self.frauds / (self.frauds + self.legitimate)))

    def roc_auc(self) -> float:
        """The share of pairs, a fraud and a legitimate row, in the right order; ties count half."""
        return float(1 - np.mean(self.legitimate - self.equal / 2) / self.negatives)

    def recall_at_fpr(self, max_false_positive_rate: float) -> float:
        """The largest share of the frauds that some threshold finds with at most this false-positive rate.

        A threshold that lies between two points of the ROC curve does not exist: nothing is interpolated.
        """
        return float(np.mean(self.legitimate / self.negatives <= max_false_positive_rate))
