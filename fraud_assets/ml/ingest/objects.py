"""Finds the objects of a data set in a storage, and reads each into an Arrow table."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from fraud_assets.ml.ingest.csv_objects import read_csv
from fraud_assets.ml.ingest.problems import Problem, listed
from fraud_assets.ml.schema import DataError, DatasetSpec

_CSV = (".csv", ".csv.gz")
_PARQUET = (".parquet", ".pq")
_EXPECTED = "expected objects whose names end in " + ", ".join(_CSV + _PARQUET)

# Requests for small objects wait for the network most of the time; more readers would only hold more objects in memory.
_READERS = 4


@dataclass(frozen=True)
class StoredObject:
    """An object in the storage: its path there, what messages call it, bytes, and the last change in ns since 1970."""

    path: str
    name: str
    size: int
    modified: int

    @property
    def is_csv(self) -> bool:
        """Whether it is CSV; Parquet otherwise."""
        return self.path.lower().endswith(_CSV)


@dataclass(frozen=True)
class ObjectTable:
    """What an object holds. In CSV the types are inferred, in Parquet the writer declared them."""

    name: str
    table: pa.Table
    is_csv: bool


def list_objects(filesystem: pafs.FileSystem, path: str, name: str) -> list[StoredObject]:
    """The CSV and Parquet objects at `path`, an object or a folder, at any depth, sorted by path.

    Names that begin with `_` or `.` are markers or half-written files of other systems, and no data.

    Args:
        filesystem: where to look.
        path: an object or a folder in it.
        name: what messages call `path`.

    Raises:
        DataError: there is no such path, or no such object in it.
        OSError: the storage can't be asked.
    """
    path = path.rstrip("/")
    info = filesystem.get_file_info(path)
    if info.type == pafs.FileType.NotFound:
        raise DataError(f"{name} does not exist: {_EXPECTED}, or a folder of them")
    if info.type == pafs.FileType.File:
        if not _is_data(path):
            raise DataError(f"{name} is neither CSV nor Parquet: {_EXPECTED}")
        return [StoredObject(path, name, info.size, info.mtime_ns)]

    found = filesystem.get_file_info(pafs.FileSelector(path, recursive=True))
    files = {entry.path: entry for entry in found if entry.type == pafs.FileType.File}
    inside = {p: p.removeprefix(path).lstrip("/") for p in sorted(files)}
    objects = [
        StoredObject(p, f"{name.rstrip('/')}/{relative}", files[p].size, files[p].mtime_ns)
        for p, relative in inside.items()
        if _is_data(p) and not any(part.startswith(("_", ".")) for part in PurePosixPath(relative).parts)
    ]
    if not objects:
        others = f"it holds {listed(inside.values(), 3)}" if inside else "it is empty"
        raise DataError(f"{name} holds no data: {_EXPECTED}, but {others}")
    return objects


def read_objects(
    filesystem: pafs.FileSystem, objects: Sequence[StoredObject], spec: DatasetSpec
) -> tuple[list[ObjectTable], list[Problem]]:
    """Read all objects: the tables of those that can be read, in their order, and what is wrong with the others.

    Raises:
        OSError: the storage failed; content that is corrupt is a problem instead.
    """

    def read(stored: StoredObject) -> ObjectTable | list[Problem]:
        return read_object(filesystem, stored, spec)

    with ThreadPoolExecutor(_READERS) as pool:
        results = list(pool.map(read, objects))
    tables = [result for result in results if isinstance(result, ObjectTable)]
    return tables, [problem for result in results if isinstance(result, list) for problem in result]


def read_object(filesystem: pafs.FileSystem, stored: StoredObject, spec: DatasetSpec) -> ObjectTable | list[Problem]:
    """The table of one object, or what is wrong with it.

    Raises:
        OSError: the storage failed.
    """
    # The bytes first, the decoding after: Arrow raises OSError for both a failing storage and corrupt content, and
    # only the second is the data's fault. It costs the object's size in memory, for as long as it is decoded.
    with filesystem.open_input_stream(stored.path, compression=None) as stream:
        content = stream.read_buffer()
    if content.size == 0:
        return [Problem(stored.name, "the object is empty (0 bytes); expected a header and rows")]
    table = _read_csv(stored, content, spec) if stored.is_csv else _read_parquet(stored, content)
    if isinstance(table, list):
        return table
    if table.num_rows == 0:
        return [Problem(stored.name, "the object has a header but no rows")]
    return ObjectTable(stored.name, table, stored.is_csv)


def _read_csv(stored: StoredObject, content: pa.Buffer, spec: DatasetSpec) -> pa.Table | list[Problem]:
    if stored.path.lower().endswith(".gz"):
        try:
            content = pa.CompressedInputStream(pa.BufferReader(content), "gzip").read_buffer()
        except OSError as e:
            return [Problem(stored.name, f"the gzip stream is truncated or corrupt ({e})")]
    return read_csv(stored.name, content, spec)


def _read_parquet(stored: StoredObject, content: pa.Buffer) -> pa.Table | list[Problem]:
    try:
        table = pq.ParquetFile(pa.BufferReader(content)).read()
    except (pa.ArrowException, OSError) as e:
        return [Problem(stored.name, f"the object is not a complete Parquet file: truncated or corrupt ({e})")]
    # pandas stores a frame's index under this name; it numbers the rows, and every copy of a row would be unique.
    return table.drop_columns([column for column in table.column_names if column.startswith("__index_level_")])


def _is_data(path: str) -> bool:
    return path.lower().endswith(_CSV + _PARQUET)
