"""Search spaces of a user's own, to be named by import path."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.trial import Trial

NOT_A_FUNCTION = {"eta": 0.1}


def shallow(trial: "Trial") -> None:
    trial.suggest_int("max_depth", 1, 3)


def with_defaults(trial: "Trial") -> None:
    trial.suggest_int("max_depth", 1, 8)


with_defaults.defaults = {"max_depth": 6}  # type: ignore[attr-defined]


def with_bad_defaults(trial: "Trial") -> None:
    trial.suggest_int("max_depth", 1, 8)


with_bad_defaults.defaults = [6]  # type: ignore[attr-defined]
