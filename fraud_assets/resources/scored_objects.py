"""Scored objects in a storage: where each belongs, what is known of it, and how it is written."""

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from fraud_assets.ml.batch_scoring import score_pieces, scored_schema, text_among
from fraud_assets.ml.estimator import FraudClassifier
from fraud_assets.ml.ingest.objects import READERS, ObjectTable, StoredObject, open_object
from fraud_assets.ml.ingest.parquet_objects import UnreadableError
from fraud_assets.ml.schema import DataError
from fraud_assets.ml.scoring_ledger import LedgerEntry
from fraud_assets.resources.object_store import Location, StorageError, check_access, explain_errors, replacing

# Objects that are being written; readers of data sets skip a name with this beginning.
_INCOMPLETE = "_incomplete"
# What nobody has written to for so long was left behind by a process that was killed.
_LEFT_BEHIND_NS = 24 * 3600 * 10**9


@dataclass(frozen=True)
class Task:
    """An object and the place of its scores.

    Attributes:
        stored: the object as it was listed.
        source: where it is.
        target: where its scores belong.
    """

    stored: StoredObject
    source: Location
    target: Location


def plan(source: Location, objects: Iterable[StoredObject], output: Location) -> tuple[list[Task], list[str]]:
    """What belongs where: each object's path below `source`, with the extension .parquet, below `output`.

    Returns:
        The tasks, and one message for each object that would be written to the same place as another.
    """
    by_target: dict[str, list[StoredObject]] = {}
    for stored in objects:
        inside = PurePosixPath(stored.path.removeprefix(source.path).lstrip("/") or PurePosixPath(stored.path).name)
        stem = inside.with_suffix("") if inside.suffix.lower() == ".gz" else inside
        by_target.setdefault(str(stem.with_suffix(".parquet")), []).append(stored)
    tasks, clashes = [], []
    for name, group in by_target.items():
        target = output.child(name)
        if len(group) == 1:
            tasks.append(Task(group[0], replace(source, path=group[0].path), target))
            continue
        what = f"{len(group)} objects would be scored into {target.uri}; rename all but one of them"
        clashes += [f"{stored.name}: {what}" for stored in group]
    return tasks, clashes


def read_ledger(output: Location) -> dict[str, LedgerEntry | None]:
    """What the footers of the Parquet objects at `output` say, by path; None for what something else has written.

    Raises:
        StorageError: the storage refused it.
    """
    if output.is_s3:
        # Otherwise a missing bucket is told as nothing found.
        check_access(output)
    with explain_errors(output):
        selector = fs.FileSelector(output.path, recursive=True, allow_not_found=True)
        found = [info for info in output.filesystem.get_file_info(selector) if info.type == fs.FileType.File]
    incomplete = output.child(_INCOMPLETE).path
    paths = [
        info.path
        for info in found
        if info.path.lower().endswith(".parquet") and not info.path.startswith(f"{incomplete}/")
    ]
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(paths, pool.map(lambda path: _entry(replace(output, path=path)), paths), strict=True))


def _entry(place: Location) -> LedgerEntry | None:
    with explain_errors(place), place.filesystem.open_input_file(place.path) as file:
        try:
            return LedgerEntry.from_footer(pq.read_metadata(file).metadata)
        except (DataError, pa.ArrowInvalid):
            return None


def is_scored(task: Task, ledger: Mapping[str, LedgerEntry | None]) -> bool:
    """Whether the object was scored as it is now.

    Args:
        task: what to look for.
        ledger: of `read_ledger`.

    Raises:
        DataError: something else stands where its scores belong.
    """
    if task.target.path not in ledger:
        return False
    entry, advice = ledger[task.target.path], "delete it, or name another `output_uri`"
    if entry is None:
        raise DataError(
            f"{task.source.uri}: {task.target.uri} stands where its scores belong, and scored_transactions "
            f"didn't write it; {advice}"
        )
    if entry.source != task.source.uri:
        raise DataError(f"{task.source.uri}: {task.target.uri} has the scores of {entry.source}; {advice}")
    return entry.is_of(task.source.uri, task.stored.size, task.stored.modified)


def score_object(
    task: Task, output: Location, classifier: FraudClassifier, version: int
) -> tuple[LedgerEntry, pa.Table | None]:
    """Score one object: its scores replace what is at the target, whole or not at all.

    Args:
        task: the object and its target.
        output: where all scored objects are.
        classifier: the model.
        version: its number.

    Returns:
        What the footer says, and the first rows; None for the rows where the object has none.

    Raises:
        DataError: the object can't be scored; the message names it.
        StorageError: the storage failed.
    """
    table = _open(task, classifier)
    schema = scored_schema(table, classifier.encoder)
    first, rows, frauds = None, 0, 0
    incomplete = output.child(_INCOMPLETE, f"{uuid.uuid4().hex}.parquet")
    with replacing(task.target, incomplete) as sink, pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for piece in score_pieces(table, classifier, version):
            writer.write_table(piece)
            first = piece if first is None else first
            rows += piece.num_rows
            frauds += pc.sum(piece.column("is_fraud")).as_py() or 0
        entry = LedgerEntry(
            source=task.source.uri,
            size=task.stored.size,
            modified=task.stored.modified,
            rows=rows,
            frauds=frauds,
            model_version=version,
            threshold=classifier.threshold,
            output=task.target.uri,
            scored_at=time.time_ns(),
        )
        writer.add_key_value_metadata(entry.to_footer())
    return entry, first


def _open(task: Task, classifier: FraudClassifier) -> ObjectTable:
    """The object's table, whose errors name the object even while something else is written."""
    with _reading(task.source):
        table = open_object(
            task.source.filesystem, task.stored, lambda columns: text_among(classifier.encoder, columns)
        )
    if not isinstance(table, ObjectTable):
        raise DataError("; ".join(map(str, table)))

    def pieces() -> Iterator[pa.Table]:
        with _reading(task.source):
            yield from table.pieces()

    return replace(table, pieces=pieces)


@contextmanager
def _reading(source: Location) -> Iterator[None]:
    """Turn what keeps this object from being read into DataError."""
    try:
        with explain_errors(source):
            yield
    except UnreadableError as error:
        raise DataError(str(error)) from error
    except StorageError as error:
        raise DataError(f"{error} (it was listed a moment ago)") from error


def delete_left_behind(output: Location) -> None:
    """Delete what killed processes have left half written at `output`, once it is a day old.

    Raises:
        StorageError: the storage refused it.
    """
    place = output.child(_INCOMPLETE)
    with explain_errors(place):
        for info in place.filesystem.get_file_info(fs.FileSelector(place.path, allow_not_found=True)):
            if info.type == fs.FileType.File and time.time_ns() - info.mtime_ns > _LEFT_BEHIND_NS:
                place.filesystem.delete_file(info.path)
