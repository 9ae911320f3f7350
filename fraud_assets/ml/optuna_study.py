"""A finished search as an Optuna study, and what Optuna says of its parameters."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fraud_assets.ml.evaluate import Metric, Objective, direction
from fraud_assets.ml.schema import DataError, read_info
from fraud_assets.ml.search_space import SearchSpace

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, TrialState

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


def to_study(
    grid: pd.DataFrame | pa.Table,
    metric: Metric | None = None,
    second: Objective | None = None,
    *,
    space: SearchSpace | None = None,
) -> "Study":
    """The trials of a search as a study in memory, in their order.

    A pruned trial is PRUNED, with what it scored where it was pruned; any other without a finite score is FAIL,
    whatever ended it. The user attribute `name` of a trial is the grid's.

    Args:
        grid: the value of `tuning_results`, a table; or what `result_grid.grid_frame` made.
        metric: what is improved; None for what the search improved, where `grid` is a table. The study has the
            experiment's name then.
        second: what is weighed against it, if `metric` is given.
        space: what the trials were suggested by; the study has its ranges then, and what it adds to a configuration as
            constants is in the user attribute `constants`. The grid doesn't know it. Without it each value of a
            configuration is a parameter, and a range is that of the values that occur: an integer or float one,
            logarithmic where that fits the values better, else categorical. In both cases a conditional parameter is
            absent where it was not asked for.

    Raises:
        DataError: there is no metric, and `grid` doesn't say which one was improved.
        ValueError: `space` doesn't suggest the configuration of a trial.
    """
    import optuna

    study_name = None
    if isinstance(grid, pa.Table):
        if metric is None:
            info = read_info(grid)
            metric, second, study_name = info["metric"], info["preference"]["second"], info["experiment"]
        grid = grid.to_pandas()
    if metric is None:
        raise DataError("which metric was improved is not in a DataFrame: pass metric, or tuning_results as a table")
    configurations = [_parameters(text) for text in grid["params"]]
    if space is None:
        names = list(dict.fromkeys(name for configuration in configurations for name in configuration))
        inferred = {name: _distribution([c[name] for c in configurations if name in c]) for name in names}
        distributions = [{name: inferred[name] for name in configuration} for configuration in configurations]
    else:
        distributions = [suggested(space, configuration) for configuration in configurations]
    objectives = [metric] if second is None else [metric, second]
    study = optuna.create_study(study_name=study_name, directions=directions(objectives))
    for configuration, ranges, name, status, rounds, scores in zip(
        configurations,
        distributions,
        grid["name"],
        grid["status"],
        grid["rounds"],
        grid[objectives].astype(float).to_numpy(),
        strict=True,
    ):
        state, values = outcome(status, scores.tolist())
        study.add_trial(
            optuna.trial.create_trial(
                state=state,
                values=values,
                intermediate_values=on_the_way(status, rounds, scores.tolist()),
                params={parameter: configuration[parameter] for parameter in ranges},
                distributions=ranges,
                user_attrs={"name": name, **constants(configuration, ranges)},
            )
        )
    return study


def directions(objectives: Sequence[Objective]) -> list[str]:
    """Optuna's name for what is better, of each."""
    return ["minimize" if direction(objective) == "min" else "maximize" for objective in objectives]


def outcome(status: str, scores: Sequence[float]) -> "tuple[TrialState, list[float] | None]":
    """What Optuna calls a trial with this status, and its values; a pruned one's is the last, as after `Study.tell`."""
    from optuna.trial import TrialState

    if status == "running":
        return TrialState.RUNNING, None
    if status == "finished" and np.isfinite(scores).all():
        return TrialState.COMPLETE, list(scores)
    if status == "pruned" and np.isfinite(scores[0]):
        return TrialState.PRUNED, list(scores) if len(scores) == 1 else None
    return TrialState.FAIL, None


def on_the_way(status: str, rounds: float, scores: Sequence[float]) -> dict[int, float]:
    """What a trial scored before its end, by boosting rounds: known of pruned ones."""
    return {int(rounds): float(scores[0])} if status == "pruned" and np.isfinite(scores[0]) else {}


def suggested(space: SearchSpace, configuration: Mapping[str, Any]) -> "dict[str, BaseDistribution]":
    """The ranges from which a search space suggests a configuration, by parameter; constants have none.

    Optuna lets a point to start from be out of a range, and no finished trial: such a range reaches to the value.

    Raises:
        ValueError: the space doesn't suggest that.
    """
    import optuna

    trial = optuna.trial.FixedTrial(dict(configuration))
    space.suggest(trial)
    return {name: _reaching(range_, configuration[name]) for name, range_ in trial.distributions.items()}


def constants(configuration: Mapping[str, Any], suggested: Mapping[str, Any]) -> dict[str, Any]:
    """As a user attribute: the values of a configuration that were not `suggested`; empty if all were."""
    rest = {name: value for name, value in configuration.items() if name not in suggested}
    return {"constants": rest} if rest else {}


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


def _reaching(distribution: "BaseDistribution", value: Any) -> "BaseDistribution":
    """The range, or the smallest without a step that has the value too."""
    from optuna.distributions import FloatDistribution, IntDistribution

    if not isinstance(distribution, FloatDistribution | IntDistribution):
        return distribution
    low, high, step = distribution.low, distribution.high, distribution.step
    steps = (value - low) / (step or 1)
    if low <= value <= high and (step is None or math.isclose(steps, round(steps), abs_tol=1e-8)):
        return distribution
    return type(distribution)(min(low, value), max(high, value), log=distribution.log)


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether `values` lie more evenly on a logarithmic axis: all positive, a decade apart, the median more central."""
    low, middle, high = min(values), float(np.median(values)), max(values)
    if low <= 0 or high < 10 * low:
        return False
    linear = (middle - low) / (high - low)
    logarithmic = math.log(middle / low) / math.log(high / low)
    return abs(logarithmic - 0.5) < abs(linear - 0.5)
