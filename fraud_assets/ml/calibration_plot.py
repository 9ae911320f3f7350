"""Whether a probability means what it says: the reliability curve."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fraud_assets.ml.plot_style import BLUE, MUTED, NORMAL, legend_below, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_BINS = 10
_FRAUDS_PER_BIN = 5
# The left end of the axes lies between these.
_LEAST_PROBABILITY, _WIDEST = 1e-6, 1e-2
_Z = 1.96


@dataclass(frozen=True)
class ReliabilityBins:
    """Rows grouped by what was predicted for them; all arrays have the shape (bins,), lowest probabilities first.

    Attributes:
        predicted: mean predicted probability.
        observed: share of frauds.
        low: lower end of the 95% interval of `observed`.
        high: its upper end.
        rows: how many rows.
    """

    predicted: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rows: np.ndarray


def reliability_bins(y: np.ndarray, probability: np.ndarray) -> ReliabilityBins:
    """Group rows by probability, so that about equally many frauds are predicted for each bin.

    Where one row in a hundred is a fraud, bins of equal width leave nearly all rows in the first, and bins of equally
    many rows show little but probabilities near 0. There are up to 10 bins, fewer where there are few frauds. The
    intervals are Wilson's (1927), which hold for rare events too.

    Args:
        y: labels, shape (rows,), 0 or 1.
        probability: predicted probability of fraud, shape (rows,).
    """
    bins = int(np.clip(y.sum() // _FRAUDS_PER_BIN, 2, _MOST_BINS))
    order = np.argsort(probability, kind="stable")
    mass = np.cumsum(probability[order])
    cuts = np.searchsorted(mass, mass[-1] * np.arange(1, bins) / bins)
    # Rows with equal probabilities stay together.
    edges = np.unique(probability[order][np.minimum(cuts, len(y) - 1)])
    of = np.digitize(probability, edges)
    rows = np.bincount(of)
    used = rows > 0
    rows = rows[used]
    observed = np.bincount(of, weights=y)[used] / rows
    middle = (observed + _Z**2 / (2 * rows)) / (1 + _Z**2 / rows)
    half = _Z / (1 + _Z**2 / rows) * np.sqrt(observed * (1 - observed) / rows + _Z**2 / (4 * rows**2))
    low, high = np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
    return ReliabilityBins(np.bincount(of, weights=probability)[used] / rows, observed, low, high, rows)


def calibration(y: np.ndarray, probability: np.ndarray, rows: str = "holdout") -> "Figure":
    """The share of frauds against the predicted probability, on logarithmic axes, over a histogram of the latter.

    On the diagonal a probability is a frequency. A bin without a fraud has no place on a logarithmic axis: only its
    interval is drawn, from the bottom.

    Args:
        y: labels, shape (rows,), 0 or 1, both of which must occur.
        probability: predicted probability of fraud, shape (rows,).
        rows: which rows these are, for the title.
    """
    bins = reliability_bins(y, probability)
    brier = float(np.mean((probability - y) ** 2))
    # From the decade of all rows but one in a thousand: a single tiny probability mustn't take the whole width.
    left = float(10 ** np.floor(np.log10(np.clip(np.quantile(probability, 0.001), _LEAST_PROBABILITY, _WIDEST))))
    predicted, shown = np.maximum(bins.predicted, left), np.clip(probability, left, 1)
    figure = new_figure(5.4, title=f"Calibration, {rows}")
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    style(upper, y="observed share of frauds")
    style(lower, x="predicted probability of fraud (logarithmic)", y="rows")
    seen = bins.observed > 0
    bottom = min(left, float(bins.low[seen].min()) / 2 if seen.any() else 1)
    upper.plot([left, 1], [left, 1], color=MUTED, linewidth=1, linestyle=":", label="perfectly calibrated")
    upper.vlines(predicted, np.maximum(bins.low, bottom), bins.high, color=BLUE, linewidth=1.2, alpha=0.7)
    upper.plot(
        predicted[seen],
        bins.observed[seen],
        "o-",
        color=BLUE,
        linewidth=1.6,
        markersize=5.5,
        label=f"model, bins with 95% intervals; Brier score {brier:.4g}",
    )
    upper.set_xscale("log")
    upper.set_yscale("log")
    upper.set_xlim(left, 1.15)
    upper.set_ylim(bottom, 1.3)
    lower.hist(shown, np.geomspace(left, 1, 41).tolist(), color=BLUE, alpha=0.6)
    lower.set_yscale("log")
    lower.set_ylim(bottom=0.7)
    lower.yaxis.label.set_fontsize(NORMAL)
    legend_below(figure, upper)
    return figure
