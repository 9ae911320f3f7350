import math
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from fraud_assets.ml.evaluate import METRICS, Metric
from fraud_assets.ml.optuna_study import importances, to_study
from fraud_assets.ml.plot_style import to_png
from fraud_assets.ml.result_grid import Preference, best_trial, grid_frame
from fraud_assets.ml.search_space import article
from fraud_assets.ml.study_plots import study_figures

ALL = {"optimization_history", "parallel_coordinates", "param_importances", "slices", "choices"}


def params_of(trials: int, seed: int = 0) -> list[dict[str, Any]]:
    """Random points of the published space."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    asked = [study.ask() for _ in range(trials)]
    return [{**article(trial), **trial.params} for trial in asked]


def grid_of(params: list[dict[str, Any]], scores: list[float | None]) -> pd.DataFrame:
    """A trial a row; without a score it has failed. Every metric has the same value."""
    return grid_frame(
        [
            {
                "trial_id": f"t{i}",
                "name": f"trial-{i}",
                "status": "failed" if score is None else "finished",
                "seconds": 1.0,
                "params": configuration,
                "metrics": {}
                if score is None
                else dict.fromkeys(METRICS, score)
                | {f"{metric}_std": 0.01 for metric in METRICS}
                | {"threshold": 0.5, "rounds": 100.0, "fit_seconds": 1.0 + i},
            }
            for i, (configuration, score) in enumerate(zip(params, scores, strict=True))
        ]
    )


def search(trials: int = 60) -> pd.DataFrame:
    """A search in which eta decides among the trees, and linear boosters are bad; each ninth trial fails."""
    params = params_of(trials)
    scores = [0.2 if p["booster"] == "gblinear" else 0.5 + 0.1 * math.log10(p["eta"] * 1000) for p in params]
    return grid_of(params, [None if i % 9 == 4 else score for i, score in enumerate(scores)])


@pytest.mark.parametrize("metric", ["average_precision", "log_loss"])
def test_the_study_has_the_best_trial_of_the_grid(metric: Metric) -> None:
    grid = search()
    best, found = best_trial(grid, Preference(metric)), to_study(grid, metric).best_trial

    assert (found.user_attrs["name"], found.value, found.params) == (best["name"], best["score"], best["params"])


def test_of_equal_trials_the_study_and_the_grid_choose_the_same() -> None:
    grid = grid_of(params_of(4), [0.1, 0.7, 0.7, 0.2])
    assert to_study(grid, "f1").best_trial.user_attrs["name"] == best_trial(grid, Preference("f1"))["name"] == "trial-1"


def test_trials_without_a_finite_score_have_failed_and_keep_their_place() -> None:
    grid = grid_of(params_of(4), [0.5, None, math.nan, 0.6])
    states = [trial.state for trial in to_study(grid, "f1").trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL, TrialState.COMPLETE]


def test_a_pruned_trial_is_pruned_with_its_last_score() -> None:
    grid = grid_of(params_of(3), [0.5, 0.6, 0.7])
    grid.loc[1, ["status", "rounds"]] = "pruned", 50.0
    study = to_study(grid, "f1")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.COMPLETE]
    assert study.trials[1].intermediate_values == {50: 0.6}


def test_a_conditional_parameter_is_absent_where_it_was_not_asked_for() -> None:
    params = params_of(30)
    study = to_study(grid_of(params, [0.5] * 30), "f1")
    assert [trial.params for trial in study.trials] == params
    assert any("max_depth" not in trial.params for trial in study.trials)


def test_ranges_are_inferred_from_the_values() -> None:
    values: dict[str, list[Any]] = {
        "wide": [1e-8, 1e-5, 1e-4, 1e-2, 1.0],
        "share": [0.03, 0.3, 0.5, 0.7, 1.0],
        "depth": [3, 5, 6, 9, 4],
        "mixed": [1, 0.5, 2, 1, 1],
        "flag": [True, False, True, True, False],
        "name": ["b", "a", None, "a", "a"],
        "list": [[1], [2], [1], [1], [1]],
    }
    params = [{name: column[i] for name, column in values.items()} for i in range(5)]
    found = to_study(grid_of(params, [0.5] * 5), "f1").trials[0].distributions

    assert found["wide"] == FloatDistribution(1e-8, 1.0, log=True)
    assert found["share"] == FloatDistribution(0.03, 1.0)
    assert found["depth"] == IntDistribution(3, 9)
    assert found["mixed"] == FloatDistribution(0.5, 2.0)
    assert found["flag"] == CategoricalDistribution((False, True))
    assert found["name"] == CategoricalDistribution((None, "a", "b"))
    assert found["list"] == CategoricalDistribution(("[1]", "[2]"))


def test_all_trials_tell_of_shared_parameters_and_each_booster_of_its_own() -> None:
    found = {part.among: part for part in importances(to_study(search(), "average_precision"))}

    assert set(found["all"].shares) == {"resampler", "booster", "lambda", "alpha"}
    assert next(iter(found["all"].shares)) == "booster"
    # gblinear has no parameters that the others lack, nor has any resampler.
    assert set(found) == {"all", "booster is gbtree", "booster is dart"}
    for among in ("booster is gbtree", "booster is dart"):
        assert next(iter(found[among].shares)) == "eta"
        assert found[among].trials < found["all"].trials
    assert all(math.isclose(sum(part.shares.values()), 1, abs_tol=1e-6) for part in found.values())


def test_a_search_has_all_plots_and_each_is_small() -> None:
    figures = study_figures(search(), "average_precision")
    assert set(figures) == ALL
    for name, figure in figures.items():
        assert 3_000 < len(to_png(figure)) < 60_000, name


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param([0.5], set(), id="one trial"),
        pytest.param([None, None], set(), id="all failed"),
        pytest.param([None, 0.5, None], set(), id="one of three"),
        pytest.param([0.5, 0.6], ALL - {"param_importances"}, id="two trials"),
        pytest.param([0.5, 0.6, None, 0.4], ALL - {"param_importances"}, id="three trials and a failed one"),
        pytest.param([0.5] * 20, {"optimization_history"}, id="equal scores"),
    ],
)
def test_plots_that_would_say_nothing_are_left_out(scores: list[float | None], expected: set[str]) -> None:
    figures = study_figures(grid_of(params_of(len(scores)), scores), "f1")
    assert set(figures) == expected
    for figure in figures.values():
        figure.canvas.draw()


def test_the_same_configuration_again_and_again_has_a_history_only() -> None:
    figures = study_figures(grid_of(params_of(1) * 12, list(np.linspace(0.1, 0.9, 12))), "f1")
    assert set(figures) == {"optimization_history"}


def test_a_space_with_many_parameters_is_drawn() -> None:
    random = np.random.default_rng(0)
    params = [
        {f"a_long_parameter_name_{j}": float(random.random()) for j in range(20)} | {"choice": str(i % 30)}
        for i in range(40)
    ]
    figures = study_figures(grid_of(params, [float(score) for score in random.random(40)]), "log_loss")
    assert set(figures) == ALL
    assert len(to_png(figures["parallel_coordinates"])) < 60_000
    figures["slices"].canvas.draw()


def test_of_many_trials_the_best_are_drawn_as_lines() -> None:
    figure = study_figures(search(100), "average_precision")["parallel_coordinates"]
    assert figure.get_suptitle() == "What the best 60 of 89 trials tried"
    assert len(to_png(figure)) < 60_000


def test_pyplot_knows_nothing_of_the_figures() -> None:
    before = dict(plt.rcParams)
    study_figures(search(20), "average_precision")["optimization_history"].canvas.draw()
    assert plt.get_fignums() == []
    assert dict(plt.rcParams) == before
