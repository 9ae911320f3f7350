"""Resampling of the fitting rows, with the samplers of imbalanced-learn.

Neighbours are looked for among scaled, imputed columns, because the distance between unscaled ones is decided by the
column with the largest unit. The rows that come out keep their own values, unscaled and with what was missing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fraud_assets.ml.schema import DataError

RESAMPLERS = ("allknn", "smote", "passthrough")


@dataclass(frozen=True)
class Resampled:
    """The outcome of resampling: which rows were kept, and which rows were made up.

    Attributes:
        kept: positions of the kept rows among those that went in, shape (kept,), int64.
        made_up: the rows that were made up, shape (made up, columns), float32.
        made_up_labels: their labels, shape (made up,), int8.
    """

    kept: np.ndarray
    made_up: np.ndarray
    made_up_labels: np.ndarray

    def apply(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows to fit on, from the rows that went in."""
        if len(self.made_up_labels) == 0 and len(self.kept) == len(y):
            return X, y
        return np.vstack([X[self.kept], self.made_up]), np.concatenate([y[self.kept], self.made_up_labels])


def resample(name: str, X: np.ndarray, y: np.ndarray, discrete: np.ndarray, *, seed: int, n_jobs: int = 1) -> Resampled:
    """Apply the resampler called `name` to encoded fitting rows.

    Args:
        name: one of `RESAMPLERS`: `allknn` removes majority rows whose neighbours disagree with them (Tomek 1976),
            `smote` makes up minority rows between neighbours (Chawla et al. 2002; SMOTENC or SMOTEN where there are
            discrete columns, which can't be interpolated), `passthrough` does nothing.
        X: encoded features, shape (rows, columns), NaN where missing.
        y: labels, shape (rows,), 0 or 1.
        discrete: which columns are booleans or category codes, shape (columns,).
        seed: of the sampler's random numbers.
        n_jobs: threads for the neighbour search.

    Raises:
        DataError: too few rows of a class for the sampler.
        ValueError: no resampler has this name.
    """
    none = np.empty((0, X.shape[1]), dtype=np.float32), np.empty(0, dtype=np.int8)
    if name == "passthrough":
        return Resampled(np.arange(len(y)), *none)
    if name == "allknn":
        from imblearn.under_sampling import AllKNN

        sampler = AllKNN(n_jobs=n_jobs)
        sampler.fit_resample(_Space(X, discrete).distances(), y)
        return Resampled(np.sort(sampler.sample_indices_).astype(np.int64), *none)
    if name == "smote":
        return _smote(X, y, discrete, seed)
    raise ValueError(f"resampler {name!r} is unknown: expected one of {list(RESAMPLERS)}")


def _smote(X: np.ndarray, y: np.ndarray, discrete: np.ndarray, seed: int) -> Resampled:
    from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC

    minority = int(np.bincount(y, minlength=2).min())
    if minority < 2:
        raise DataError(f"smote needs at least 2 rows of each class in the fitting rows, and got {minority}")
    settings: dict[str, Any] = {"k_neighbors": min(5, minority - 1), "random_state": seed}
    space = _Space(X, discrete)
    if discrete.all():
        sampler = SMOTEN(**settings)
    elif discrete.any():
        sampler = SMOTENC(categorical_features=np.flatnonzero(discrete).tolist(), **settings)
    else:
        sampler = SMOTE(**settings)
    made, labels = sampler.fit_resample(space.scaled, y)
    # imbalanced-learn's over-samplers put the rows that went in first, and append what they made up.
    return Resampled(np.arange(len(y)), space.unscale(made[len(y) :]), labels[len(y) :].astype(np.int8))


class _Space:
    """The fitting rows where distances mean something: medians for what is missing, unit variance, a code for NaN."""

    def __init__(self, X: np.ndarray, discrete: np.ndarray) -> None:
        from sklearn.impute import SimpleImputer
        from sklearn.preprocessing import StandardScaler

        self.discrete = discrete
        self.scaled = np.empty_like(X)
        # A discrete column's missing values are a value of their own.
        self.missing_code = np.nanmax(X[:, discrete], axis=0, initial=-1) + 1
        self.scaled[:, discrete] = np.where(np.isnan(X[:, discrete]), self.missing_code, X[:, discrete])
        self.scaler = StandardScaler()
        if not discrete.all():
            imputer = SimpleImputer(strategy="median", keep_empty_features=True)
            self.scaled[:, ~discrete] = self.scaler.fit_transform(imputer.fit_transform(X[:, ~discrete]))

    def distances(self) -> np.ndarray:
        """The rows with each discrete value as a column of its own: two different values are equally far apart."""
        from sklearn.preprocessing import OneHotEncoder

        if not self.discrete.any():
            return self.scaled
        encoder = OneHotEncoder(sparse_output=False, drop="if_binary", dtype=np.float32)
        return np.hstack([self.scaled[:, ~self.discrete], encoder.fit_transform(self.scaled[:, self.discrete])])

    def unscale(self, rows: np.ndarray) -> np.ndarray:
        """Made-up rows in the units of the data."""
        values = np.asarray(rows, dtype=np.float32).copy()
        if not self.discrete.all():
            values[:, ~self.discrete] = self.scaler.inverse_transform(values[:, ~self.discrete])
        codes = values[:, self.discrete]
        values[:, self.discrete] = np.where(codes == self.missing_code, np.nan, codes)
        return values
