"""Define-by-run search spaces: what a trial may try.

A space is a function of an Optuna trial (https://optuna.readthedocs.io, "Pythonic search space"): each `suggest_*` call
names one parameter, and a parameter that makes no sense for what was suggested before is not asked for. What the
function returns is added to the trial's configuration as constants.

A parameter is `resampler` (see `resample.Resampler`), its `sampling_ratio`, `resampler__<name>` for the argument <name>
of a resampler of your own, or one of XGBoost's
(https://xgboost.readthedocs.io/en/stable/parameter.html), by its own name or by its alias in the scikit-learn
interface; `n_estimators` is the number of boosting rounds, at most where there are `early_stopping_rounds`. The booster
is one of XGBoost's, or `forest` for its random forest. The objective has to predict probabilities: "binary:logistic",
unless the space names another.
"""

import pkgutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fraud_assets.ml.fraud_space import FRAUD_DEFAULTS, FRAUD_START, fraud, fraud_distributed

if TYPE_CHECKING:
    from optuna.trial import Trial

Suggest = Callable[["Trial"], Mapping[str, Any] | None]


@dataclass(frozen=True)
class SearchSpace:
    """A search space and the point in it that means "nothing was tuned".

    Attributes:
        name: what the user wrote: a name in `SEARCH_SPACES` or an import path.
        suggest: the define-by-run function.
        defaults: XGBoost's own defaults, as a point of this space; scored as the first trial, so that every result can
            be compared with not having tuned at all. None where the space's author gave none.
        start: points worth trying before the search has learnt anything; scored next.
    """

    name: str
    suggest: Suggest
    defaults: Mapping[str, Any] | None = None
    start: tuple[Mapping[str, Any], ...] = ()

    def sample(self, number: int) -> Iterator[dict[str, Any]]:
        """So many configurations, drawn at random, always the same: what the space may suggest, as far as one can see.

        What one in thirty configurations has is missed by 200 of them in one case of 900.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(number):
            trial = study.ask()
            constants = self.suggest(trial) or {}
            yield {**trial.params, **constants}

    def first_points(self, known: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
        """What is scored before the search suggests: the defaults, then what is `known` to be good, then `start`.

        Args:
            known: configurations of an earlier search. Those that this space would not suggest are left out: the space,
                or its ranges, may have been another one then.
        """
        earlier = [point for params in known if (point := self.point(params)) is not None]
        unique: list[dict[str, Any]] = []
        for first in [*([self.defaults] if self.defaults else []), *earlier, *self.start]:
            if dict(first) not in unique:
                unique.append(dict(first))
        return unique

    def point(self, params: Mapping[str, Any]) -> dict[str, Any] | None:
        """The part of a configuration that this space suggests, or None if it would not suggest that."""
        import optuna

        trial = optuna.trial.FixedTrial(dict(params))
        with warnings.catch_warnings():
            # Optuna takes a value out of range with a warning, in a search too.
            warnings.simplefilter("error", UserWarning)
            try:
                self.suggest(trial)
            except (ValueError, UserWarning):
                return None
        return dict(trial.params)


def article(trial: "Trial") -> dict[str, Any]:
    """The published space: a resampler, a booster, L1 and L2, and for the tree boosters the shape of the trees."""
    trial.suggest_categorical("resampler", ["allknn", "smote", "passthrough"])
    booster = trial.suggest_categorical("booster", ["gbtree", "gblinear", "dart"])
    trial.suggest_float("lambda", 1e-8, 1.0, log=True)
    trial.suggest_float("alpha", 1e-8, 1.0, log=True)
    if booster != "gblinear":
        trial.suggest_int("max_depth", 3, 10)
        trial.suggest_float("eta", 1e-3, 0.3, log=True)
        trial.suggest_float("gamma", 1e-8, 1.0, log=True)
        trial.suggest_categorical("grow_policy", ["depthwise", "lossguide"])
    return {"objective": "binary:logistic"}


# XGBoost's defaults for alpha and gamma are 0, which a logarithmic range has not: its lower end stands for them.
_ARTICLE_DEFAULTS = {
    "resampler": "passthrough",
    "booster": "gbtree",
    "lambda": 1.0,
    "alpha": 1e-8,
    "max_depth": 6,
    "eta": 0.3,
    "gamma": 1e-8,
    "grow_policy": "depthwise",
}

SEARCH_SPACES = {
    "article": SearchSpace("article", article, _ARTICLE_DEFAULTS),
    "fraud": SearchSpace("fraud", fraud, FRAUD_DEFAULTS, FRAUD_START),
    "fraud_distributed": SearchSpace("fraud_distributed", fraud_distributed, FRAUD_DEFAULTS, FRAUD_START),
}


def resolve_search_space(name: str) -> SearchSpace:
    """The space called `name`: one of `SEARCH_SPACES`, or `package.module:function` for a user's own.

    A function with an attribute `defaults` (a mapping) brings its own default point.

    Raises:
        ValueError: there is no such space; the message says what would be accepted.
    """
    if name in SEARCH_SPACES:
        return SEARCH_SPACES[name]
    expected = f"expected one of {sorted(SEARCH_SPACES)} or an import path such as 'my_package.spaces:my_space'"
    if ":" not in name:
        raise ValueError(f"search_space {name!r} is unknown: {expected}")
    try:
        suggest = pkgutil.resolve_name(name)
    except Exception as error:  # importing runs the user's code, which may raise anything
        raise ValueError(f"search_space {name!r} can't be imported ({error!r}): {expected}") from error
    if not callable(suggest):
        raise ValueError(f"search_space {name!r} is a {type(suggest).__name__}, not a function of an Optuna trial")
    defaults = getattr(suggest, "defaults", None)
    if not isinstance(defaults, Mapping | None):
        raise ValueError(f"the defaults of search_space {name!r} are a {type(defaults).__name__}, not a mapping")
    return SearchSpace(name, suggest, defaults)
