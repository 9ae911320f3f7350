"""A finished search as an Optuna study, and what Optuna says of its parameters."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fraud_assets.ml.evaluate import Metric, Objective, direction

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

# Below this, the trees of fANOVA describe single trials.
MIN_TRIALS_FOR_IMPORTANCE = 10
# Parameters on whose value it depends which others there are.
_BRANCHING = ("booster", "resampler")
_Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Importance:
    """What decided the score among some of the trials.

    Attributes:
        among: which trials: `all`, or those where "booster is dart".
        trials: how many.
        shares: of each parameter in the variance of the score that single parameters explain, most important first, 1
            in sum. What only a combination of parameters explains is in none of them.
    """

    among: str
    trials: int
    shares: dict[str, float]


def to_study(grid: pd.DataFrame, metric: Metric, second: Objective | None = None) -> "Study":
    """The trials of `result_grid.grid_frame` as a study, in their order.

    The grid doesn't say from which ranges values were drawn, so a range is that of the values that occur: an integer or
    float one, logarithmic where that fits the values better, else categorical. A conditional parameter is absent where
    it was not asked for. A pruned trial is PRUNED, with what it scored where it was pruned; any other without a finite
    score is FAIL, whatever ended it. The attribute `name` of a trial is the grid's.
    """
    import optuna

    configurations = [_parameters(text) for text in grid["params"]]
    names = list(dict.fromkeys(name for configuration in configurations for name in configuration))
    distributions = {name: _distribution([c[name] for c in configurations if name in c]) for name in names}
    objectives = [metric] if second is None else [metric, second]
    study = optuna.create_study(directions=["minimize" if direction(o) == "min" else "maximize" for o in objectives])
    states = optuna.trial.TrialState
    for configuration, name, status, rounds, scores in zip(
        configurations,
        grid["name"],
        grid["status"],
        grid["rounds"],
        grid[objectives].astype(float).to_numpy(),
        strict=True,
    ):
        complete = status == "finished" and np.isfinite(scores).all()
        pruned = status == "pruned" and np.isfinite(scores[0])
        study.add_trial(
            optuna.trial.create_trial(
                state=states.COMPLETE if complete else states.PRUNED if pruned else states.FAIL,
                values=scores.tolist() if complete else None,
                intermediate_values={int(rounds): float(scores[0])} if pruned else None,
                params=configuration,
                distributions={parameter: distributions[parameter] for parameter in configuration},
                user_attrs={"name": name},
            )
        )
    return study


def pareto_front(grid: pd.DataFrame, metric: Metric, second: Objective) -> np.ndarray:
    """Which trials no other one beats in one objective without losing in the other, shape (trials,), bool."""
    front = np.zeros(len(grid), dtype=bool)
    front[[trial.number for trial in to_study(grid, metric, second).best_trials]] = True
    return front


def complete_trials(study: "Study") -> "list[FrozenTrial]":
    """The trials that have a score."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))  # type: ignore[no-any-return]


def varying_parameters(trials: "Sequence[FrozenTrial]") -> list[str]:
    """The parameters of which `trials` tried more than one value, in the order in which they were suggested."""
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    return [name for name in names if len({t.params[name] for t in trials if name in t.params}) > 1]


def values_of(trials: "Sequence[FrozenTrial]", name: str) -> list[Any]:
    """The distinct values of a parameter, in a fixed order: numbers by size, all else by its text."""
    values = {t.params[name] for t in trials if name in t.params}
    return sorted(values, key=str if is_choice(trials, name) else None)


def is_choice(trials: "Sequence[FrozenTrial]", name: str) -> bool:
    """Whether the parameter is categorical."""
    from optuna.distributions import CategoricalDistribution

    return any(isinstance(t.distributions.get(name), CategoricalDistribution) for t in trials)


def importances(study: "Study") -> list[Importance]:
    """What decided the score: among all trials, then among those of each booster or resampler with its own parameters.

    fANOVA (Hutter, Hoos and Leyton-Brown 2014, by `optuna.importance`) compares trials that have the same parameters.
    So all trials tell of the parameters that all of them have, and a conditional one is only judged among the trials of
    the choice that brings it along. Shares of different groups of trials can't be compared with each other.

    Returns:
        Nothing for groups with less than `MIN_TRIALS_FOR_IMPORTANCE` scored trials, with equal scores, or with less
        than two parameters that vary.
    """
    trials = complete_trials(study)
    whole = _importance(study, "all", trials)
    found = [] if whole is None else [whole]
    everywhere = set(_shared(trials))
    for branching in _BRANCHING:
        for value in dict.fromkeys(t.params[branching] for t in trials if branching in t.params):
            group = [t for t in trials if t.params.get(branching) == value]
            if not set(_shared(group)) - everywhere:
                continue  # it would tell of the same parameters as all trials do
            part = _importance(study, f"{branching} is {value}", group)
            if part is not None:
                found.append(part)
    return found


def _importance(study: "Study", among: str, trials: "Sequence[FrozenTrial]") -> Importance | None:
    import optuna

    names = _shared(trials)
    equal = len({t.value for t in trials}) < 2
    if len(trials) < MIN_TRIALS_FOR_IMPORTANCE or len(names) < 2 or equal:
        return None
    numbers = {t.number for t in trials}
    shares = optuna.importance.get_param_importances(
        study,
        evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0),
        params=names,
        # Optuna leaves trials out whose target is not finite.
        target=lambda t: t.value if t.number in numbers else math.nan,
    )
    if not math.isclose(sum(shares.values()), 1, abs_tol=1e-3):
        return None  # the forest saw no variance to share out
    return Importance(among, len(trials), {name: float(share) for name, share in shares.items()})


def _shared(trials: "Sequence[FrozenTrial]") -> list[str]:
    """The varying parameters that every one of `trials` has."""
    return [name for name in varying_parameters(trials) if all(name in t.params for t in trials)]


def _parameters(text: str) -> dict[str, _Scalar]:
    """A configuration from the grid's JSON; what Optuna can't hold (a list, an object, NaN) as text."""
    values: dict[str, Any] = json.loads(text)
    return {
        name: value
        if isinstance(value, str | bool | int | None) or (isinstance(value, float) and math.isfinite(value))
        else json.dumps(value)
        for name, value in values.items()
    }


def _distribution(values: Sequence[_Scalar]) -> "BaseDistribution":
    """The range that `values` were drawn from, as far as they tell."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values):
        return CategoricalDistribution(sorted(dict.fromkeys(values), key=str))
    kind = IntDistribution if all(isinstance(value, int) for value in numbers) else FloatDistribution
    return kind(min(numbers), max(numbers), log=is_logarithmic(numbers))


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether `values` lie more evenly on a logarithmic axis: all positive, a decade apart, the median more central."""
    low, middle, high = min(values), float(np.median(values)), max(values)
    if low <= 0 or high < 10 * low:
        return False
    linear = (middle - low) / (high - low)
    logarithmic = math.log(middle / low) / math.log(high / low)
    return abs(logarithmic - 0.5) < abs(linear - 0.5)
