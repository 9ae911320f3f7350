"""Pruning: which spaces are pruned, when trials report, and what Optuna is told."""

from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from pydantic import ValidationError
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from fraud_assets.assets.tuning_config import TuningConfig
from fraud_assets.ml.pruning import Pruner, Pruning
from fraud_assets.ml.search_space import SEARCH_SPACES, SearchSpace
from fraud_assets.resources.pruning import PrunedSearch, scheduler
from fraud_assets.resources.tune_callbacks import reported, status_of


def decisions(pruner: Pruner, scores: list[float], *, mode: str = "max", rounds: int = 50) -> list[str]:
    """What the scheduler says of trials that report these scores one after the other."""
    pruning = scheduler(Pruning(pruner), "score", mode)
    found = []
    for number, score in enumerate(scores):
        trial = Trial("FraudTrial", trial_id=f"{number:05}", stub=True)
        pruning.on_trial_add(None, trial)
        found.append(pruning.on_trial_result(None, trial, {"rounds_trained": rounds, "score": score}))
    return found


@pytest.mark.parametrize(
    ("settings", "space", "expected"),
    [
        ({}, "fraud", "asha"),
        ({}, "article", None),
        ({"pruner": "none"}, "fraud", None),
        ({"pruner": "median"}, "fraud", "median"),
        ({"pruner": "asha"}, "article", "asha"),
        ({"second_metric": "fit_seconds"}, "fraud", None),
        ({"workers_per_trial": 2, "search_space": "fraud_distributed"}, "fraud_distributed", None),
    ],
    ids=str,
)
def test_spaces_with_a_number_of_rounds_are_pruned_unless_told_otherwise(
    settings: dict[str, Any], space: str, expected: Pruner | None
) -> None:
    pruning = TuningConfig(**settings).pruning(SEARCH_SPACES[space])
    assert (pruning and pruning.pruner) == expected


@pytest.mark.parametrize(
    "settings", [{"second_metric": "fit_seconds"}, {"workers_per_trial": 2, "search_space": "fraud_distributed"}]
)
def test_a_pruner_that_could_do_nothing_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="set pruner to none"):
        TuningConfig(pruner="asha", **settings)


def test_milestones_are_ever_farther_apart() -> None:
    pruning = Pruning("asha", grace=50, reduction=3)
    assert [pruning.milestone_after(rounds) for rounds in (0, 49, 50, 149, 150, 1000)] == [50, 50, 150, 150, 450, 1350]


@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_the_worst_of_many_is_stopped_and_the_best_is_not(pruner: Pruner) -> None:
    among = decisions(pruner, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.05, 0.9])
    assert among[-2:] == [TrialScheduler.STOP, TrialScheduler.CONTINUE]
    less = decisions(pruner, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.05, 0.9], mode="min")
    assert less[-2:] == [TrialScheduler.CONTINUE, TrialScheduler.STOP]


@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_nothing_is_stopped_before_the_first_milestone(pruner: Pruner) -> None:
    assert set(decisions(pruner, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3], rounds=49)) == {TrialScheduler.CONTINUE}


def test_median_pauses_no_trial_while_there_are_too_few_to_compare_with() -> None:
    # A paused trial would lose what it fitted.
    assert decisions("median", [0.9, 0.8, 0.1]) == [TrialScheduler.CONTINUE] * 3


def search_after(*results: tuple[str, dict[str, Any]]) -> optuna.Study:
    """What Optuna knows after a trial told these results; the last one as its end."""
    search = PrunedSearch(space=lambda trial: {"x": trial.suggest_float("x", 0, 1)}, metric="score", mode="max")
    search.suggest("a")
    for kind, result in results:
        (search.on_trial_result if kind == "result" else search.on_trial_complete)("a", result)
    return search._ot_study


def test_optuna_hears_of_a_pruned_trial_as_pruned_with_all_its_scores() -> None:
    first = {"score": 0.3, "rounds_trained": 50, "training_iteration": 1}
    last = {"score": 0.4, "rounds_trained": 150, "training_iteration": 2, "done": True}
    (trial,) = search_after(("result", first), ("end", last)).trials
    assert trial.state == TrialState.PRUNED
    assert trial.intermediate_values == {1: 0.3, 2: 0.4}


def test_optuna_hears_of_a_complete_trial_as_complete() -> None:
    end = {"score": 0.4, "complete": True, "training_iteration": 1, "done": True}
    (trial,) = search_after(("end", end)).trials
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.4)


@pytest.mark.parametrize(
    ("result", "status"),
    [
        ({"complete": True, "done": True, "rounds_trained": 80, "score": 0.4}, "finished"),
        ({"done": True, "rounds_trained": 50, "score": 0.4}, "pruned"),
        ({"done": False, "rounds_trained": 50, "score": 0.4}, "stopped"),
        ({}, "stopped"),
    ],
    ids=str,
)
def test_how_a_trial_ended_is_read_from_its_last_result(result: dict[str, Any], status: str) -> None:
    assert status_of(result) == status
    assert set(reported(result)) <= {"score"}


def test_a_space_is_sampled_with_its_constants_and_always_alike() -> None:
    space = SearchSpace("own", lambda trial: {"y": 1, "x2": trial.suggest_float("x", 0, 1) * 2})
    (first, second), again = space.sample(2), list(space.sample(2))
    assert [first, second] == again
    assert set(first) == {"x", "y", "x2"}
    assert first["x"] != second["x"]
