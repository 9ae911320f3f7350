"""The trade-off between two objectives of a search."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fraud_assets.ml.evaluate import Metric, Objective, direction
from fraud_assets.ml.plot_style import BLUE, MUTED, VERMILION, better, legend_below, new_figure, readable, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def pareto_front_plot(grid: pd.DataFrame, metric: Metric, second: Objective) -> "Figure | None":
    """Every finished trial by its two objectives, those of the Pareto front joined by a line.

    Args:
        grid: one row a trial, with `pareto_front`.
        metric: on the vertical axis.
        second: on the horizontal axis.

    Returns:
        None where no trial has both.
    """
    finite = np.isfinite(grid[[metric, second]].to_numpy(dtype=float)).all(axis=1)
    scored = grid[(grid["status"] == "finished").to_numpy() & finite]
    if scored.empty:
        return None
    front = scored[scored["pareto_front"]].sort_values(second)
    others = scored[~scored["pareto_front"]]
    figure = new_figure(3.9, title=f"{readable(metric)} against {readable(second)}: {len(front)} trials on the front")
    axes = style(
        figure.subplots(), x=f"{readable(second)} ({better(second)})", y=f"{readable(metric)} ({better(metric)})"
    )
    axes.plot(others[second], others[metric], "o", color=MUTED, markersize=4, alpha=0.6, label="other trials")
    # Between two trials of the front nothing was seen: steps promise no more than what was.
    steps = "steps-post" if direction(second) == "min" else "steps-pre"
    axes.plot(front[second], front[metric], color=BLUE, linewidth=1.4, drawstyle=steps)
    axes.plot(front[second], front[metric], "o", color=VERMILION, markersize=6, label="Pareto front")
    if scored[second].min() > 0 and scored[second].max() > 30 * scored[second].min():
        axes.set_xscale("log")
    legend_below(figure, axes, columns=2)
    return figure
