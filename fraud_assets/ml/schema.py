"""The labelled table that travels through the graph, with the role of each of its columns."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

Label = bool | int | float | str

# One key in the Parquet schema's metadata holds everything that we say about a table.
_INFO_KEY = b"fraud_assets"


class DataError(ValueError):
    """Input that can't be worked with; the message names the object, the column, the rows and what was expected."""


@dataclass(frozen=True)
class DatasetSpec:
    """What the user says about a table of transactions before it has been read.

    Attributes:
        label: the column with the binary outcome.
        positive_label: the value of `label` that means fraud; None infers it where it is unambiguous.
        entity: the card, customer or account that a row belongs to, or None.
        time: when the transaction took place, or None.
        features: the columns that a model sees; empty means all that have no other role and aren't in `exclude`.
        exclude: columns that no model sees; not together with `features`.
        duplicates: whether exact copies of a row are dropped, or kept and only counted.

    Raises:
        ValueError: the fields contradict each other.
    """

    label: str
    positive_label: Label | None = None
    entity: str | None = None
    time: str | None = None
    features: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    duplicates: Literal["drop", "keep"] = "drop"

    def __post_init__(self) -> None:
        if self.features and self.exclude:
            raise ValueError("features and exclude can't be given together: name the one or the other")
        named = [*self.roles.values(), *self.features, *self.exclude]
        twice = sorted({column for column in named if named.count(column) > 1})
        if twice:
            raise ValueError(f"a column has one role only, but these are named more than once: {', '.join(twice)}")

    @property
    def roles(self) -> dict[str, str]:
        """The columns with a role of their own, by role: label, then entity and time where the data has them."""
        roles = {"label": self.label, "entity": self.entity, "time": self.time}
        return {role: column for role, column in roles.items() if column is not None}

    def features_among(self, columns: Iterable[str]) -> tuple[str, ...]:
        """The feature columns of a table that has `columns`, in the order in which a model will see them."""
        without = {*self.roles.values(), *self.exclude}
        return self.features or tuple(column for column in columns if column not in without)

    def text_among(self, columns: Sequence[str]) -> set[str]:
        """The columns of a CSV object with `columns` whose values are no numbers by nature: no features, no label."""
        return {*columns} - {*self.features_among(columns), self.label}


@dataclass(frozen=True)
class ColumnRoles:
    """What each column of a transaction table is used for.

    Attributes:
        label: the column with the binary outcome.
        positive_label: the value of `label` that means fraud.
        entity: the card, customer or account that a row belongs to, or None.
        time: when the transaction took place, or None.
        features: the columns that a model sees, in this order.
        categorical: those of `features` that are categories (strings); all others are numbers or booleans.
    """

    label: str
    positive_label: Label
    entity: str | None = None
    time: str | None = None
    features: tuple[str, ...] = ()
    categorical: tuple[str, ...] = field(default=())

    @property
    def columns(self) -> list[str]:
        """All columns that have a role: label, entity, time, then the features."""
        return [c for c in (self.label, self.entity, self.time) if c is not None] + list(self.features)


@dataclass(frozen=True)
class Dataset:
    """A validated table of transactions; row i of every view is row i of `table`, and i is the row's id.

    Attributes:
        table: one row a transaction, exactly the columns of `roles.columns`.
        roles: what each column is used for.
        version: digest of the content and the roles; equal content has an equal version.
        source: where it was read from, for people to see.
    """

    table: pa.Table
    roles: ColumnRoles
    version: str
    source: str = ""

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def X(self) -> pd.DataFrame:
        """The feature columns as they came (numbers, booleans, strings, missing values)."""
        frame: pd.DataFrame = self.table.select(list(self.roles.features)).to_pandas()
        return frame

    @property
    def y(self) -> np.ndarray:
        """The label, shape (rows,), int8: 1 is fraud."""
        label = self.table.column(self.roles.label).to_pandas()
        return np.asarray(label == self.roles.positive_label, dtype=np.int8)

    @property
    def entity(self) -> pd.Series | None:
        """The entity of each row, or None where the data has no such column."""
        return None if self.roles.entity is None else self.table.column(self.roles.entity).to_pandas()

    @property
    def time(self) -> pd.Series | None:
        """The time of each row (datetime64), or None where the data has no such column."""
        return None if self.roles.time is None else self.table.column(self.roles.time).to_pandas()

    def to_arrow(self) -> pa.Table:
        """The table with roles and version in its schema's metadata, as it is stored."""
        return with_info(self.table, {"roles": asdict(self.roles), "version": self.version, "source": self.source})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> "Dataset":
        """The inverse of `to_arrow`."""
        info = read_info(table)
        roles = ColumnRoles(**info["roles"])
        roles = replace(roles, features=tuple(roles.features), categorical=tuple(roles.categorical))
        return cls(table, roles, info["version"], info["source"])


def with_info(table: pa.Table, info: Mapping[str, Any]) -> pa.Table:
    """`table` with `info` (JSON types only) in its schema's metadata, where Parquet keeps it."""
    metadata = dict(table.schema.metadata or {})
    metadata[_INFO_KEY] = json.dumps(info, sort_keys=True).encode()
    return table.replace_schema_metadata(metadata)


def read_info(table: pa.Table) -> dict[str, Any]:
    """What `with_info` stored; a table without it raises DataError."""
    metadata = table.schema.metadata or {}
    if _INFO_KEY not in metadata:
        raise DataError("the table carries no metadata of fraud_assets: it was not written by this graph")
    info: dict[str, Any] = json.loads(metadata[_INFO_KEY])
    return info
