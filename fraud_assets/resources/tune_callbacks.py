"""What Tune's loop tells us of trials. Imported only where Ray is, as `trial_worker` is."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from fraud_assets.resources.telling_trial import describe
from fraud_assets.resources.trials import (
    COMPLETE,
    CURVE,
    ERROR,
    ROUNDS_TRAINED,
    TrialListener,
    TrialRecord,
    TrialStatus,
)

# What Tune adds to each result of its own accord.
_TUNE_KEYS = frozenset({"done", "trial_id", "timestamp", "pid", "training_iteration"})
# What tells Tune and us where a trial stands.
_PROGRESS_KEYS = frozenset({COMPLETE, ROUNDS_TRAINED})
_TUNE_PREFIXES = ("time_", "iterations_", "config/")


def status_of(result: Mapping[str, Any]) -> TrialStatus:
    """How a trial of which Tune knows no error ended, from its last result."""
    if result.get(ERROR):
        return "failed"
    if result.get(COMPLETE):
        return "finished"
    # Of a trial that the scheduler stops Tune says that it is done; the time budget stops it without a word.
    return "pruned" if ROUNDS_TRAINED in result and result.get("done") else "stopped"


def reported(result: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that a trial reported of its model, without those that say where it stands."""
    return {
        name: float(value)
        for name, value in result.items()
        if isinstance(value, int | float)
        and name not in _TUNE_KEYS | _PROGRESS_KEYS
        and not name.startswith(_TUNE_PREFIXES)
    }


class StopAtError(tune.Callback):
    """Raises where it can't be lost what must end the study: Tune logs what comes up while it stops a trial.

    Attributes:
        interrupts: those that Tune's loop may have lost; see `remembered_interrupts`.
        errors: what listeners have raised.
    """

    def __init__(self) -> None:
        self.interrupts: Sequence[BaseException] = ()
        self.errors: list[Exception] = []

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks into the experiment's folder.
        return {}

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self.check()

    def check(self) -> None:
        """Raise the first of them."""
        for error in (*self.interrupts, *self.errors):
            raise error


class ListenerCallback(tune.Callback):
    """Tells listeners of trials as Tune's own loop, in the driver's main thread, hears of them."""

    def __init__(self, listeners: list[TrialListener], stop: StopAtError) -> None:
        self._listeners = listeners
        self._stop = stop

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks into the experiment's folder; listeners hold loggers and clients of this process.
        return {"_listeners": [], "_stop": self._stop}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        started = TrialRecord(trial.trial_id, dict(trial.config), "running")
        self._tell(lambda listener: listener.trial_started(started))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        result = trial.last_result or {}
        status = status_of(result)
        checkpoint = trial.checkpoint.path if trial.checkpoint and status == "finished" else None
        if status == "finished" and checkpoint is None:
            status = "stopped"  # between its result and its checkpoint
        metrics = reported(result) if status in ("finished", "pruned") else {}
        more = {"seconds": result.get("time_total_s"), "checkpoint": checkpoint, "error": result.get(ERROR)}
        self._ended(trial, status, metrics, curve=result.get(CURVE, []) if metrics else [], **more)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._ended(trial, "failed", error=_error_of(trial))

    def _ended(
        self, trial: Trial, status: TrialStatus, metrics: Mapping[str, float] | None = None, **more: Any
    ) -> None:
        ended = TrialRecord(trial.trial_id, dict(trial.config), status, metrics or {}, **more)
        self._tell(lambda listener: listener.trial_ended(ended))

    def _tell(self, event: Callable[[TrialListener], None]) -> None:
        for listener in self._listeners:
            try:
                event(listener)
            except Exception as error:  # noqa: BLE001 - raised by `StopAtError`
                self._stop.errors.append(error)


def _error_of(trial: Trial) -> str:
    # Where Tune has just written it; `Trial.get_error` reads the storage, which has it later.
    if trial.pickled_error_file and Path(trial.pickled_error_file).exists():
        return describe(pickle.loads(Path(trial.pickled_error_file).read_bytes()))
    return Path(trial.error_file).read_text() if trial.error_file else "Tune reports an error without a message"
