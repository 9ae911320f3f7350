"""Finds the objects of a data set in a storage, and reads the table in each of them piece by piece."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.fs as pafs

from fraud_assets.ml.ingest.csv_objects import TextAmong, read_csv, texts_among_numbers
from fraud_assets.ml.ingest.parquet_objects import ParquetObject, UnreadableError
from fraud_assets.ml.ingest.problems import Problem, listed
from fraud_assets.ml.schema import DataError

_CSV = (".csv", ".csv.gz")
_PARQUET = (".parquet", ".pq")
_EXPECTED = "expected objects whose names end in " + ", ".join(_CSV + _PARQUET)

# Requests for small objects wait for the network most of the time; more readers would only hold more in memory.
READERS = 4


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
    """The table in an object, of which no more than a piece has to be in memory.

    Attributes:
        name: what messages call the object.
        num_rows: of the table.
        schema: of the table. In CSV the types are inferred from all rows, in Parquet the writer declared them.
        pieces: reads the rows, a piece at a time; raises UnreadableError if one of them is corrupt, and OSError if the
            storage failed.
        mixed: columns of text that are numbers with a few texts in them, and these texts; in CSV only.
    """

    name: str
    num_rows: int
    schema: pa.Schema
    pieces: Callable[[], Iterator[pa.Table]]
    mixed: Mapping[str, Problem] = field(default_factory=dict)


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


def open_objects(
    filesystem: pafs.FileSystem, objects: Sequence[StoredObject], text_among: TextAmong
) -> tuple[list[ObjectTable], list[Problem]]:
    """The tables of all objects that have one with rows, in their order, and what is wrong with the others.

    The arguments and errors are those of `open_object`.
    """

    def open_one(stored: StoredObject) -> ObjectTable | list[Problem]:
        result = open_object(filesystem, stored, text_among)
        if isinstance(result, ObjectTable) and result.num_rows == 0:
            return [Problem(stored.name, "the object has a header but no rows")]
        return result

    with ThreadPoolExecutor(READERS) as pool:
        results = list(pool.map(open_one, objects))
    tables = [result for result in results if isinstance(result, ObjectTable)]
    return tables, [problem for result in results if isinstance(result, list) for problem in result]


def open_object(
    filesystem: pafs.FileSystem, stored: StoredObject, text_among: TextAmong
) -> ObjectTable | list[Problem]:
    """The table of an object, or what is wrong with it.

    Of a Parquet object only the schema is read yet. A CSV object is read, and held, as a whole, as its last row may
    change a type.

    Args:
        filesystem: where the object is.
        stored: the object.
        text_among: says which columns of a CSV object stay text; the types of the others are inferred.

    Raises:
        OSError: the storage failed; content that is corrupt is a problem instead.
    """
    if stored.size == 0:
        return [Problem(stored.name, "the object is empty (0 bytes); expected a header and rows")]
    return _open_csv(filesystem, stored, text_among) if stored.is_csv else _open_parquet(filesystem, stored)


def _open_csv(filesystem: pafs.FileSystem, stored: StoredObject, text_among: TextAmong) -> ObjectTable | list[Problem]:
    # The bytes first, the decoding after: Arrow raises OSError for both a failing storage and corrupt content, and
    # only the second is the data's fault.
    with filesystem.open_input_stream(stored.path, compression=None) as stream:
        content = stream.read_buffer()
    if stored.path.lower().endswith(".gz"):
        try:
            content = pa.CompressedInputStream(pa.BufferReader(content), "gzip").read_buffer()
        except OSError as e:
            return [Problem(stored.name, f"the gzip stream is truncated or corrupt ({e})")]
    table = read_csv(stored.name, content, text_among)
    if isinstance(table, list):
        return table
    mixed = texts_among_numbers(stored.name, table, text_among)
    return ObjectTable(stored.name, table.num_rows, table.schema, lambda: iter([table]), mixed)


def _open_parquet(filesystem: pafs.FileSystem, stored: StoredObject) -> ObjectTable | list[Problem]:
    try:
        table = ParquetObject.open(filesystem, stored.path, stored.name, stored.size)
    except UnreadableError as e:
        return [e.problem]
    return ObjectTable(stored.name, table.num_rows, table.schema, table.pieces)


def _is_data(path: str) -> bool:
    return path.lower().endswith(_CSV + _PARQUET)
