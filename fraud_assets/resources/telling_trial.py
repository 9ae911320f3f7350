"""What trials do with an error. Imported only where Ray is, as `trial_worker` is."""

import math
import re
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from ray import tune
from ray.exceptions import RayError, RayTaskError

from fraud_assets.resources.patience import patiently
from fraud_assets.resources.trials import ERROR


class TellingTrial(tune.Trainable):
    """A trial that tells what it raised as its result: its worker lives on, and Tune has nothing to try again.

    So all that is an error to Tune is a lost worker, or what was lost with one, which may go well another time.
    """

    objectives: Sequence[str]

    def step(self) -> dict[str, Any]:
        try:
            return self.fit_on()
        except RayTaskError as error:  # raised in the study's actor
            if isinstance(error.cause, RayError):
                # Ray's own: a machine or its object store went away under the actor, as when all is shut down.
                raise
            return self._failed(describe(error))
        except RayError:
            raise
        except Exception as error:  # noqa: BLE001 - told in the grid, in MLflow and in the log
            return self._failed(f"{type(error).__name__}: {error}\n\n{traceback.format_exc()}")

    def save(self, checkpoint_dir: str | None = None) -> Any:
        # A storage that is away for a while costs no trial.
        return patiently(lambda: super(TellingTrial, self).save(checkpoint_dir), OSError)

    def fit_on(self) -> dict[str, Any]:
        """Fit, and return a result."""
        raise NotImplementedError

    def _failed(self, error: str) -> dict[str, Any]:
        # Tune refuses a result without what it was told to look at.
        return {**dict.fromkeys(self.objectives, math.nan), ERROR: error, "done": True}

    def require_finite(self, result: Mapping[str, Any]) -> None:
        """Raise FloatingPointError where an objective is not a number: no comparison would find it worse."""
        for name in self.objectives:
            if not math.isfinite(result[name]):
                raise FloatingPointError(f"{name} is {result[name]}: the trial can't be compared with others")


def describe(error: Exception) -> str:
    """What went wrong in a worker: the error in the first line, then the worker's traceback."""
    cause = getattr(error, "cause", None) or error
    # Ray colours the names of processes.
    return f"{type(cause).__name__}: {cause}\n\n" + re.sub(r"\x1b\[\d*m", "", str(error))
