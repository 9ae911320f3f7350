"""The score of a search against each parameter by itself."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fraud_assets.ml.evaluate import Metric, direction
from fraud_assets.ml.optuna_study import complete_trials, is_choice, is_logarithmic, values_of, varying_parameters
from fraud_assets.ml.plot_style import (
    BLUE,
    INK,
    MARKERS,
    MUTED,
    NORMAL,
    PALETTE,
    SMALL,
    VERMILION,
    better,
    legend_below,
    new_figure,
    readable,
    sentence,
    shorten,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna import Study
    from optuna.trial import FrozenTrial

_MOST_SLICES = 12
# What tells the dots of a slice apart: the colour is the one, the shape the other.
_COLOR_BY, _SHAPE_BY = "booster", "resampler"


def slices(study: "Study", metric: Metric) -> "Figure | None":
    """The score against each number that was varied; booster and resampler are colour and shape.

    None where no number was varied. Of more than 12 the first 12 are shown.
    """
    trials = complete_trials(study)
    varied = [name for name in varying_parameters(trials) if not is_choice(trials, name)]
    names = varied[:_MOST_SLICES]
    if not names:
        return None
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    more = f", first {len(names)} of {len(varied)}" if len(varied) > len(names) else ""
    figure = new_figure(1.4 + 1.9 * rows, title=sentence(f"{readable(metric)} against each number{more}"))
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    colors, shapes = _looks(trials, _COLOR_BY, PALETTE), _looks(trials, _SHAPE_BY, MARKERS)
    for axes, name in zip(panels.flat, names, strict=False):
        style(axes, x=shorten(name))
        axes.locator_params(axis="x", nbins=5)
        if is_logarithmic([t.params[name] for t in trials if name in t.params]):
            axes.set_xscale("log")
        for t in trials:
            if name in t.params:
                color, shape = colors.get(t.params.get(_COLOR_BY), BLUE), shapes.get(t.params.get(_SHAPE_BY), "o")
                axes.plot(t.params[name], t.value, shape, color=color, markersize=4.5, alpha=0.7, markeredgewidth=0)
    for axes in panels.flat[len(names) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel(readable(metric), fontsize=NORMAL)
    for value, color in colors.items():
        panels[0, 0].plot([], [], "o", color=color, label=f"{_COLOR_BY} {value}")
    for value, shape in shapes.items():
        panels[0, 0].plot([], [], shape, color=MUTED, label=f"{_SHAPE_BY} {value}")
    legend_below(figure, panels[0, 0], columns=3)
    return figure


def choices(study: "Study", metric: Metric) -> "Figure | None":
    """The scores of every value of each categorical parameter, with the best one written beside it.

    None where no categorical parameter was varied. Of more than 12 the first 12 are shown.
    """
    trials = complete_trials(study)
    names = [name for name in varying_parameters(trials) if is_choice(trials, name)][:_MOST_SLICES]
    if not names:
        return None
    counts = [len(values_of(trials, name)) for name in names]
    figure = new_figure(1.0 + 0.3 * sum(counts) + 0.4 * len(names), title=sentence(f"{readable(metric)} by choice"))
    panels = figure.subplots(
        len(names), squeeze=False, sharex=True, gridspec_kw={"height_ratios": [count + 0.6 for count in counts]}
    )[:, 0]
    for axes, name in zip(panels, names, strict=True):
        _choice(style(axes, title=name, grid="x"), trials, name, metric)
    panels[-1].set_xlabel(f"{readable(metric)} ({better(metric)})", fontsize=NORMAL)
    return figure


def _choice(axes: "Axes", trials: "Sequence[FrozenTrial]", name: str, metric: Metric) -> None:
    """One row of dots a value, the value with the best score at the top."""
    pick = min if direction(metric) == "min" else max
    scores: dict[Any, list[float]] = {value: [] for value in values_of(trials, name)}
    for t in trials:
        if name in t.params:
            scores[t.params[name]].append(float(t.value))
    order = sorted(scores, key=lambda value: pick(scores[value]), reverse=direction(metric) == "max")
    winner = pick(t.value for t in trials)
    for row, value in enumerate(order):
        axes.plot(scores[value], np.full(len(scores[value]), row), "|", color=BLUE, markersize=11, alpha=0.7)
        best = pick(scores[value])
        axes.plot(best, row, "*" if best == winner else "o", color=VERMILION, markersize=9 if best == winner else 5)
        axes.annotate(
            f"{best:.4g} best of {len(scores[value])}",
            (1.01, row),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=SMALL,
            color=INK,
        )
    axes.set_yticks(range(len(order)), [shorten(str(value)) for value in order])
    axes.set_ylim(len(order) - 0.5, -0.5)


def _looks(trials: "Sequence[FrozenTrial]", name: str, looks: Sequence[str]) -> Mapping[Any, str]:
    """A colour or a shape for each value of the parameter `name`; nothing where it has one value only."""
    values = values_of(trials, name)
    return {value: looks[i % len(looks)] for i, value in enumerate(values)} if len(values) > 1 else {}
