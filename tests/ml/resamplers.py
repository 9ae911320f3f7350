"""Resamplers of a user's own, to be named by import path."""

from typing import Any

import numpy as np
from imblearn.under_sampling import TomekLinks

NOT_CALLABLE = TomekLinks()


class Cleaner(TomekLinks):  # type: ignore[misc] # imbalanced-learn has no types
    """imbalanced-learn's, under another name: it says which rows it keeps."""


class KeepsSome:
    """Keeps each `every`th legitimate row, the last one first, and doesn't say which."""

    def __init__(self, every: int = 2) -> None:
        self.every = every

    def fit_resample(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kept = np.append(np.flatnonzero(y == 0)[:: self.every], np.flatnonzero(y == 1))[::-1]
        return X[kept], y[kept]


class Records:
    """Changes nothing, and remembers what it was made with and what it got."""

    made: list[dict[str, Any]] = []  # noqa: RUF012 - of all instances
    got: list[tuple[np.ndarray, np.ndarray]] = []  # noqa: RUF012

    def __init__(self, n_neighbors: int = 5, random_state: int | None = None, n_jobs: int | None = None) -> None:
        self.made.append({"n_neighbors": n_neighbors, "random_state": random_state, "n_jobs": n_jobs})

    def fit_resample(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.got.append((X.copy(), y.copy()))
        return X, y


class Shifts:
    """Puts the rows that came in first, then copies of the frauds, each moved by a third in all columns."""

    def fit_resample(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.vstack([X, X[y == 1] + 1 / 3]), np.append(y, y[y == 1])


class InPlace:
    """Breaks what it got."""

    def fit_resample(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        X[:] = 0.25
        return X, y


class Returns:
    """Returns something wrong, by name."""

    def __init__(self, what: str = "") -> None:
        if what == "refused":
            raise ValueError("no such thing")
        self.what = what

    def fit_resample(self, X: np.ndarray, y: np.ndarray) -> Any:
        if self.what == "error":
            raise RuntimeError("no neighbours today")
        return {
            "one class": (X[y == 0], y[y == 0]),
            "nan": (np.where(np.arange(len(X))[:, None] < 3, np.nan, X), y),
            "columns": (X[:, 1:], y),
            "lengths": (X, y[1:]),
            "flat": (X[:, 0], y),
            "labels": (X, y + 1),
            "no pair": X,
            "words": (np.full(X.shape, "a"), y),
        }[self.what]


class Wrong:
    """No resampler."""


def makes(every: int) -> KeepsSome:
    return KeepsSome(every)
