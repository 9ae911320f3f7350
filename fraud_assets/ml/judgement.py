"""What the holdout says about a model, how surely, and by how much the model is better than what costs nothing."""

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np

from fraud_assets.ml.bootstrap import ResampledMetrics, clusters_of, draw_counts
from fraud_assets.ml.chance import ChanceLevel, chance_level
from fraud_assets.ml.evaluate import LESS_IS_BETTER
from fraud_assets.ml.fraud_metrics import MetricSettings
from fraud_assets.ml.intervals import Interval, interval, with_unseen_frauds
from fraud_assets.ml.scored_rows import ScoredRows

# Mappings are invariant in their keys: a mapping from some names only is none from strings.
_Name = TypeVar("_Name", bound=str)

# With fewer frauds to draw from, resamples differ too little. Measured, for scores with a ROC AUC of 0.92 and 200 rows
# for each fraud, 150 samples each: with 1, 2, 3, 5, 10 frauds the 95 % interval of the average precision holds the true
# value in 44, 73, 89, 93, 94 % of the samples, that of the ROC AUC in 83, 93, 100, 100, 99 %.
FEW_FRAUDS = 5


@dataclass(frozen=True)
class Comparison:
    """A baseline on the model's rows.

    Attributes:
        metrics: the baseline's own.
        gain: by how much the model is better; positive where it is, also of metrics of which less is better. The
            interval is that of the difference on the same resamples ("paired"), and narrower than the two models' own.
    """

    metrics: dict[str, Interval]
    gain: dict[str, Interval]


@dataclass(frozen=True)
class Judgement:
    """What the holdout says.

    Attributes:
        metrics: of the model.
        baselines: each baseline's metrics, and the model's gain over it.
        chance: the average precision of scores that know nothing, and how often these reach the model's.
        prevalence: share of frauds among the rows.
        rows: how many there are.
        frauds: how many of them are frauds.
        entities: how many cards, customers or accounts; None where the data has none, and rows were resampled.
        entities_with_fraud: how many of them have a fraud: with few, intervals are wide whatever the number of rows;
            with fewer than five or so, still too narrow.
        resamples: of the bootstrap, and permutations of `chance`.
        level: how often an interval is to hold what other data would say.
        settings: alerts a day, false-positive rate and costs that the metrics were computed with.
    """

    metrics: dict[str, Interval]
    baselines: dict[str, Comparison]
    chance: ChanceLevel
    prevalence: float
    rows: int
    frauds: int
    entities: int | None
    entities_with_fraud: int | None
    resamples: int
    level: float
    settings: MetricSettings

    @property
    def has_signal(self) -> bool:
        """Whether the model knows something: its average precision is more than the prevalence, and than chance.

        Its interval must exclude the prevalence, and that alone would not do. Average precision is biased above the
        prevalence, the more so the fewer frauds there are, and once more in a resample, where a lucky hit occurs twice:
        of scores that know nothing about two frauds, 28 % have such an interval. The permutation test has no such flaw:
        scores that know nothing pass it at a rate of (1 - level) / 2. ROC AUC is not asked: it says no to a model that
        finds one fraud in twenty without a false alert, and nothing else.
        """
        significant = self.chance.p_value <= (1 - self.level) / 2
        return significant and self.metrics["average_precision"].low > self.prevalence

    @property
    def caution(self) -> str | None:
        """Why the intervals promise too much, if there are too few frauds for them; else None."""
        units = self.frauds if self.entities_with_fraud is None else self.entities_with_fraud
        if units >= FEW_FRAUDS:
            return None
        where = "" if self.entities_with_fraud is None else f", of {units} entities,"
        return (
            f"the holdout has {self.frauds} frauds{where} and needs {FEW_FRAUDS} at least for its intervals to be wide "
            "enough: collect more labels, or use a larger holdout_fraction"
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON types."""
        return asdict(self) | {"has_signal": self.has_signal}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Judgement":
        """The inverse of `to_dict`."""

        def intervals(values: Mapping[str, Any]) -> dict[str, Interval]:
            return {name: Interval(**interval) for name, interval in values.items()}

        return cls(
            **{name: part for name, part in value.items() if name != "has_signal"}
            | {
                "metrics": intervals(value["metrics"]),
                "baselines": {
                    name: Comparison(intervals(part["metrics"]), intervals(part["gain"]))
                    for name, part in value["baselines"].items()
                },
                "chance": ChanceLevel(**value["chance"]),
                "settings": MetricSettings(**value["settings"]),
            }
        )


def judge(
    rows: ScoredRows,
    threshold: float,
    baselines: Mapping[_Name, np.ndarray],
    settings: MetricSettings,
    *,
    baseline_thresholds: Mapping[_Name, float] | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Judgement:
    """Judge a model's predictions of the holdout.

    Entities are drawn with replacement, or rows where the data has no entity; an interval holds the middle of the
    resamples: more than `level` of them, because entities with a fraud are few (see `intervals`). It says how much the
    number depends on which cards came into the holdout. It knows nothing of how another fit, or another month, would
    have done.

    Args:
        rows: the holdout with the model's predictions; neither the model nor `threshold` may have seen it.
        threshold: where the model calls a transaction fraud.
        baselines: other predictions of the same rows, each of shape (rows,), by name: see `baseline_predictions`.
        settings: of the investigators' metrics.
        baseline_thresholds: each baseline's own threshold, chosen where the model's was. A baseline without one isn't
            compared in what depends on it: accuracy, precision, recall, f1, expected_cost.
        resamples: how many; 1,000 give the ends of a 95 % interval two digits.
        level: how often an interval is to hold what other data would say.
        seed: of resampling and permuting.

    Raises:
        DataError: a class does not occur, or an amount is missing where it is a cost.
        ValueError: too few resamples for `level`, `level` is no share, or a threshold belongs to no baseline.
    """
    if not 0 < level < 1 or resamples * (1 - level) < 4:
        raise ValueError(
            f"level is {level} and resamples {resamples}; expected a level between 0 and 1, and so many resamples that "
            "2 or more lie beyond either end of an interval"
        )
    rows.require_both_classes()
    thresholds: Mapping[_Name, float] = baseline_thresholds or {}
    if unknown := sorted(set(thresholds) - set(baselines)):
        raise ValueError(f"there are thresholds for {unknown}, but baselines {sorted(baselines)} only")
    model = ResampledMetrics(rows, threshold, settings)
    others = {
        name: ResampledMetrics(rows.with_probability(probability), thresholds.get(name), settings)
        for name, probability in baselines.items()
    }
    cluster = clusters_of(rows)
    as_it_is = np.ones((int(cluster.max()) + 1, 1))
    drawn: list[dict[str, np.ndarray]] = []
    drawn_of: dict[_Name, list[dict[str, np.ndarray]]] = {name: [] for name in others}
    for counts in itertools.chain([as_it_is], draw_counts(rows.y, cluster, resamples, seed)):
        drawn.append(model(counts))
        for name, other in others.items():
            drawn_of[name].append(other(counts))
    units = len(np.unique(cluster[rows.y == 1]))
    intervals = _Intervals(level, units, seed)
    metrics = _joined(drawn)
    has_entities = rows.entity is not None
    return Judgement(
        metrics=intervals.of_metrics(metrics),
        baselines={name: intervals.with_baseline(metrics, _joined(drawn_of[name])) for name in others},
        chance=chance_level(rows, resamples, seed),
        prevalence=float(rows.y.mean()),
        rows=len(rows),
        frauds=int(rows.y.sum()),
        entities=len(as_it_is) if has_entities else None,
        entities_with_fraud=units if has_entities else None,
        resamples=resamples,
        level=level,
        settings=settings,
    )


def _joined(batches: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Each metric of all batches: first that of the rows as they are, then one a resample."""
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


@dataclass(frozen=True)
class _Intervals:
    """Intervals of values that `_joined` made; `units` as of `intervals.tail`."""

    level: float
    units: int
    seed: int

    def of_metrics(self, drawn: Mapping[str, np.ndarray]) -> dict[str, Interval]:
        intervals = self._plain(drawn)
        value, values = drawn["roc_auc"][0], drawn["roc_auc"][1:]
        # A fraud unlike those seen is found by chance at best: it makes the lower end lower, and no upper end higher.
        unseen = interval(value, with_unseen_frauds(values, self.units, self.seed), self.level, self.units)
        intervals["roc_auc"] = replace(intervals["roc_auc"], low=min(unseen.low, intervals["roc_auc"].low))
        return intervals

    def with_baseline(self, model: Mapping[str, np.ndarray], baseline: Mapping[str, np.ndarray]) -> Comparison:
        gain = {
            name: values - model[name] if name in LESS_IS_BETTER else model[name] - values
            for name, values in baseline.items()
        }
        # A fraud that neither of the two knows changes no difference.
        return Comparison(self.of_metrics(baseline), self._plain(gain))

    def _plain(self, drawn: Mapping[str, np.ndarray]) -> dict[str, Interval]:
        return {name: interval(float(values[0]), values[1:], self.level, self.units) for name, values in drawn.items()}
