"""Plots of a search for parameters: how it went, what it tried, what mattered.

Optuna's own Matplotlib plots aren't used: they change pyplot's style for the whole process, leave their figures with
it, and drop every trial that lacks one of the parameters, which in a conditional space may be most.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fraud_assets.ml.evaluate import Metric, Objective, direction
from fraud_assets.ml.optuna_study import complete_trials, importances, to_study
from fraud_assets.ml.parallel_coordinates import parallel_coordinates
from fraud_assets.ml.pareto_plot import pareto_front_plot
from fraud_assets.ml.plot_style import (
    BLUE,
    INK,
    MUTED,
    NORMAL,
    SMALL,
    VERMILION,
    better,
    legend_below,
    new_figure,
    readable,
    shorten,
    style,
)
from fraud_assets.ml.slice_plots import choices, slices

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Study

_MOST_PANELS = 4


def study_figures(grid: pd.DataFrame, metric: Metric, second: Objective | None = None) -> "dict[str, Figure]":
    """All plots that make sense for this search, by name.

    Args:
        grid: one row a trial, as `result_grid.grid_frame` makes it.
        metric: what was optimized.
        second: what was weighed against it, if anything.

    Returns:
        `optimization_history` with two scored trials or more, and `pareto_front` where there is a second objective; the
        others only where scores differ:
        `parallel_coordinates`, `slices` and `choices` where a parameter was varied that they can show,
        `param_importances` with enough trials.
    """
    study = to_study(grid, metric)
    scores = [trial.value for trial in complete_trials(study)]
    if len(scores) < 2:
        return {}
    history = optimization_history(study, metric, [float(value) for value in grid[f"{metric}_std"]])
    front = pareto_front_plot(grid, metric, second) if second else None
    if len(set(scores)) < 2:
        return {"optimization_history": history} | ({"pareto_front": front} if front else {})
    figures = {
        "optimization_history": history,
        "pareto_front": front,
        "parallel_coordinates": parallel_coordinates(study, metric),
        "param_importances": param_importances(study, metric),
        "slices": slices(study, metric),
        "choices": choices(study, metric),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def optimization_history(study: "Study", metric: Metric, spread: Sequence[float]) -> "Figure":
    """The score of each trial in the order of their suggestion, and the best so far.

    Args:
        study: with one scored trial at least.
        metric: what the scores are.
        spread: each trial's standard deviation over the folds; not finite where there is none.
    """
    trials = complete_trials(study)
    number, score = np.array([t.number for t in trials]), np.array([t.value for t in trials])
    best = (np.minimum if direction(metric) == "min" else np.maximum).accumulate(score)
    winner = study.best_trial
    total = len(study.trials)
    figure = new_figure(3.9, title=f"Search: {readable(metric)} of {total} trials")
    axes = style(figure.subplots(), x="trial, in the order of suggestion", y=f"{readable(metric)} ({better(metric)})")
    bars = np.nan_to_num(np.array([spread[n] for n in number]), nan=0, posinf=0)
    axes.errorbar(
        number,
        score,
        bars,
        fmt="o",
        color=BLUE,
        ecolor=BLUE,
        elinewidth=0.8,
        markersize=4,
        alpha=0.55,
        label="trial: mean ± standard deviation over folds" if bars.any() else "trial",
    )
    axes.step([*number, total - 1], [*best, best[-1]], where="post", color=INK, linewidth=1.6, label="best so far")
    axes.plot(
        winner.number,
        winner.value,
        "*",
        color=VERMILION,
        markersize=13,
        zorder=5,
        markeredgecolor="white",
        label=f"best: {winner.value:.4g}, trial {winner.number}",
    )
    lost = sorted({t.number for t in study.trials} - set(number.tolist()))
    if lost:
        axes.plot(
            lost,
            np.full(len(lost), 0.015),
            "x",
            color=MUTED,
            markersize=6,
            transform=axes.get_xaxis_transform(),
            label=f"without a result: {len(lost)}",
            clip_on=False,
        )
    if score.min() >= 0:  # a mean minus its deviation may still be negative
        axes.set_ylim(bottom=max(0, axes.get_ylim()[0]))
    axes.locator_params(axis="x", integer=True)
    legend_below(figure, axes)
    return figure


def param_importances(study: "Study", metric: Metric) -> "Figure | None":
    """How much each parameter decided: a panel for all trials, and one for each group of them with more parameters.

    None where no group of trials allows to tell (`optuna_study.importances`).
    """
    found = importances(study)
    found = found[:1] + sorted(found[1:], key=lambda part: -part.trials)[: _MOST_PANELS - 1]
    if not found:
        return None
    bars = sum(len(part.shares) for part in found)
    figure = new_figure(1.3 + 0.24 * bars + 0.45 * len(found), title=f"What decided {readable(metric)} (fANOVA)")
    panels = figure.subplots(
        len(found), squeeze=False, sharex=True, gridspec_kw={"height_ratios": [len(p.shares) + 0.5 for p in found]}
    )[:, 0]
    for axes, part in zip(panels, found, strict=True):
        style(
            axes,
            title=f"all {part.trials} trials" if part.among == "all" else f"{part.trials} trials: {part.among}",
            grid="x",
        )
        places = range(len(part.shares))
        drawn = axes.barh(places, [100 * share for share in part.shares.values()], color=BLUE, height=0.65)
        axes.set_yticks(places, [shorten(name) for name in part.shares])
        axes.invert_yaxis()
        axes.bar_label(drawn, fmt="%.0f", padding=3, fontsize=SMALL, color=INK)
    panels[-1].margins(x=0.1)
    panels[-1].set_xlabel("share of the variance that single parameters explain, %", fontsize=NORMAL)
    return figure
