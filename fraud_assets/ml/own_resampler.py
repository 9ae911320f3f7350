"""A user's own resampler: anything with imbalanced-learn's interface, found by its import path."""

import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any

import numpy as np

from fraud_assets.ml.scaled_space import ScaledSpace
from fraud_assets.ml.schema import DataError

_EXPECTED = "expected a class with fit_resample(X, y), such as 'my_package.samplers:MySampler'"


def make_own(path: str, parameters: Mapping[str, Any], *, seed: int, n_jobs: int) -> Any:
    """The resampler at an import path, made with `parameters`.

    Args:
        path: `package.module:Name` of a class, or of a function that makes a resampler.
        parameters: of its constructor.
        seed: what it gets as `random_state`, if it takes that and `parameters` doesn't have it.
        n_jobs: the same for `n_jobs`.

    Raises:
        ValueError: it can't be imported, isn't callable, takes no such parameter, refuses a value, or makes something
            that doesn't resample.
    """
    try:
        found = pkgutil.resolve_name(path)
    except Exception as error:  # importing runs the user's code, which may raise anything
        raise ValueError(f"resampler {path!r} can't be imported ({error!r}): {_EXPECTED}") from error
    if not callable(found):
        raise ValueError(f"resampler {path!r} is a {type(found).__name__}, which can't be called: {_EXPECTED}")
    try:
        taken = inspect.signature(found).parameters
    except (TypeError, ValueError) as error:
        raise ValueError(f"resampler {path!r} doesn't say which parameters it takes ({error}): {_EXPECTED}") from error
    named = [name for name, p in taken.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    unknown = sorted(set(parameters) - set(named))
    if unknown and not any(p.kind == p.VAR_KEYWORD for p in taken.values()):
        raise ValueError(f"resampler {path!r} takes no parameter {unknown[0]!r}: expected one of {named}")
    ours = {name: value for name, value in (("random_state", seed), ("n_jobs", n_jobs)) if name in named}
    try:
        made = found(**{**ours, **parameters})
    except Exception as error:  # the user's code
        raise ValueError(f"resampler {path!r} can't be made with {dict(parameters)}: {error!r}") from error
    if not callable(getattr(made, "fit_resample", None)):
        raise ValueError(f"resampler {path!r} makes a {type(made).__name__} without fit_resample: {_EXPECTED}")
    return made


def resample_with_own(
    path: str, parameters: Mapping[str, Any], space: ScaledSpace, y: np.ndarray, *, seed: int, n_jobs: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Resample with a user's resampler.

    It gets the points of `space.distances`: float64, scaled and without gaps, each category a column of its own.
    What it returns is taken for rows that were kept, not made up, as far as it is equal to rows that went in: those at
    `sample_indices_`, where it has that; else all of them, if they come first, as over-samplers have it.

    Args:
        path: see `make_own`, as for `parameters`, `seed`, `n_jobs`.
        parameters: of the constructor.
        space: the fitting rows.
        y: their labels.
        seed: of its random numbers.
        n_jobs: of its threads.

    Returns:
        The positions of the kept rows, in order, a position as often as its row is; the made-up rows, as rows of
        `space`, and their labels.

    Raises:
        ValueError: see `make_own`.
        DataError: it fails on these rows, or returns something that can't be fitted on.
    """
    sampler = make_own(path, parameters, seed=seed, n_jobs=n_jobs)
    points = space.distances(space.rows)
    what = f"resampler {path!r}" + (f" with {dict(parameters)}" if parameters else "")
    try:
        # Copies: what it does to them in place would pass for what went in.
        returned = sampler.fit_resample(points.copy(), y.copy())
    except Exception as error:  # the user's code
        raise DataError(f"{what} fails on {len(y):,} fitting rows, {int(y.sum()):,} frauds: {error!r}") from error
    after, labels = _usable(what, returned, points.shape[1])
    kept = _kept(sampler, points, y, after, labels)
    if kept is not None:
        return np.sort(kept), np.empty((0, space.rows.shape[1])), np.empty(0, dtype=np.int8)
    size = len(y)
    if np.array_equal(labels[:size], y) and np.array_equal(after[:size], points):
        return np.arange(size), space.from_distances(after[size:]), labels[size:]
    return np.empty(0, dtype=np.int64), space.from_distances(after), labels


def _kept(sampler: Any, points: np.ndarray, y: np.ndarray, after: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
    """Its `sample_indices_`, if what it returned are the rows there: some over-samplers move them."""
    indices = np.asarray(getattr(sampler, "sample_indices_", ()))
    if indices.shape != labels.shape or indices.dtype.kind not in "iu" or not (indices >= 0).all():
        return None
    if indices.max() >= len(y) or not np.array_equal(y[indices], labels) or not np.array_equal(points[indices], after):
        return None
    return indices.astype(np.int64)


def _usable(what: str, returned: Any, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows as float64 and labels as int8, if these are what a fit can use."""
    expected = f"expected (rows, labels): an array of {columns} numeric columns, and a 0 or 1 for each row"
    try:
        rows, labels = returned
        after, found = np.asarray(rows, dtype=np.float64), np.asarray(labels)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} returned a {type(returned).__name__} that is no such pair: {expected}") from error
    if after.ndim != 2 or after.shape[1] != columns or found.shape != after.shape[:1]:
        raise DataError(f"{what} returned rows of shape {after.shape} and labels of shape {found.shape}: {expected}")
    if not np.isin(found, (0, 1)).all():
        raise DataError(f"{what} returned labels {sorted(set(found.tolist()))[:5]}: {expected}")
    frauds = int(found.sum())
    if frauds in (0, len(found)):
        raise DataError(f"{what} returned {frauds} frauds among {len(found)} rows: expected both classes, to fit on")
    if not np.isfinite(after).all():
        broken = int((~np.isfinite(after)).any(axis=1).sum())
        raise DataError(f"{what} returned {broken} of {len(after)} rows with NaN or infinite values: expected none")
    return after, found.astype(np.int8)
