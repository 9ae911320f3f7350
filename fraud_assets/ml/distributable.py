"""What can be fitted on rows that are spread over several processes."""

from collections.abc import Mapping
from typing import Any

from fraud_assets.ml.booster import booster_params
from fraud_assets.ml.resample import Resampler
from fraud_assets.ml.search_space import SearchSpace

_LOOKED_AT = 200
# What draws by the labels alone; the others look at all rows.
_RESAMPLERS = ("passthrough", "random_under")
# XGBoost merges its histograms between processes, and no other method's work on a matrix of bins.
_TREE_METHODS = ("hist", "auto")


def obstacle(params: Mapping[str, Any]) -> str | None:
    """What of a configuration can't be fitted on spread rows, and why; None where all of it can."""
    resampler = Resampler.of(params).name
    if resampler not in _RESAMPLERS:
        return f"resampler {resampler!r}, which has to see all rows at once"
    native = booster_params(params, seed=0, threads=1)
    booster = native.get("booster", "gbtree")
    if booster == "dart":
        return "booster 'dart', whose processes would each drop other trees"
    if booster != "gbtree":
        return f"booster {booster!r}, which XGBoost fits in one process only"
    method = native.get("tree_method", "auto")
    return (
        None if method in _TREE_METHODS else f"tree_method {method!r}, while only hist is fitted in several processes"
    )


def require_distributable(space: SearchSpace) -> None:
    """Look at random configurations of a space, so that an obstacle is told before any trial starts.

    Raises:
        ValueError: the space suggests what can't be fitted on spread rows.
    """
    for params in space.sample(_LOOKED_AT):
        problem = obstacle(params)
        if problem is not None:
            raise ValueError(
                f"search_space {space.name!r} suggests {problem}: with workers_per_trial over 1 use fraud_distributed, "
                "or a space of your own without it; or set workers_per_trial to 1"
            )
