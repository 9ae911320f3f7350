"""What investigators ask of a model: of k alerts a day how many are right, what is found, what it costs.

Definitions follow the Fraud Detection Handbook (Le Borgne, Siblini, Lebichot and Bontempi 2022), chapter 4,
"Performance metrics", where nothing else is said.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from fraud_assets.ml.daily_alerts import DailyAlerts
from fraud_assets.ml.fraud_ranks import FraudRanks
from fraud_assets.ml.schema import DataError
from fraud_assets.ml.scored_rows import ScoredRows

FraudMetric = Literal["precision_at_k", "card_precision_at_k", "recall_at_fpr", "expected_cost"]
FRAUD_METRICS: tuple[FraudMetric, ...] = get_args(FraudMetric)


@dataclass(frozen=True)
class MetricSettings:
    """What a fraud team can handle and what errors cost it.

    Attributes:
        alerts_per_day: transactions, or cards, that investigators look at a day: the k of the metrics at k.
        max_false_positive_rate: share of the legitimate transactions that may be called fraud.
        cost_false_positive: what one false alert costs, in the currency of `cost_false_negative` or of the amounts.
        cost_false_negative: what one missed fraud costs; None where it costs its amount.

    Raises:
        ValueError: a field is out of its range.
    """

    alerts_per_day: int = 100
    max_false_positive_rate: float = 0.01
    cost_false_positive: float = 1.0
    cost_false_negative: float | None = None

    def __post_init__(self) -> None:
        if self.alerts_per_day < 1:
            raise ValueError(f"alerts_per_day is {self.alerts_per_day}; expected 1 or more")
        if not 0 < self.max_false_positive_rate < 1:
            raise ValueError(
                f"max_false_positive_rate is {self.max_false_positive_rate}; expected a rate between 0 and 1"
            )
        for name in ("cost_false_positive", "cost_false_negative"):
            cost = getattr(self, name)
            if cost is not None and not 0 <= cost < np.inf:
                raise ValueError(f"{name} is {cost}; expected a cost of 0 or more")


def precision_at_k(rows: ScoredRows, k: int) -> float:
    """The share of frauds among the `k` riskiest transactions of each day, as the mean over the days ("P@k").

    Of equally risky transactions any may be alerted: the value is its mean over their orders.

    Raises:
        DataError: the data has no time.
    """
    return float(DailyAlerts.of_transactions(rows).precision(k, np.ones((len(rows), 1)))[0])


def card_precision_at_k(rows: ScoredRows, k: int) -> float:
    """The share of compromised cards among the `k` riskiest cards of each day, as the mean over the days ("CP@k").

    A card that was found on a day is blocked, and not looked at on later days. A card's risk is that of its riskiest
    transaction of the day.

    Raises:
        DataError: the data has no time or no entity.
    """
    alerts = DailyAlerts.of_cards(rows)
    return float(alerts.precision(k, np.ones((int(alerts.unit.max()) + 1, 1)))[0])


def recall_at_fpr(rows: ScoredRows, max_false_positive_rate: float) -> float:
    """See `FraudRanks.recall_at_fpr`."""
    rows.require_both_classes()
    return FraudRanks.of(rows.y, rows.probability).recall_at_fpr(max_false_positive_rate)


def expected_cost(rows: ScoredRows, threshold: float, settings: MetricSettings) -> float:
    """The mean cost of a transaction where those with at least `threshold` are called fraud; less is better.

    A false alert costs `cost_false_positive`, a missed fraud its own cost, a right call nothing (Elkan 2001, "The
    foundations of cost-sensitive learning"; with amounts Bahnsen et al. 2013, "Cost sensitive credit card fraud
    detection using Bayes minimum risk").

    Raises:
        DataError: missed frauds have neither one cost nor an amount.
    """
    called = rows.probability >= threshold
    return float(cost_of_errors(rows, settings)[called != (rows.y == 1)].sum() / len(rows))


def cost_of_errors(rows: ScoredRows, settings: MetricSettings) -> np.ndarray:
    """What it costs to be wrong about each row, shape (rows,): to alert it if legitimate, to miss it if a fraud.

    Raises:
        DataError: missed frauds have neither one cost nor an amount, or a fraud's amount is missing or negative.
    """
    fraud = rows.y == 1
    if settings.cost_false_negative is not None:
        return np.where(fraud, settings.cost_false_negative, settings.cost_false_positive)
    if rows.amount is None:
        raise DataError(
            "expected_cost needs to know what a missed fraud costs: set cost_false_negative or amount_column"
        )
    useless = int((~(rows.amount[fraud] >= 0)).sum())
    if useless:
        raise DataError(
            f"the amount of {useless} of {int(fraud.sum())} frauds is missing or negative; expected what it costs to "
            "miss them: mend the amounts, or set cost_false_negative, which is one cost for all"
        )
    return np.where(fraud, rows.amount, settings.cost_false_positive)


def available_metrics(rows: ScoredRows, settings: MetricSettings) -> list[FraudMetric]:
    """The metrics for which the data has the columns."""
    has = {
        "precision_at_k": rows.day is not None,
        "card_precision_at_k": rows.day is not None and rows.entity is not None,
        "recall_at_fpr": True,
        "expected_cost": rows.amount is not None or settings.cost_false_negative is not None,
    }
    return [metric for metric in FRAUD_METRICS if has[metric]]


def fraud_score(
    rows: ScoredRows, threshold: float, settings: MetricSettings, metrics: list[FraudMetric] | None = None
) -> dict[FraudMetric, float]:
    """The investigators' metrics of predictions; without `metrics` all those for which the data has the columns.

    Args:
        rows: predictions; both classes must occur.
        threshold: where `expected_cost` calls a transaction fraud; no other metric looks at it.
        settings: alerts, rate and costs.
        metrics: which.

    Raises:
        DataError: a class does not occur, or the data lacks a column that one of `metrics` needs.
    """
    rows.require_both_classes()
    compute = {
        "precision_at_k": lambda: precision_at_k(rows, settings.alerts_per_day),
        "card_precision_at_k": lambda: card_precision_at_k(rows, settings.alerts_per_day),
        "recall_at_fpr": lambda: recall_at_fpr(rows, settings.max_false_positive_rate),
        "expected_cost": lambda: expected_cost(rows, threshold, settings),
    }
    chosen = available_metrics(rows, settings) if metrics is None else metrics
    return {metric: compute[metric]() for metric in chosen}
