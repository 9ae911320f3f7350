"""What is kept of a data set so that later data can be compared with it: a sample, and some counts over all rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraud_assets.ml.schema import DataError, Dataset, read_info, with_info

# A quantile of so many rows is off by a third of a percent of the rows: far less than any drift that matters.
MAX_SAMPLE = 20_000
# Validation refuses a text column with more than a hundred values; nothing here relies on that.
MAX_CATEGORIES = 1000


@dataclass(frozen=True)
class Reference:
    """A data set as later ones are compared with it. Counts are exact, over all rows.

    Attributes:
        sample: at most `MAX_SAMPLE` rows of the feature columns, drawn at random without replacement.
        rows: of the whole data set.
        frauds: how many of them are fraud.
        burst: how many frauds come together: the mean, over frauds, of the number of frauds of the same entity. Such
            frauds weigh as much as `frauds / burst` independent ones. 1 without an entity column or frauds.
        missing: by feature column, how many rows have no value (null or NaN; an infinite value is one).
        categories: by categorical column, how many rows have each category: all categories, or the `MAX_CATEGORIES`
            most frequent.
        truncated: the categorical columns that have more categories than are kept.
        version: of the data set.
        source: of the data set, for people to see.
    """

    sample: pa.Table
    rows: int
    frauds: int
    burst: float
    missing: Mapping[str, int]
    categories: Mapping[str, Mapping[str, int]]
    truncated: tuple[str, ...]
    version: str
    source: str = ""

    @classmethod
    def of(cls, dataset: Dataset, seed: int = 0) -> "Reference":
        """What is kept of `dataset`; equal seeds draw equal rows.

        Raises:
            DataError: the data set has no rows.
        """
        if not len(dataset):
            raise DataError(f"the data set {dataset.source or dataset.version} has no rows: nothing can be compared")
        y = dataset.y
        features = dataset.table.select(list(dataset.roles.features))
        counted = {column: _count(features.column(column)) for column in dataset.roles.categorical}
        return cls(
            sample=_draw(features, seed).replace_schema_metadata(None),
            rows=len(dataset),
            frauds=int(y.sum()),
            burst=_burst(dataset, y),
            missing={c: _missing(features.column(c)) for c in features.column_names},
            categories={column: dict(counts[:MAX_CATEGORIES]) for column, counts in counted.items()},
            truncated=tuple(column for column, counts in counted.items() if len(counts) > MAX_CATEGORIES),
            version=dataset.version,
            source=dataset.source,
        )

    @property
    def features(self) -> tuple[str, ...]:
        """The feature columns, in the data set's order."""
        return tuple(self.sample.column_names)

    @property
    def prevalence(self) -> float:
        """The share of the rows that are fraud."""
        return self.frauds / self.rows

    def kind(self, column: str) -> str:
        """`category`, `boolean` or `number`; `empty` where no row has a value, which fits every kind."""
        if self.missing[column] == self.rows:
            return "empty"
        if column in self.categories:
            return "category"
        return "boolean" if pa.types.is_boolean(self.sample.schema.field(column).type) else "number"

    def missing_rate(self, column: str) -> float:
        """The share of the rows that have no value in `column`."""
        return self.missing[column] / self.rows

    def numbers(self, column: str) -> np.ndarray:
        """The sample's values of a column that is no category, shape (rows of the sample,), float32; NaN is missing.

        A model sees float32 too: what rounding does to digits beyond that is no drift.
        """
        values: np.ndarray = self.sample.column(column).cast(pa.float32(), safe=False).to_numpy()
        return values

    def to_arrow(self) -> pa.Table:
        """The sample, with all else in its schema's metadata, as it is stored."""
        info: dict[str, Any] = {
            "rows": self.rows,
            "frauds": self.frauds,
            "burst": self.burst,
            "missing": self.missing,
            "categories": self.categories,
            "truncated": self.truncated,
            "version": self.version,
            "source": self.source,
        }
        return with_info(self.sample, info)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> "Reference":
        """The inverse of `to_arrow`."""
        info = read_info(table)
        truncated = tuple(info.pop("truncated"))
        return cls(sample=table.replace_schema_metadata(None), truncated=truncated, **info)


def _draw(table: pa.Table, seed: int) -> pa.Table:
    if table.num_rows <= MAX_SAMPLE:
        return table
    drawn = np.random.default_rng(seed).choice(table.num_rows, MAX_SAMPLE, replace=False)
    return table.take(pa.array(np.sort(drawn)))


def _burst(dataset: Dataset, y: np.ndarray) -> float:
    if dataset.roles.entity is None or not y.any():
        return 1.0
    entities = dataset.table.column(dataset.roles.entity).filter(pa.array(y == 1))
    together = pc.value_counts(entities).field("counts").to_numpy()
    return float((together**2).sum() / together.sum())


def _missing(column: pa.ChunkedArray) -> int:
    return int(pc.sum(pc.is_null(column, nan_is_null=True)).as_py())


def _count(column: pa.ChunkedArray) -> list[tuple[str, int]]:
    """Each category with its number of rows, the most frequent first; equally frequent ones by name."""
    pairs = [(pair["values"], pair["counts"]) for pair in pc.value_counts(column).to_pylist()]
    return sorted([(value, count) for value, count in pairs if value is not None], key=lambda pair: (-pair[1], pair[0]))
