"""The outcome of a study as a table, one row a trial, and what is read from it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fraud_assets.ml.booster import with_rounds
from fraud_assets.ml.evaluate import METRICS, Metric, Objective, direction
from fraud_assets.ml.fraud_metrics import FRAUD_METRICS
from fraud_assets.ml.schema import DataError

# What a trial reports beside the metrics and their `<metric>_std`.
_AT_THRESHOLD = tuple(f"{name}_at_threshold" for name in ("precision", "recall", "f1", "alert_rate"))
_EXTRAS = ("threshold", *_AT_THRESHOLD, "rounds", "fit_seconds")
# Told only where the data has the columns that they need.
_OPTIONAL = [name for metric in FRAUD_METRICS for name in (metric, f"{metric}_std")]
_COLUMNS = [*METRICS, *(f"{metric}_std" for metric in METRICS), *_EXTRAS]


def grid_frame(trials: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a trial, in the order in which they were suggested.

    Args:
        trials: each with `trial_id`, `name`, `status`, `seconds`, `error`, `mlflow_run_id`, `params` and `metrics`.

    Returns:
        These columns; the metrics each as a column of its own, NaN where there is none; the parameters as
        `params/<name>`, null where the trial has no such parameter, texts where trials give it different types, which
        no Parquet column can hold; and all together as JSON in `params`, where every value keeps its type.
    """
    rows = []
    for trial in trials:
        row = {key: trial.get(key) for key in ("trial_id", "name", "status", "seconds", "error", "mlflow_run_id")}
        row["params"] = json.dumps(trial["params"])
        rows.append(row | {f"params/{name}": value for name, value in trial["params"].items()} | dict(trial["metrics"]))
    frame = pd.DataFrame(rows)
    params = [column for column in frame.columns if column.startswith("params/")]
    first = ["trial_id", "name", "status", "seconds", "error", "mlflow_run_id", "params"]
    numbers = ["seconds", *_COLUMNS]
    frame = frame.reindex(columns=[*first, *_COLUMNS, *params])
    frame[numbers] = frame[numbers].astype(float)
    frame = frame.drop(columns=[name for name in _OPTIONAL if frame[name].isna().all()])
    for column in params:
        if pd.api.types.infer_dtype(frame[column], skipna=True) in ("mixed", "mixed-integer"):
            frame[column] = frame[column].map(str, na_action="ignore")
    return frame


@dataclass(frozen=True)
class Preference:
    """What makes a trial better than another.

    Attributes:
        metric: what was improved, as its mean over folds.
        spread_penalty: how many standard deviations over folds are taken off the mean.
        second: what the search weighed against the metric, if anything.
        limit: what `second` may be at most, or where more of it is better at least; None for no limit.
    """

    metric: Metric
    spread_penalty: float = 0.0
    second: Objective | None = None
    limit: float | None = None

    def value(self, mean: float, spread: float) -> float:
        """What a trial with this mean and spread of the metric is worth; more is better."""
        return (-mean if direction(self.metric) == "min" else mean) - self.spread_penalty * spread


def rank(grid: pd.DataFrame, preference: Preference) -> pd.DataFrame:
    """The finished trials within the preference's limit, best first; of equal ones the earlier.

    Raises:
        DataError: no trial finished, or none is within the limit; the message says why, or what was reached.
    """
    metric, second, limit = preference.metric, preference.second, preference.limit
    finished: pd.DataFrame = grid[(grid["status"] == "finished") & np.isfinite(grid[metric])]
    if finished.empty:
        errors = grid["error"].dropna()
        first = f"; the first error: {errors.iloc[0].partition(chr(10))[0]}" if len(errors) else ""
        raise DataError(f"none of {len(grid)} trials finished ({grid['status'].value_counts().to_dict()}){first}")
    if second is not None and limit is not None:
        less = direction(second) == "min"
        within = finished[finished[second] <= limit if less else finished[second] >= limit]
        if within.empty:
            reached = finished[second].min() if less else finished[second].max()
            raise DataError(
                f"none of {len(finished)} finished trials has {second} of at {'most' if less else 'least'} {limit:g}: "
                f"the best is {reached:g}; set second_limit to what can be reached"
            )
        finished = within
    values = [preference.value(*row) for row in finished[[metric, f"{metric}_std"]].itertuples(index=False)]
    return finished.iloc[np.argsort(-np.array(values), kind="stable")]


def best_so_far(grid: pd.DataFrame, metric: Metric) -> list[tuple[int, float]]:
    """The best value of `metric` among the finished ones of the first n trials, as (n, value), wherever it gets better.

    The last point is that of all trials, so that a curve goes to its end.
    """
    best: list[tuple[int, float]] = []
    sign = 1 if direction(metric) == "max" else -1
    values = grid[metric].where(grid["status"] == "finished").tolist()
    for n, value in enumerate(values, start=1):
        if np.isfinite(value) and (not best or sign * value > sign * best[-1][1]):
            best.append((n, value))
    if best and best[-1][0] < len(values):
        best.append((len(values), best[-1][1]))
    return best


def kind(params: str) -> str:
    """What kind of model a configuration (the grid's JSON) makes: trials of one kind resemble each other."""
    return str(json.loads(params).get("booster", "gbtree"))


def best_trial(grid: pd.DataFrame, preference: Preference, *, first_is_default: bool = True) -> dict[str, Any]:
    """The best finished trial and its margins; errors are those of `rank`.

    Args:
        grid: what `grid_frame` made.
        preference: what is better.
        first_is_default: whether the first trial is the search space's default point.

    Returns:
        `trial_id`, `name`, `mlflow_run_id`, `params`, `threshold`, `score` (the metric), `score_std` (over the folds);
        and by how much it is better than the runner-up and than XGBoost's default parameters, as positive numbers, None
        where there is no such trial.
    """
    ranked = rank(grid, preference)
    metric, best = preference.metric, ranked.iloc[0]
    sign = 1 if direction(metric) == "max" else -1

    def margin(other: pd.DataFrame) -> float | None:
        return None if other.empty else float(sign * (best[metric] - other.iloc[0][metric]))

    return {
        "trial_id": best["trial_id"],
        "name": best["name"],
        "mlflow_run_id": best["mlflow_run_id"],
        "params": fitted_params(best),
        "threshold": float(best["threshold"]),
        "score": float(best[metric]),
        "score_std": float(best[f"{metric}_std"]),
        "margin_over_runner_up": margin(ranked.iloc[1:2]),
        "margin_over_defaults": margin(ranked[ranked.index == 0]) if first_is_default else None,
    }


def fitted_params(trial: pd.Series) -> dict[str, Any]:
    """The configuration of a finished trial with the number of rounds that was chosen for it."""
    return with_rounds(json.loads(trial["params"]), int(trial["rounds"]))


def members(grid: pd.DataFrame, metric: Metric) -> list[dict[str, Any]]:
    """The trials that the grid gives a `weight`, the heaviest first.

    Returns:
        `trial_id`, `name`, `mlflow_run_id`, `weight`, `score` (of `metric`) and `params` of each.
    """
    weighty = grid[grid["weight"] > 0].sort_values("weight", ascending=False, kind="stable")
    return [
        {
            "trial_id": trial["trial_id"],
            "name": trial["name"],
            "mlflow_run_id": trial["mlflow_run_id"],
            "weight": float(trial["weight"]),
            "score": float(trial[metric]),
            "params": fitted_params(trial),
        }
        for _, trial in weighty.iterrows()
    ]
