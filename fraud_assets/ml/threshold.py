"""Where a probability becomes an alert: the decision threshold that a team's target asks for."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fraud_assets.ml.fraud_metrics import MetricSettings, cost_of_errors
from fraud_assets.ml.schema import DataError
from fraud_assets.ml.scored_rows import ScoredRows

ThresholdTarget = Literal["best_f1", "precision", "alerts_per_day", "least_cost"]


@dataclass(frozen=True)
class ThresholdPolicy:
    """What the decision threshold is for.

    Attributes:
        target: `best_f1`; `precision`, the most frauds found with at least the precision `value`; `alerts_per_day`, as
            many alerts as possible with at most `value` a day on average; `least_cost` of false alerts and missed
            frauds.
        value: of `precision` (above 0, at most 1) and of `alerts_per_day` (above 0); None for the others.

    Raises:
        ValueError: `value` is missing, out of its range, or given where nothing asks for it.
    """

    target: ThresholdTarget = "best_f1"
    value: float | None = None

    def __post_init__(self) -> None:
        if self.target in ("best_f1", "least_cost"):
            if self.value is not None:
                raise ValueError(f"the threshold target {self.target!r} takes no value, but {self.value} was given")
        elif self.value is None or not 0 < self.value <= (1 if self.target == "precision" else np.inf):
            expected = "above 0 and at most 1" if self.target == "precision" else "above 0"
            raise ValueError(f"the value of the threshold target {self.target!r} is {self.value}; expected {expected}")


@dataclass(frozen=True)
class ThresholdChoice:
    """A decision threshold and what it does on the rows that it was chosen on: more than it will do on others.

    Attributes:
        threshold: a transaction is called fraud where its probability is at least this. Above every probability of
            the rows where calling nothing fraud is best.
        achieved: `precision`, `recall`, `f1`, `false_positive_rate`, `alerts`; `alerts_per_day` where the data has a
            time, `expected_cost` (of a transaction) where costs are known.
        reached: whether the target was reached.
        message: one sentence for people, with what was reached instead if the target was not.
    """

    threshold: float
    achieved: dict[str, float]
    reached: bool
    message: str


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Every threshold that differs on some rows, from "call nothing fraud" down to "call everything fraud"."""

    threshold: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray
    frauds: int
    rows: int
    days: int | None
    cost: np.ndarray | None

    @classmethod
    def of(cls, rows: ScoredRows, settings: MetricSettings, *, with_cost: bool) -> "_Candidates":
        order = np.argsort(-rows.probability, kind="stable")
        p, y = rows.probability[order], rows.y[order].astype(np.int64)
        last = np.append(np.flatnonzero(np.diff(p)), len(p) - 1)

        def called(values: np.ndarray) -> np.ndarray:
            return np.concatenate([[0], np.cumsum(values)[last]])

        cost = None
        if with_cost:
            wrong = cost_of_errors(rows, settings)[order]
            # All frauds are missed at first; then each fraud called saves its cost, each other row adds its own.
            cost = (wrong[y == 1].sum() + called(np.where(y == 1, -wrong, wrong))) / len(p)
        # The next number that float32 knows: predictions are float32, and would be compared as such.
        above = float(np.nextafter(np.float32(p[0]), np.float32(np.inf)))
        return cls(
            threshold=np.concatenate([[above], p[last].astype(np.float64)]),
            true_positives=called(y),
            false_positives=called(1 - y),
            frauds=int(y.sum()),
            rows=len(p),
            days=None if rows.day is None else len(np.unique(rows.day)),
            cost=cost,
        )

    @property
    def alerts(self) -> np.ndarray:
        return np.asarray(self.true_positives + self.false_positives)

    @property
    def precision(self) -> np.ndarray:
        """0 where nothing is called fraud."""
        return np.asarray(self.true_positives / np.maximum(self.alerts, 1))

    @property
    def f1(self) -> np.ndarray:
        return np.asarray(2 * self.true_positives / (self.alerts + self.frauds))

    def achieved(self, i: int) -> dict[str, float]:
        values = {
            "precision": float(self.precision[i]),
            "recall": float(self.true_positives[i] / self.frauds),
            "f1": float(self.f1[i]),
            "false_positive_rate": float(self.false_positives[i] / (self.rows - self.frauds)),
            "alerts": float(self.alerts[i]),
        }
        if self.days is not None:
            values["alerts_per_day"] = values["alerts"] / self.days
        if self.cost is not None:
            values["expected_cost"] = float(self.cost[i])
        return values


def choose_threshold(rows: ScoredRows, policy: ThresholdPolicy, settings: MetricSettings) -> ThresholdChoice:
    """The threshold that serves `policy` best on `rows`; of equally good ones the one with the fewest alerts.

    Args:
        rows: predictions that the model made without having seen these rows (out-of-fold), and not those that judge it.
        policy: the target.
        settings: costs, for `least_cost`.

    Raises:
        DataError: a class does not occur in `rows`, or the data lacks the time or the costs that the target needs.
    """
    rows.require_both_classes()
    known = settings.cost_false_negative is not None or rows.amount is not None
    candidates = _Candidates.of(rows, settings, with_cost=known or policy.target == "least_cost")
    chosen, reached = _choose(candidates, policy)
    achieved = candidates.achieved(chosen)
    threshold = float(candidates.threshold[chosen])
    message = _message(policy, achieved, threshold, reached=reached)
    return ThresholdChoice(threshold, achieved, reached, message)


def _choose(candidates: _Candidates, policy: ThresholdPolicy) -> tuple[int, bool]:
    """Which candidate, and whether it reaches the target. They are ordered by alerts: argmax takes the fewest."""
    if policy.target == "best_f1":
        return int(np.argmax(candidates.f1)), True
    if policy.target == "least_cost":
        assert candidates.cost is not None
        return int(np.argmin(candidates.cost)), True
    assert policy.value is not None
    if policy.target == "precision":
        # Three of ten alerts are a precision of 0.3, whatever the last digit of the quotient is.
        enough = candidates.precision >= min(policy.value, candidates.precision.max()) - 1e-12
        best = np.where(enough, candidates.true_positives, -1)
        chosen = int(np.argmax(best))
        return chosen, bool(candidates.precision[chosen] >= policy.value - 1e-12)
    if candidates.days is None:
        raise DataError("alerts_per_day needs a time of each transaction: name that column in raw_dataset's config")
    chosen = int(np.searchsorted(candidates.alerts, policy.value * candidates.days, side="right")) - 1
    return chosen, chosen > 0


def _message(policy: ThresholdPolicy, achieved: dict[str, float], threshold: float, *, reached: bool) -> str:
    if policy.target == "precision" and not reached:
        return (
            f"no threshold reaches a precision of {policy.value:g} on these rows: the best is "
            f"{achieved['precision']:.4g}, at {threshold:.6g}, with a recall of {achieved['recall']:.4g}"
        )
    if policy.target == "alerts_per_day" and not reached:
        return (
            f"no threshold gives at most {policy.value:g} alerts a day on these rows, except one that calls nothing "
            "fraud: more transactions than that share the highest probability"
        )
    what = {
        "best_f1": f"the best F1 is {achieved['f1']:.4g}",
        "precision": f"a precision of {achieved['precision']:.4g} is reached",
        "alerts_per_day": f"there are {achieved.get('alerts_per_day', 0):.4g} alerts a day",
        "least_cost": f"the least cost is {achieved.get('expected_cost', 0):.4g} a transaction",
    }[policy.target]
    return f"{what}, at {threshold:.6g}, with a recall of {achieved['recall']:.4g}"
