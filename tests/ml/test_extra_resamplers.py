"""The resamplers beyond the first three."""

import numpy as np
import pytest

from fraud_assets.ml.extra_resamplers import random_under


def labels(frauds: int, legitimate: int) -> np.ndarray:
    y = np.array([1] * frauds + [0] * legitimate, dtype=np.int8)
    np.random.default_rng(0).shuffle(y)
    return y


def test_every_fraud_stays_and_legitimate_rows_go_until_the_ratio_is_reached() -> None:
    y = labels(20, 5000)
    X = np.arange(len(y) * 2, dtype=np.float32).reshape(-1, 2)
    sampled = random_under(X, y, seed=0, ratio=0.1)
    kept, kept_labels = sampled.apply(X, y)
    assert kept_labels.sum() == 20
    assert (kept_labels == 0).sum() == 200
    np.testing.assert_array_equal(kept, X[sampled.kept])
    assert (np.diff(sampled.kept) > 0).all()


@pytest.mark.parametrize(("frauds", "legitimate"), [(50, 60), (0, 100), (10, 0)])
def test_rows_that_are_balanced_enough_or_of_one_class_stay_as_they_are(frauds: int, legitimate: int) -> None:
    y = labels(frauds, legitimate)
    X = np.zeros((len(y), 3), dtype=np.float32)
    same, same_labels = random_under(X, y, seed=0).apply(X, y)
    assert same is X
    assert same_labels is y


def test_the_seed_decides_what_goes() -> None:
    y = labels(5, 5000)
    X = np.zeros((len(y), 1), dtype=np.float32)
    first, again, other = (random_under(X, y, seed=seed).kept for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
