"""What runs inside Ray. Imported only where Ray is: by `ray_tune` when a study begins, and by Ray's workers."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import ObjectLostError
from ray.tune.execution import class_cache

from fraud_assets.ml.booster import fit_key
from fraud_assets.ml.evaluate import Metric
from fraud_assets.ml.fold_fits import FoldFits
from fraud_assets.ml.matrices import Matrices
from fraud_assets.ml.pruning import Pruning
from fraud_assets.ml.resample import Resampled, Resampler
from fraud_assets.ml.study import StudyData, partial_result, trial_result
from fraud_assets.resources.shared_work import Scored
from fraud_assets.resources.telling_trial import TellingTrial
from fraud_assets.resources.trials import (
    COMPLETE,
    CURVE,
    OUT_OF_FOLD,
    ROUNDS_TRAINED,
)

# How often a worker asks for a resampled fold that gets lost.
_ASKS = 3


class FraudTrial(TellingTrial):
    """One configuration, fitted and scored on every fold; its checkpoint is what it predicted there.

    A step is a fit to the end, or, where the search prunes, to the next milestone. A worker outlives its trials
    (`reuse_actors`): starting a process and importing takes longer than most fits.
    """

    def setup(
        self,
        config: dict[str, Any],
        study: StudyData,
        shared: Any,
        metric: Metric,
        objectives: Sequence[str],
        pruning: Pruning | None,
        threads: int,
    ) -> None:
        self._study = study
        self._shared = shared
        self._metric = metric
        self.objectives = objectives
        self._pruning = pruning
        self._matrices = Matrices(study, self._resample_fold, threads)
        self._begin()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config = new_config
        self._begin()
        return True

    def _begin(self) -> None:
        self._fits: FoldFits | None = None
        self._predictions: np.ndarray | None = None

    def fit_on(self) -> dict[str, Any]:
        key = fit_key(self.config)
        if self._fits is None:
            found: Scored | None = ray.get(self._shared.scored.remote(key))
            if found is not None:
                return self._complete(found)
            self._fits = FoldFits(self.config, self._matrices)
        fits, pruning = self._fits, self._pruning
        fits.advance(None if pruning is None else pruning.milestone_after(fits.rounds))
        unseen = fits.out_of_fold()
        if not fits.finished:
            partial = partial_result(self._study, unseen, self._metric)
            return {**partial, ROUNDS_TRAINED: fits.rounds, CURVE: unseen.curve}
        result = {**trial_result(self._study, unseen), ROUNDS_TRAINED: fits.rounds, CURVE: unseen.curve}
        self.require_finite(result)
        scored = Scored(result, np.concatenate(unseen.predictions).astype(np.float32))
        self._shared.keep.remote(key, scored)
        return self._complete(scored)

    def _complete(self, scored: Scored) -> dict[str, Any]:
        self._fits = None
        self._predictions = scored.predictions
        return {**scored.result, COMPLETE: True, "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        if self._predictions is not None:  # Tune asks a pruned trial for one too
            np.save(Path(checkpoint_dir, OUT_OF_FOLD), self._predictions)

    def _resample_fold(self, fold: int, resampler: Resampler) -> Resampled:
        for left in reversed(range(_ASKS)):
            (reference,) = ray.get(self._shared.resampled.remote(fold, resampler))
            try:
                resampled: Resampled = ray.get(reference)
                return resampled
            except ObjectLostError:
                # The actor died with what it had made; another one, in its place, makes it again.
                if not left:
                    raise
        raise AssertionError


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
