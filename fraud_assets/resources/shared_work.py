"""What the trials of a study do once for all of them. Imported only where Ray is, as `trial_worker` is."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
from threadpoolctl import threadpool_limits

from fraud_assets.ml.resample import Resampler
from fraud_assets.ml.study import StudyData


@dataclass(frozen=True)
class Scored:
    """What a configuration came to.

    Attributes:
        result: what its trial reports.
        predictions: those for the validating rows of all folds, shape (rows,), float32.
    """

    result: dict[str, Any]
    predictions: np.ndarray


class ScoredConfigurations:
    """Remembers what configurations came to, so that none is fitted again: a small space suggests some repeatedly.

    What was not asked for longest is forgotten when the bound is passed. Two trials that begin at once with the same
    configuration both fit it.
    """

    def __init__(self, memory_bytes: float) -> None:
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._scored: OrderedDict[str, Scored] = OrderedDict()

    def find(self, key: str) -> Scored | None:
        """What the configuration with this `fit_key` came to, if it is known."""
        with self._lock:
            if key in self._scored:
                self._scored.move_to_end(key)
            return self._scored.get(key)

    def keep(self, key: str, scored: Scored) -> None:
        """Remember it."""
        with self._lock:
            self._scored[key] = scored
            while sum(found.predictions.nbytes for found in self._scored.values()) > self._memory_bytes:
                self._scored.popitem(last=False)


class ResampledFolds:
    """Resamples each fold with each resampler once, when a trial first asks, and shares it with all of them.

    What was not asked for longest is forgotten when the bound is passed, and resampled again when it is asked for
    again; a trial that still works with it keeps it alive. Threads may ask at the same time.
    """

    def __init__(self, study: StudyData, memory_bytes: float) -> None:
        self._study = study
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        # What was asked for last is at the end.
        self._made: OrderedDict[tuple[int, Resampler], Future[_Shared]] = OrderedDict()

    def of(self, fold: int, resampler: Resampler) -> ray.ObjectRef:
        """A reference to the resampled fold; errors are those of `StudyData.resample`."""
        key = (fold, resampler)
        with self._lock:
            made = self._made.get(key)
            if first := made is None:
                made = self._made[key] = Future()
            self._made.move_to_end(key)
        if first:
            try:
                with all_cores() as cores:
                    resampled = self._study.resample(fold, resampler, cores)
                size = resampled.kept.nbytes + resampled.made_up.nbytes + resampled.made_up_labels.nbytes
                made.set_result(_Shared(ray.put(resampled), size))
            except BaseException as error:  # noqa: BLE001 - raised by `result`, here and where others wait
                with self._lock:
                    del self._made[key]
                made.set_exception(error)
        reference = made.result().reference
        self._forget()
        return reference

    def kept(self) -> list[tuple[int, Resampler]]:
        """What would not be resampled again if it were asked for now, what was asked for last at the end."""
        return list(self._made)

    def _forget(self) -> None:
        with self._lock:
            sizes = {key: made.result().size for key, made in self._made.items() if made.done()}
            for key, size in list(sizes.items())[:-1]:
                if sum(sizes.values()) <= self._memory_bytes:
                    break
                del self._made[key]
                sizes[key] -= size


@dataclass(frozen=True)
class _Shared:
    """A value in Ray's object store, and its bytes."""

    reference: ray.ObjectRef
    size: int


class SharedWork:
    """The actor of a study that its trials ask: one process for both, as each that is started costs a second."""

    def __init__(self, study: StudyData, resampled_bytes: float, scored_bytes: float) -> None:
        self._resampled = ResampledFolds(study, resampled_bytes)
        self._scored = ScoredConfigurations(scored_bytes)

    def resampled(self, fold: int, resampler: Resampler) -> list[ray.ObjectRef]:
        """What `ResampledFolds.of` says, in a list so that the caller gets the reference and not the value."""
        return [self._resampled.of(fold, resampler)]

    def kept(self) -> list[tuple[int, Resampler]]:
        """See `ResampledFolds.kept`."""
        return self._resampled.kept()

    def scored(self, key: str) -> Scored | None:
        """See `ScoredConfigurations.find`."""
        return self._scored.find(key)

    def keep(self, key: str, scored: Scored) -> None:
        """See `ScoredConfigurations.keep`."""
        self._scored.keep(key, scored)


@contextmanager
def all_cores() -> Iterator[int]:
    """Compute with as many threads as Ray has CPUs on this machine: how many.

    A search for neighbours takes long, and trials are waiting for it. scikit-learn searches in trees by `n_jobs`
    threads, but past 15 columns, where it compares all rows, by those of OpenMP, and of these Ray gives an actor one.
    """
    here = ray.get_runtime_context().get_node_id()
    cores = max(1, *(int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["NodeID"] == here))
    # Only libraries that are loaded have a limit.
    import sklearn.neighbors  # noqa: F401

    with threadpool_limits(cores, user_api="openmp"):
        yield cores
