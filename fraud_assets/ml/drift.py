"""Data drift: whether data is still distributed as the data was that a model learnt from.

Drift is told where a change is large enough to matter and too large for chance; either alone is not enough. In a
million rows nearly every difference is significant, and in fifty nearly every difference is large.

What columns say of the label may change while no column and no prevalence does (concept drift): that is not seen here.

scipy is enough for that: the indices and tests of Evidently and NannyML are these, and their dashboards, reports and
estimates of performance, which are what such dependencies weigh, have no use here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fraud_assets.ml.reference import Reference
from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.stability_index import bin_categories, bin_numbers, stability_index

PREVALENCE = "prevalence"
# Of each column: its distribution twice (PSI, and Kolmogorov-Smirnov or new categories), and its missing values.
_TESTS_PER_COLUMN = 3
_NAMED = 5


@dataclass(frozen=True)
class DriftThresholds:
    """From where on a change counts. It has to be significant too.

    Attributes:
        psi: population stability index, above what chance makes of it on the average. Credit scoring calls 0.1 to 0.25
            a change to look into and more than that a large one (Siddiqi 2006, "Credit Risk Scorecards"); 0.2 is in
            common use.
        ks: Kolmogorov-Smirnov statistic of numbers and booleans, the largest difference between both cumulative
            distributions, 0 to 1. A normal distribution that moves by a quarter of its standard deviation has 0.1,
            which is also Evidently's limit for distances between distributions.
        missing_rate: difference between the shares of missing values, 0 to 1. A choice: one row in twenty is treated
            differently.
        prevalence: relative change of the share of frauds; 0.5 is half as many again, or half as many. A choice: a
            decision threshold and an alert budget made for the one hardly fit the other.
        new_categories: share of the rows with a category that the reference doesn't know. A choice: the model takes
            them for missing.
        level: how often anything at all is told by chance, among independent rows: the tests of all columns share it
            (Bonferroni).

    Raises:
        ValueError: a field is out of its range.
    """

    psi: float = 0.2
    ks: float = 0.1
    missing_rate: float = 0.05
    prevalence: float = 0.5
    new_categories: float = 0.01
    level: float = 0.01

    def __post_init__(self) -> None:
        for name in ("psi", "prevalence"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected more than 0")
        for name in ("ks", "missing_rate", "new_categories", "level"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a fraction between 0 and 1")


@dataclass(frozen=True)
class DriftReport:
    """How a data set differs from a reference.

    Attributes:
        columns: a row a feature column of either, what drifted first, with `column`; `kind` (number, boolean, category
            or empty, in the reference where it has the column); `psi`; `ks` and `ks_p_value` (NaN for categories);
            `missing_before` and `missing_now`, shares; `new_categories`, the most frequent ones; `new_category_rows`,
            the share of rows with one (NaN where the reference doesn't keep all categories); `drift`, what drifted, or
            empty.
        prevalence_before: share of frauds in the reference.
        prevalence_now: share of frauds in the data set.
        absent: columns of the reference that the data set lacks: the model can't be used on it.
        added: columns that the reference lacks; they are no drift, because the model doesn't see them.
        drifted: what has changed and how much, in one phrase, by column, or "prevalence".
        rows_before: of the reference's data set.
        rows_now: of the data set.
        version_before: of the reference's data set.
        version_now: of the data set.
        thresholds: what it was judged by.
    """

    columns: pd.DataFrame
    prevalence_before: float
    prevalence_now: float
    absent: tuple[str, ...]
    added: tuple[str, ...]
    drifted: dict[str, str]
    rows_before: int
    rows_now: int
    version_before: str
    version_now: str
    thresholds: DriftThresholds

    @property
    def has_drifted(self) -> bool:
        """Whether anything has."""
        return bool(self.drifted)


def find_drift(reference: Reference, dataset: Dataset, thresholds: DriftThresholds) -> DriftReport:
    """Compare each feature column and the prevalence of `dataset` with the reference.

    Numbers are compared in samples (`reference.MAX_SAMPLE` rows), all else over all rows. Rows count as independent; so
    a column that is nearly constant for each of few entities varies more than its p value says.

    Raises:
        DataError: the data set has no rows.
    """
    now = Reference.of(dataset)
    common = [column for column in reference.features if column in now.features]
    absent = tuple(column for column in reference.features if column not in now.features)
    added = tuple(column for column in now.features if column not in reference.features)
    level = thresholds.level / (_TESTS_PER_COLUMN * len(common) + 1)
    rows = [_compare(column, reference, now, thresholds, level) for column in common]
    rows += [
        {"column": c, "kind": reference.kind(c), "missing_before": reference.missing_rate(c)}
        | {"drift": "is not in the data any more"}
        for c in absent
    ]
    rows += [{"column": c, "kind": now.kind(c), "missing_now": now.missing_rate(c), "drift": ""} for c in added]
    drifted = {row["column"]: row["drift"] for row in rows if row["drift"]}
    if phrase := _prevalence_drift(reference, now, thresholds, level):
        drifted[PREVALENCE] = phrase
    return DriftReport(
        columns=_in_order(rows),
        prevalence_before=reference.prevalence,
        prevalence_now=now.prevalence,
        absent=absent,
        added=added,
        drifted=drifted,
        rows_before=reference.rows,
        rows_now=now.rows,
        version_before=reference.version,
        version_now=now.version,
        thresholds=thresholds,
    )


def _in_order(rows: list[dict[str, Any]]) -> pd.DataFrame:
    columns = ["column", "kind", "psi", "ks", "ks_p_value", "missing_before", "missing_now"]
    frame = pd.DataFrame(rows, columns=[*columns, "new_categories", "new_category_rows", "drift"])
    order = frame.assign(calm=frame["drift"] == "").sort_values(["calm", "psi"], ascending=[True, False]).index
    return frame.loc[order].reset_index(drop=True)


def _compare(
    column: str, before: Reference, now: Reference, thresholds: DriftThresholds, level: float
) -> dict[str, Any]:
    """The column's row of the report; `level` is what each test may take of the level."""
    shares = before.missing_rate(column), now.missing_rate(column)
    row = {"column": column, "kind": before.kind(column), "missing_before": shares[0], "missing_now": shares[1]}
    row["new_categories"] = ""
    told = []
    kinds = {before.kind(column), now.kind(column)} - {"empty"}
    if "category" in kinds and len(kinds) > 1:
        told.append(f"was {_plural(before.kind(column))}, is {_plural(now.kind(column))}")
    elif "category" in kinds:
        told += _compare_categories(row, before, now, thresholds, level)
    else:
        told += _compare_numbers(row, before, now, thresholds, level)
    counts = (before.missing[column], before.rows), (now.missing[column], now.rows)
    if abs(shares[1] - shares[0]) >= thresholds.missing_rate and _same_share(*counts) < level:
        told.append(f"{shares[1]:.1%} are missing, {shares[0]:.1%} were")
    return row | {"drift": "; ".join(told)}


def _plural(kind: str) -> str:
    return {"category": "text"}.get(kind, f"{kind}s")


def _compare_numbers(
    row: dict[str, Any], before: Reference, now: Reference, thresholds: DriftThresholds, level: float
) -> list[str]:
    from scipy.stats import ks_2samp

    old, new = before.numbers(row["column"]), now.numbers(row["column"])
    index = stability_index(*bin_numbers(old, new))
    row["psi"] = index.value
    moved = index.value - index.expected > thresholds.psi and index.p_value < level
    measured = f"PSI {index.value:.2f}"
    old, new = old[~np.isnan(old)], new[~np.isnan(new)]
    if len(old) and len(new):
        # By default the p value is exact up to 10,000 rows; the asymptotic one agrees with it from fifty rows on.
        test = ks_2samp(old, new, method="asymp")
        row["ks"], row["ks_p_value"] = float(test.statistic), float(test.pvalue)
        moved |= row["ks"] >= thresholds.ks and row["ks_p_value"] < level
        at = test.statistic_location
        up_to = "false" if row["kind"] == "boolean" else f"at most {at:.4g}"
        measured += (
            f", KS statistic {row['ks']:.2f}; {(new <= at).mean():.1%} are {up_to}, {(old <= at).mean():.1%} were"
        )
    return [f"distributed differently ({measured})"] if moved else []


def _compare_categories(
    row: dict[str, Any], before: Reference, now: Reference, thresholds: DriftThresholds, level: float
) -> list[str]:
    column = row["column"]
    old, new = (side.categories.get(column, {}) for side in (before, now))
    missing, rows = (before.missing[column], now.missing[column]), (before.rows, now.rows)
    index = stability_index(*bin_categories(old, new, missing, rows))
    row["psi"] = index.value
    told = []
    if index.value - index.expected > thresholds.psi and index.p_value < level:
        told.append(f"distributed differently (PSI {index.value:.2f}; {_moved_most(old, new, rows)})")
    if column in before.truncated:
        return told
    unknown = {category: count for category, count in new.items() if category not in old}
    row["new_categories"] = ", ".join(sorted(unknown, key=lambda c: (-unknown[c], c))[:_NAMED])
    count = sum(unknown.values())
    row["new_category_rows"] = count / now.rows
    # What is still unseen has about the share of what was seen once (Good 1953, "The population frequencies of species
    # and the estimation of population parameters").
    singles = sum(times == 1 for times in old.values())
    if (
        row["new_category_rows"] >= thresholds.new_categories
        and _same_share((singles, rows[0]), (count, rows[1])) < level
    ):
        told.append(f"new categories in {row['new_category_rows']:.1%} of the rows ({row['new_categories']})")
    return told


def _moved_most(before: Mapping[str, int], now: Mapping[str, int], rows: tuple[int, int]) -> str:
    """The category whose share has changed most."""
    share = {c: (before.get(c, 0) / rows[0], now.get(c, 0) / rows[1]) for c in {*before, *now}}
    most = max(sorted(share), key=lambda c: abs(share[c][1] - share[c][0]))
    return f"{share[most][1]:.1%} are {most}, {share[most][0]:.1%} were"


def _prevalence_drift(before: Reference, now: Reference, thresholds: DriftThresholds, level: float) -> str | None:
    old, new = before.prevalence, now.prevalence
    # Frauds of one card come together: counts are divided by how many do (Rao and Scott 1992, "A simple method for the
    # analysis of clustered binary data").
    units = [(round(side.frauds / side.burst), round(side.rows / side.burst)) for side in (before, now)]
    if abs(new - old) < thresholds.prevalence * old or _same_share(*units) >= level:
        return None
    return f"{new:.3%} of the rows are fraud, {old:.3%} were"


def _same_share(before: tuple[int, int], now: tuple[int, int]) -> float:
    """The p value of two proportions (hits, rows) being equal: Fisher's exact test, which rare hits don't mislead."""
    from scipy.stats import fisher_exact

    return float(fisher_exact([[hits, rows - hits] for hits, rows in (before, now)]).pvalue)
