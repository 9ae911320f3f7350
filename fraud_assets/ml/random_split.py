"""Splits at random, with the fraud rate kept, and rows that belong together on one side."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.split import HOLDOUT, TRAIN, Split, SplitSettings, require_both_classes


def split_at_random(dataset: Dataset, settings: SplitSettings, *, entities_intact: bool) -> Split:
    """Split at random, with the fraud rate kept, and exact copies on one side; all rows of an entity too, if asked.

    The holdout depends on `holdout_fraction` and `seed` only: another number of folds leaves it as it was.

    Raises:
        DataError: some role would have no fraud, or no legitimate row; the message has the numbers.
    """
    y, groups = dataset.y, _groups(dataset, entities_intact)
    roles = np.full(len(y), HOLDOUT, dtype=object)
    _, rest = _deal(y, groups, [settings.holdout_fraction, 1 - settings.holdout_fraction], settings.seed)
    if settings.folds == 1:
        names, shares = ["fold_0", TRAIN], [settings.validation_fraction, 1 - settings.validation_fraction]
    else:
        names, shares = [f"fold_{i}" for i in range(settings.folds)], [1 / settings.folds] * settings.folds
    for name, rows in zip(names, _deal(y[rest], groups[rest], shares, settings.seed), strict=True):
        roles[rest[rows]] = name
    where = (
        f"in {len(np.unique(groups))} groups of rows that belong together (an entity's, or copies), frauds in "
        f"{len(np.unique(groups[y == 1]))} of them, for {1 + len(names)} parts ({', '.join((HOLDOUT, *names))})"
    )
    for name in (HOLDOUT, *names):
        what = f"the part {name!r} of the split"
        require_both_classes(y, roles == name, what, where, "use fewer folds or other fractions")
    return Split.of_parts(roles, settings, "group" if entities_intact else "stratified", dataset.version)


def _groups(dataset: Dataset, entities_intact: bool) -> np.ndarray:
    """A number for each row; rows with an equal number stay together.

    A row without an entity belongs with its exact copies only.
    """
    if dataset.entity is None or not entities_intact:
        return _copies(dataset.table)
    groups = pd.factorize(dataset.entity)[0]
    nobodys = np.flatnonzero(groups < 0)
    groups[nobodys] = len(groups) + _copies(dataset.table.take(nobodys))
    return groups


def _copies(table: pa.Table) -> np.ndarray:
    """A number for each row of `table`, equal for exact copies."""
    return np.asarray(pd.factorize(pd.util.hash_pandas_object(table.to_pandas(), index=False))[0])


def _deal(y: np.ndarray, groups: np.ndarray, shares: Sequence[float], seed: int) -> list[np.ndarray]:
    """Positions of the rows of each part, so that it has its share of the frauds and of the legitimate rows.

    Groups go one by one, those with most of a class first, to the part that is behind most: the part in which the sum
    over parts and classes of (rows in part / rows)² / share grows least. scikit-learn's StratifiedGroupKFold weighs
    alike, but for equal shares only, and it walks through the rows in Python: minutes where this takes seconds.
    """
    _, group = np.unique(groups, return_inverse=True)
    counts = np.column_stack([np.bincount(group, weights=y == label) for label in (0, 1)])
    weights = counts / np.maximum(counts.sum(axis=0), 1)
    shuffled = np.random.default_rng(seed).permutation(len(counts))
    order = shuffled[np.argsort(-weights[shuffled].max(axis=1), kind="stable")]
    # Plain numbers, because this loop runs once a group: with small arrays it takes ten times as long.
    dealt = [[0.0, 0.0, share] for share in shares]
    part = [0] * len(counts)
    for g, legitimate, frauds in zip(order.tolist(), *weights[order].T.tolist(), strict=True):
        chosen, least = 0, math.inf
        for i, (legitimate_there, frauds_there, share) in enumerate(dealt):
            growth = ((2 * legitimate_there + legitimate) * legitimate + (2 * frauds_there + frauds) * frauds) / share
            if growth < least:
                chosen, least = i, growth
        part[g] = chosen
        dealt[chosen][0] += legitimate
        dealt[chosen][1] += frauds
    return [np.flatnonzero(np.asarray(part)[group] == i) for i in range(len(shares))]
