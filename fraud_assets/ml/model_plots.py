"""Plots of a model's predictions for rows that it was not fitted on.

All of them take the labels `y`, shape (rows,), 0 or 1, both of which must occur, and `probability`, the predicted
probability of fraud, shape (rows,). `rows` says which rows these are, for the title.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fraud_assets.ml.calibration_plot import calibration
from fraud_assets.ml.plot_style import (
    BLUE,
    INK,
    MUTED,
    NORMAL,
    PALETTE,
    SMALL,
    VERMILION,
    legend_below,
    new_figure,
    shorten,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Baselines = Mapping[str, np.ndarray]

_DASHES = ((0, (5, 2)), (0, (1, 1)), (0, (5, 2, 1, 2)))


def model_figures(
    y: np.ndarray,
    probability: np.ndarray,
    threshold: float,
    *,
    baselines: Baselines | None = None,
    importance: Mapping[str, float] | None = None,
    rows: str = "holdout",
) -> "dict[str, Figure]":
    """All plots of a model, by name.

    Args:
        y: labels, shape (rows,), 0 or 1.
        probability: predicted probability of fraud, shape (rows,).
        threshold: a row is called fraud where its probability is at least this.
        baselines: what other models predict for the same rows, by their names.
        importance: the importance of each column, at least 0; without it, or where all are 0, there is no such plot.
        rows: what these rows are called in the titles.

    Raises:
        ValueError: `y` has one class only, or shapes differ.
    """
    for name, other in {"probability": probability, **(baselines or {})}.items():
        if other.shape != y.shape:
            raise ValueError(f"{name} has shape {other.shape}, but y has {y.shape}")
    if len(np.unique(y)) < 2:
        raise ValueError(f"all {len(y)} rows have the same label: no curve can be drawn")
    figures = {
        "precision_recall": precision_recall(y, probability, threshold, baselines, rows),
        "roc": roc(y, probability, threshold, baselines, rows),
        "calibration": calibration(y, probability, rows),
        "confusion_matrix": confusion_matrix(y, probability, threshold, rows),
        "scores": scores(y, probability, threshold, rows),
    }
    if importance and any(importance.values()):
        figures["importance"] = importance_bars(importance)
    return figures


def precision_recall(
    y: np.ndarray,
    probability: np.ndarray,
    threshold: float,
    baselines: Baselines | None = None,
    rows: str = "holdout",
) -> "Figure":
    """Precision against recall, with the threshold's point, and the prevalence, which is the precision of guessing."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    figure = new_figure(4.9, title=f"Precision and recall, {rows}")
    axes = style(
        figure.subplots(), x="recall: share of the frauds that are found", y="precision: share of alarms that are fraud"
    )
    for name, other, look in _models(probability, baselines):
        precision, recall, _ = precision_recall_curve(y, other)
        # The curve's end at precision 1 and recall 0 is a convention that belongs to no threshold.
        precision[-1] = precision[-2]
        score = average_precision_score(y, other)
        axes.plot(recall, precision, drawstyle="steps-post", label=f"{name}: average precision {score:.3f}", **look)
    axes.axhline(y.mean(), color=MUTED, linewidth=1, linestyle=":", label=f"prevalence: {y.mean():.2%}")
    alarms, hits = probability >= threshold, (probability >= threshold) & (y == 1)
    if alarms.any():
        _point(axes, threshold, recall=hits.sum() / y.sum(), precision=hits.sum() / alarms.sum())
    _unit_square(axes)
    legend_below(figure, axes)
    return figure


def roc(
    y: np.ndarray,
    probability: np.ndarray,
    threshold: float,
    baselines: Baselines | None = None,
    rows: str = "holdout",
) -> "Figure":
    """Recall against the false-positive rate, with the threshold's point, and the diagonal, which is guessing."""
    from sklearn.metrics import roc_auc_score, roc_curve

    figure = new_figure(4.9, title=f"ROC curve, {rows}")
    axes = style(
        figure.subplots(),
        x="false-positive rate: share of the legitimate rows that are called fraud",
        y="recall: share of the frauds that are found",
    )
    for name, other, look in _models(probability, baselines):
        false_positive, true_positive, _ = roc_curve(y, other)
        axes.plot(false_positive, true_positive, label=f"{name}: ROC AUC {roc_auc_score(y, other):.3f}", **look)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":", label="guessing: ROC AUC 0.5")
    alarms = probability >= threshold
    _point(axes, threshold, **{"false-positive rate": alarms[y == 0].mean(), "recall": alarms[y == 1].mean()})
    _unit_square(axes)
    legend_below(figure, axes)
    return figure


def confusion_matrix(y: np.ndarray, probability: np.ndarray, threshold: float, rows: str = "holdout") -> "Figure":
    """How many rows of each class are called what at the threshold, and which share of their class that is."""
    from matplotlib import colormaps

    called = (probability >= threshold).astype(int)
    counts = np.array([[np.sum((y == is_) & (called == call)) for call in (0, 1)] for is_ in (0, 1)])
    shares = counts / counts.sum(axis=1, keepdims=True)
    figure = new_figure(3.3, title=f"Confusion matrix at threshold {threshold:.3g}, {rows}")
    axes = style(figure.subplots(), grid=None)
    axes.imshow(shares, cmap=colormaps["Blues"], vmin=-0.1, vmax=1.3, aspect="auto")
    meaning = (("true negatives", "false positives"), ("false negatives", "true positives"))
    classes = ("of the legitimate", "of the frauds")
    for (row, column), count in np.ndenumerate(counts):
        ink = "white" if shares[row, column] > 0.6 else INK
        axes.text(column, row - 0.12, f"{count:,}", ha="center", va="center", fontsize=17, color=ink)
        detail = f"{meaning[row][column]}, {shares[row, column]:.1%} {classes[row]}"
        axes.text(column, row + 0.24, detail, ha="center", va="center", fontsize=NORMAL, color=ink)
    axes.set_xticks([0, 1], ["called legitimate", "called fraud"], fontsize=NORMAL)
    axes.set_yticks([0, 1], ["is legitimate", "is fraud"], fontsize=NORMAL, rotation=90, va="center")
    axes.axhline(0.5, color="white", linewidth=4)
    axes.axvline(0.5, color="white", linewidth=4)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def scores(y: np.ndarray, probability: np.ndarray, threshold: float, rows: str = "holdout") -> "Figure":
    """How many rows of each class get which probability; the counts are logarithmic, because frauds are few."""
    figure = new_figure(3.9, title=f"Predicted probabilities by class, {rows}")
    axes = style(figure.subplots(), x="predicted probability of fraud", y="rows (logarithmic)")
    bins = np.linspace(0, 1, 41).tolist()
    for label, name, color in ((0, "legitimate", BLUE), (1, "fraud", VERMILION)):
        part = probability[y == label]
        axes.hist(part, bins, color=color, alpha=0.25)
        axes.hist(part, bins, histtype="step", color=color, linewidth=1.6, label=f"{name}: {len(part):,} rows")
    axes.axvline(threshold, color=INK, linewidth=1.2, linestyle="--", label=f"threshold {threshold:.3g}")
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.7)
    axes.set_xlim(-0.01, 1.01)
    legend_below(figure, axes, columns=3)
    return figure


def importance_bars(importance: Mapping[str, float], *, measure: str = "gain", most: int = 20) -> "Figure":
    """The most important columns.

    Args:
        importance: the importance of each column, at least 0; they need no order and no scale.
        measure: what it is measured by, for the axis.
        most: how many columns are shown.

    Raises:
        ValueError: there is no column with an importance above 0.
    """
    total = sum(importance.values())
    if not total > 0:
        raise ValueError("no column has an importance above 0")
    top = sorted(importance.items(), key=lambda item: -item[1])[:most]
    of = f"the {len(top)} most important of {len(importance)}" if len(top) < len(importance) else f"all {len(top)}"
    figure = new_figure(1.1 + 0.23 * len(top), title=f"Importance of columns: {of} that the model uses")
    axes = style(figure.subplots(), x=f"share of the {measure}, %", grid="x")
    names = [shorten(name) for name, _ in top]
    # By position: two long names may be shortened to the same.
    bars = axes.barh(range(len(top)), [100 * value / total for _, value in top], color=BLUE, height=0.7)
    axes.set_yticks(range(len(top)), names)
    axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=SMALL, color=INK)
    axes.set_ylim(len(top) - 0.4, -0.6)
    axes.margins(x=0.1)
    return figure


def _models(probability: np.ndarray, baselines: Baselines | None) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
    """(name, probability, look) of each curve; the model comes first and lies on top.

    A baseline that says the same of every row is no curve: the line of guessing stands for it.
    """
    yield "this model", probability, {"color": BLUE, "linewidth": 2, "zorder": 3}
    curves = {name: other for name, other in (baselines or {}).items() if len(np.unique(other)) > 1}
    for i, (name, other) in enumerate(curves.items()):
        color, dashes = PALETTE[1:][i % len(PALETTE[1:])], _DASHES[i % len(_DASHES)]
        yield name, other, {"color": color, "linewidth": 1.2, "linestyle": dashes}


def _point(axes: "Axes", threshold: float, **coordinates: float) -> None:
    """Where the threshold is on the curve; `coordinates` are what the two axes are called, and the place on each."""
    label = f"threshold {threshold:.3g}: " + ", ".join(f"{name} {value:.3g}" for name, value in coordinates.items())
    x, y = coordinates.values()
    axes.plot(x, y, "o", color=INK, markersize=8, markeredgecolor="white", zorder=5, label=label, clip_on=False)


def _unit_square(axes: "Axes") -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.03)
