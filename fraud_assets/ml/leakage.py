"""Columns that know too much: what a model learns from them is not there when it is used."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.schema import Dataset

# A real transaction's best column reaches 0.8 or so; above this the label itself is likely behind it.
DECIDES_ALONE = 0.98
# A column that says this much about old labels ...
SAYS_MUCH = 0.75
# ... and this much less about the newest ones was likely filled in when the label was known.
FORGETS = 0.2
# The share of the rows that counts as newest, and the frauds that each side needs for its number to mean something.
_NEWEST, _FRAUDS = 0.2, 30


@dataclass(frozen=True)
class LeakageReport:
    """What each feature alone says of the label.

    Attributes:
        columns: a row a feature, with `column`; `separation`: the ROC AUC of the column alone, in the direction that
            serves it, 0.5 to 1, a category standing for its fraud rate and a missing value for a value of its own;
            `older` and `newest`: the same on the first 80 % and on the last 20 % of the rows by time, in the direction
            that serves the older ones (NaN without a time column, or with fewer than 30 frauds).
        suspects: what is wrong with a column, by its name.
    """

    columns: pd.DataFrame
    suspects: dict[str, str]


def find_leakage(dataset: Dataset) -> LeakageReport:
    """Look at each feature alone: does it nearly decide the label, or only while the label is old?"""
    X, y = dataset.X, dataset.y
    encoder = FeatureEncoder.fit(X, dataset.roles.categorical)
    matrix = encoder.transform(X)
    older = np.zeros(len(y), dtype=bool) if dataset.time is None else _older(dataset.time)
    enough = min(int(y[older].sum()), int(y[~older].sum())) >= _FRAUDS
    rows, suspects = [], {}
    for i, column in enumerate(encoder.columns):
        values = matrix[:, i]
        categorical = column in encoder.categories
        separation = _separation(_score(values, y, categorical), y)
        separation = max(separation, 1 - separation)
        row: dict[str, Any] = {"column": column, "separation": separation, "older": np.nan, "newest": np.nan}
        if separation >= DECIDES_ALONE:
            suspects[column] = f"decides the label nearly alone (ROC AUC {separation:.3f})"
        if enough:
            score = _score(values, y, categorical, learn=older)
            before, after = _separation(score[older], y[older]), _separation(score[~older], y[~older])
            flip = before < 0.5
            row["older"], row["newest"] = (1 - before, 1 - after) if flip else (before, after)
            if row["older"] >= SAYS_MUCH and row["older"] - row["newest"] >= FORGETS:
                suspects.setdefault(
                    column,
                    f"knows old labels (ROC AUC {row['older']:.3f}) but not the newest ones ({row['newest']:.3f}): "
                    "it may be filled in when the label is known",
                )
        rows.append(row)
    return LeakageReport(pd.DataFrame(rows).sort_values("separation", ascending=False, ignore_index=True), suspects)


def _older(time: pd.Series) -> np.ndarray:
    return np.asarray(time < time.quantile(1 - _NEWEST))


def _score(values: np.ndarray, y: np.ndarray, categorical: bool, learn: np.ndarray | None = None) -> np.ndarray:
    """The column as something that can be ranked; NaN ranks by its own fraud rate, above or below all else."""
    learn = np.ones(len(y), dtype=bool) if learn is None else learn
    missing = np.isnan(values)
    overall = float(y[learn].mean())
    if categorical:
        codes = np.where(missing, -1, values).astype(int) + 1
        size = np.bincount(codes[learn], minlength=codes.max() + 1)
        frauds = np.bincount(codes[learn], weights=y[learn], minlength=codes.max() + 1)
        # Shrunk to the overall rate: a category of one row doesn't decide anything.
        rate: np.ndarray = ((frauds + 10 * overall) / (size + 10))[codes]
        return rate
    if not missing.any():
        return values
    often = (learn & missing).any() and y[learn & missing].mean() > overall
    return np.where(missing, np.inf if often else -np.inf, values)


def _separation(score: np.ndarray, y: np.ndarray) -> float:
    """ROC AUC by ranks (Mann and Whitney 1947); infinities rank as such, which scikit-learn refuses."""
    from scipy.stats import rankdata

    frauds = int(y.sum())
    ranks = rankdata(score)[y == 1].sum()
    return float((ranks - frauds * (frauds + 1) / 2) / (frauds * (len(y) - frauds)))
