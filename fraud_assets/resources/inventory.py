"""What a sensor knows of the objects of a location, in the storage: a cursor could not hold 100,000 of them."""

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields

import pyarrow as pa
from pyarrow import fs

from fraud_assets.ml.ingest.inspection import Inspection, inspect_object
from fraud_assets.ml.ingest.objects import StoredObject
from fraud_assets.ml.schema import DatasetSpec
from fraud_assets.resources.object_store import (
    Location,
    ObjectNotFoundError,
    delete_object,
    explain_errors,
    read_table,
    replace_table,
)

_SEEN = "seen.parquet"
_ASKED = "asked-"
# Objects that are read before it is looked at the clock again.
_BATCH = 64
_READERS = 8


@dataclass(frozen=True)
class Inventory:
    """The objects that were read, and what they held when a run was last asked for.

    Attributes:
        folder: where it is kept.
        source: where the objects are.
        spec: which column is the label; None where there is none.
    """

    folder: Location
    source: Location
    spec: DatasetSpec | None

    def inspect(self, objects: Sequence[StoredObject], budget_s: float) -> list[Inspection]:
        """What the objects hold; those that were read before and have not been written to since are not read again.

        Args:
            objects: all of the location.
            budget_s: no reading begins after so many seconds; some objects are read in any case.

        Returns:
            One inspection an object, fewer of them when the time was up; what was read is kept for the next call.

        Raises:
            StorageError: the storage refused it.
        """
        deadline = time.monotonic() + budget_s
        known = {found.path: found for found in self._read(_SEEN)}
        before = {o.path: found for o in objects if (found := known.get(o.path)) is not None and found.is_of(o)}
        unread = [stored for stored in objects if stored.path not in before]
        seen = dict(before)
        with ThreadPoolExecutor(_READERS) as pool:
            for first in range(0, len(unread), _BATCH):
                with explain_errors(self.source):
                    for found in pool.map(self._inspect, unread[first : first + _BATCH]):
                        seen[found.path] = found
                if time.monotonic() > deadline:
                    break
        if seen != known:
            self._write(_SEEN, seen)
        return list(seen.values())

    def _inspect(self, stored: StoredObject) -> Inspection:
        return inspect_object(self.source.filesystem, stored, self.spec)

    def asked(self, content: str | None) -> list[Inspection]:
        """The objects as they were when a run was asked for with this content; none where that isn't known.

        Raises:
            StorageError: the storage refused it.
        """
        return [] if content is None else self._read(f"{_ASKED}{content}.parquet")

    def keep_asked(self, content: str, state: Iterable[Inspection], before: str | None) -> None:
        """Remember the objects under their content, beside those of `before`, and forget older ones.

        Raises:
            StorageError: the storage refused it.
        """
        self._write(f"{_ASKED}{content}.parquet", {found.path: found for found in state})
        kept = {f"{_ASKED}{content}.parquet", f"{_ASKED}{before}.parquet"}
        with explain_errors(self.folder):
            listed = self.folder.filesystem.get_file_info(fs.FileSelector(self.folder.path, allow_not_found=True))
        for info in listed:
            if info.base_name.startswith(_ASKED) and info.base_name not in kept:
                delete_object(self.folder.child(info.base_name))

    def _read(self, name: str) -> list[Inspection]:
        try:
            table = read_table(self.folder.child(name))
        except ObjectNotFoundError:
            return []
        if table.column_names != [field.name for field in fields(Inspection)]:
            return []  # an earlier version's: all is read again
        return [Inspection(**row) for row in table.to_pylist()]

    def _write(self, name: str, state: Mapping[str, Inspection]) -> None:
        rows = [asdict(state[path]) for path in sorted(state)]
        replace_table(self.folder.child(name), pa.Table.from_pylist(rows, schema=_SCHEMA))


_TYPES = {str: pa.string(), int: pa.int64()}
_SCHEMA = pa.schema([(field.name, _TYPES[field.type]) for field in fields(Inspection)])  # type: ignore[index]
