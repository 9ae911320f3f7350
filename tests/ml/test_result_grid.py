import json
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from fraud_assets.ml.evaluate import METRICS, Metric, direction
from fraud_assets.ml.result_grid import Preference, best_so_far, best_trial, grid_frame, members, rank
from fraud_assets.ml.schema import DataError

F1 = Preference("f1")
PARAMS = {"booster": "gbtree", "max_depth": 3, "eta": 0.1, "one_drop": True, "tree_method": None}


def trial(value: float, *, status: str = "finished", **more: Any) -> dict[str, Any]:
    """A trial all of whose metrics are `value`; one that did not finish has none."""
    metrics = {name: float(value) for metric in METRICS for name in (metric, f"{metric}_std")}
    metrics |= {f"{name}_at_threshold": float(value) for name in ("precision", "recall", "f1")}
    metrics |= {"threshold": value / 2, "alert_rate_at_threshold": 0.1, "rounds": 100.0, "fit_seconds": 1.0}
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
    best = best_trial(grid, F1)["params"]
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
    best = best_trial(stored(trials), Preference(metric))

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


def test_a_space_without_a_default_point_has_no_margin_over_it() -> None:
    grid = stored([trial(0.4), trial(0.7)])

    assert best_trial(grid, F1)["margin_over_defaults"] == pytest.approx(0.3)
    assert best_trial(grid, F1, first_is_default=False)["margin_over_defaults"] is None


def test_of_equal_trials_the_earlier_is_best() -> None:
    grid = stored([trial(i * 7 % 3 / 10, trial_id=str(i)) for i in range(200)])

    best = best_trial(grid, F1)

    assert (best["score"], best["trial_id"], best["margin_over_runner_up"]) == (0.2, "2", 0)
    for metric in METRICS[:6]:
        ranked = rank(grid, Preference(metric))
        assert (ranked.groupby(metric)["trial_id"].apply(lambda ids: ids.astype(int).is_monotonic_increasing)).all()


def test_defaults_that_are_best_have_no_margin_over_themselves() -> None:
    assert best_trial(stored([trial(0.5), trial(0.3)]), F1)["margin_over_defaults"] == 0


def test_only_finished_trials_are_ranked() -> None:
    nan = trial(0.99, trial_id="nan")
    nan["metrics"]["f1"] = float("nan")
    # Numbers that a stopped trial left behind are not a result.
    stopped = trial(0.95) | {"status": "stopped"}
    grid = stored([trial(0, status="failed", error="boom"), stopped, nan, trial(0.3, trial_id="good")])

    best = best_trial(grid, F1)

    assert rank(grid, F1)["trial_id"].tolist() == ["good"]
    assert best["trial_id"] == "good"
    # The defaults failed, and there is no other trial.
    assert (best["margin_over_defaults"], best["margin_over_runner_up"]) == (None, None)


def test_a_study_without_a_finished_trial_is_told_with_its_first_error() -> None:
    trials = [trial(0, status="stopped"), *(trial(0, status="failed", error=f"boom {i}\ntraceback") for i in range(2))]
    with pytest.raises(DataError, match=r"^none of 3 trials finished .*'failed': 2.*; the first error: boom 0$"):
        best_trial(stored(trials), F1)


@pytest.mark.parametrize("trials", [[], [trial(0, status="stopped")]], ids=["none", "stopped"])
def test_a_study_without_results_or_errors_is_told(trials: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match=rf"^none of {len(trials)} trials finished \([^;]*\)$"):
        best_trial(stored(trials), F1)


def spread(value: float, deviation: float, trial_id: str) -> dict[str, Any]:
    known = trial(value, trial_id=trial_id)
    known["metrics"]["f1_std"] = deviation
    return known


def test_a_penalty_on_the_spread_prefers_the_even_trial() -> None:
    grid = stored([spread(0.80, 0.2, "uneven"), spread(0.75, 0.01, "even"), spread(0.6, 0.0, "poor")])

    assert rank(grid, F1)["trial_id"].tolist() == ["uneven", "even", "poor"]
    assert rank(grid, Preference("f1", spread_penalty=1))["trial_id"].tolist() == ["even", "uneven", "poor"]
    assert best_trial(grid, Preference("f1", spread_penalty=1))["score"] == 0.75


def test_of_a_loss_the_spread_is_a_penalty_too() -> None:
    grid = stored([trial(0.5, trial_id="even"), trial(0.4, trial_id="uneven")])
    grid["log_loss_std"] = [0.0, 0.3]
    assert best_trial(grid, Preference("log_loss"))["trial_id"] == "uneven"
    assert best_trial(grid, Preference("log_loss", spread_penalty=1))["trial_id"] == "even"


def slow(value: float, seconds: float) -> dict[str, Any]:
    known = trial(value, trial_id=f"{seconds:g} s")
    known["metrics"]["fit_seconds"] = seconds
    return known


def test_the_best_is_within_the_limit_of_what_was_weighed_against_the_metric() -> None:
    grid = stored([slow(0.9, 60), slow(0.8, 10), slow(0.7, 1)])

    assert best_trial(grid, Preference("f1", second="fit_seconds"))["trial_id"] == "60 s"
    assert best_trial(grid, Preference("f1", second="fit_seconds", limit=10))["trial_id"] == "10 s"
    # More recall is better: a limit is its least value. All metrics of a trial are equal here.
    assert rank(grid, Preference("f1", second="recall", limit=0.8))["trial_id"].tolist() == ["60 s", "10 s"]


def test_a_limit_that_no_trial_keeps_is_told_with_what_was_reached() -> None:
    grid = stored([slow(0.9, 60), slow(0.8, 10)])
    with pytest.raises(DataError, match=r"none of 2 finished trials has fit_seconds of at most 5: the best is 10; set"):
        rank(grid, Preference("f1", second="fit_seconds", limit=5))
    with pytest.raises(DataError, match=r"none of 2 finished trials has recall of at least 0.95: the best is 0.9; set"):
        rank(grid, Preference("f1", second="recall", limit=0.95))


def test_members_are_the_trials_with_a_weight_and_have_the_rounds_that_were_chosen() -> None:
    early = PARAMS | {"n_estimators": 500, "early_stopping_rounds": 50}
    grid = stored([trial(0.4, trial_id="a", params=early), trial(0.5, trial_id="b"), trial(0.6, trial_id="c")])
    grid["weight"] = [0.75, 0.0, 0.25]
    grid["rounds"] = [130.0, 100.0, 100.0]

    assert members(grid, "f1") == [
        {
            "trial_id": "a",
            "name": "gbtree-t",
            "mlflow_run_id": "run",
            "weight": 0.75,
            "score": 0.4,
            "params": PARAMS | {"n_estimators": 130},
        },
        {
            "trial_id": "c",
            "name": "gbtree-t",
            "mlflow_run_id": "run",
            "weight": 0.25,
            "score": 0.6,
            "params": PARAMS,
        },
    ]


def test_the_best_so_far_is_told_where_it_gets_better_and_at_the_end() -> None:
    scores = [
        ("failed", None),
        ("finished", 0.2),
        ("finished", 0.1),
        ("pruned", 0.9),
        ("finished", 0.3),
        ("stopped", None),
    ]
    grid = pd.DataFrame(
        {"status": [status for status, _ in scores], "f1": [value for _, value in scores]}
        | {"log_loss": [value for _, value in scores]}
    ).astype({"f1": float, "log_loss": float})
    assert best_so_far(grid, "f1") == [(2, 0.2), (5, 0.3), (6, 0.3)]
    assert best_so_far(grid, "log_loss") == [(2, 0.2), (3, 0.1), (6, 0.1)]
    assert best_so_far(grid.iloc[:1], "f1") == []
