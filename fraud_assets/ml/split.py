"""Which rows fit, which choose, which judge: every row gets one role."""

from dataclasses import asdict, dataclass
from fractions import Fraction
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
    """

    holdout_fraction: float = 0.2
    folds: int = 3
    validation_fraction: float = 0.2
    seed: int = 1025


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
        """Digest of what decided the roles: the data's version and the settings."""
        return digest({"data_version": self.data_version, **asdict(self.settings)})

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
        roles = np.asarray(table.column("role").to_pylist(), dtype=object)
        return cls(roles, SplitSettings(**info["settings"]), info["data_version"])


def split_stratified(dataset: Dataset, settings: SplitSettings) -> Split:
    """Split at random, with the fraud rate kept, and entities and exact copies on one side.

    Built on scikit-learn's StratifiedGroupKFold; StratifiedKFold where no two rows belong together.

    Raises:
        DataError: some role would have no fraud, or no legitimate row; the message has the numbers.
    """
    y, groups = dataset.y, _groups(dataset)
    roles = np.full(len(y), TRAIN, dtype=object)
    holdout = _part(y, groups, settings.holdout_fraction, settings.seed)
    roles[holdout] = HOLDOUT
    rest = np.flatnonzero(roles != HOLDOUT)
    if settings.folds == 1:
        roles[rest[_part(y[rest], groups[rest], settings.validation_fraction, settings.seed)]] = "fold_0"
    else:
        for i, rows in enumerate(_folds(y[rest], groups[rest], settings.folds, settings.seed)):
            roles[rest[rows]] = f"fold_{i}"
    _require_both_classes(roles, y)
    return Split(roles, settings, dataset.version)


def _groups(dataset: Dataset) -> np.ndarray:
    """A number for each row; rows with an equal number stay together.

    A row without an entity belongs with its exact copies only.
    """
    digest = pd.util.hash_pandas_object(dataset.table.to_pandas(), index=False).astype(str)
    key = digest if dataset.entity is None else ("e" + dataset.entity.astype(str)).where(dataset.entity.notna(), digest)
    return np.asarray(pd.factorize(key)[0])


def _folds(y: np.ndarray, groups: np.ndarray, n: int, seed: int) -> list[np.ndarray]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    frauds, n_groups = int(y.sum()), len(np.unique(groups))
    if min(frauds, len(y) - frauds, n_groups) < n:
        raise DataError(
            f"can't make {n} parts with both classes in each out of {len(y)} rows with {frauds} frauds "
            f"in {n_groups} groups of rows that belong together: use fewer folds or a larger fraction"
        )
    # The grouped splitter takes Python time for every group, so it is used only where there are groups.
    grouped = n_groups < len(y)
    splitter = (StratifiedGroupKFold if grouped else StratifiedKFold)(n, shuffle=True, random_state=seed)
    return [rows for _, rows in splitter.split(y, y, groups if grouped else None)]


def _part(y: np.ndarray, groups: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Positions of about `fraction` of the rows: so many of so many equal folds, 3 of 20 for 0.15."""
    ratio = Fraction(fraction).limit_denominator(20)
    ratio = Fraction(1, 20) if ratio == 0 else ratio
    return np.concatenate(_folds(y, groups, ratio.denominator, seed)[: ratio.numerator])


def _require_both_classes(roles: np.ndarray, y: np.ndarray) -> None:
    for role in sorted(set(roles)):
        rows = roles == role
        frauds = int(y[rows].sum())
        if frauds in (0, rows.sum()):
            raise DataError(
                f"the part {role!r} of the split has {frauds} frauds among {int(rows.sum())} rows, and needs both "
                f"classes (the data has {int(y.sum())} frauds among {len(y)} rows): use fewer folds or other fractions"
            )
