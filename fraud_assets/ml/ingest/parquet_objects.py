"""Reads one Parquet object piece by piece with pyarrow, and says if it can't be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from fraud_assets.ml.ingest.problems import Problem

_ROWS_AT_ONCE = 64 * 1024
# The rows of an object up to this size are fetched by one request.
_SMALL_BYTES = 1 << 23


class UnreadableError(Exception):
    """An object is corrupt; `problem` tells it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True)
class ParquetObject:
    """A Parquet object of which the footer has been read.

    Attributes:
        filesystem: where it is.
        path: the object in it.
        name: what messages call it.
        size: its bytes.
        metadata: what the footer says.
        schema: of the columns that are data.
    """

    filesystem: pafs.FileSystem
    path: str
    name: str
    size: int
    metadata: pq.FileMetaData
    schema: pa.Schema

    @classmethod
    def open(cls, filesystem: pafs.FileSystem, path: str, name: str, size: int) -> "ParquetObject":
        """Read the footer; the arguments are the attributes.

        Raises:
            UnreadableError: it is no Parquet file.
            OSError: the storage failed.
        """
        with _parquet_file(filesystem, path, name) as file:
            return cls(filesystem, path, name, size, file.metadata, _data(file.schema_arrow.empty_table()).schema)

    @property
    def num_rows(self) -> int:
        """Of the whole table."""
        return int(self.metadata.num_rows)

    def pieces(self) -> Iterator[pa.Table]:
        """The rows in their order. A row group, or a small object, is held as it is stored, and a piece as a table.

        Raises:
            UnreadableError: a piece is corrupt.
            OSError: the storage failed.
        """
        small = self.size <= _SMALL_BYTES
        with _parquet_file(self.filesystem, self.path, self.name, self.metadata, at_once=small) as file:
            for group in range(self.metadata.num_row_groups):
                # One group at a time: asked for all of them, Arrow fetches all of them at once.
                for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[group]):
                    yield _data(pa.Table.from_batches([batch]))


@contextmanager
def _parquet_file(
    filesystem: pafs.FileSystem,
    path: str,
    name: str,
    metadata: pq.FileMetaData | None = None,
    *,
    at_once: bool = False,
) -> Iterator[pq.ParquetFile]:
    """The open file, which does not read its footer again where `metadata` is given; errors while it is used, too."""
    with (
        filesystem.open_input_stream(path, compression=None) if at_once else filesystem.open_input_file(path) as stored
    ):
        source = _Watched(BytesIO(stored.read()) if at_once else stored)
        try:
            # Columns of a row group that lie side by side come with one request.
            yield pq.ParquetFile(pa.PythonFile(source, mode="r"), metadata=metadata, pre_buffer=True)
        except (pa.ArrowException, OSError) as e:
            if source.error is not None:
                raise source.error from e
            what = f"the object is not a complete Parquet file: truncated or corrupt ({e})"
            raise UnreadableError(Problem(name, what)) from e


class _Watched:
    """An open file that remembers its own errors: Arrow raises OSError for both these and corrupt content."""

    closed = False

    def __init__(self, stored: BinaryIO) -> None:
        self._stored = stored
        self.error: OSError | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stored.read(size)
        except OSError as error:
            self.error = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stored.seek(offset, whence)

    def tell(self) -> int:
        return self._stored.tell()

    def close(self) -> None:
        """Nothing: whoever opened the file closes it."""


def _data(table: pa.Table) -> pa.Table:
    # pandas stores a frame's index under this name; it numbers the rows, and every copy of a row would be unique.
    return table.drop_columns([column for column in table.column_names if column.startswith("__index_level_")])
