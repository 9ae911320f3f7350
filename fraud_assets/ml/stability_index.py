"""The population stability index (PSI): how far the shares of bins moved between two samples.

It is the sum over bins of (now - before) * ln(now / before), the symmetric Kullback-Leibler divergence of Jeffreys
(1946), with the name and the rule of thumb of credit scoring (Siddiqi 2006, "Credit Risk Scorecards"): below 0.1
nothing happened, from 0.1 to 0.25 something, above that much.

Without any drift it is not 0: divided by 1/n + 1/m, for samples of n and m rows, it has about a chi-squared
distribution with bins - 1 degrees of freedom (Yurdakul and Naranjo 2020, "Statistical properties of the population
stability index", Journal of Risk Model Validation 14(4)). With 50 new rows and ten bins it is 0.18 on the average.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

BINS = 10
# Categories with a smaller share of the older rows are one bin, and so are those that the smaller sample would have in
# fewer rows than five, from where on the chi-squared distribution holds (Cochran 1954, "Some methods for strengthening
# the common chi-squared tests").
RARE, _FEW = 0.01, 5
# A bin's share counts as this at least: an empty bin would make the index infinite.
LEAST_SHARE = 0.001


@dataclass(frozen=True)
class StabilityIndex:
    """How far shares moved.

    Attributes:
        value: the PSI.
        expected: its mean where nothing has changed.
        p_value: how often it is as large where nothing has changed.
    """

    value: float
    expected: float
    p_value: float


def stability_index(before: np.ndarray, now: np.ndarray) -> StabilityIndex:
    """The PSI of two samples from how many rows each has in each bin, shape (bins,).

    Bins that are empty in both don't count. A share counts as `LEAST_SHARE` at least, and as half a row of the smaller
    sample at least, in both: else a bin of few rows decides, and the more so the larger the samples are.
    """
    from scipy.stats import chi2

    n, m = before.sum(), now.sum()
    occupied = (before > 0) | (now > 0)
    least = max(LEAST_SHARE, 0.5 / min(n, m))
    p, q = (np.maximum(rows[occupied] / rows.sum(), least) for rows in (before, now))
    value = float(((q - p) * np.log(q / p)).sum())
    freedom, chance = int(occupied.sum()) - 1, 1 / n + 1 / m
    return StabilityIndex(value, freedom * chance, float(chi2.sf(value / chance, freedom)) if freedom else 1.0)


def bin_numbers(before: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many values are in each bin: between the deciles of `before`, and one for missing values (NaN).

    A value that more than a tenth of `before` has, such as zero, false or a constant, is a bin of its own.
    """
    edges = _edges(np.sort(before[~np.isnan(before)]))

    def count(values: np.ndarray) -> np.ndarray:
        missing = np.isnan(values)
        bins = np.searchsorted(edges, values[~missing], side="left")
        return np.append(np.bincount(bins, minlength=len(edges) + 1), missing.sum())

    return count(before), count(now)


def _edges(ordered: np.ndarray) -> np.ndarray:
    """Upper ends of all bins but the last, each in its bin."""
    if not len(ordered):
        return ordered
    # Values of the data, not between two of them: the mean of two infinities is none.
    deciles = ordered[len(ordered) * np.arange(1, BINS) // BINS]
    edges, times = np.unique(deciles, return_counts=True)
    return np.union1d(edges, np.nextafter(edges[times > 1], edges.dtype.type(-np.inf)))


def bin_categories(
    before: Mapping[str, int], now: Mapping[str, int], missing: tuple[int, int], rows: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """How many rows are in each bin: the categories that aren't rare in `before`, all others together, missing values.

    Args:
        before: rows by category.
        now: rows by category.
        missing: rows without a category, before and now.
        rows: all rows, before and now.
    """
    least = max(RARE, _FEW / min(rows))
    frequent = [category for category, count in before.items() if count >= least * rows[0]]
    counted = []
    for counts, without, total in zip((before, now), missing, rows, strict=True):
        named = [counts.get(category, 0) for category in frequent]
        counted.append(np.array([*named, total - without - sum(named), without]))
    return counted[0], counted[1]
