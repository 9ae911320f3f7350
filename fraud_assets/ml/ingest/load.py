"""Reads a data set from a storage: one validated table without copies, and a report of what was read."""

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs

from fraud_assets.ml.ingest.merge import Merged, merge
from fraud_assets.ml.ingest.objects import list_objects, open_objects
from fraud_assets.ml.ingest.problems import Problems
from fraud_assets.ml.ingest.row_hashes import hashes_of
from fraud_assets.ml.ingest.validation import check_row_count, validate
from fraud_assets.ml.schema import ColumnRoles, Dataset, DatasetSpec
from fraud_assets.ml.uri import without_credentials

_VERSION_LENGTH = 16


@dataclass(frozen=True)
class LoadReport:
    """What was read on the way to a `Dataset`.

    Attributes:
        objects: the number of objects read.
        rows_read: their rows, copies included.
        duplicates: rows that are an exact copy, over all columns read, of one before them.
        duplicates_dropped: how many of these are not in the data set.
        fraud_rate: the part of the data set's rows that are fraud, 0 to 1.
        first_time: the earliest time in UTC, or None where there is no time column.
        last_time: the latest.
    """

    objects: int
    rows_read: int
    duplicates: int
    duplicates_dropped: int
    fraud_rate: float
    first_time: pd.Timestamp | None
    last_time: pd.Timestamp | None


def load_dataset(
    filesystem: pafs.FileSystem, path: str, spec: DatasetSpec, *, name: str | None = None
) -> tuple[Dataset, LoadReport]:
    """Read and validate the transactions at `path`.

    Rows come in the order of the objects' paths. Columns without a role are dropped, after the search for copies:
    two rows that differ in such a column alone, a transaction id for instance, are two transactions.

    Args:
        filesystem: the storage.
        path: an object (.csv, .csv.gz, .parquet, .pq) or a folder of them at any depth.
        spec: what the columns are used for.
        name: what messages call the place, such as its URI; `path` if None.

    Raises:
        DataError: the data can't be worked with; the message lists every problem found.
        OSError: the storage failed (no such bucket, access denied, server away).
    """
    location = without_credentials(name or path)
    problems = Problems(location)
    stored = list_objects(filesystem, path, location)
    opened, unreadable = open_objects(filesystem, stored, spec.text_among)
    problems.extend(unreadable)
    merged = merge(opened, spec, problems)
    del opened  # CSV objects are in memory
    roles = validate(merged, spec, problems, complete=len(merged.names) == len(stored))
    problems.raise_any()
    assert roles is not None, "validate() tells a problem where it can't settle the roles"

    table = merged.table
    rows_read = table.num_rows
    copies = _copies(merged)
    duplicates = int(copies.sum())
    check_row_count(rows_read - duplicates, problems)
    problems.raise_any()
    if spec.duplicates == "drop" and duplicates:
        table = table.filter(pa.array(~copies))
    table = table.select(roles.columns).replace_schema_metadata(None)
    dataset = Dataset(table, roles, _version(table, roles), location)
    span = pc.min_max(table.column(roles.time)) if roles.time else None
    report = LoadReport(
        objects=len(stored),
        rows_read=rows_read,
        duplicates=duplicates,
        duplicates_dropped=rows_read - len(dataset),
        fraud_rate=float(dataset.y.mean()),
        first_time=pd.Timestamp(span["min"].as_py()) if span else None,
        last_time=pd.Timestamp(span["max"].as_py()) if span else None,
    )
    return dataset, report


def _copies(merged: Merged) -> np.ndarray:
    """For each row whether an equal one stands before it; shape (rows,), bool."""
    # Grouping all rows would hold the table twice more. Equal rows have equal hashes, so that only rows whose hash
    # occurs again are compared: in the columns with a role by their values, in the others by the hash.
    suspects = np.flatnonzero(pd.Series(merged.hashes).duplicated(keep=False))
    copies = np.ones(len(suspects), dtype=bool)
    rows = merged.table.take(pa.array(suspects)).append_column("hash", pa.array(merged.hashes[suspects]))
    rows = rows.append_column("row", pa.array(np.arange(len(suspects))))
    first = rows.rename_columns([str(i) for i in range(rows.num_columns)])
    *keys, row = first.column_names
    copies[first.group_by(keys).aggregate([(row, "min")]).column(f"{row}_min").to_numpy()] = False
    result = np.zeros(merged.table.num_rows, dtype=bool)
    result[suspects] = copies
    return result


def _version(table: pa.Table, roles: ColumnRoles) -> str:
    """Digest of content and roles; how the rows are spread over chunks and objects leaves no trace in it."""
    digest = hashlib.sha256(json.dumps(asdict(roles), sort_keys=True).encode())
    for field, column in zip(table.schema, table.columns, strict=True):
        digest.update(f"{field.name}:{field.type}:{len(column)}".encode())
        digest.update(hashes_of(column).tobytes())
        digest.update(np.packbits(column.is_null().to_numpy()).tobytes())
    return digest.hexdigest()[:_VERSION_LENGTH]
