"""From raw columns to the numbers that XGBoost sees, the same way for fitting and for serving.

Plain data and NumPy only, so that a served model needs nothing but XGBoost and pandas, and is stored as JSON.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class FeatureEncoder:
    """Encodes a DataFrame of raw features as a float32 matrix.

    Numbers and booleans become numbers; a category becomes its position in the vocabulary. A missing value, and a
    category that was not in the data when the encoder was made, become NaN.

    Attributes:
        columns: the feature columns, in the order of the matrix's columns.
        booleans: those of `columns` that hold only true and false.
        categories: the vocabulary of each categorical column.
    """

    columns: tuple[str, ...]
    booleans: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]

    @classmethod
    def fit(cls, X: pd.DataFrame, categorical: Sequence[str]) -> "FeatureEncoder":
        """An encoder for the columns of `X`, of which `categorical` are categories."""
        numbers = [c for c in X.columns if c not in categorical]
        return cls(
            columns=tuple(X.columns),
            booleans=tuple(c for c in numbers if pd.api.types.infer_dtype(X[c], skipna=True) == "boolean"),
            categories={c: tuple(sorted(X[c].dropna().astype(str).unique())) for c in categorical},
        )

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """`X` as a matrix of shape (rows, columns), float32; columns that are not features are ignored.

        Raises:
            ValueError: a column is missing, or holds something that is not a number where numbers are expected.
        """
        missing = [c for c in self.columns if c not in X.columns]
        if missing:
            raise ValueError(f"the input has no column {missing}; the model expects {list(self.columns)}")
        matrix = np.empty((len(X), len(self.columns)), dtype=np.float32)
        for i, column in enumerate(self.columns):
            matrix[:, i] = self._encode(X[column])
        return matrix

    def _encode(self, values: pd.Series) -> np.ndarray:
        name = str(values.name)
        if name in self.categories:
            codes = pd.Categorical(values.astype("string"), categories=list(self.categories[name])).codes
            return np.where(codes < 0, np.nan, codes).astype(np.float32)
        if isinstance(values.dtype, np.dtype) and values.dtype.kind in "biuf":
            return values.to_numpy(dtype=np.float32)
        try:
            return values.astype("object").where(values.notna(), np.nan).to_numpy(dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(f"column {name!r} holds something that is not a number: {error}") from error

    @property
    def feature_types(self) -> list[str]:
        """XGBoost's type of each column: "c" for a category, "q" for a quantity."""
        return ["c" if c in self.categories else "q" for c in self.columns]

    @property
    def discrete(self) -> np.ndarray:
        """Which columns can't be interpolated (booleans and categories), shape (columns,), bool."""
        return np.array([c in self.categories or c in self.booleans for c in self.columns], dtype=bool)

    def one_hot(self, matrix: np.ndarray) -> np.ndarray:
        """An encoded matrix with each category as a column of its own, for models that know quantities only."""
        parts = []
        for i, column in enumerate(self.columns):
            values = matrix[:, [i]]
            vocabulary = self.categories.get(column)
            parts.append(values if vocabulary is None else (values == np.arange(len(vocabulary))).astype(np.float32))
        return np.hstack(parts) if parts else matrix

    @property
    def one_hot_names(self) -> list[str]:
        """The names of the columns of `one_hot`."""
        return [
            name
            for c in self.columns
            for name in ([f"{c}={v}" for v in self.categories[c]] if c in self.categories else [c])
        ]

    def to_dict(self) -> dict[str, Any]:
        """The encoder as JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "FeatureEncoder":
        """The inverse of `to_dict`."""
        categories = {c: tuple(v) for c, v in value["categories"].items()}
        return cls(tuple(value["columns"]), tuple(value["booleans"]), categories)
