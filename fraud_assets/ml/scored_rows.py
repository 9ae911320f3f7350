"""Predictions beside everything that a metric, a threshold or a judgement may look at."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd

from fraud_assets.ml.schema import DataError, Dataset


@dataclass(frozen=True, eq=False)
class ScoredRows:
    """Rows with their predicted probabilities; position i of every array is the same transaction.

    Attributes:
        y: labels, shape (rows,), int8: 1 is fraud.
        probability: predicted probability of fraud, shape (rows,).
        day: the calendar day of each transaction in UTC, shape (rows,), datetime64[D]; None where the data has no time.
        entity: a number for each card, customer or account, shape (rows,), int64, in the order of the entities' names;
            a row without an entity has a number of its own. None where the data has no entity.
        amount: shape (rows,), float64, in the data's own currency; None where no column was named.

    Raises:
        ValueError: the arrays differ in length, or a probability is not a finite number.
    """

    y: np.ndarray
    probability: np.ndarray
    day: np.ndarray | None = None
    entity: np.ndarray | None = None
    amount: np.ndarray | None = None

    def __post_init__(self) -> None:
        lengths = {name: len(values) for name, values in self._arrays().items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of scored rows differ in length: {lengths}")
        if not np.isfinite(self.probability).all():
            raise ValueError(f"{(~np.isfinite(self.probability)).sum()} of {len(self)} probabilities are not finite")

    def __len__(self) -> int:
        return len(self.y)

    def _arrays(self) -> dict[str, np.ndarray]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: array for name, array in values.items() if array is not None}

    def take(self, positions: np.ndarray) -> "ScoredRows":
        """The rows at `positions` (indices or a mask), in that order."""
        return replace(self, **{name: array[positions] for name, array in self._arrays().items()})

    def with_probability(self, probability: np.ndarray) -> "ScoredRows":
        """The same rows as another model scores them."""
        return replace(self, probability=probability)

    @classmethod
    def concatenate(cls, parts: Sequence["ScoredRows"]) -> "ScoredRows":
        """All rows of `parts`, such as the folds of a trial.

        The parts must come from one `from_dataset`, by `take`, or from the same data set: an entity has the same number
        in each of them then.

        Raises:
            ValueError: there are no parts, or some have a column that others lack.
        """
        names = {tuple(part._arrays()) for part in parts}
        if len(names) != 1:
            raise ValueError(f"expected one part or more, all with the same columns; they have {sorted(names)}")
        return cls(**{name: np.concatenate([part._arrays()[name] for part in parts]) for name in names.pop()})

    @classmethod
    def from_dataset(
        cls, dataset: Dataset, rows: np.ndarray, probability: np.ndarray, amount_column: str | None = None
    ) -> "ScoredRows":
        """What `dataset` says about its rows `rows`.

        It reads and numbers whole columns: where many models score the same rows, make it once and use `take` and
        `with_probability`.

        Args:
            dataset: where the rows come from.
            rows: row ids, shape (n,).
            probability: predicted probability of fraud of these rows, shape (n,).
            amount_column: the column with the amounts; None where no metric asks for it.

        Raises:
            DataError: there is no numeric column `amount_column`.
        """
        day = entity = None
        if dataset.time is not None:
            day = dataset.time.to_numpy()[rows].astype("datetime64[D]")
        if dataset.entity is not None:
            entity = pd.factorize(dataset.entity, sort=True)[0].astype(np.int64)
            nobodys = np.flatnonzero(entity < 0)
            entity[nobodys] = len(entity) + np.arange(len(nobodys))
            entity = entity[rows]
        amount = None if amount_column is None else _amount(dataset, amount_column)[rows]
        return cls(dataset.y[rows], probability, day, entity, amount)

    def require_both_classes(self) -> None:
        """Raise DataError where there is no fraud, or nothing else: no metric means anything then."""
        frauds = int(self.y.sum())
        if frauds in (0, len(self)):
            raise DataError(f"{frauds} of {len(self)} scored rows are frauds; expected both classes")


def _amount(dataset: Dataset, column: str) -> np.ndarray:
    if column not in dataset.table.column_names:
        raise DataError(
            f"the amount column {column!r} is not in the data, which has {', '.join(dataset.table.column_names)}"
        )
    values = dataset.table.column(column).to_pandas()
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        raise DataError(f"the amount column {column!r} holds {values.dtype}; expected numbers")
    return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))
