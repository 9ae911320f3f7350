"""Intervals around a metric from its values in bootstrap resamples, where what decides is few: the cards with a fraud.

The plain percentile interval is too narrow then. Generated data, fixed parameters, a level of 95 %: how many of 100
intervals hold the mean over the holdouts of other samples (`benchmarks/honesty.py` does the same with the whole graph).

| | cards with a fraud | percentile | here |
|---|---|---|---|
| average precision, 560 customers (200 samples) | 18 | 95 | 97 |
| average precision, without compromised terminals (150) | 18 | 89 | 95 |
| average precision, 2,240 customers (120) | 71 | 98 | 99 |
| ROC AUC, 560 customers | 18 | 73 | 99 |
| ROC AUC, without compromised terminals | 18 | 63 | 100 |
| ROC AUC, 2,240 customers | 71 | 87 | 96 |
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A value on the holdout and its bootstrap interval.

    Attributes:
        value: on the rows as they are.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float


def tail(level: float, units: int) -> float:
    """The share of the resamples that lies beyond either end of an interval: less than (1 - level) / 2.

    A resample of n units is by sqrt((n - 1) / n) too calm, and the normal distribution has thinner tails than Student's
    t; both are made up for by the "expanded percentile interval" (Hesterberg 2015, "What Teachers Should Know About the
    Bootstrap", The American Statistician 69).

    Args:
        level: how often an interval is to hold the truth.
        units: how many independent ones decide the metric: entities with a fraud, or frauds where rows are drawn.
    """
    from scipy import stats

    if units < 2:
        return 0.0
    expanded = np.sqrt(units / (units - 1)) * stats.t.ppf((1 + level) / 2, units - 1)
    return float(stats.norm.cdf(-expanded))


def interval(value: float, drawn: np.ndarray, level: float, units: int) -> Interval:
    """The expanded percentile interval.

    Args:
        value: of the metric on the rows as they are.
        drawn: the metric in each resample, shape (resamples,).
        level: as of `tail`.
        units: as of `tail`.
    """
    beyond = tail(level, units)
    low, high = np.quantile(drawn, [beyond, 1 - beyond])
    return Interval(value, float(low), float(high))


def with_unseen_frauds(roc_auc: np.ndarray, units: int, seed: int) -> np.ndarray:
    """ROC AUC of resamples into which frauds came that are like none of those in the holdout.

    ROC AUC is the mean over frauds of the share of legitimate rows below them. Most are at its upper end, and a few far
    below make the difference: a holdout that happens to lack one has resamples that all lack it. So one more unit is
    there to be drawn, as often as any other, of which nothing is known: half of the legitimate rows are below it. This
    is the bootstrap with a prior of weight one (Muliere and Secchi 1996, "Bayesian nonparametric predictive inference
    and bootstrap techniques"), and to ROC AUC what added successes and failures are to a proportion (Agresti and Coull
    1998, "Approximate is better than exact for interval estimation of binomial proportions"). With many units it makes
    no difference. Average precision needs no such help: its values are spread over all of 0 to 1.

    Args:
        roc_auc: of each resample, shape (resamples,).
        units: entities with a fraud, or frauds where rows are drawn.
        seed: equal seeds draw alike.
    """
    times = np.random.default_rng([seed, 1]).poisson(1, len(roc_auc))
    return np.asarray((units * roc_auc + 0.5 * times) / (units + times))
