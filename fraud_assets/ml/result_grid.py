"""The outcome of a study as a table, one row a trial, and what is read from it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fraud_assets.ml.evaluate import METRICS, Metric, direction
from fraud_assets.ml.fraud_metrics import FRAUD_METRICS
from fraud_assets.ml.schema import DataError

# What a trial reports beside the metrics and their `<metric>_std`.
_EXTRAS = ("threshold", "precision_at_threshold", "recall_at_threshold", "f1_at_threshold", "fit_seconds")
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


def rank(grid: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """The finished trials, best first; of equal ones the earlier."""
    finished: pd.DataFrame = grid[(grid["status"] == "finished") & np.isfinite(grid[metric])]
    return finished.sort_values(metric, ascending=direction(metric) == "min", kind="stable")


def best_trial(grid: pd.DataFrame, metric: Metric, *, first_is_default: bool = True) -> dict[str, Any]:
    """The best finished trial and its margins.

    Args:
        grid: what `grid_frame` made.
        metric: what was improved.
        first_is_default: whether the first trial is the search space's default point.

    Returns:
        `trial_id`, `name`, `mlflow_run_id`, `params`, `threshold`, `score` (of `metric`), `score_std` (over the
        folds), `metrics` (means and `<metric>_std`); and by how much it is better than the runner-up and than XGBoost's
        default parameters, as positive numbers, None where there is no such trial.

    Raises:
        DataError: no trial finished; the first error is in the message.
    """
    ranked = rank(grid, metric)
    if ranked.empty:
        errors = grid["error"].dropna()
        first = f"; the first error: {errors.iloc[0].partition(chr(10))[0]}" if len(errors) else ""
        raise DataError(f"none of {len(grid)} trials finished ({grid['status'].value_counts().to_dict()}){first}")
    best = ranked.iloc[0]
    sign = 1 if direction(metric) == "max" else -1

    def margin(other: pd.DataFrame) -> float | None:
        return None if other.empty else float(sign * (best[metric] - other.iloc[0][metric]))

    return {
        "trial_id": best["trial_id"],
        "name": best["name"],
        "mlflow_run_id": best["mlflow_run_id"],
        "params": json.loads(best["params"]),
        "threshold": float(best["threshold"]),
        "score": float(best[metric]),
        "score_std": float(best[f"{metric}_std"]),
        "metrics": {name: float(best[name]) for name in _COLUMNS if name in grid and name not in _EXTRAS},
        "margin_over_runner_up": margin(ranked.iloc[1:2]),
        "margin_over_defaults": margin(ranked[ranked.index == 0]) if first_is_default else None,
    }
