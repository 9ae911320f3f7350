"""imbalanced-learn's samplers on rows of a `ScaledSpace`: which rows they keep, and which they make up.

What is made up are rows of that space, too; `resample.Resampler` brings them back to the units of the data.
"""

import warnings
from typing import Any

import numpy as np

from fraud_assets.ml.scaled_space import ScaledSpace
from fraud_assets.ml.schema import DataError

# Legitimate rows that random under-sampling keeps for each fraud. Balance, the usual choice, costs 0.24 of average
# precision on the handbook's validation blocks, and this costs 0.008: a ranking needs the legitimate rows that look
# like frauds, and those are rare.
KEPT_FOR_A_FRAUD = 30


def all_knn(space: ScaledSpace, y: np.ndarray, n_jobs: int) -> np.ndarray:
    """The positions of the rows that AllKNN keeps, in their order."""
    from imblearn.under_sampling import AllKNN

    sampler = AllKNN(sampling_strategy=[0], n_jobs=n_jobs)
    sampler.fit_resample(space.distances(space.rows), y)
    return np.sort(sampler.sample_indices_).astype(np.int64)


def random_under(y: np.ndarray, ratio: float | None, seed: int) -> np.ndarray:
    """The positions of all frauds, and of as many legitimate rows as the ratio leaves for them, in their order."""
    from imblearn.under_sampling import RandomUnderSampler

    legitimate, frauds = map(int, np.bincount(y, minlength=2))
    goal = KEPT_FOR_A_FRAUD * frauds if ratio is None else round(frauds / ratio)
    if frauds == 0 or legitimate <= goal:
        return np.arange(len(y))
    sampler = RandomUnderSampler(sampling_strategy={0: goal}, random_state=seed)
    sampler.fit_resample(np.arange(len(y))[:, None], y)
    return np.sort(sampler.sample_indices_).astype(np.int64)


def to_make_up(y: np.ndarray, ratio: float | None) -> tuple[int, int]:
    """The smaller class, and how many rows of it an over-sampler makes up, 0 where there are enough."""
    counts = np.bincount(y, minlength=2)
    smaller = int(counts.argmin())
    # With a ratio, legitimate rows that are the smaller class never grow: their goal is at most what they are.
    goal = int(counts.max()) if ratio is None else round(ratio * int(counts[0]))
    return smaller, max(0, goal - int(counts[smaller]))


def over_sample(
    name: str,
    space: ScaledSpace,
    y: np.ndarray,
    ratio: float | None,
    seed: int,
    n_jobs: int,
    among: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """What `name` makes up between the rows at the positions `among`, or all if None; and its labels."""
    from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC, BorderlineSMOTE

    smaller, number = to_make_up(y, ratio)
    if number == 0:
        return np.empty((0, space.rows.shape[1])), np.empty(0, dtype=np.int8)
    at_least_two(name, y)
    rows, y = (space.rows, y) if among is None else (space.rows[among], y[among])
    there = int(np.sum(y == smaller))
    settings: dict[str, Any] = {
        "sampling_strategy": {smaller: there + number},
        "k_neighbors": min(5, there - 1),
        "random_state": seed,
    }
    # imbalanced-learn's over-samplers put the rows that went in first, and append what they made up.
    if name == "borderline_smote":
        from sklearn.neighbors import NearestNeighbors

        # A row is the nearest neighbour of its own.
        around = NearestNeighbors(n_neighbors=1 + min(10, len(y) - 1), n_jobs=n_jobs)
        sampler = BorderlineSMOTE(m_neighbors=around, **settings)
        points, labels = sampler.fit_resample(space.distances(rows), y)
        return space.from_distances(points[len(y) :]), labels[len(y) :].astype(np.int8)
    if space.codes == space.rows.shape[1]:
        sampler = SMOTEN(**settings)  # measures by how often a code comes with each class
    else:
        # These look at rows of the smaller class only, but copy and encode all that they get, several times over. They
        # want to see another class, for which one row will do.
        seen = np.append(np.flatnonzero(y == smaller), np.argmax(y != smaller))
        rows, y = rows[seen], y[seen]
        codes = list(range(space.codes))
        sampler = SMOTENC(categorical_features=codes, **settings) if codes else SMOTE(**settings)
    with warnings.catch_warnings():
        # That there will be more rows than of the larger class: of the rows that it sees.
        warnings.filterwarnings("ignore", "After over-sampling, the number of samples", UserWarning)
        rows, labels = sampler.fit_resample(rows, y)
    return rows[len(y) :], labels[len(y) :].astype(np.int8)


def smote_enn(
    space: ScaledSpace, y: np.ndarray, ratio: float | None, seed: int, n_jobs: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The positions that stay, the made-up rows that do, and their labels.

    imbalanced-learn's SMOTEENN step by step: its own takes no discrete columns, and doesn't tell which rows stay.

    Raises:
        DataError: too few rows of a class, or none left of one.
    """
    from imblearn.under_sampling import EditedNearestNeighbours

    at_least_two("smote_enn", y)
    made, made_labels = over_sample("smote_enn", space, y, ratio, seed, n_jobs)
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
    return kept, made[made_stay], made_labels[made_stay]


def at_least_two(name: str, y: np.ndarray) -> None:
    """Raise DataError unless a row of the smaller class has a neighbour there."""
    minority = int(np.bincount(y, minlength=2).min())
    if minority < 2:
        raise DataError(f"{name} needs at least 2 rows of each class in the fitting rows, and got {minority}")
