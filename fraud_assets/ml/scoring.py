"""How a team scores predictions: which numbers it looks at, and where a probability becomes an alert."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import numpy as np

from fraud_assets.ml.evaluate import ClassicMetric, Metric, direction, score
from fraud_assets.ml.fraud_metrics import FRAUD_METRICS, MetricSettings, available_metrics, fraud_score
from fraud_assets.ml.schema import DataError, Dataset
from fraud_assets.ml.scored_rows import ScoredRows
from fraud_assets.ml.threshold import ThresholdChoice, ThresholdPolicy, choose_threshold


@dataclass(frozen=True)
class Scoring:
    """What the same team applies to every trial, to the threshold and to the holdout.

    Attributes:
        settings: alerts a day, false-positive rate and costs.
        policy: what the decision threshold is for.
        amount_column: the column with the amounts; None where no metric asks for it.
    """

    settings: MetricSettings = field(default_factory=MetricSettings)
    policy: ThresholdPolicy = field(default_factory=ThresholdPolicy)
    amount_column: str | None = None

    def rows(self, dataset: Dataset, rows: np.ndarray) -> ScoredRows:
        """The rows `rows` of the data, ready for `with_probability`; until then all have the probability 0."""
        return ScoredRows.from_dataset(dataset, rows, np.zeros(len(rows)), self.amount_column)

    def score(self, rows: ScoredRows, decision_threshold: float) -> dict[str, float]:
        """All metrics for which the data has the columns, by name.

        Accuracy, precision, recall and F1 are those at 0.5, as published; the expected cost is that of decisions, at
        `decision_threshold`.
        """
        parts = score(rows.y, rows.probability), fraud_score(rows, decision_threshold, self.settings)
        return {str(name): value for part in parts for name, value in part.items()}

    def fold_scores(self, metric: Metric, folds: Sequence[ScoredRows]) -> np.ndarray:
        """`metric` on each fold, shape (folds,), its sign changed where less is better: so more always is.

        The numbers are those of `score`; the expected cost is that at the threshold which all folds together choose.
        """
        if metric in FRAUD_METRICS:
            together = metric == "expected_cost"
            threshold = self.threshold(ScoredRows.concatenate(folds)).threshold if together else 0.5
            values = [fraud_score(rows, threshold, self.settings, [metric])[metric] for rows in folds]
        else:
            values = [score(rows.y, rows.probability)[cast(ClassicMetric, metric)] for rows in folds]
        return np.array(values) * (-1 if direction(metric) == "min" else 1)

    def threshold(self, rows: ScoredRows) -> ThresholdChoice:
        """The decision threshold that serves the policy best on out-of-fold predictions."""
        return choose_threshold(rows, self.policy, self.settings)

    def require(self, metric: Metric, rows: ScoredRows) -> None:
        """Raise DataError where the data lacks what `metric`, or the threshold's policy, needs."""
        if metric in FRAUD_METRICS and metric not in available_metrics(rows, self.settings):
            # Its own error names the column.
            fraud_score(rows, 0.5, self.settings, [metric])
            raise DataError(f"{metric} can't be computed from this data")
        self.threshold(rows)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Scoring":
        """The inverse of `to_dict`."""
        return cls(MetricSettings(**value["settings"]), ThresholdPolicy(**value["policy"]), value["amount_column"])
