"""Trials whose worker is lost between two trials. Imported only where Ray is, as `trial_worker` is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.exceptions import RayError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial


@contextmanager
def retried_before_their_start() -> Iterator[None]:
    """Have Tune start anew a trial whose worker dies while it is made ready for it, as it does later.

    Ray 2.60 looks at `max_failures` only where a trial is RUNNING (`TuneController._process_trial_failure`). With
    `reuse_actors`, one that a worker is handed over to is still PENDING, and would fail at once.
    """
    process = TuneController._process_trial_failure

    def process_trial_failure(self: Any, trial: Trial, exception: Exception) -> None:
        if trial.status == Trial.PENDING and isinstance(exception, RayError):
            self._set_trial_status(trial, Trial.RUNNING)
        process(self, trial, exception)

    TuneController._process_trial_failure = process_trial_failure
    try:
        yield
    finally:
        TuneController._process_trial_failure = process
