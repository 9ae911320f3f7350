"""Reads all objects, piece by piece, into one table under one schema, or says where they don't fit together."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fraud_assets.ml.ingest.columns import common_types, has_header, plain_type
from fraud_assets.ml.ingest.event_time import to_event_time
from fraud_assets.ml.ingest.objects import READERS, ObjectTable
from fraud_assets.ml.ingest.parquet_objects import UnreadableError
from fraud_assets.ml.ingest.problems import ROWS_SHOWN, Problem, Problems
from fraud_assets.ml.ingest.row_hashes import hashes_of, joined
from fraud_assets.ml.schema import DatasetSpec


@dataclass(frozen=True)
class Merged:
    """The rows of all objects, one after another.

    Attributes:
        table: the columns with a role that all objects have with one type; the time as `event_time.STORED_TIME`.
        hashes: of each row, over the columns without a role too, shape (rows,), uint64.
        names: what messages call each object.
        ends: of each object, the number of rows in it and all before it.
    """

    table: pa.Table
    hashes: np.ndarray
    names: Sequence[str]
    ends: np.ndarray

    def problem(self, column: str, mask: np.ndarray, what: str) -> Problem:
        """A problem with the rows where `mask` is true, told by the first object that has some."""
        rows = np.flatnonzero(mask)
        owner = np.searchsorted(self.ends, rows, side="right")
        first, here = int(owner[0]), rows[owner == owner[0]]
        start = int(self.ends[first - 1]) if first else 0
        elsewhere = len(rows) - len(here)
        if elsewhere:
            what += f" (and {elsewhere:,} more rows in other objects, {len(np.unique(owner)) - 1:,} of them)"
        shown_rows = (here[:ROWS_SHOWN] - start + 1).tolist()
        return Problem(self.names[first], what, column=column, rows=shown_rows, row_count=len(here))


def merge(objects: Sequence[ObjectTable], spec: DatasetSpec, problems: Problems) -> Merged:
    """One table out of the tables of `objects`; what doesn't fit is added to `problems` and left out.

    Of the columns without a role nothing but the rows' hashes is kept, so that what is held on the way is the result
    and a piece of each object that is being read.

    Raises:
        OSError: the storage failed.
    """
    named = [o for o in objects if has_header(o, problems)]
    types = common_types(named, spec, problems)
    kept = {*spec.roles.values(), *spec.features_among(types)}

    def read(o: ObjectTable) -> "_Part | Problem":
        try:
            return _read(o, types, kept, spec.time)
        except UnreadableError as e:
            return e.problem

    with ThreadPoolExecutor(READERS) as pool:
        results = list(pool.map(read, named))
    problems.extend(result for result in results if isinstance(result, Problem))
    parts = [result for result in results if isinstance(result, _Part)]
    whole: dict[str, pa.ChunkedArray] = {}
    for column in types:
        faults = [part.faults[column] for part in parts if column in part.faults]
        if column == spec.time:
            faults += _two_kinds_of_time(column, parts)
        problems.extend(faults)
        if parts and column in kept and not faults:
            chunks = [chunk for part in parts for chunk in part.chunks[column]]
            whole[column] = pa.chunked_array(chunks, type=chunks[0].type)
    hashes = [part.hashes for part in parts]
    return Merged(
        pa.table(whole),
        np.concatenate(hashes) if hashes else np.empty(0, dtype=np.uint64),
        [part.name for part in parts],
        np.cumsum([len(part.hashes) for part in parts], dtype=np.int64),
    )


@dataclass(frozen=True)
class _Part:
    """The rows of one object.

    Attributes:
        name: of the object.
        chunks: the values of each column that is kept, unless it has a fault.
        hashes: as of `Merged`.
        faults: what is wrong with a column.
        has_zone: whether its times say their zone; None if it has no time.
    """

    name: str
    chunks: Mapping[str, Sequence[pa.Array]]
    hashes: np.ndarray
    faults: Mapping[str, Problem]
    has_zone: bool | None


def _read(o: ObjectTable, types: Mapping[str, pa.DataType], kept: set[str], time: str | None) -> _Part:
    chunks: dict[str, list[pa.Array]] = {column: [] for column in types if column in kept}
    faults: dict[str, Problem] = {}
    times, hashes = list[pa.Array](), list[np.ndarray]()
    for piece in o.pieces():
        row_hashes = np.zeros(piece.num_rows, dtype=np.uint64)
        for column, common in types.items():
            values = piece.column(column)
            values = values.cast(plain_type(values.type))
            if column == time:
                times += values.chunks
                continue
            try:
                # An integer beyond 2**53 among floats loses its last digits, as it would in any model.
                values = values.cast(common, safe=pa.types.is_integer(common))
            except pa.ArrowInvalid as e:
                what = f"{values.type} doesn't fit into the other objects' {common} ({e})"
                faults.setdefault(column, Problem(o.name, what, column=column))
                continue
            row_hashes = joined(row_hashes, hashes_of(values))
            if column in kept:
                chunks[column] += values.chunks
        hashes.append(row_hashes)
    of_rows, has_zone = np.concatenate(hashes), None
    if time is not None and time in types:
        # Only as a whole: a message tells all rows of an object.
        result = to_event_time(o.name, time, pa.chunked_array(times))
        if isinstance(result, Problem):
            faults[time] = result
        else:
            converted, has_zone = result
            chunks[time] = converted.chunks
            of_rows = joined(of_rows, hashes_of(converted))
    return _Part(o.name, chunks, of_rows, faults, has_zone)


def _two_kinds_of_time(column: str, parts: Sequence[_Part]) -> list[Problem]:
    first = {part.has_zone: part.name for part in reversed(parts) if part.has_zone is not None}
    if len(first) < 2:
        return []
    what = f"times have a zone here, and none in {first[False]}; expected one kind"
    return [Problem(first[True], what, column=column)]
