"""What an object holds, in a few numbers: enough to say whether data is new, without validating it."""

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
import pyarrow.fs as pafs

from fraud_assets.ml.identity import digest
from fraud_assets.ml.ingest.label import fraud_values
from fraud_assets.ml.ingest.objects import ObjectTable, StoredObject, open_object
from fraud_assets.ml.ingest.parquet_objects import UnreadableError
from fraud_assets.ml.ingest.row_hashes import hashes_of, joined
from fraud_assets.ml.schema import DatasetSpec


@dataclass(frozen=True)
class Inspection:
    """What was found in an object.

    Attributes:
        path: of the object.
        size: in bytes.
        modified: when it was last changed, in ns since 1970, by the storage's clock.
        digest: of the rows in their order; of size and time where the object can't be read.
        rows: how many there are; 0 where it can't be read.
        frauds: how many of them are labelled as fraud; 0 where the labels don't tell by themselves.
        problem: why it can't be read, else an empty text.
    """

    path: str
    size: int
    modified: int
    digest: str
    rows: int
    frauds: int
    problem: str = ""

    def is_of(self, stored: StoredObject) -> bool:
        """Whether the object has not been written to since."""
        return (self.path, self.size, self.modified) == (stored.path, stored.size, stored.modified)


def inspect_object(filesystem: pafs.FileSystem, stored: StoredObject, spec: DatasetSpec | None) -> Inspection:
    """Read an object once, a piece at a time.

    Args:
        filesystem: where it is.
        stored: the object.
        spec: what its columns are used for; None where there is no label.

    Raises:
        OSError: the storage failed; an object that is corrupt has a problem instead.
    """
    opened = open_object(filesystem, stored, set if spec is None else spec.text_among)
    found, problems = _Content(spec), opened if isinstance(opened, list) else []
    if isinstance(opened, ObjectTable):
        try:
            found.read(opened)
        except UnreadableError as error:
            problems = [error.problem]
    if problems:
        unread = digest([stored.size, stored.modified])
        return Inspection(stored.path, stored.size, stored.modified, unread, 0, 0, str(problems[0]))
    return Inspection(stored.path, stored.size, stored.modified, found.digest.hexdigest(), found.rows, found.frauds)


class _Content:
    """The pieces of an object, added up."""

    def __init__(self, spec: DatasetSpec | None) -> None:
        self._label = None if spec is None else spec.label
        self._positive = None if spec is None else spec.positive_label
        self._labels: Counter[bool | int | float | str] = Counter()
        self.rows = 0
        # 16 bytes: an object is told from the one that had its name before.
        self.digest = hashlib.blake2b(digest_size=16)

    def read(self, table: ObjectTable) -> None:
        self.digest.update(repr([(field.name, str(field.type)) for field in table.schema]).encode())
        for piece in table.pieces():
            self.rows += piece.num_rows
            hashes = np.zeros(piece.num_rows, dtype=np.uint64)
            for column in piece.columns:
                hashes = joined(hashes, hashes_of(column))
            self.digest.update(hashes.tobytes())
            if self._label in piece.column_names:
                for counted in pc.value_counts(piece.column(self._label)).to_pylist():
                    if counted["values"] is not None:
                        self._labels[counted["values"]] += counted["counts"]

    @property
    def frauds(self) -> int:
        return sum(self._labels[value] for value in fraud_values(list(self._labels), self._positive))
