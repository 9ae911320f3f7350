"""Features that no process ever holds as a whole: read, encoded and kept in blocks by Ray Data.

Imported only where Ray is, as `trial_worker` is.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.resources.object_store import Location, explain_errors
from fraud_assets.resources.stored_features import StoredFeatures

POSITION = "position"
FEATURES = "features"


@dataclass(frozen=True)
class FeatureBlocks:
    """Encoded features in Ray's object store, which puts on disk what the memory of its machines doesn't hold.

    Attributes:
        blocks: references to Arrow tables of `POSITION` (int64) and `FEATURES` (float32 lists as long as the encoder's
            columns); each position of the study is in one of them.
        encoder: what encoded them.
    """

    blocks: list[ray.ObjectRef]
    encoder: FeatureEncoder


def encode(features: StoredFeatures, least: int) -> FeatureBlocks:
    """Encode the rows of a study, as `FeatureEncoder.fit` and `transform` would, on all of the cluster's machines.

    Args:
        features: where they are.
        least: how many blocks there are to be at least, so that each worker gets some.

    Raises:
        StorageError: the storage refused it.
    """
    with explain_errors(features.location), _open(features.location) as file:
        schema, pieces = file.schema_arrow, _pieces(file.metadata, features.rows, least)
    with _quiet_ray_data():
        encoder = FeatureEncoder(
            columns=features.columns,
            booleans=tuple(c for c in features.columns if pa.types.is_boolean(schema.field(c).type)),
            categories=_vocabularies(features, pieces),
        )
        blocks = _read(features, features.columns, pieces, partial(_encoded, encoder))
        return FeatureBlocks(blocks.to_arrow_refs(), encoder)


def _vocabularies(features: StoredFeatures, pieces: list["_Piece"]) -> dict[str, tuple[str, ...]]:
    """The categories of each categorical column, as `FeatureEncoder.fit` finds them."""
    found: dict[str, set[str]] = {column: set() for column in features.categorical}
    if found:
        for row in _read(features, features.categorical, pieces, _categories).iter_rows():
            found[row["column"]].add(row["category"])
    return {column: tuple(sorted(values)) for column, values in found.items()}


def _categories(table: pa.Table, positions: np.ndarray) -> pa.Table:
    pairs = [
        (column, category)
        for column in table.column_names
        for category in table.column(column).to_pandas().dropna().astype(str).unique()
    ]
    columns, categories = zip(*pairs, strict=True) if pairs else ((), ())
    return pa.table({"column": pa.array(columns, pa.string()), "category": pa.array(categories, pa.string())})


def _encoded(encoder: FeatureEncoder, table: pa.Table, positions: np.ndarray) -> pa.Table:
    flat = pa.array(encoder.transform(table.to_pandas()).ravel())
    return pa.table({POSITION: positions, FEATURES: pa.FixedSizeListArray.from_arrays(flat, len(encoder.columns))})


def unpacked(block: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Positions (rows,) and features (rows, columns) of one of `FeatureBlocks.blocks`, without a copy."""
    lists = block.column(FEATURES).combine_chunks()
    features = lists.flatten().to_numpy().reshape(len(block), lists.type.list_size)
    return block.column(POSITION).to_numpy(), features


@dataclass(frozen=True)
class _Piece:
    """Consecutive rows of one row group of the Parquet object, and which of the study's positions they are.

    Attributes:
        group: number of the row group.
        rows: the rows to take, counted from the group's first one.
        first_position: the study's position of the first of them; the others follow.
    """

    group: int
    rows: np.ndarray
    first_position: int


def _pieces(metadata: pq.FileMetaData, rows: np.ndarray, least: int) -> list[_Piece]:
    """Row groups, or parts of them where there are too few, without those that the study has no row of."""
    starts = np.cumsum([0] + [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)])
    ends = np.searchsorted(rows, starts)
    parts = -(-least // max(1, metadata.num_row_groups))
    pieces = []
    for group in range(metadata.num_row_groups):
        positions = np.arange(ends[group], ends[group + 1])
        pieces += [
            _Piece(group, rows[part] - starts[group], int(part[0]))
            for part in np.array_split(positions, parts)
            if len(part)
        ]
    return pieces


class _Pieces(Datasource):
    """A read task for each piece of a Parquet object. Ray Data's own reader can't tell which row a row is."""

    def __init__(
        self,
        location: Location,
        columns: Iterable[str],
        pieces: list[_Piece],
        transform: Callable[[pa.Table, np.ndarray], pa.Table],
    ) -> None:
        super().__init__()
        self._read = partial(_read_piece, location, list(columns), transform)
        self._pieces = pieces

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, parallelism: int, *args: Any, **more: Any) -> list[ReadTask]:
        return [
            ReadTask(partial(self._read, piece), BlockMetadata(len(piece.rows), None, None, None))
            for piece in self._pieces
        ]


def _read_piece(
    location: Location, columns: list[str], transform: Callable[[pa.Table, np.ndarray], pa.Table], piece: _Piece
) -> list[pa.Table]:
    with explain_errors(location), _open(location) as file:
        table = file.read_row_group(piece.group, columns=columns)
    positions = piece.first_position + np.arange(len(piece.rows))
    # In the order of `columns`, whatever that of the object is.
    return [transform(table.select(columns).take(piece.rows), positions)]


def _read(
    features: StoredFeatures,
    columns: Iterable[str],
    pieces: list[_Piece],
    transform: Callable[[pa.Table, np.ndarray], pa.Table],
) -> "ray.data.Dataset":
    source = _Pieces(features.location, columns, pieces, transform)
    data = ray.data.read_datasource(source, override_num_blocks=len(pieces))
    # So that a worker gets the same blocks in every trial and in every study.
    data.context.execution_options.preserve_order = True
    return data.materialize()


@contextmanager
def _open(location: Location) -> Iterator[pq.ParquetFile]:
    with location.filesystem.open_input_file(location.path) as source:
        yield pq.ParquetFile(source, pre_buffer=True)


@contextmanager
def _quiet_ray_data() -> Iterator[None]:
    """Without progress bars, and without a line on each execution in the step's output."""
    context, logger = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    bars, level = context.enable_progress_bars, logger.level
    context.enable_progress_bars = False
    # It warns that there are no progress bars.
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars = bars
        logger.setLevel(level)
