import json
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from fraud_assets.ml.evaluate import METRICS, Metric, direction
from fraud_assets.ml.result_grid import best_trial, grid_frame, rank
from fraud_assets.ml.schema import DataError

PARAMS = {"booster": "gbtree", "max_depth": 3, "eta": 0.1, "one_drop": True, "tree_method": None}


def trial(value: float, *, status: str = "finished", **more: Any) -> dict[str, Any]:
    """A trial all of whose metrics are `value`; one that did not finish has none."""
    metrics = {name: float(value) for metric in METRICS for name in (metric, f"{metric}_std")}
    metrics |= {f"{name}_at_threshold": float(value) for name in ("precision", "recall", "f1")}
    metrics |= {"threshold": value / 2, "fit_seconds": 1.0}
    known = {"trial_id": "t", "name": "gbtree-t", "status": status, "seconds": 2.0, "error": None, "params": PARAMS}
    return known | {"metrics": metrics if status == "finished" else {}, "mlflow_run_id": "run"} | more


def stored(trials: list[dict[str, Any]]) -> pd.DataFrame:
    """The grid as the asset after it reads it."""
    frame: pd.DataFrame = pa.Table.from_pandas(grid_frame(trials), preserve_index=False).to_pandas()
    return frame


def test_a_grid_has_a_row_a_trial_in_the_order_of_suggestion() -> None:
    grid = stored([trial(0.2, trial_id="b"), trial(0.0, status="failed", trial_id="c"), trial(0.3, trial_id="a")])

    assert grid["trial_id"].tolist() == ["b", "c", "a"]
    assert grid["f1"].tolist()[::2] == [0.2, 0.3]
    assert grid[[*METRICS, "threshold", "fit_seconds"]].isna().all(axis=1).tolist() == [False, True, False]
    assert grid["params/booster"].tolist() == ["gbtree"] * 3


def test_params_keep_their_types() -> None:
    other = {"booster": "gblinear", "max_depth": 4.5}
    grid = stored([trial(0.1, params=other), trial(0.2)])

    assert [json.loads(params) for params in grid["params"]] == [other, PARAMS]
    best = best_trial(grid, "f1")["params"]
    assert {name: (value, type(value)) for name, value in best.items()} == {
        name: (value, type(value)) for name, value in PARAMS.items()
    }
    assert grid["params/eta"].isna().tolist() == [True, False]


@pytest.mark.parametrize("values", [[1, "auto"], [True, "auto"], [0.5, None, "sqrt"], [1, 0.5], [1, True]])
def test_a_parameter_of_several_types_can_be_stored(values: list[Any]) -> None:
    grid = stored([trial(0.1, params={"x": value}) for value in values])

    assert [json.loads(params)["x"] for params in grid["params"]] == values
    assert grid["params/x"].isna().tolist() == [value is None for value in values]


@pytest.mark.parametrize("metric", METRICS)
def test_the_best_trial_has_most_of_the_metric_or_least_of_a_loss(metric: Metric) -> None:
    trials = [trial(value, trial_id=str(value)) for value in (0.4, 0.7, 0.2, 0.6)]
    best = best_trial(stored(trials), metric)
    metrics = best.pop("metrics")

    expected, runner_up, default = (0.2, 0.4, 0.4) if direction(metric) == "min" else (0.7, 0.6, 0.4)
    assert best == {
        "trial_id": str(expected),
        "name": "gbtree-t",
        "mlflow_run_id": "run",
        "params": PARAMS,
        "threshold": expected / 2,
        "score": expected,
        "score_std": expected,
        "margin_over_runner_up": pytest.approx(abs(expected - runner_up)),
        "margin_over_defaults": pytest.approx(abs(expected - default)),
    }
    assert {name: metrics[name] for name in METRICS} == dict.fromkeys(METRICS, expected)
    assert json.loads(json.dumps(metrics)) == metrics


def test_a_space_without_a_default_point_has_no_margin_over_it() -> None:
    grid = stored([trial(0.4), trial(0.7)])

    assert best_trial(grid, "f1")["margin_over_defaults"] == pytest.approx(0.3)
    assert best_trial(grid, "f1", first_is_default=False)["margin_over_defaults"] is None


def test_of_equal_trials_the_earlier_is_best() -> None:
    grid = stored([trial(i * 7 % 3 / 10, trial_id=str(i)) for i in range(200)])

    best = best_trial(grid, "f1")

    assert (best["score"], best["trial_id"], best["margin_over_runner_up"]) == (0.2, "2", 0)
    for metric in METRICS[:6]:
        ranked = rank(grid, metric)
        assert (ranked.groupby(metric)["trial_id"].apply(lambda ids: ids.astype(int).is_monotonic_increasing)).all()


def test_defaults_that_are_best_have_no_margin_over_themselves() -> None:
    assert best_trial(stored([trial(0.5), trial(0.3)]), "f1")["margin_over_defaults"] == 0


def test_only_finished_trials_are_ranked() -> None:
    nan = trial(0.99, trial_id="nan")
    nan["metrics"]["f1"] = float("nan")
    # Numbers that a stopped trial left behind are not a result.
    stopped = trial(0.95) | {"status": "stopped"}
    grid = stored([trial(0, status="failed", error="boom"), stopped, nan, trial(0.3, trial_id="good")])

    best = best_trial(grid, "f1")

    assert rank(grid, "f1")["trial_id"].tolist() == ["good"]
    assert best["trial_id"] == "good"
    # The defaults failed, and there is no other trial.
    assert (best["margin_over_defaults"], best["margin_over_runner_up"]) == (None, None)


def test_a_study_without_a_finished_trial_is_told_with_its_first_error() -> None:
    trials = [trial(0, status="stopped"), *(trial(0, status="failed", error=f"boom {i}\ntraceback") for i in range(2))]
    with pytest.raises(DataError, match=r"^none of 3 trials finished .*'failed': 2.*; the first error: boom 0$"):
        best_trial(stored(trials), "f1")


@pytest.mark.parametrize("trials", [[], [trial(0, status="stopped")]], ids=["none", "stopped"])
def test_a_study_without_results_or_errors_is_told(trials: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match=rf"^none of {len(trials)} trials finished \([^;]*\)$"):
        best_trial(stored(trials), "f1")
