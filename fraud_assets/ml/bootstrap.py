"""Metrics of many resamples at once, in which whole entities are drawn with replacement.

A card's transactions resemble each other, so rows are no independent draws, but cards nearly are: "cluster bootstrap",
Davison and Hinkley 1997, "Bootstrap Methods and their Application", section 3.8. A resample is a count for each
cluster, and every metric is computed from counts; no row is ever copied.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fraud_assets.ml.daily_alerts import DailyAlerts
from fraud_assets.ml.fraud_metrics import MetricSettings, available_metrics, cost_of_errors
from fraud_assets.ml.scored_rows import ScoredRows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Numbers in the largest array that a metric makes of a batch of resamples: 64 MB of float64.
_BATCH = 8_000_000
# A resample without a fraud is drawn again; where even that fails this often, something else is wrong.
_MAX_DRAWS = 1000


def clusters_of(rows: ScoredRows) -> np.ndarray:
    """The number of the cluster of each row, from 0 on without gaps: its entity, or the row itself."""
    if rows.entity is None:
        return np.arange(len(rows))
    return np.asarray(np.unique(rows.entity, return_inverse=True)[1])


def draw_counts(y: np.ndarray, cluster: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each cluster is drawn, in batches of shape (clusters, resamples in the batch).

    As many clusters are drawn as there are. No metric is defined for a resample in which a class does not occur: it is
    drawn again.

    Args:
        y: labels, shape (rows,); both classes must occur.
        cluster: number of the cluster of each row, from 0 on without gaps.
        resamples: how many.
        seed: equal seeds draw equal resamples, whatever the predictions are.
    """
    random = np.random.default_rng(seed)
    clusters = int(cluster.max()) + 1
    of_class = np.stack([np.bincount(cluster, weights=y == label, minlength=clusters) for label in (0, 1)]) > 0
    batch = max(1, _BATCH // len(y))
    for first in range(0, resamples, batch):
        counts = np.empty((min(batch, resamples - first), clusters))
        for row in counts:
            for _ in range(_MAX_DRAWS):
                row[:] = np.bincount(random.integers(0, clusters, clusters), minlength=clusters)
                if (of_class @ row).all():
                    break
            else:
                raise ValueError(f"no resample of {clusters} clusters has both classes after {_MAX_DRAWS} draws")
        yield np.ascontiguousarray(counts.T)


@dataclass(frozen=True, eq=False)
class Ranking:
    """What ROC curve and precision-recall curve need of rows, for any counts of the clusters.

    The rows from the riskiest on, cut into runs: a group of equal probability that has a fraud is a run, and so is all
    that lies between two such groups. No rank metric changes within a run: there are at most 2 x frauds + 1 of them.

    Attributes:
        legitimate: rows of each cluster in each run, shape (runs, clusters), sparse.
        frauds: the same of the frauds.
    """

    legitimate: "csr_array"
    frauds: "csr_array"

    @classmethod
    def of(cls, y: np.ndarray, probability: np.ndarray, cluster: np.ndarray) -> "Ranking":
        """The ranking of rows by their probability; `cluster` numbers the clusters from 0 on without gaps."""
        from scipy.sparse import csr_array

        group = np.unique(-probability, return_inverse=True)[1]
        has_fraud = np.bincount(group, weights=y) > 0
        begins = has_fraud.copy()
        begins[0] = False
        begins[1:] |= has_fraud[:-1]
        run = np.cumsum(begins)[group]
        shape = (int(run.max()) + 1, int(cluster.max()) + 1)

        def of_class(label: int) -> "csr_array":
            rows = np.flatnonzero(y == label)
            return csr_array((np.ones(len(rows)), (run[rows], cluster[rows])), shape=shape)

        return cls(of_class(0), of_class(1))

    def metrics(self, counts: np.ndarray, max_false_positive_rate: float) -> dict[str, np.ndarray]:
        """`roc_auc`, `average_precision` and `recall_at_fpr` of each resample, each of shape (resamples,).

        Each is what scikit-learn says with the counts as sample weights, or of the rows repeated.

        Args:
            counts: how often each cluster is there, shape (clusters, resamples); both classes in each resample.
            max_false_positive_rate: of `recall_at_fpr`.
        """
        legitimate, frauds = self.legitimate @ counts, self.frauds @ counts
        false_positives, true_positives = np.cumsum(legitimate, axis=0), np.cumsum(frauds, axis=0)
        negatives, positives = false_positives[-1], true_positives[-1]
        below = negatives - false_positives + legitimate / 2
        called = false_positives + true_positives
        precision = np.divide(true_positives, called, out=np.zeros_like(called), where=called > 0)
        allowed = false_positives / negatives <= max_false_positive_rate
        return {
            "roc_auc": (frauds * below).sum(axis=0) / (positives * negatives),
            "average_precision": (frauds * precision).sum(axis=0) / positives,
            "recall_at_fpr": np.where(allowed, true_positives, 0).max(axis=0) / positives,
        }


class ResampledMetrics:
    """Every metric of one model's predictions, for any counts of the clusters.

    Metrics for which the data lacks a column are left out. Without a threshold so are those that call a transaction
    fraud or not: accuracy, precision, recall, f1 and expected_cost.
    """

    def __init__(self, rows: ScoredRows, threshold: float | None, settings: MetricSettings) -> None:
        cluster = clusters_of(rows)
        available = available_metrics(rows, settings)
        self._settings = settings
        self._ranking = Ranking.of(rows.y, rows.probability, cluster)
        self._sums = _ClusterSums(rows, cluster, threshold, settings if "expected_cost" in available else None)
        self._transactions = None
        if "precision_at_k" in available:
            self._transactions = DailyAlerts.of_transactions(rows, unit=cluster)
        self._cards = None
        if "card_precision_at_k" in available:
            # Cards are the clusters here, numbered in the same order.
            self._cards = DailyAlerts.of_cards(ScoredRows(rows.y, rows.probability, rows.day, cluster))

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Each metric in each resample, shape (resamples,); `counts` has shape (clusters, resamples)."""
        settings = self._settings
        values = self._sums.metrics(counts) | self._ranking.metrics(counts, settings.max_false_positive_rate)
        if self._transactions is not None:
            values["precision_at_k"] = self._transactions.precision(settings.alerts_per_day, counts)
        if self._cards is not None:
            values["card_precision_at_k"] = self._cards.precision(settings.alerts_per_day, counts)
        return values


class _ClusterSums:
    """The metrics that are made of sums over rows: a sum for each cluster is all that they need."""

    def __init__(
        self, rows: ScoredRows, cluster: np.ndarray, threshold: float | None, costs: MetricSettings | None
    ) -> None:
        from scipy.sparse import csr_array

        fraud, p = rows.y == 1, rows.probability.astype(np.float64)
        # As scikit-learn's log_loss clips: by the precision of the predictions' own type.
        epsilon = np.finfo(rows.probability.dtype).eps
        clipped = np.clip(p, epsilon, 1 - epsilon)
        terms = {"rows": np.ones(len(rows)), "frauds": fraud, "brier": (p - fraud) ** 2}
        terms["log_loss"] = -np.log(np.where(fraud, clipped, 1 - clipped))
        if threshold is not None:
            called = rows.probability >= threshold
            terms |= {"called": called, "hits": called & fraud, "wrong": called != fraud}
            if costs is not None:
                terms["cost"] = np.where(called != fraud, cost_of_errors(rows, costs), 0)
        self._names = list(terms)
        # Sparse, because most of them are mostly zero, and because BLAS splits so flat a product badly over threads.
        self._sums = csr_array(np.stack([np.bincount(cluster, weights=values) for values in terms.values()]))

    def metrics(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        sums = dict(zip(self._names, self._sums @ counts, strict=True))
        rows, frauds = sums["rows"], sums["frauds"]
        values = {"log_loss": sums["log_loss"] / rows, "brier": sums["brier"] / rows}
        if "called" in sums:
            called, hits = sums["called"], sums["hits"]
            values |= {
                "accuracy": 1 - sums["wrong"] / rows,
                "precision": np.divide(hits, called, out=np.zeros_like(hits), where=called > 0),
                "recall": hits / frauds,
                "f1": 2 * hits / (called + frauds),
            }
        if "cost" in sums:
            values["expected_cost"] = sums["cost"] / rows
        return values
