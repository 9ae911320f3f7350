"""What was known about a customer and a terminal when a transaction came in, over windows of days."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

WINDOW_DAYS = (1, 7, 30)
LABEL_DELAY_DAYS = 7
_DAY = 86_400


def add_window_features(
    frame: pd.DataFrame, windows: Sequence[int] = WINDOW_DAYS, label_delay: int = LABEL_DELAY_DAYS
) -> pd.DataFrame:
    """`frame` with the habits of its customers and the record of its terminals, from the past only.

    These are aggregates in the manner of Bahnsen et al., "Feature engineering strategies for credit card fraud
    detection" (2016), chosen as in the Fraud Detection Handbook (Le Borgne et al., 2022). For each window of w days:

    - customer_tx_{w}d, customer_avg_amount_{w}d: number and mean amount of the customer's transactions in (t - w, t],
      with the transaction itself (its amount is known when it is judged), without those after it in the same second.
    - terminal_tx_{w}d, terminal_risk_{w}d: number of the terminal's transactions in (t - delay - w, t - delay], and the
      share of frauds among them (0 where there were none). Nothing younger: its label has not arrived yet.

    Args:
        frame: rows with tx_datetime (whole seconds), customer_id, terminal_id, tx_amount (whole cents) and tx_fraud
            (0 or 1). Rows of one second count as having come in the order of the table.
        windows: lengths in days.
        label_delay: days until a fraud is reported, at least 1; with 0 a transaction's own label would be a feature.

    Returns:
        A new table: the columns of `frame`, then int32 counts and float64 means and shares; rows as in `frame`.

    Raises:
        ValueError: `label_delay` is less than 1.
    """
    if label_delay < 1:
        raise ValueError(f"label_delay is {label_delay} days; expected at least 1")
    seconds = frame["tx_datetime"].to_numpy().astype("datetime64[s]").astype(np.int64)
    # Whole cents add up exactly: a mean does not depend on how many rows come before its window.
    cents = np.rint(frame["tx_amount"].to_numpy() * 100).astype(np.int64)
    features: dict[str, np.ndarray] = {}
    customers = _Timelines(frame["customer_id"], seconds)
    for days in windows:
        start, end = customers.until_now(days)
        features[f"customer_tx_{days}d"] = customers.unsort((end - start).astype(np.int32))
        mean = customers.sums(cents, start, end) / (end - start) / 100
        features[f"customer_avg_amount_{days}d"] = customers.unsort(mean)
    terminals = _Timelines(frame["terminal_id"], seconds)
    frauds = frame["tx_fraud"].to_numpy().astype(np.int64)
    for days in windows:
        start, end = terminals.until_delay(days, label_delay)
        features[f"terminal_tx_{days}d"] = terminals.unsort((end - start).astype(np.int32))
        share = terminals.sums(frauds, start, end) / np.maximum(end - start, 1)
        features[f"terminal_risk_{days}d"] = terminals.unsort(share)
    return pd.concat([frame, pd.DataFrame(features, index=frame.index)], axis=1)


class _Timelines:
    """The rows sorted by entity, then time; a window is a pair of positions in that order: [start, end).

    The timelines of all entities are laid end to end on one axis of seconds, so one binary search finds all windows.
    """

    def __init__(self, entity: pd.Series, seconds: np.ndarray) -> None:
        codes, _ = pd.factorize(entity)
        self.order = np.lexsort((seconds, codes))
        first, last = (int(seconds.min()), int(seconds.max())) if len(seconds) else (0, 0)
        self.codes, self.since = codes[self.order].astype(np.int64), seconds[self.order] - first
        self.length = last - first + 1

    def _ends_at(self, ago: int) -> np.ndarray:
        """For each row the position after its entity's last row that is at least `ago` seconds older."""
        # A stretch of `ago` empty seconds before each timeline keeps the search from the entity before.
        axis = self.codes * (self.length + ago) + ago + self.since
        return np.asarray(np.searchsorted(axis, axis - ago, side="right"))

    def until_now(self, days: int) -> tuple[np.ndarray, np.ndarray]:
        """The windows (t - days, t], up to and with the row itself."""
        return self._ends_at(days * _DAY), np.arange(1, len(self.order) + 1)

    def until_delay(self, days: int, delay: int) -> tuple[np.ndarray, np.ndarray]:
        """The windows (t - delay - days, t - delay]."""
        return self._ends_at((delay + days) * _DAY), self._ends_at(delay * _DAY)

    def sums(self, values: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """The sum of `values` (integers, in the order of the table) in each window."""
        running = np.concatenate([[0], np.cumsum(values[self.order])])
        return np.asarray(running[end] - running[start])

    def unsort(self, values: np.ndarray) -> np.ndarray:
        """`values` in the order of the table."""
        result = np.empty_like(values)
        result[self.order] = values
        return result
