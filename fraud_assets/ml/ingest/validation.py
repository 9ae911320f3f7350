"""Checks the content of a table of transactions with pandera, and settles the roles of its columns."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from fraud_assets.ml.ingest.label import find_positive
from fraud_assets.ml.ingest.merge import Merged
from fraud_assets.ml.ingest.problems import Problem, Problems, listed, shown
from fraud_assets.ml.schema import ColumnRoles, DatasetSpec, Label

if TYPE_CHECKING:
    from pandera.pandas import Check

# A holdout and five folds of fewer rows couldn't hold both classes.
MIN_ROWS = 20

# A text column with more values than this is rather an id or free text: a model learns it by heart, each value is
# seen a few times only, and XGBoost's categorical splits and SMOTENC's distances get slow with the number of values.
MAX_CATEGORIES = 100

_DROP_IT = "name it in `exclude`"

Judge = Callable[[pd.Series], "pd.Series | bool"]


def validate(merged: Merged, spec: DatasetSpec, problems: Problems, *, complete: bool) -> ColumnRoles | None:
    """The roles of the columns of `merged`; what is wrong with its content is added to `problems`.

    Args:
        merged: the rows as read; columns that it lacks have been told already.
        spec: what the user configured.
        problems: where problems go.
        complete: whether `merged` has all rows. If not, nothing is said about a column as a whole, such as that it
            has one value only.

    Returns:
        None where the label's value for fraud is not known, which is then among the problems.
    """
    columns = merged.table.column_names
    features = spec.features_among(columns)
    if complete:
        check_row_count(merged.table.num_rows, problems)
        if not features and len(problems) == 0:
            problems.add(Problem(problems.location, "no column is left for the features; expected one at least"))
    for feature in features:
        if feature in columns:
            _check_feature(merged, feature, problems, complete)
    if spec.entity in columns:
        _check_entity(merged, str(spec.entity), problems)
    if spec.time in columns:
        _run(merged, str(spec.time), [_no_nulls("the time")], problems)
    positive = _check_label(merged, spec, problems, complete) if spec.label in columns else None
    if positive is None:
        return None
    categorical = tuple(f for f in features if f in columns and pa.types.is_string(merged.table.schema.field(f).type))
    return ColumnRoles(spec.label, positive, spec.entity, spec.time, features, categorical)


def check_row_count(rows: int, problems: Problems) -> None:
    """Add a problem if there are fewer than `MIN_ROWS` rows."""
    if rows < MIN_ROWS:
        what = f"{rows} row{'' if rows == 1 else 's'}, exact copies counted once; expected {MIN_ROWS} at least"
        problems.add(Problem(problems.location, what))


def _check_feature(merged: Merged, column: str, problems: Problems, complete: bool) -> None:
    kind = merged.table.schema.field(column).type
    if pa.types.is_temporal(kind):
        what = f"a model can't use {kind}; {_DROP_IT}, or as `time` if it is when the transaction took place"
        problems.add(Problem(problems.location, what, column=column))
        return
    if not _is_plain(kind):
        what = f"a model can't use {kind}; expected numbers, booleans or text, or {_DROP_IT}"
        problems.add(Problem(problems.location, what, column=column))
        return
    checks: list[Check] = []
    if pa.types.is_floating(kind):
        checks.append(
            _check(lambda s: s.abs() != np.inf, "infinite; expected finite numbers, and nothing where one is missing")
        )
    if pa.types.is_string(kind):
        too_many = f"a text with more than {MAX_CATEGORIES} different values, rather an id than a category; {_DROP_IT}"
        checks.append(_check(lambda s: s.nunique() <= MAX_CATEGORIES, too_many))
    if complete:
        value = merged.table.column(column)[0].as_py()
        checks.append(_check(lambda s: not s.isna().all(), f"all values are missing; expected some, or {_DROP_IT}"))
        constant = f"constant, all values are {shown(value)}; expected two different ones at least, or {_DROP_IT}"
        checks.append(_check(lambda s: bool(s.isna().all()) or s.nunique(dropna=False) > 1, constant))
    _run(merged, column, checks, problems)


def _check_entity(merged: Merged, column: str, problems: Problems) -> None:
    kind = merged.table.schema.field(column).type
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_null(kind)):
        problems.add(Problem(problems.location, f"the entity is {kind}; expected integers or text", column=column))
        return
    _run(merged, column, [_no_nulls("the entity")], problems)


def _check_label(merged: Merged, spec: DatasetSpec, problems: Problems, complete: bool) -> Label | None:
    column, table = spec.label, merged.table
    kind = table.schema.field(column).type
    if not _is_plain(kind):
        what = f"the label is {kind}; expected booleans, numbers or text with two values"
        problems.add(Problem(problems.location, what, column=column))
        return None
    values: list[Label] = table.column(column).to_pandas().value_counts().index.tolist()
    before = len(problems)
    told = f"not binary, its {len(values):,} values are {listed(values, 5)}; expected two, these rows have a third"
    checks = [_no_nulls("the label"), _check(lambda s: s.isna() | s.isin(values[:2]), told)]
    if complete:
        one_class = f"one class only, all labels are {listed(values)}; expected two values, fraud and not"
        checks.append(_check(lambda s: s.nunique() != 1, one_class))
    _run(merged, column, checks, problems)
    if len(problems) > before or len(values) != 2:
        return None
    try:
        return find_positive(sorted(values), spec.positive_label)
    except ValueError as e:
        problems.add(Problem(problems.location, str(e), column=column))
        return None


def _is_plain(kind: pa.DataType) -> bool:
    """Whether it is a number, a boolean or text, or a column without any value."""
    plain = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_string, pa.types.is_null)
    return any(is_kind(kind) for is_kind in plain)


def _no_nulls(what: str) -> "Check":
    return _check(lambda s: s.notna(), f"{what} is missing; expected a value in each row")


def _check(judge: Judge, error: str) -> "Check":
    from pandera.pandas import Check

    # Whether missing values pass is each judge's own decision, and no copy of the column without them is needed.
    return Check(judge, error=error, ignore_na=False, n_failure_cases=1)


def _run(merged: Merged, column: str, checks: "list[Check]", problems: Problems) -> None:
    """Run all `checks`; a judge that judges rows tells the rows, one that judges the column tells the column."""
    from pandera.errors import SchemaErrorReason, SchemaErrors
    from pandera.pandas import SeriesSchema

    # Column by column, so that no second copy of the whole table is held.
    series = merged.table.column(column).to_pandas()
    try:
        SeriesSchema(checks=checks, nullable=True).validate(series, lazy=True)
    except SchemaErrors as e:
        for error in e.schema_errors:
            if error.reason_code != SchemaErrorReason.DATAFRAME_CHECK:
                raise
            what = str(error.check.error)
            if isinstance(error.check_output, pd.Series):
                problems.add(merged.problem(column, ~error.check_output.to_numpy(dtype=bool), what))
            else:
                problems.add(Problem(problems.location, what, column=column))
