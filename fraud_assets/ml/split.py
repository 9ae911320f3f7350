"""Which rows fit, which choose, which judge: the role of every row."""

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from fraud_assets.ml.identity import digest
from fraud_assets.ml.schema import DataError, Dataset, read_info, with_info

Strategy = Literal["time", "group", "stratified"]

HOLDOUT = "holdout"
TRAIN = "train"
UNUSED = "unused"
LEFT_OUT = "left_out"


@dataclass(frozen=True)
class SplitSettings:
    """How rows are split.

    Attributes:
        strategy: `time`: the latest rows judge, and folds are prequential blocks; `group`: at random, entities intact;
            `stratified`: at random; `auto`: the first of these that the data allows.
        holdout_fraction: share of the rows that judge the model and are seen by nothing else.
        folds: how many validation folds; outside `time`, with 1, one part of `validation_fraction` chooses and the rest
            fits.
        validation_fraction: share of the rows outside the holdout that validate where `folds` is 1; not for `time`.
        seed: of the shuffling; not for `time`.
        test_days: length of a block's validating window; only for `time`, as all that follows.
        delay_days: days until a transaction's label is known: what lies between fitting and validating rows.
        train_days: length of the fitting window; None for everything before.
        leave_out_known: whether rows of an entity that is known to be compromised by then are left out of validating
            and judging.

    Raises:
        ValueError: a field is out of its range.
    """

    strategy: Literal["auto", "time", "group", "stratified"] = "auto"
    holdout_fraction: float = 0.2
    folds: int = 3
    validation_fraction: float = 0.2
    seed: int = 1025
    test_days: float = 7
    delay_days: float = 7
    train_days: float | None = None
    leave_out_known: bool = True

    def __post_init__(self) -> None:
        for name in ("holdout_fraction", "validation_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a fraction between 0 and 1")
        if self.folds < 1:
            raise ValueError(f"folds is {self.folds}; expected 1 or more")
        for name, least in (("test_days", 1), ("train_days", 1), ("delay_days", 0)):
            days = getattr(self, name)
            if days is not None and days < least:
                raise ValueError(f"{name} is {days}; expected {least} or more")


@dataclass(frozen=True)
class Split:
    """The role of every row.

    Attributes:
        roles: shape (rows,), position i is row id i: `holdout`; `fold_0`, `fold_1`, … (validates in that fold); `train`
            (only ever fits); `left_out` (would validate or judge, but its entity is known to be compromised);
            `unused` (its label is not known yet when the holdout begins).
        fits: which rows fit in which fold, shape (rows, folds + 1), bool; the last column is the fit that the holdout
            judges.
        settings: what it was made with.
        strategy: what became of `auto`.
        data_version: of the data set it belongs to.
        reason: why `auto` chose the strategy.
    """

    roles: np.ndarray
    fits: np.ndarray
    settings: SplitSettings
    strategy: Strategy
    data_version: str
    reason: str = ""

    @classmethod
    def of_parts(cls, roles: np.ndarray, settings: SplitSettings, strategy: Strategy, data_version: str) -> "Split":
        """A split in which every row outside the holdout fits wherever it doesn't validate."""
        fits = [(roles != HOLDOUT) & (roles != name) for name in (*_fold_names(roles), HOLDOUT)]
        return cls(roles, np.column_stack(fits), settings, strategy, data_version)

    @property
    def holdout(self) -> np.ndarray:
        """Row ids of the holdout."""
        return np.flatnonzero(self.roles == HOLDOUT)

    @property
    def judged_fit(self) -> np.ndarray:
        """Row ids that the model is fitted on which the holdout judges."""
        return np.flatnonzero(self.fits[:, -1])

    @property
    def tuning(self) -> np.ndarray:
        """Row ids that some fold fits or validates on; none of them is in the holdout."""
        return np.flatnonzero(np.isin(self.roles, _fold_names(self.roles)) | self.fits[:, :-1].any(axis=1))

    @property
    def seen(self) -> np.ndarray:
        """Row ids that the judged model was fitted on, or that its parameters and threshold were chosen on."""
        return np.union1d(self.tuning, self.judged_fit)

    def folds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(fitting row ids, validating row ids) of each fold; the holdout is in none of them."""
        return [
            (np.flatnonzero(self.fits[:, i]), np.flatnonzero(self.roles == name))
            for i, name in enumerate(_fold_names(self.roles))
        ]

    @property
    def fit_names(self) -> list[str]:
        """The columns of `to_arrow` that say which rows fit, in the order of `fits`."""
        return [f"fits_{name}" for name in (*_fold_names(self.roles), HOLDOUT)]

    @property
    def version(self) -> str:
        """Digest of the data's version and every row's use; settings that make no difference leave no trace."""
        codes, names = pd.factorize(self.roles)
        uses = [hashlib.sha256(use.tobytes()).hexdigest() for use in (codes, np.packbits(self.fits))]
        return digest([self.data_version, list(names), *uses])

    def to_arrow(self) -> pa.Table:
        """A table of `row_id`, `role` and a column for each fit, with the settings in its metadata."""
        columns = {
            "row_id": np.arange(len(self.roles)),
            "role": pa.DictionaryArray.from_arrays(*pd.factorize(self.roles)),
            **dict(zip(self.fit_names, self.fits.T, strict=True)),
        }
        info = {"settings": asdict(self.settings), "strategy": self.strategy, "reason": self.reason}
        return with_info(pa.table(columns), {**info, "data_version": self.data_version})

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
        fits = np.column_stack([table.column(name).to_numpy() for name in table.column_names[2:]])
        settings = SplitSettings(**info["settings"])
        return cls(roles, fits, settings, info["strategy"], info["data_version"], info["reason"])


def _fold_names(roles: np.ndarray) -> list[str]:
    return sorted({str(role) for role in set(roles) if role.startswith("fold_")}, key=lambda name: int(name[5:]))


def make_split(dataset: Dataset, settings: SplitSettings) -> Split:
    """Split by the strategy of `settings`; `auto` takes time where the data has enough of it, else group, else random.

    Raises:
        DataError: the split can't be made; the message has the numbers.
    """
    from fraud_assets.ml.random_split import split_at_random
    from fraud_assets.ml.time_split import split_by_time

    if settings.strategy == "time":
        return split_by_time(dataset, settings)
    reason = "the data has no time column"
    if settings.strategy == "auto" and dataset.time is not None:
        try:
            return replace(split_by_time(dataset, settings), reason="the data has a time column")
        except DataError as error:
            reason = f"not by time: {error}"
    intact = settings.strategy == "group" or (settings.strategy == "auto" and dataset.entity is not None)
    if settings.strategy == "group" and dataset.entity is None:
        raise DataError("a split by group needs an entity column: name one in raw_dataset's config, or FRAUD_ENTITY")
    split = split_at_random(dataset, settings, entities_intact=intact)
    return replace(split, reason=reason if settings.strategy == "auto" else "")


def require_both_classes(y: np.ndarray, rows: np.ndarray, what: str, where: str, remedy: str) -> None:
    """Raise DataError where `rows` (bool) of `y` hold one class only.

    The message has the numbers; `where` says what they are to be compared with, and `remedy` what to do about it.
    """
    frauds, size = int(y[rows].sum()), int(rows.sum())
    if frauds in (0, size):
        raise DataError(
            f"{what} has {frauds} frauds among {size} rows, and needs both classes: the data has {int(y.sum())} frauds "
            f"among {len(y)} rows, {where}; {remedy}"
        )
