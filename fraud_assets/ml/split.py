"""Which rows fit, which choose, which judge: every row gets one role."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fraud_assets.ml.identity import digest
from fraud_assets.ml.schema import DataError, Dataset, read_info, with_info

HOLDOUT = "holdout"
TRAIN = "train"


@dataclass(frozen=True)
class SplitSettings:
    """How rows are split.

    Attributes:
        holdout_fraction: share of the rows that judge the model and are seen by nothing else.
        folds: how many validation folds; with 1, one part of `validation_fraction` chooses and the rest fits.
        validation_fraction: share of the rows outside the holdout that validate where `folds` is 1.
        seed: of the shuffling.

    Raises:
        ValueError: a field is out of its range.
    """

    holdout_fraction: float = 0.2
    folds: int = 3
    validation_fraction: float = 0.2
    seed: int = 1025

    def __post_init__(self) -> None:
        for name in ("holdout_fraction", "validation_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a fraction between 0 and 1")
        if self.folds < 1:
            raise ValueError(f"folds is {self.folds}; expected 1 or more")


@dataclass(frozen=True)
class Split:
    """The role of every row.

    Attributes:
        roles: shape (rows,), one of `holdout`, `train` (fits in every fold) or `fold_0`, `fold_1`, … (validates in that
            fold and fits in the others); position i is row id i.
        settings: what it was made with.
        data_version: of the data set it belongs to.
    """

    roles: np.ndarray
    settings: SplitSettings
    data_version: str

    @property
    def holdout(self) -> np.ndarray:
        """Row ids of the holdout."""
        return np.flatnonzero(self.roles == HOLDOUT)

    @property
    def tuning(self) -> np.ndarray:
        """Row ids of everything but the holdout."""
        return np.flatnonzero(self.roles != HOLDOUT)

    def folds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(fitting row ids, validating row ids) of each fold; the holdout is in none of them."""
        names = sorted({str(role) for role in self.roles} - {HOLDOUT, TRAIN}, key=lambda name: int(name[5:]))
        return [
            (np.flatnonzero((self.roles != HOLDOUT) & (self.roles != name)), np.flatnonzero(self.roles == name))
            for name in names
        ]

    @property
    def version(self) -> str:
        """Digest of the data's version and every row's role; settings that make no difference leave no trace."""
        return digest([self.data_version, self.roles.tolist()])

    def to_arrow(self) -> pa.Table:
        """A table of `row_id` and `role`, with the settings in its metadata."""
        roles = pa.array(self.roles.astype(str)).dictionary_encode()
        table = pa.table({"row_id": np.arange(len(self.roles)), "role": roles})
        return with_info(table, {"settings": asdict(self.settings), "data_version": self.data_version})

    @classmethod
    def from_arrow(cls, table: pa.Table, dataset: Dataset) -> "Split":
        """The inverse of `to_arrow`, for the data set that it was made for.

        Raises:
            DataError: the split was made for another version of the data, whose row ids mean other rows.
        """
        info: dict[str, Any] = read_info(table)
        if info["data_version"] != dataset.version:
            raise DataError(
                f"dataset_split was made for data version {info['data_version']}, but raw_dataset is now "
                f"{dataset.version}: materialize dataset_split, and what follows it, again"
            )
        roles = table.column("role").to_pandas().to_numpy(dtype=object)
        return cls(roles, SplitSettings(**info["settings"]), info["data_version"])


def split_stratified(dataset: Dataset, settings: SplitSettings) -> Split:
    """Split at random, with the fraud rate kept, and entities and exact copies on one side.

    The holdout depends on `holdout_fraction` and `seed` only: another number of folds leaves it as it was.

    Raises:
        DataError: some role would have no fraud, or no legitimate row; the message has the numbers.
    """
    y, groups = dataset.y, _groups(dataset)
    roles = np.full(len(y), HOLDOUT, dtype=object)
    _, rest = _deal(y, groups, [settings.holdout_fraction, 1 - settings.holdout_fraction], settings.seed)
    if settings.folds == 1:
        names, shares = ["fold_0", TRAIN], [settings.validation_fraction, 1 - settings.validation_fraction]
    else:
        names, shares = [f"fold_{i}" for i in range(settings.folds)], [1 / settings.folds] * settings.folds
    for name, rows in zip(names, _deal(y[rest], groups[rest], shares, settings.seed), strict=True):
        roles[rest[rows]] = name
    _require_both_classes(roles, [HOLDOUT, *names], y, groups)
    return Split(roles, settings, dataset.version)


def _groups(dataset: Dataset) -> np.ndarray:
    """A number for each row; rows with an equal number stay together.

    A row without an entity belongs with its exact copies only.
    """
    if dataset.entity is None:
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


def _require_both_classes(roles: np.ndarray, names: Sequence[str], y: np.ndarray, groups: np.ndarray) -> None:
    for name in names:
        rows = roles == name
        frauds = int(y[rows].sum())
        if frauds in (0, rows.sum()):
            raise DataError(
                f"the part {name!r} of the split has {frauds} frauds among {int(rows.sum())} rows, and needs both "
                f"classes: the data has {int(y.sum())} frauds among {len(y)} rows, in {len(np.unique(groups))} groups "
                "of rows that belong together (an entity's, or copies); use fewer folds or other fractions"
            )
