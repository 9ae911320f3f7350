"""The k riskiest transactions or cards of each day, for rows that count once or, in a bootstrap, several times."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fraud_assets.ml.schema import DataError
from fraud_assets.ml.scored_rows import ScoredRows


@dataclass(frozen=True, eq=False)
class DailyAlerts:
    """What investigators would look at if each day's riskiest transactions, or cards, were handed to them.

    Attributes:
        y: labels of the items, day by day, and those of a day from the riskiest on.
        group: number of the group of equal probability that each item is in.
        unit: where an item's count stands in `counts`.
        days: where each day begins in the arrays above, and their length at the end.
        found_once: whether an item that was found is known from then on, and isn't alerted on another day.
    """

    y: np.ndarray
    group: np.ndarray
    unit: np.ndarray
    days: np.ndarray
    found_once: bool

    @classmethod
    def of_transactions(cls, rows: ScoredRows, unit: np.ndarray | None = None) -> "DailyAlerts":
        """Each transaction is looked at on its day.

        Args:
            rows: predictions.
            unit: what each transaction is counted by in a bootstrap, shape (rows,); None where by itself.

        Raises:
            DataError: the data has no time.
        """
        day = _require("precision_at_k", "a time", rows.day)
        order = np.lexsort((-rows.probability, day))
        day, p = day[order], rows.probability[order]
        starts = np.concatenate([[0], np.flatnonzero((np.diff(day) != np.timedelta64(0)) | (np.diff(p) != 0)) + 1])
        group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(p))))
        return cls(rows.y[order], group, order if unit is None else unit[order], _starts(day), found_once=False)

    @classmethod
    def of_cards(cls, rows: ScoredRows) -> "DailyAlerts":
        """Each card is looked at on each day on which it is used, until it is known to be compromised.

        A day's probability of a card is that of its riskiest transaction, and the card is compromised if any of its
        transactions on that day is a fraud. Of equally risky cards the one with the lower number comes first.

        Raises:
            DataError: the data has no time or no entity.
        """
        day = _require("card_precision_at_k", "a time", rows.day)
        card = _require("card_precision_at_k", "an entity", rows.entity)
        order = np.lexsort((card, day))
        first = np.flatnonzero((np.diff(day[order]) != np.timedelta64(0)) | (np.diff(card[order]) != 0)) + 1
        first = np.concatenate([[0], first])
        p, y = (np.maximum.reduceat(values[order], first) for values in (rows.probability, rows.y))
        day, card = day[order][first], card[order][first]
        by_risk = np.lexsort((card, -p, day))
        return cls(y[by_risk], np.arange(len(y)), card[by_risk], _starts(day[by_risk]), found_once=True)

    def precision(self, k: float, counts: np.ndarray) -> np.ndarray:
        """The share of frauds among the `k` riskiest items of each day, as the mean over the days.

        A day with fewer than `k` items counts as one whose other alerts found nothing, as in the Handbook. Where the
        last alerts fall on items of equal probability, they find the share of frauds among these (McSherry and Najork
        2008, "Computing information retrieval performance measures efficiently in the presence of tied scores").

        Args:
            k: alerts a day.
            counts: how often each unit (transaction or card) is there, shape (units, resamples); ones for the data as
                it is.

        Returns:
            One number a resample, shape (resamples,).
        """
        left = counts.astype(np.float64) if self.found_once else counts
        found = np.zeros(counts.shape[1])
        for start, stop in zip(self.days[:-1], self.days[1:], strict=True):
            stop = self._enough(start, stop, k, left)
            hits = self._hits(slice(start, stop), k, left)
            found += hits.sum(axis=0)
            if self.found_once:
                left[self.unit[start:stop]] -= hits
        return np.asarray(found / k / (len(self.days) - 1))

    def _enough(self, start: int, stop: int, k: float, left: np.ndarray) -> int:
        """Where the day can be cut because `k` items come before in every resample; groups stay whole."""
        length = int(2 * k) + 1
        while start + length < stop:
            if left[self.unit[start : start + length]].sum(axis=0).min() >= k:
                return int(np.searchsorted(self.group, self.group[start + length - 1], side="right"))
            length *= 2
        return stop

    def _hits(self, day: slice, k: float, left: np.ndarray) -> np.ndarray:
        """How much fraud the alerts find, shape (groups of equal probability, resamples)."""
        there = left[self.unit[day]]
        frauds = there * self.y[day, None]
        firsts = np.flatnonzero(np.diff(self.group[day], prepend=-1))
        if len(firsts) < len(there):
            there, frauds = np.add.reduceat(there, firsts, axis=0), np.add.reduceat(frauds, firsts, axis=0)
        alerted = np.clip(k - (np.cumsum(there, axis=0) - there), 0, there)
        return np.asarray(np.divide(alerted * frauds, there, out=np.zeros_like(there), where=there > 0))


def _starts(day: np.ndarray) -> np.ndarray:
    """Where each day begins in sorted days, and the number of rows at the end."""
    return np.concatenate([[0], np.flatnonzero(np.diff(day) != np.timedelta64(0)) + 1, [len(day)]])


def _require(metric: str, what: str, values: np.ndarray | None) -> Any:
    if values is None:
        raise DataError(f"{metric} needs {what} of each transaction: name that column in raw_dataset's config")
    return values
