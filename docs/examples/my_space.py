"""A search space of your own: `search_space: my_space:shallow_trees`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import Trial


def shallow_trees(trial: "Trial") -> dict[str, Any]:
    """Each suggestion is a parameter of the trial; what is returned is the same in every trial."""
    trial.suggest_int("max_depth", 2, 4)
    trial.suggest_float("eta", 0.05, 0.3, log=True)
    trial.suggest_float("subsample", 0.5, 1.0)
    # What makes no sense for what was suggested before is not asked for.
    if trial.suggest_categorical("grow_policy", ["depthwise", "lossguide"]) == "lossguide":
        trial.suggest_int("max_leaves", 4, 16)
    return {"tree_method": "hist", "max_bin": 4096, "n_estimators": 300, "early_stopping_rounds": 30}


# Scored first, if it is there: the margin over not having tuned at all is told against it.
shallow_trees.defaults = {"max_depth": 4, "eta": 0.3, "subsample": 1.0, "grow_policy": "depthwise"}
