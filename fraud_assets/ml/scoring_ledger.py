"""What is known of each scored object: one entry stands in the footer of each, and all of them in a table."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

import pyarrow as pa

from fraud_assets.ml.schema import DataError

# The key in a Parquet file's metadata under which its entry is kept.
FOOTER_KEY = b"fraud_assets.scored"


@dataclass(frozen=True)
class LedgerEntry:
    """One object that was scored.

    Attributes:
        source: URI of the object with the unlabelled rows.
        size: its bytes when it was scored.
        modified: its last change then, in ns since 1970.
        rows: the number of them.
        frauds: the rows called fraud.
        model_version: of the model that scored it.
        threshold: rows of at least this probability were called fraud.
        output: URI of the scored object.
        scored_at: when it was complete, in ns since 1970.
    """

    source: str
    size: int
    modified: int
    rows: int
    frauds: int
    model_version: int
    threshold: float
    output: str
    scored_at: int

    def is_of(self, source: str, size: int, modified: int) -> bool:
        """Whether this is the object that was scored, unchanged."""
        return (self.source, self.size, self.modified) == (source, size, modified)

    def to_footer(self) -> dict[bytes, bytes]:
        """The entry as metadata of a Parquet file."""
        return {FOOTER_KEY: json.dumps(asdict(self)).encode()}

    @classmethod
    def from_footer(cls, metadata: dict[bytes, bytes] | None) -> "LedgerEntry":
        """The inverse of `to_footer`, for a file's whole metadata.

        Raises:
            DataError: there is no entry in it, so that something else has written the file.
        """
        value = (metadata or {}).get(FOOTER_KEY)
        if value is None:
            raise DataError("it was not written by scored_transactions")
        return cls(**json.loads(value))


_TIME = pa.timestamp("ns", tz="UTC")
_TYPES = {"source": pa.string(), "output": pa.string(), "threshold": pa.float64()}
_TYPES |= {"modified": _TIME, "scored_at": _TIME}
LEDGER_SCHEMA = pa.schema([(f.name, _TYPES.get(f.name, pa.int64())) for f in fields(LedgerEntry)])


def ledger_table(entries: Iterable[LedgerEntry]) -> pa.Table:
    """One row an object; the columns are the attributes of `LedgerEntry`, times as timestamps."""
    return pa.Table.from_pylist([asdict(entry) for entry in entries], schema=LEDGER_SCHEMA)
