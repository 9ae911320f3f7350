"""What runs inside Ray. Imported only where Ray is: by `ray_tune` when a study begins, and by Ray's workers."""

import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial

from fraud_assets.ml.matrices import Matrices
from fraud_assets.ml.resample import Resampled, Resampler
from fraud_assets.ml.study import StudyData, run_trial
from fraud_assets.resources.trials import OUT_OF_FOLD, TrialListener, TrialRecord, TrialStatus

# What Tune adds to each result of its own accord.
_TUNE_KEYS = frozenset({"done", "trial_id", "timestamp", "pid", "training_iteration"})
_TUNE_PREFIXES = ("time_", "iterations_", "config/")


class FraudTrial(tune.Trainable):
    """One configuration, fitted and scored on every fold in a single step; its checkpoint is what it predicted there.

    A worker outlives its trials (`reuse_actors`): starting a process and importing takes longer than most fits.
    """

    def setup(self, config: dict[str, Any], study: StudyData, resampled: Any, threads: int) -> None:
        self._resampled = resampled
        self._matrices = Matrices(study, self._resample_fold, threads)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config = new_config
        return True

    def step(self) -> dict[str, Any]:
        result, unseen = run_trial(self.config, self._matrices)
        self._predictions = np.concatenate(unseen.predictions).astype(np.float32)
        return {**result, "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        np.save(Path(checkpoint_dir, OUT_OF_FOLD), self._predictions)

    def _resample_fold(self, fold: int, resampler: Resampler) -> Resampled:
        (reference,) = ray.get(self._resampled.of.remote(fold, resampler))
        resampled: Resampled = ray.get(reference)
        return resampled


class ResampledFolds:
    """Resamples each fold with each resampler once, when a trial first asks, and shares it with all of them.

    What was not asked for longest is forgotten when the bound is passed, and resampled again when it is asked for
    again; a trial that still works with it keeps it alive.
    """

    def __init__(self, study: list[ray.ObjectRef], memory_bytes: float) -> None:
        # The reference comes in a list: Ray hands over a bare one as the value, a copy for every task.
        self._study = study[0]
        self._memory_bytes = memory_bytes
        # (value, its bytes) by key, what was asked for last at the end.
        self._references: OrderedDict[tuple[int, Resampler], tuple[ray.ObjectRef, ray.ObjectRef]] = OrderedDict()

    def of(self, fold: int, resampler: Resampler) -> list[ray.ObjectRef]:
        """A reference to the resampled fold, in a list so that the caller gets the reference and not the value."""
        key = (fold, resampler)
        if key not in self._references:
            self._references[key] = tuple(_resample.remote(self._study, fold, resampler))
        self._references.move_to_end(key)
        self._forget()
        return [self._references[key][0]]

    def kept(self) -> list[tuple[int, Resampler]]:
        """What would not be resampled again if it were asked for now, what was asked for last at the end."""
        return list(self._references)

    def _forget(self) -> None:
        sizes = [reference for _, reference in self._references.values()]
        done, _ = ray.wait(sizes, num_returns=len(sizes), timeout=0)
        # A task that failed has no size; the trials that ask for its value are told why.
        known = {key: _size(size) for key, (_, size) in self._references.items() if size in done}
        while sum(known.values()) > self._memory_bytes and len(self._references) > 1:
            key, _ = self._references.popitem(last=False)
            known.pop(key, None)


def _size(reference: ray.ObjectRef) -> int:
    try:
        return int(ray.get(reference))
    except ray.exceptions.RayError:
        return 0


# No CPU of its own: the trial that waits for it holds one, and all CPUs may be held by trials.
@ray.remote(num_cpus=0, num_returns=2)
def _resample(study: StudyData, fold: int, resampler: Resampler) -> tuple[Resampled, int]:
    # A search for neighbours takes long, and trials are waiting for it: all cores, not only one trial's.
    resampled = study.resample(fold, resampler, cpus_of_this_node())
    return resampled, resampled.kept.nbytes + resampled.made_up.nbytes + resampled.made_up_labels.nbytes


def cpus_of_this_node() -> int:
    """How many CPUs Ray has on the machine that this runs on, at least 1."""
    here = ray.get_runtime_context().get_node_id()
    return max(1, *(int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["NodeID"] == here))


def reported(result: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that a trial reported, without those that Tune adds to each result of its own accord."""
    return {
        name: float(value)
        for name, value in result.items()
        if isinstance(value, int | float) and name not in _TUNE_KEYS and not name.startswith(_TUNE_PREFIXES)
    }


class StopAtInterrupt(tune.Callback):
    """Raises once more, where it can't be lost, an interrupt that Tune's loop has lost: see `remembered_interrupts`."""

    interrupts: Sequence[BaseException] = ()

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks into the experiment's folder.
        return {}

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if self.interrupts:
            raise self.interrupts[0]


class ListenerCallback(tune.Callback):
    """Tells listeners of trials as Tune's own loop, in the driver's main thread, hears of them."""

    def __init__(self, listeners: list[TrialListener]) -> None:
        self._listeners = listeners

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks into the experiment's folder; listeners hold loggers and clients of this process.
        return {"_listeners": []}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        for listener in self._listeners:
            listener.trial_started(TrialRecord(trial.trial_id, dict(trial.config), "running"))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        result = trial.last_result or {}
        metrics = reported(result)
        self._ended(trial, "finished" if metrics else "stopped", metrics, seconds=result.get("time_total_s"))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._ended(trial, "failed", error=_error_of(trial))

    def _ended(
        self, trial: Trial, status: TrialStatus, metrics: Mapping[str, float] | None = None, **more: Any
    ) -> None:
        ended = TrialRecord(trial.trial_id, dict(trial.config), status, metrics or {}, **more)
        for listener in self._listeners:
            listener.trial_ended(ended)


def _error_of(trial: Trial) -> str:
    # Where Tune has just written it; `Trial.get_error` reads the storage, which has it later.
    if trial.pickled_error_file and Path(trial.pickled_error_file).exists():
        return describe(pickle.loads(Path(trial.pickled_error_file).read_bytes()))
    return Path(trial.error_file).read_text() if trial.error_file else "Tune reports an error without a message"


def describe(error: Exception) -> str:
    """What went wrong in a worker: the error in the first line, then the worker's traceback."""
    cause = getattr(error, "cause", None) or error
    # Ray colours the names of processes.
    return f"{type(cause).__name__}: {cause}\n\n" + re.sub(r"\x1b\[\d*m", "", str(error))


@contextmanager
def no_keys_in_runtime_environments() -> Iterator[None]:
    """Keep Tune from handing the S3 keys of the driver's environment to its workers, which have no use for them.

    It does so in their runtime environment, which Ray writes into a log of each machine and shows in its dashboard.
    """
    propagated = class_cache.ENV_VARS_TO_PROPAGATE
    keys = {name for name in propagated if name.startswith("AWS_")}
    propagated -= keys
    try:
        yield
    finally:
        propagated |= keys


def thread_count(cpus_per_trial: float) -> int:
    """Threads for a trial that Ray granted so many CPUs."""
    return max(1, math.floor(cpus_per_trial))
