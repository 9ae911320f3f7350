"""Resampling of the fitting rows, with the samplers of imbalanced-learn.

Neighbours are looked for among scaled, imputed columns, because the distance between unscaled ones is decided by the
column with the largest unit. What comes out is in the units of the data, and lacks values where the data does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fraud_assets.ml.scaled_space import ScaledSpace
from fraud_assets.ml.schema import DataError

RESAMPLERS = ("allknn", "smote", "borderline_smote", "smote_enn", "random_under", "passthrough")

# Frauds for each legitimate row where nobody asks for another ratio. Balance is imbalanced-learn's own default; to
# under-sample to it, also usual, costs 0.24 of average precision on the handbook's validation blocks, and 1 in 30 costs
# 0.008: a ranking needs the legitimate rows that look like frauds, and those are rare.
_RATIOS = {"smote": 1.0, "borderline_smote": 1.0, "smote_enn": 1.0, "random_under": 1 / 30}


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


def resample(
    name: str,
    X: np.ndarray,
    y: np.ndarray,
    discrete: np.ndarray,
    *,
    seed: int,
    n_jobs: int = 1,
    ratio: float | None = None,
) -> Resampled:
    """Apply the resampler called `name` to encoded fitting rows.

    Args:
        name: one of `RESAMPLERS`. `allknn` removes legitimate rows whose neighbours disagree with them (Tomek 1976).
            `smote` makes up frauds between neighbouring frauds (Chawla et al. 2002; SMOTENC or SMOTEN where there are
            discrete columns, which can't be interpolated). `borderline_smote` does so where most neighbours are
            legitimate (Han et al. 2005); what it makes up has the discrete columns of the nearest fraud. `smote_enn`
            removes, after `smote`, all rows whose neighbours disagree with them (Batista et al. 2004). `random_under`
            drops legitimate rows at random. `passthrough` does nothing.
        X: encoded features, shape (rows, columns), NaN where missing.
        y: labels, shape (rows,), 0 or 1.
        discrete: which columns are booleans or category codes, shape (columns,).
        seed: of the sampler's random numbers.
        n_jobs: threads of the search for neighbours among all rows; SMOTE's, among the few frauds, has one.
        ratio: frauds for each legitimate row after resampling, before `smote_enn` removes any; nothing is made up or
            dropped where there are that many already. None for balance, and for `random_under` 1 in 30.

    Raises:
        DataError: too few rows of a class for the sampler.
        ValueError: no resampler has this name, it takes no ratio, or the ratio is not above 0 and at most 1.
    """
    if name not in RESAMPLERS:
        raise ValueError(f"resampler {name!r} is unknown: expected one of {list(RESAMPLERS)}")
    if ratio is not None and name not in _RATIOS:
        raise ValueError(f"resampler {name!r} takes no sampling_ratio, but {ratio} was given")
    if ratio is not None and not 0 < ratio <= 1:
        raise ValueError(f"sampling_ratio is {ratio}; expected a ratio above 0 and at most 1")
    wanted = ratio or _RATIOS.get(name, 0)
    if name == "allknn":
        return _all_knn(X, y, discrete, n_jobs)
    if name == "random_under":
        return _nothing_made_up(_random_under(y, wanted, seed), X)
    if name == "passthrough":
        return _nothing_made_up(np.arange(len(y)), X)
    return _over_sample(name, X, y, discrete, wanted, seed, n_jobs)


def _nothing_made_up(kept: np.ndarray, X: np.ndarray) -> Resampled:
    return Resampled(kept, np.empty((0, X.shape[1]), dtype=np.float32), np.empty(0, dtype=np.int8))


def _all_knn(X: np.ndarray, y: np.ndarray, discrete: np.ndarray, n_jobs: int) -> Resampled:
    from imblearn.under_sampling import AllKNN

    sampler = AllKNN(sampling_strategy=[0], n_jobs=n_jobs)
    sampler.fit_resample(ScaledSpace(X, discrete).distances(), y)
    return _nothing_made_up(np.sort(sampler.sample_indices_).astype(np.int64), X)


def _random_under(y: np.ndarray, ratio: float, seed: int) -> np.ndarray:
    """The positions of all frauds, and of so many legitimate rows that the ratio is reached, in their order."""
    from imblearn.under_sampling import RandomUnderSampler

    legitimate, frauds = np.bincount(y, minlength=2)
    keep = round(frauds / ratio)
    if frauds == 0 or legitimate <= keep:
        return np.arange(len(y))
    sampler = RandomUnderSampler(sampling_strategy={0: keep}, random_state=seed)
    sampler.fit_resample(np.arange(len(y))[:, None], y)
    return np.sort(sampler.sample_indices_).astype(np.int64)


def _over_sample(
    name: str, X: np.ndarray, y: np.ndarray, discrete: np.ndarray, ratio: float, seed: int, n_jobs: int
) -> Resampled:
    counts = np.bincount(y, minlength=2)
    minority = int(counts.argmin())
    if counts[minority] < 2:
        raise DataError(f"{name} needs at least 2 rows of each class in the fitting rows, and got {counts[minority]}")
    wanted = round(ratio * counts.max())
    if wanted <= counts[minority]:
        return _nothing_made_up(np.arange(len(y)), X)
    space = ScaledSpace(X, discrete)
    settings: dict[str, Any] = {
        "k_neighbors": min(5, int(counts[minority]) - 1),
        "random_state": seed,
        "sampling_strategy": {minority: wanted},
    }
    made = (_borderline if name == "borderline_smote" else _between)(space, y, settings)
    if name == "smote_enn":
        return _edited(space, made, y, minority, n_jobs)
    labels = np.full(len(made), minority, dtype=np.int8)
    return Resampled(np.arange(len(y)), space.original(made), labels)


def _between(space: ScaledSpace, y: np.ndarray, settings: dict[str, Any]) -> np.ndarray:
    """Rows made up between neighbours, in the scaled space."""
    from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC

    codes = space.codes.shape[1]
    if not codes:
        sampler = SMOTE(**settings)
    elif space.quantities.shape[1]:
        sampler = SMOTENC(categorical_features=list(range(codes)), **settings)
    else:
        sampler = SMOTEN(**settings)
    made, _ = sampler.fit_resample(space.rows, y)
    # imbalanced-learn's over-samplers put the rows that went in first, and append what they made up.
    return np.asarray(made[len(y) :])


def _borderline(space: ScaledSpace, y: np.ndarray, settings: dict[str, Any]) -> np.ndarray:
    """The same where most neighbours are of the other class; none where no row has such neighbours."""
    from imblearn.over_sampling import BorderlineSMOTE
    from sklearn.neighbors import NearestNeighbors

    distances = space.distances()
    sampler = BorderlineSMOTE(**settings, m_neighbors=min(10, len(y) - 1))
    made = np.asarray(sampler.fit_resample(distances, y)[0][len(y) :])
    if not len(made):
        return space.rows[:0]
    # Codes are columns of zeros and ones among the distances, and come out as fractions: a made-up row takes them from
    # the nearest row of its class.
    (minority,) = settings["sampling_strategy"]
    own = np.flatnonzero(y == minority)
    nearest = own[NearestNeighbors(n_neighbors=1).fit(distances[own]).kneighbors(made, return_distance=False)[:, 0]]
    quantities = made[:, made.shape[1] - space.quantities.shape[1] :]
    return np.hstack([space.codes[nearest], quantities])


def _edited(space: ScaledSpace, made: np.ndarray, y: np.ndarray, minority: int, n_jobs: int) -> Resampled:
    """What edited nearest neighbours (Wilson 1972) leave of the rows and of those made up."""
    from imblearn.under_sampling import EditedNearestNeighbours

    rows = np.vstack([space.rows, made])
    labels = np.concatenate([y, np.full(len(made), minority)])
    cleaner = EditedNearestNeighbours(sampling_strategy="all", n_jobs=n_jobs)
    cleaner.fit_resample(space.distances_of(rows), labels)
    left = np.sort(cleaner.sample_indices_)
    if len(np.unique(labels[left])) < 2:
        raise DataError(
            f"smote_enn leaves {len(left)} of {len(labels)} rows, and of one class only: the columns don't tell frauds "
            "from their neighbours; use another resampler"
        )
    kept, survivors = left[left < len(y)].astype(np.int64), made[left[left >= len(y)] - len(y)]
    return Resampled(kept, space.original(survivors), np.full(len(survivors), minority, dtype=np.int8))


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
        return resample(self.name, X, y, discrete, seed=seed, n_jobs=n_jobs, ratio=self.ratio)
