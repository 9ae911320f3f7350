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
# Those that take a ratio; the others decide by themselves how many rows there are afterwards.
WITH_RATIO = ("smote", "borderline_smote", "smote_enn", "random_under")

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
        name: one of `RESAMPLERS`:

            - `allknn` removes legitimate rows whose neighbours disagree with them (Tomek 1976);
            - `smote` makes up minority rows between neighbours (Chawla et al. 2002; SMOTENC or SMOTEN where there are
              discrete columns, which can't be interpolated);
            - `borderline_smote` does so only from minority rows in danger, those with at least half, but not all, of
              their 10 neighbours in the majority (Borderline-SMOTE1, Han et al. 2005), and makes nothing up where no
              row is; a made-up row has the discrete values of the nearer of the two rows it lies between;
            - `smote_enn` is `smote`, after which rows of either class, made up or not, go unless their 3 neighbours
              are of the same class (Batista et al. 2004, who let 2 of 3 decide; imbalanced-learn asks for all);
            - `random_under` drops legitimate rows at random;
            - `passthrough` does nothing.
        X: encoded features, shape (rows, columns), NaN where missing.
        y: labels, shape (rows,), 0 or 1.
        discrete: which columns are booleans or category codes, shape (columns,).
        seed: of the sampler's random numbers.
        n_jobs: threads of a neighbour search among all rows; SMOTE's, among the few frauds, has one.
        ratio: frauds for each legitimate row, to the nearest row, over 0 and up to 1; for `smote_enn` before rows go.
            Where making rows up, or dropping them, would only lead away from it, the rows stay as they are (`smote_enn`
            still cleans them). None is balance, of whichever class is the smaller, and for `random_under` 1 / 30.

    Raises:
        DataError: too few rows of a class for the sampler, or none left by it.
        ValueError: no resampler has this name, it takes no ratio, or the ratio is out of range.
    """
    if name not in RESAMPLERS:
        raise ValueError(f"resampler {name!r} is unknown: expected one of {list(RESAMPLERS)}")
    if ratio is not None and name not in WITH_RATIO:
        raise ValueError(f"resampler {name!r} takes no ratio, and got {ratio}: those that do are {list(WITH_RATIO)}")
    if ratio is not None and not 0 < ratio <= 1:
        raise ValueError(f"ratio must be over 0 and at most 1, and is {ratio}")
    everything = np.arange(len(y))
    none = np.empty((0, X.shape[1]), dtype=np.float32), np.empty(0, dtype=np.int8)
    if name == "passthrough":
        return Resampled(everything, *none)
    if name == "random_under":
        return Resampled(_random_under(y, ratio, seed), *none)
    space = ScaledSpace(X, discrete)
    if name == "allknn":
        from imblearn.under_sampling import AllKNN

        sampler = AllKNN(sampling_strategy=[0], n_jobs=n_jobs)
        sampler.fit_resample(space.distances(space.rows), y)
        return Resampled(np.sort(sampler.sample_indices_).astype(np.int64), *none)
    if name == "smote_enn":
        return _smote_enn(space, y, ratio, seed, n_jobs)
    made, labels = _over_sample(name, space, y, ratio, seed, n_jobs)
    return Resampled(everything, space.original(made), labels)


def _random_under(y: np.ndarray, ratio: float | None, seed: int) -> np.ndarray:
    """The positions of all frauds, and of as many legitimate rows as the ratio leaves for them, in their order."""
    from imblearn.under_sampling import RandomUnderSampler

    legitimate, frauds = map(int, np.bincount(y, minlength=2))
    goal = KEPT_FOR_A_FRAUD * frauds if ratio is None else round(frauds / ratio)
    if frauds == 0 or legitimate <= goal:
        return np.arange(len(y))
    sampler = RandomUnderSampler(sampling_strategy={0: goal}, random_state=seed)
    sampler.fit_resample(np.arange(len(y))[:, None], y)
    return np.sort(sampler.sample_indices_).astype(np.int64)


def _over_sample(
    name: str, space: ScaledSpace, y: np.ndarray, ratio: float | None, seed: int, n_jobs: int
) -> tuple[np.ndarray, np.ndarray]:
    """What `name` makes up, as rows of `space`, and their labels."""
    from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC, BorderlineSMOTE

    counts = np.bincount(y, minlength=2)
    smaller = int(counts.argmin())
    # With a ratio, legitimate rows that are the smaller class never grow: their goal is at most what they are.
    goal = int(counts.max()) if ratio is None else round(ratio * int(counts[0]))
    if goal <= counts[smaller]:
        return np.empty((0, space.rows.shape[1])), np.empty(0, dtype=np.int8)
    minority = _at_least_two(name, y)
    settings: dict[str, Any] = {
        "sampling_strategy": {smaller: goal},
        "k_neighbors": min(5, minority - 1),
        "random_state": seed,
    }
    # imbalanced-learn's over-samplers put the rows that went in first, and append what they made up.
    if name == "borderline_smote":
        from sklearn.neighbors import NearestNeighbors

        # A row is the nearest neighbour of its own.
        around = NearestNeighbors(n_neighbors=1 + min(10, len(y) - 1), n_jobs=n_jobs)
        sampler = BorderlineSMOTE(m_neighbors=around, **settings)
        points, labels = sampler.fit_resample(space.distances(space.rows), y)
        return space.from_distances(points[len(y) :]), labels[len(y) :].astype(np.int8)
    if space.codes == space.rows.shape[1]:
        sampler = SMOTEN(**settings)
    elif space.codes:
        sampler = SMOTENC(categorical_features=list(range(space.codes)), **settings)
    else:
        sampler = SMOTE(**settings)
    rows, labels = sampler.fit_resample(space.rows, y)
    return rows[len(y) :], labels[len(y) :].astype(np.int8)


def _smote_enn(space: ScaledSpace, y: np.ndarray, ratio: float | None, seed: int, n_jobs: int) -> Resampled:
    """imbalanced-learn's SMOTEENN step by step: its own takes no discrete columns, and doesn't tell which rows stay."""
    from imblearn.under_sampling import EditedNearestNeighbours

    _at_least_two("smote_enn", y)
    made, made_labels = _over_sample("smote_enn", space, y, ratio, seed, n_jobs)
    rows, labels = np.vstack([space.rows, made]), np.concatenate([y, made_labels])
    sampler = EditedNearestNeighbours(sampling_strategy="all", n_jobs=n_jobs)
    sampler.fit_resample(space.distances(rows), labels)
    stay = np.sort(sampler.sample_indices_).astype(np.int64)
    before, after = np.bincount(labels, minlength=2), np.bincount(labels[stay], minlength=2)
    if not after.all():
        raise DataError(
            f"smote_enn left {after[0]} of {before[0]} legitimate rows and {after[1]} of {before[1]} frauds "
            f"({len(made)} rows made up): a fit needs both, so use another resampler"
        )
    kept, made_stay = stay[stay < len(y)], stay[stay >= len(y)] - len(y)
    return Resampled(kept, space.original(made[made_stay]), made_labels[made_stay])


def _at_least_two(name: str, y: np.ndarray) -> int:
    """The rows of the smaller class, if a row of it has a neighbour there."""
    minority = int(np.bincount(y, minlength=2).min())
    if minority < 2:
        raise DataError(f"{name} needs at least 2 rows of each class in the fitting rows, and got {minority}")
    return minority


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
