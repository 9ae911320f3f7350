"""Splits by time, as a model will be used: fitted on the past, judged on what comes after the labels have arrived.

Prequential validation as in the Fraud Detection Handbook (Le Borgne et al. 2022, chapters 5 and 6,
https://fraud-detection-handbook.github.io): a block fits on a window, waits until that window's labels have arrived,
and validates on the next one; several blocks, one after the other, make one estimate.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fraud_assets.ml.schema import DataError, Dataset
from fraud_assets.ml.split import HOLDOUT, LEFT_OUT, TRAIN, UNUSED, Split, SplitSettings, require_both_classes

_REMEDY = "use longer windows (test_days, train_days), fewer folds, or strategy group or stratified"


@dataclass(frozen=True)
class Window:
    """A block: fits on [fit_start, fit_end), validates on [test_start, test_end)."""

    fit_start: pd.Timestamp
    fit_end: pd.Timestamp
    test_start: pd.Timestamp
    test_end: pd.Timestamp

    def __str__(self) -> str:
        return f"fitting {self.fit_start} to {self.fit_end}, scoring {self.test_start} to {self.test_end}"


class PrequentialSplit:
    """Prequential blocks, with scikit-learn's splitter interface.

    Like PredefinedSplit it is made with what is particular to the rows, their times; `split` then yields positions.

    Args:
        time: of each row, shape (rows,), datetime64.
        n_splits: how many blocks.
        test: length of the validating window; the blocks' windows follow each other without a gap.
        delay: time until labels arrive, between fitting and validating rows.
        train: length of the fitting window; None for everything before.
        end: where the last block's validating window ends; None for just after the last row.
    """

    def __init__(
        self,
        time: pd.Series,
        n_splits: int,
        *,
        test: pd.Timedelta,
        delay: pd.Timedelta,
        train: pd.Timedelta | None = None,
        end: pd.Timestamp | None = None,
    ) -> None:
        self.time = time.reset_index(drop=True)
        self.n_splits = n_splits
        self.test = test
        self.delay = delay
        self.train = train
        self.end = end if end is not None else self.time.max() + pd.Timedelta(1, "ns")

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """The number of blocks; the arguments are scikit-learn's, and ignored."""
        return self.n_splits

    @property
    def windows(self) -> list[Window]:
        """The blocks, the earliest first."""
        return [self._window(self.end - (self.n_splits - 1 - k) * self.test) for k in range(self.n_splits)]

    def _window(self, test_end: pd.Timestamp) -> Window:
        test_start = test_end - self.test
        fit_end = test_start - self.delay
        fit_start = self.time.min() if self.train is None else fit_end - self.train
        return Window(fit_start, fit_end, test_start, test_end)

    def split(
        self, X: object = None, y: object = None, groups: object = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (fitting positions, validating positions) of each block; scikit-learn's arguments are ignored."""
        for window in self.windows:
            yield (
                np.flatnonzero((self.time >= window.fit_start) & (self.time < window.fit_end)),
                np.flatnonzero((self.time >= window.test_start) & (self.time < window.test_end)),
            )


def known_compromised(dataset: Dataset, window: Window, delay: pd.Timedelta) -> np.ndarray:
    """Rows of the validating window whose entity is known to be compromised on that day, shape (rows,), bool.

    Known on a day is an entity with a fraud since the fitting window began that is at least `delay` old: its label has
    arrived, and its card has been stopped. (Handbook, chapter 5, "Validation strategies".)
    """
    assert dataset.time is not None
    if dataset.entity is None:
        return np.zeros(len(dataset), dtype=bool)
    time, fraud = dataset.time, dataset.y == 1
    first = time[fraud & (time >= window.fit_start)].groupby(dataset.entity).min()
    known_since = dataset.entity.map(first + delay)
    # A label that arrives during a day helps from the next day on: days are counted from the window's start.
    day = window.test_start + ((time - window.test_start) // pd.Timedelta(days=1)) * pd.Timedelta(days=1)
    scored = (time >= window.test_start) & (time < window.test_end)
    return (scored & (known_since < day)).to_numpy()


def split_by_time(dataset: Dataset, settings: SplitSettings) -> Split:
    """The latest rows are the holdout; before them, prequential blocks whose labels have arrived when it begins.

    Raises:
        DataError: the data has no time, or too little of it for the windows; the message has the numbers.
    """
    time = dataset.time
    if time is None:
        raise DataError("a split by time needs a time column: name one in raw_dataset's config, or FRAUD_TIME")
    delay, test = pd.Timedelta(days=settings.delay_days), pd.Timedelta(days=settings.test_days)
    train = None if settings.train_days is None else pd.Timedelta(days=settings.train_days)
    start = pd.Timestamp(time.quantile(1 - settings.holdout_fraction)).floor("D")
    last = time.max() + pd.Timedelta(1, "ns")
    blocks = PrequentialSplit(time, settings.folds, test=test, delay=delay, train=train, end=start - delay)
    fit_end = start - delay
    judged = Window(time.min() if train is None else fit_end - train, fit_end, start, last)
    _require_span(time, [*blocks.windows, judged], settings)

    roles = np.full(len(dataset), TRAIN, dtype=object)
    roles[(time >= fit_end) & (time < start)] = UNUSED
    roles[time >= start] = HOLDOUT
    fits, windows = [], dict(zip([f"fold_{i}" for i in range(settings.folds)], blocks.windows, strict=True))
    for name, (_, validating) in zip(windows, blocks.split(), strict=True):
        roles[validating] = name
    for name, window in {**windows, HOLDOUT: judged}.items():
        left_out = np.zeros(len(dataset), dtype=bool)
        if settings.leave_out_known:
            left_out = known_compromised(dataset, window, delay)
        roles[left_out] = LEFT_OUT
        fits.append(((time >= window.fit_start) & (time < window.fit_end)).to_numpy())
        where = f"from {time.min()} to {time.max()}, and this block is {window}"
        require_both_classes(dataset.y, fits[-1], f"the fitting window of {name!r}", where, _REMEDY)
        if left_out.any():
            where += (
                f", where {int(dataset.y[left_out].sum())} frauds among {int(left_out.sum())} rows are left out, as "
                "their entity is known to be compromised by then (leave_out_known)"
            )
        require_both_classes(dataset.y, roles == name, f"the scoring window of {name!r}", where, _REMEDY)
    return Split(roles, np.column_stack(fits), settings, "time", dataset.version)


def _require_span(time: pd.Series, windows: list[Window], settings: SplitSettings) -> None:
    first = windows[0]
    if first.fit_end <= time.min() or first.fit_start < time.min():
        days = (time.max() - time.min()) / pd.Timedelta(days=1)
        raise DataError(
            f"the data spans {days:.1f} days ({time.min()} to {time.max()}), too little for {settings.folds} blocks of "
            f"{settings.test_days:g} days behind a delay of {settings.delay_days:g}, and before a holdout of "
            f"{settings.holdout_fraction:.0%} of the rows: the first block would be {first}; lower folds, test_days, "
            "delay_days, train_days or holdout_fraction"
        )
