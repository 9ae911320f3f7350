"""What each of a distributed trial's workers does: fit on its blocks, in step with the other workers.

Imported only by Ray's workers. A collective call (making a matrix, fitting, `_gathered`) has to be made by all workers
in the same order, so no branch here depends on the rows that a worker has.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.train
import xgboost as xgb
from xgboost import collective

from fraud_assets.ml.booster import predict_matrix, rounds_of, stops_early, train_on_matrix, train_until_no_better
from fraud_assets.ml.evaluate import average_precision
from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.matrices import bins_of, unseen_matrix
from fraud_assets.ml.study import OutOfFold, StudyData, best_rounds
from fraud_assets.resources.feature_blocks import FeatureBlocks, unpacked


@dataclass(frozen=True)
class FoldFits:
    """What a trial asks of its workers.

    Attributes:
        params: the configuration.
        study: a reference to the study, whose features are in `blocks` only; in a list, so that it stays a reference.
        blocks: the features.
        kept: of each fold the fitting positions that its resampler kept, or None for all.
        threads: of each worker.
    """

    params: dict[str, Any]
    study: list[ray.ObjectRef]
    blocks: FeatureBlocks
    kept: list[np.ndarray | None]
    threads: int


@dataclass(frozen=True)
class Fitted:
    """What the workers answer.

    Attributes:
        unseen: what they predict for the validating rows.
        machines: on how many machines they were.
    """

    unseen: OutOfFold
    machines: int


def fit_folds(config: dict[str, FoldFits]) -> Fitted:
    """Fit a configuration on every fold; the function that Ray Train runs in each worker.

    It is `study.out_of_fold` for spread rows, early stopping included. Each worker has every n-th block, and scores are
    those of all workers' rows together, which are summed into one array: so all of them stop in the same round.

    Raises:
        FloatingPointError: the model predicts something that is not a probability.
    """
    fits = config["fits"]
    context = ray.train.get_context()
    study: StudyData = ray.get(fits.study[0])
    references = fits.blocks.blocks[context.get_world_rank() :: context.get_world_size()]
    shard = _Shard(references, fits.blocks.encoder, fits.params, fits.threads)
    boosters, scores, seconds = [], [], 0.0
    for fold in range(len(study.folds)):
        matrix = shard.fitting(study, fold, fits.kept[fold])
        started = time.perf_counter()
        booster, reached = _fit(fits, study, shard, fold, matrix)
        seconds += time.perf_counter() - started
        boosters.append(booster)
        scores.append(reached)
    early = stops_early(fits.params)
    rounds = best_rounds(scores) if early else rounds_of(fits.params)
    predictions = []
    for fold, booster in enumerate(boosters):
        unseen, places = shard.validating(study, fold)
        here = predict_matrix(booster, fits.params, unseen, rounds=rounds if early else None)
        probability = _gathered(here, places, len(study.folds[fold][1]))
        if not ((probability >= 0) & (probability <= 1)).all():
            raise FloatingPointError(f"fold {fold}: the model predicts NaN, or no probabilities, for {fits.params}")
        predictions.append(probability)
    return Fitted(OutOfFold(predictions, rounds, seconds), _machines())


def _fit(
    fits: FoldFits, study: StudyData, shard: "_Shard", fold: int, matrix: xgb.DMatrix
) -> tuple[xgb.Booster, list[float]]:
    """One fold's booster, and where it stops early its score after each `ROUNDS_A_SCORE` rounds."""
    if not stops_early(fits.params):
        return train_on_matrix(fits.params, matrix, seed=study.seed, threads=fits.threads), []
    unseen, places = shard.validating(study, fold)
    labels = study.y[study.folds[fold][1]]
    return train_until_no_better(
        fits.params,
        matrix,
        unseen,
        lambda here: average_precision(labels, _gathered(here, places, len(labels))),
        seed=study.seed,
        threads=fits.threads,
    )


class _Shard:
    """A worker's blocks; one at a time is taken from Ray's object store."""

    def __init__(
        self, references: Sequence[ray.ObjectRef], encoder: FeatureEncoder, params: dict[str, Any], threads: int
    ) -> None:
        self._references = references
        self._params = params
        self._threads = threads
        self.encoder = encoder

    def fitting(self, study: StudyData, fold: int, kept: np.ndarray | None) -> xgb.DMatrix:
        """This worker's fitting rows of a fold, of which `kept` are left, if not all."""
        rows = study.folds[fold][0]
        batches = _Batches(self, _mask(study, rows if kept is None else rows[kept]), study.y)
        bins = bins_of(self._params)
        return xgb.QuantileDMatrix(batches, max_bin=bins, nthread=self._threads, enable_categorical=True)

    def validating(self, study: StudyData, fold: int) -> tuple[xgb.DMatrix, np.ndarray]:
        """This worker's validating rows of a fold, and their places among all of the fold's."""
        rows = study.folds[fold][1]
        parts = [self.nothing, *self.rows(_mask(study, rows))]
        X, positions = (np.concatenate(part) for part in zip(*parts, strict=True))
        return unseen_matrix(self._params, X, self.encoder, self._threads), np.searchsorted(rows, positions)

    def rows(self, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Features and positions of this worker's rows among `wanted`, a mask over the study's positions."""
        for reference in self._references:
            block: pa.Table = ray.get(reference)
            positions, X = unpacked(block)
            here = wanted[positions]
            if here.any():
                yield X[here], positions[here]

    @property
    def nothing(self) -> tuple[np.ndarray, np.ndarray]:
        """No rows."""
        return np.empty((0, len(self.encoder.columns)), dtype=np.float32), np.empty(0, dtype=np.int64)


class _Batches(xgb.DataIter):
    """Fitting rows block by block: XGBoost sorts them into bins, and no worker holds more of them than a block."""

    def __init__(self, shard: _Shard, wanted: np.ndarray, labels: np.ndarray) -> None:
        super().__init__()
        self._shard = shard
        self._wanted = wanted
        self._labels = labels
        self.reset()

    def reset(self) -> None:
        self._rows = self._at_least_one()

    def next(self, input_data: Callable[..., Any]) -> bool:
        batch = next(self._rows, None)
        if batch is None:
            return False
        X, positions = batch
        input_data(data=X, label=self._labels[positions], feature_types=self._shard.encoder.feature_types)
        return True

    def _at_least_one(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        # Without any batch XGBoost would not know how many columns there are.
        any_rows = False
        for batch in self._shard.rows(self._wanted):
            any_rows = True
            yield batch
        if not any_rows:
            yield self._shard.nothing


def _mask(study: StudyData, positions: np.ndarray) -> np.ndarray:
    mask = np.zeros(len(study.y), dtype=bool)
    mask[positions] = True
    return mask


def _gathered(values: np.ndarray, places: np.ndarray, size: int) -> np.ndarray:
    """All workers' values, each at its place, in every worker; shape (size,), float32."""
    buffer = np.zeros(size, dtype=np.float32)
    buffer[places] = values
    return collective.allreduce(buffer, collective.Op.SUM)  # type: ignore[no-any-return]


def _machines() -> int:
    """How many machines the workers are on."""
    node = np.frombuffer(bytes.fromhex(ray.get_runtime_context().get_node_id()), dtype=np.uint8)
    nodes = np.zeros((collective.get_world_size(), len(node)), dtype=np.int32)
    nodes[collective.get_rank()] = node
    return len(np.unique(collective.allreduce(nodes.ravel(), collective.Op.SUM).reshape(nodes.shape), axis=0))
