"""Which rows a model has seen, so that rows which it has not can be found in later data."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from fraud_assets.ml.ingest.row_hashes import hashes_of, joined
from fraud_assets.ml.schema import DataError, Dataset, read_info, with_info


@dataclass(frozen=True, eq=False)
class SeenRows:
    """The rows that a model was fitted on, or that its settings were chosen on.

    Attributes:
        digests: a hash of each, shape (rows,), uint64, sorted. The label is not in it: a row whose label was corrected
            since is the same row.
        columns: name and type of each column that was hashed; rows of other columns have other hashes.
        until: the latest time among them, where later rows only are unseen: the split was by time.
    """

    digests: np.ndarray
    columns: dict[str, str]
    until: pd.Timestamp | None

    @classmethod
    def of(cls, dataset: Dataset, rows: np.ndarray, *, by_time: bool) -> "SeenRows":
        """The rows with the ids `rows` of a data set that was split by time, or not."""
        time = dataset.time if by_time else None
        until = None if time is None else time.iloc[rows].max()
        return cls(np.sort(_digests(dataset)[rows]), _columns(dataset), until)

    def unseen(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        """Those of `rows`, ids of `dataset`, that the model has not seen.

        Raises:
            DataError: the columns are others, so that rows can't be told by their content, nor is there a time.
        """
        if self.until is not None and dataset.time is not None:
            rows = rows[dataset.time.iloc[rows].to_numpy() > np.datetime64(self.until)]
        elif self.columns != _columns(dataset):
            others = sorted(f"{name} ({kind})" for name, kind in self.columns.items() ^ _columns(dataset).items())
            raise DataError(
                f"which rows a model has seen can't be told: columns or their types have changed: {', '.join(others)}"
            )
        return rows[~np.isin(_digests(dataset)[rows], self.digests)]

    def to_arrow(self) -> pa.Table:
        """A table of `digest`, with the rest in its metadata."""
        until = None if self.until is None else self.until.isoformat()
        return with_info(pa.table({"digest": self.digests}), {"columns": self.columns, "until": until})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> "SeenRows":
        """The inverse of `to_arrow`."""
        info = read_info(table)
        until = None if info["until"] is None else pd.Timestamp(info["until"])
        return cls(table.column("digest").to_numpy(), info["columns"], until)


def _columns(dataset: Dataset) -> dict[str, str]:
    """Name and type of what is hashed."""
    return {field.name: str(field.type) for field in dataset.table.schema if field.name != dataset.roles.label}


def _digests(dataset: Dataset) -> np.ndarray:
    """A hash of each row, shape (rows,), uint64; the order of the columns makes no difference."""
    rows = np.zeros(len(dataset), dtype=np.uint64)
    for name in sorted(_columns(dataset)):
        rows = joined(rows, hashes_of(dataset.table.column(name)))
    return rows
