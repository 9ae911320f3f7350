"""Resampling of the fitting rows, with the samplers of imbalanced-learn.

Neighbours are looked for among scaled, imputed columns, because the distance between unscaled ones is decided by the
column with the largest unit. What comes out is in the units of the data, and lacks values where the data does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fraud_assets.ml.schema import DataError

RESAMPLERS = ("allknn", "smote", "random_under", "passthrough")

# Legitimate rows that random under-sampling keeps for each fraud. Balance, the usual choice, costs 0.24 of average
# precision on the handbook's validation blocks, and this costs 0.008: a ranking needs the legitimate rows that look
# like frauds, and those are rare.
KEPT_FOR_A_FRAUD = 30


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
        name: one of `RESAMPLERS`: `allknn` removes legitimate rows whose neighbours disagree with them (Tomek 1976),
            `smote` makes up minority rows between neighbours (Chawla et al. 2002; SMOTENC or SMOTEN where there are
            discrete columns, which can't be interpolated), `random_under` drops legitimate rows at random until 30 are
            left for each fraud, `passthrough` does nothing.
        X: encoded features, shape (rows, columns), NaN where missing.
        y: labels, shape (rows,), 0 or 1.
        discrete: which columns are booleans or category codes, shape (columns,).
        seed: of the sampler's random numbers.
        n_jobs: threads of AllKNN's neighbour search; SMOTE's, among the few frauds, has one.

    Raises:
        DataError: too few rows of a class for the sampler.
        ValueError: no resampler has this name.
    """
    none = np.empty((0, X.shape[1]), dtype=np.float32), np.empty(0, dtype=np.int8)
    if name == "passthrough":
        return Resampled(np.arange(len(y)), *none)
    if name == "allknn":
        from imblearn.under_sampling import AllKNN

        sampler = AllKNN(sampling_strategy=[0], n_jobs=n_jobs)
        sampler.fit_resample(_Space(X, discrete).distances(), y)
        return Resampled(np.sort(sampler.sample_indices_).astype(np.int64), *none)
    if name == "random_under":
        kept = _random_under(y, seed)
        return Resampled(kept, *none)
    if name == "smote":
        return _smote(X, y, discrete, seed)
    raise ValueError(f"resampler {name!r} is unknown: expected one of {list(RESAMPLERS)}")


def _random_under(y: np.ndarray, seed: int) -> np.ndarray:
    """The positions of all frauds, and of `KEPT_FOR_A_FRAUD` legitimate rows for each, in their order."""
    from imblearn.under_sampling import RandomUnderSampler

    legitimate, frauds = np.bincount(y, minlength=2)
    if frauds == 0 or legitimate <= KEPT_FOR_A_FRAUD * frauds:
        return np.arange(len(y))
    sampler = RandomUnderSampler(sampling_strategy={0: int(KEPT_FOR_A_FRAUD * frauds)}, random_state=seed)
    sampler.fit_resample(np.arange(len(y))[:, None], y)
    return np.sort(sampler.sample_indices_).astype(np.int64)


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
        sampler = SMOTENC(categorical_features=list(range(space.codes.shape[1])), **settings)
    else:
        sampler = SMOTE(**settings)
    made, labels = sampler.fit_resample(np.hstack([space.codes, space.quantities]), y)
    # imbalanced-learn's over-samplers put the rows that went in first, and append what they made up.
    return Resampled(np.arange(len(y)), space.original(made[len(y) :]), labels[len(y) :].astype(np.int8))


class _Space:
    """The fitting rows where distances mean something.

    Scaling is by the standard deviation alone and in float64, so that a value that SMOTE leaves alone comes back as the
    same float32; were a 0 to come back as 1e-9, a tree would tell made-up rows by it.

    Attributes:
        codes: the discrete columns, shape (rows, discrete columns), float64; missing is a code of its own.
        quantities: the other columns, scaled, the median where a value is missing; then, for each that has missing
            values, whether it is missing, 0 or 1: so made-up rows lack values as often as the rows they are made from.
    """

    def __init__(self, X: np.ndarray, discrete: np.ndarray) -> None:
        from sklearn.impute import SimpleImputer
        from sklearn.preprocessing import StandardScaler

        self._discrete = discrete
        codes = X[:, discrete].astype(np.float64)
        self._missing_code = np.nanmax(codes, axis=0, initial=-1) + 1
        self.codes = np.where(np.isnan(codes), self._missing_code, codes)
        self.quantities = X[:, ~discrete].astype(np.float64)
        missing = np.isnan(self.quantities)
        self._with_missing = missing.any(axis=0)
        self._scaler = StandardScaler(with_mean=False)
        if not discrete.all():
            imputer = SimpleImputer(strategy="median", keep_empty_features=True)
            scaled = self._scaler.fit_transform(imputer.fit_transform(self.quantities))
            self.quantities = np.hstack([scaled, missing[:, self._with_missing]])

    def distances(self) -> np.ndarray:
        """The rows with each code as a column of its own: two different codes are equally far apart."""
        from sklearn.preprocessing import OneHotEncoder

        if not self._discrete.any():
            return self.quantities
        return np.hstack([OneHotEncoder(sparse_output=False).fit_transform(self.codes), self.quantities])

    def original(self, rows: np.ndarray) -> np.ndarray:
        """Rows of codes and quantities as the columns of the data, shape (rows, columns), float32."""
        values = np.empty((len(rows), len(self._discrete)), dtype=np.float32)
        codes, quantities, missing = np.split(rows, [self.codes.shape[1], len(self._discrete)], axis=1)
        values[:, self._discrete] = np.where(codes == self._missing_code, np.nan, codes)
        if not self._discrete.all():
            quantities = self._scaler.inverse_transform(quantities)
            quantities[:, self._with_missing] = np.where(missing > 0.5, np.nan, quantities[:, self._with_missing])
            values[:, ~self._discrete] = quantities
        return values


@dataclass(frozen=True)
class Resampler:
    """What a configuration says of resampling: two that are equal make the same of the same rows.

    Attributes:
        name: one of `RESAMPLERS`.
        ratio: frauds for each legitimate row; None for the sampler's own.
    """

    name: str = "passthrough"
    ratio: float | None = None

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "Resampler":
        """The resampler of a trial's configuration."""
        return cls(str(params.get("resampler", "passthrough")), params.get("sampling_ratio"))

    def __call__(self, X: np.ndarray, y: np.ndarray, discrete: np.ndarray, *, seed: int, n_jobs: int) -> Resampled:
        """Resample encoded fitting rows: see `resample`."""
        return resample(self.name, X, y, discrete, seed=seed, n_jobs=n_jobs)
