"""Every scored trial as a line through the values of its parameters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fraud_assets.ml.evaluate import Metric, direction
from fraud_assets.ml.optuna_study import complete_trials, is_choice, is_logarithmic, values_of, varying_parameters
from fraud_assets.ml.plot_style import INK, MUTED, SEQUENTIAL, SMALL, new_figure, readable, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna import Study
    from optuna.trial import FrozenTrial

_MOST_AXES = 12
_MOST_LINES = 60
# Where a line passes that has no such parameter: below the axis, which is 0 to 1 high.
_ABSENT = -0.16


@dataclass(frozen=True)
class _Coordinate:
    """One parameter's vertical line, from 0 to 1.

    Attributes:
        name: the parameter.
        choices: its values where it is categorical, from bottom to top.
        low: the least value of a number.
        high: the greatest.
        log: whether a number's line is logarithmic.
        optional: whether some trial lacks the parameter.
    """

    name: str
    choices: tuple[Any, ...]
    low: float
    high: float
    log: bool
    optional: bool

    @classmethod
    def of(cls, trials: "Sequence[FrozenTrial]", name: str) -> "_Coordinate":
        """The line of the parameter `name`, as long as its values among `trials` reach."""
        values, optional = values_of(trials, name), not all(name in t.params for t in trials)
        if is_choice(trials, name):
            return cls(name, tuple(values), 0, 1, False, optional)
        given = [t.params[name] for t in trials if name in t.params]
        return cls(name, (), values[0], values[-1], is_logarithmic(given), optional)

    def height(self, trial: "FrozenTrial") -> float:
        """Where the line of `trial` crosses."""
        if self.name not in trial.params:
            return _ABSENT
        value = trial.params[self.name]
        if self.choices:
            return (self.choices.index(value) + 0.5) / len(self.choices)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return float((value - self.low) / (self.high - self.low))

    def ticks(self) -> list[tuple[float, str]]:
        """(height, text) of what is written beside the line."""
        if self.choices:
            return [((i + 0.5) / len(self.choices), shorten(str(c), 14)) for i, c in enumerate(self.choices)]
        return [(-0.04, f"{self.low:.2g}"), (1.04, f"{self.high:.2g}")]


def parallel_coordinates(study: "Study", metric: Metric) -> "Figure | None":
    """A line a trial through its parameters, coloured by its score, the best ones on top.

    A trial without a conditional parameter passes under that parameter's axis. Of more than 60 trials the best 60 are
    drawn, on axes as long as all trials reach; of more than 12 parameters that vary the first 12. None where fewer than
    two vary.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    trials = complete_trials(study)
    varied = varying_parameters(trials)
    if len(varied) < 2:
        return None
    coordinates = [_Coordinate.of(trials, name) for name in varied[:_MOST_AXES]]
    more = f" (the first {_MOST_AXES} of {len(varied)} parameters)" if len(varied) > _MOST_AXES else ""
    minimize = direction(metric) == "min"
    drawn = sorted(trials, key=lambda t: float(t.value), reverse=minimize)[-_MOST_LINES:]
    who = f"the best {len(drawn)} of {len(trials)} trials" if len(drawn) < len(trials) else f"{len(trials)} trials"
    figure = new_figure(4.6, title=f"What {who} tried{more}")
    axes = figure.subplots()
    scores = [float(t.value) for t in drawn]
    # A few bad trials must not take all the colours: the worst quarter shares one.
    worst, best = scores[len(scores) // 4], scores[-1]
    norm = Normalize(min(worst, best), max(worst, best), clip=True)
    # From light and dull to dark: the best lines are those that one sees.
    colors = colormaps[SEQUENTIAL if minimize else f"{SEQUENTIAL}_r"]
    for trial in drawn:
        heights = [c.height(trial) for c in coordinates]
        axes.plot(range(len(heights)), heights, color=colors(norm(trial.value)), linewidth=1.2, alpha=0.9)
    _draw(axes, coordinates)
    bar = figure.colorbar(ScalarMappable(norm, colors), ax=axes, fraction=0.03, pad=0.01, extend=_extend(norm, scores))
    bar.set_label(readable(metric), fontsize=SMALL, color=INK)
    bar.ax.tick_params(labelsize=SMALL)
    return figure


def _extend(norm: Any, scores: Sequence[float]) -> str:
    """Which ends of the colour bar stand for more than they say."""
    low, high = min(scores) < norm.vmin, max(scores) > norm.vmax
    return "min" if low else "max" if high else "neither"


def _draw(axes: "Axes", coordinates: Sequence[_Coordinate]) -> None:
    """The vertical lines with their names and values."""
    box = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
    for i, coordinate in enumerate(coordinates):
        axes.plot([i, i], [0, 1], color=MUTED, linewidth=1)
        for height, text in coordinate.ticks():
            axes.text(i, height, text, ha="center", va="center", fontsize=SMALL - 0.5, color=INK, bbox=box, zorder=5)
    optional = [i for i, coordinate in enumerate(coordinates) if coordinate.optional]
    if optional:
        axes.plot(optional, [_ABSENT] * len(optional), "_", color=MUTED, markersize=14, zorder=4)
        axes.text(-0.4, _ABSENT, "not used", fontsize=SMALL, color=MUTED, va="center", ha="left")
    crowded = sum(len(c.name) for c in coordinates) > 60
    names = [shorten(c.name, 16) for c in coordinates]
    axes.set_xticks(
        range(len(names)), names, rotation=30 if crowded else 0, ha="right" if crowded else "center", fontsize=SMALL
    )
    axes.tick_params(length=0, labelcolor=INK)
    axes.set_yticks([])
    axes.set_xlim(-0.45, len(names) - 0.55)
    axes.set_ylim(_ABSENT - 0.06 if optional else -0.08, 1.08)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
