"""What each of a distributed trial's workers does: fit on its blocks, in step with the other workers.

Imported only by Ray's workers. A collective call (making a matrix, fitting, `_gathered`) has to be made by all workers
in the same order, so no branch here depends on the rows that a worker has.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.train
import xgboost as xgb
from xgboost import collective

from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.fold_fits import FoldFits, OutOfFold
from fraud_assets.ml.matrices import bins_of, unseen_matrix
from fraud_assets.ml.study import StudyData
from fraud_assets.resources.feature_blocks import FeatureBlocks, unpacked


@dataclass(frozen=True)
class FitRequest:
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


def fit_folds(config: dict[str, FitRequest]) -> Fitted:
    """Fit a configuration on every fold; the function that Ray Train runs in each worker.

    It is `study.out_of_fold` for spread rows, early stopping included. Each worker has every n-th block, and scores are
    those of all workers' rows together, which are summed into one array: so all of them stop in the same round.

    Raises:
        FloatingPointError: the model predicts something that is not a probability.
    """
    request = config["request"]
    context = ray.train.get_context()
    study: StudyData = ray.get(request.study[0])
    references = request.blocks.blocks[context.get_world_rank() :: context.get_world_size()]
    shard = _Shard(references, request.blocks.encoder, study, request.kept, request.threads)
    fits = FoldFits(request.params, shard)
    fits.advance()
    return Fitted(fits.out_of_fold(), _machines())


class _Shard:
    """A worker's blocks; one at a time is taken from Ray's object store."""

    def __init__(
        self,
        references: Sequence[ray.ObjectRef],
        encoder: FeatureEncoder,
        study: StudyData,
        kept: Sequence[np.ndarray | None],
        threads: int,
    ) -> None:
        self._references = references
        self._kept = kept
        self._validating: dict[int, tuple[xgb.DMatrix, np.ndarray]] = {}
        self.encoder = encoder
        self.study = study
        self.threads = threads

    def fitting(self, fold: int, params: Mapping[str, Any]) -> xgb.DMatrix:
        """This worker's fitting rows of a fold that its resampler kept."""
        rows, kept = self.study.folds[fold][0], self._kept[fold]
        batches = _Batches(self, _mask(self.study, rows if kept is None else rows[kept]), self.study.y)
        bins = bins_of(params)
        return xgb.QuantileDMatrix(batches, max_bin=bins, nthread=self.threads, enable_categorical=True)

    def validating(self, fold: int, params: Mapping[str, Any]) -> xgb.DMatrix:
        """This worker's validating rows of a fold."""
        if fold not in self._validating:
            rows = self.study.folds[fold][1]
            parts = [self.nothing, *self.rows(_mask(self.study, rows))]
            X, positions = (np.concatenate(part) for part in zip(*parts, strict=True))
            matrix = unseen_matrix(params, X, self.encoder, self.threads)
            self._validating[fold] = matrix, np.searchsorted(rows, positions)
        return self._validating[fold][0]

    def whole(self, fold: int, probability: np.ndarray) -> np.ndarray:
        """All workers' probabilities, each at its place, in every worker."""
        return _gathered(probability, self._validating[fold][1], len(self.study.folds[fold][1]))

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
