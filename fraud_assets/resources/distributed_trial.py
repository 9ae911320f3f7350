"""A trial that is fitted by several workers, for data that one machine's memory doesn't hold.

Imported only where Ray is, as `trial_worker` is.
"""

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.train
from ray import tune
from ray.train.xgboost import XGBoostTrainer

from fraud_assets.ml.distributable import obstacle
from fraud_assets.ml.resample import Resampler
from fraud_assets.ml.study import StudyData, trial_result
from fraud_assets.resources.distributed_fit import FitRequest, Fitted, fit_folds
from fraud_assets.resources.feature_blocks import FeatureBlocks, encode
from fraud_assets.resources.stored_features import StoredFeatures
from fraud_assets.resources.telling_trial import TellingTrial
from fraud_assets.resources.trials import COMPLETE, CURVE, OUT_OF_FOLD

# Where there are few row groups: so that a fold that fits on a part of the time span has rows for each worker.
_BLOCKS_A_WORKER = 8


class DistributedTrial(TellingTrial):
    """One configuration, fitted on every fold by a group of Ray Train's workers; otherwise as `FraudTrial`.

    The trial itself fits nothing and holds no CPU: its workers hold them all, and are placed on as many machines as
    there are (https://docs.ray.io/en/latest/train/user-guides/hyperparameter-optimization.html).
    """

    def setup(
        self,
        config: dict[str, Any],
        study: list[ray.ObjectRef],
        blocks: FeatureBlocks,
        objectives: Sequence[str],
        workers: int,
        cpus: float,
        threads: int,
    ) -> None:
        # How often Ray Train looks whether workers are done: with its default of 2 s a small trial takes 13 s, not 10.
        os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.25")
        self._reference = study
        self._study: StudyData = ray.get(study[0])
        self._blocks = blocks
        self.objectives = objectives
        self._predictions: np.ndarray | None = None
        self._scaling = ray.train.ScalingConfig(
            num_workers=workers, resources_per_worker={"CPU": cpus}, placement_strategy="SPREAD"
        )
        self._threads = threads

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config = new_config
        self._predictions = None
        return True

    def fit_on(self) -> dict[str, Any]:
        problem = obstacle(self.config)
        if problem is not None:
            raise ValueError(f"workers_per_trial is over 1, and the search space suggests {problem}")
        request = FitRequest(dict(self.config), self._reference, self._blocks, self._kept(), self._threads)
        # Nothing is written but a marker: what was fitted comes back as a value.
        with tempfile.TemporaryDirectory() as folder:
            trainer = XGBoostTrainer(
                fit_folds,
                train_loop_config={"request": request},
                scaling_config=self._scaling,
                run_config=ray.train.RunConfig(name=self.trial_id, storage_path=folder),
            )
            try:
                fitted: Fitted = trainer.fit().return_value
            except ray.train.WorkerGroupError as error:
                # The others' errors only say that a worker is gone.
                raise min(error.worker_failures.items())[1] from error
        unseen = fitted.unseen
        self._predictions = np.concatenate(unseen.predictions).astype(np.float32)
        result = trial_result(self._study, unseen)
        self.require_finite(result)
        return {**result, "machines": fitted.machines, CURVE: unseen.curve, COMPLETE: True, "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        if self._predictions is not None:  # Tune asks a failed trial for one too
            np.save(Path(checkpoint_dir, OUT_OF_FOLD), self._predictions)

    def _kept(self) -> list[np.ndarray | None]:
        """Of each fold the fitting positions that the resampler keeps; it looks at nothing but labels."""
        resampler = Resampler.of(self.config)
        if resampler.name == "passthrough":
            return [None] * len(self._study.folds)
        return [self._study.resample(fold, resampler, 1).kept for fold in range(len(self._study.folds))]


def trainable(
    study: list[ray.ObjectRef],
    features: StoredFeatures,
    objectives: Sequence[str],
    *,
    workers: int,
    cpus: float,
    threads: int,
) -> Callable[..., Any]:
    """What Tune runs: the features are read, encoded and spread over the cluster here, once for all trials.

    Args:
        study: a reference to the study, which has no features, in a list.
        features: where they are.
        objectives: what the search looks at.
        workers: of a trial.
        cpus: of a worker.
        threads: of a worker.

    Raises:
        StorageError: the storage refused it.
    """
    blocks = encode(features, least=workers * _BLOCKS_A_WORKER)
    trial = tune.with_parameters(
        DistributedTrial,
        study=study,
        blocks=blocks,
        objectives=objectives,
        workers=workers,
        cpus=cpus,
        threads=threads,
    )
    # Tune takes no empty request, and with a part of a CPU a worker that wants whole ones would find no place.
    return tune.with_resources(trial, {"memory": 1})  # type: ignore[no-any-return]


def most_at_once(workers: int, cpus: float) -> int:
    """How many trials can have all their workers at the same time; one more would hold CPUs that others wait for.

    Args:
        workers: of a trial.
        cpus: of a worker.

    Raises:
        ValueError: not even one.
    """
    machines: list[float] = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    places = sum(math.floor(machine / cpus) for machine in machines)
    if places < workers:
        raise ValueError(
            f"a trial asks for {workers} workers with {cpus:g} CPUs each, but the Ray cluster has place for {places}: "
            "it would wait for ever; lower workers_per_trial or cpus_per_trial"
        )
    return places // workers
