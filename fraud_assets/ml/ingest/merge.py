"""Puts the tables of all objects under one schema, or says where they don't fit together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fraud_assets.ml.ingest.csv_objects import separator_hint
from fraud_assets.ml.ingest.event_time import to_event_time
from fraud_assets.ml.ingest.objects import ObjectTable
from fraud_assets.ml.ingest.problems import ROWS_SHOWN, Problem, Problems, listed, shown
from fraud_assets.ml.schema import DatasetSpec

# A text column of CSV in which more than this part of the values are numbers is a number column with a few texts in it.
_MOSTLY_NUMBERS = 0.5


@dataclass(frozen=True)
class Merged:
    """The rows of all objects, one after another.

    Attributes:
        table: the columns that all objects have with one type; the time column as `event_time.STORED_TIME`.
        names: what messages call each object.
        ends: of each object, the number of rows in it and all before it.
    """

    table: pa.Table
    names: Sequence[str]
    ends: np.ndarray

    def problem(self, column: str, mask: np.ndarray, what: str) -> Problem:
        """A problem with the rows where `mask` is true, told by the first object that has some."""
        rows = np.flatnonzero(mask)
        owner = np.searchsorted(self.ends, rows, side="right")
        first, here = int(owner[0]), rows[owner == owner[0]]
        start = int(self.ends[first - 1]) if first else 0
        elsewhere = len(rows) - len(here)
        if elsewhere:
            what += f" (and {elsewhere:,} more rows in other objects, {len(np.unique(owner)) - 1:,} of them)"
        shown_rows = (here[:ROWS_SHOWN] - start + 1).tolist()
        return Problem(self.names[first], what, column=column, rows=shown_rows, row_count=len(here))


def merge(objects: Sequence[ObjectTable], spec: DatasetSpec, problems: Problems) -> Merged:
    """One table out of the tables of `objects`; what doesn't fit is added to `problems` and left out.

    Integers, floats and columns without any value fit together. Text and numbers don't, nor do objects that lack a
    column or have one more. The order of columns doesn't matter; the first object's is kept.
    """
    named = [o for o in objects if not _header_problems(o, problems)]
    columns = _common_columns(named, spec, problems)
    names = [o.name for o in named]
    ends = np.cumsum([o.table.num_rows for o in named], dtype=np.int64)
    merged: dict[str, pa.ChunkedArray] = {}
    features = set(spec.features_among(columns))
    for column in columns:
        parts = [_plain(o.table.column(column)) for o in named]
        if column == spec.time:
            whole = _merge_time(column, names, parts, problems)
        elif column in features and _mixed(column, named, parts, problems):
            whole = None
        else:
            whole = _concat(column, names, parts, problems)
        if whole is not None:
            merged[column] = whole
    return Merged(pa.table(merged), names, ends)


def _header_problems(o: ObjectTable, problems: Problems) -> bool:
    columns = o.table.column_names
    counts = Counter(columns)
    twice = [column for column, count in counts.items() if count > 1]
    before = len(problems)
    for column in twice:
        problems.add(Problem(o.name, f"{counts[column]} columns have this name; expected unique names", column=column))
    if "" in counts:
        position = columns.index("") + 1
        problems.add(Problem(o.name, f"column {position} has no name; expected a name for each column in the header"))
    return len(problems) > before


def _common_columns(objects: Sequence[ObjectTable], spec: DatasetSpec, problems: Problems) -> list[str]:
    """The columns that all objects have, those of `spec` that most of them lack being told on the way."""
    if not objects:
        return []
    # The majority is right: one odd object among many is told as such, even if it comes first.
    usual_set, _ = Counter(frozenset(o.table.column_names) for o in objects).most_common(1)[0]
    usual = next(o for o in objects if set(o.table.column_names) == usual_set)
    roles = {column: role for role, column in spec.roles.items()}
    roles |= dict.fromkeys(spec.features, "features") | dict.fromkeys(spec.exclude, "exclude")
    for column, role in roles.items():
        if column not in usual_set:
            where = usual.name if len(objects) == 1 else problems.location
            problems.add(Problem(where, _missing(column, role, usual.table.column_names), column=column))
    for o in objects:
        has = set(o.table.column_names)
        differences = []
        if usual_set - has:
            differences.append(f"lacks {listed(sorted(usual_set - has))}")
        if has - usual_set:
            differences.append(f"has {listed(sorted(has - usual_set))} besides")
        if differences:
            what = f"its columns differ from those of {usual.name}: it {' and '.join(differences)}; expected one schema"
            problems.add(Problem(o.name, what))
    return [c for c in usual.table.column_names if all(c in o.table.column_names for o in objects)]


def _missing(column: str, role: str, columns: list[str]) -> str:
    by_lower = {c.lower(): c for c in columns}
    close = [by_lower[match] for match in get_close_matches(column.lower(), by_lower, n=3)]
    hint = f"; did you mean {' or '.join(shown(c) for c in close)}?" if close else ""
    return (
        f"there is no such column, but {role!r} names it; the columns are {listed(columns, 30)}{hint}"
        + separator_hint(columns)
    )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """`column` in one of the few types that the rest deals with: one kind of text, and decimals as floats."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(column.cast(kind.storage_type))
    if pa.types.is_dictionary(kind):
        return _plain(column.cast(kind.value_type))
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    return column.cast(pa.float32()) if pa.types.is_float16(kind) else column


def _mixed(column: str, objects: Sequence[ObjectTable], parts: Sequence[pa.ChunkedArray], problems: Problems) -> bool:
    """Whether a CSV object has texts among the numbers of a column, which `problems` is then told.

    In Parquet somebody declared the column to be text, so that numbers in it are codes.
    """
    before = len(problems)
    for o, part in zip(objects, parts, strict=True):
        if not (o.is_csv and pa.types.is_string(part.type)):
            continue
        values = part.drop_null().unique()
        texts = values.filter(pa.array(pd.to_numeric(values.to_pandas(), errors="coerce").isna().to_numpy()))
        is_text = pc.is_in(part, value_set=texts).to_numpy(zero_copy_only=False)
        present, found = len(part) - part.null_count, int(is_text.sum())
        if present - found > _MOSTLY_NUMBERS * present:
            rows = np.flatnonzero(is_text)
            what = (
                f"{listed(texts.to_pylist(), ROWS_SHOWN)}: text among {present - found:,} numbers; "
                "expected numbers only, and nothing where a value is missing"
            )
            problems.add(Problem(o.name, what, column, (rows[:ROWS_SHOWN] + 1).tolist(), found))
    return len(problems) > before


def _merge_time(
    column: str, names: Sequence[str], parts: Sequence[pa.ChunkedArray], problems: Problems
) -> pa.ChunkedArray | None:
    before = len(problems)
    times: list[pa.ChunkedArray] = []
    zoned: dict[bool, str] = {}
    for name, part in zip(names, parts, strict=True):
        result = to_event_time(name, column, part)
        if isinstance(result, Problem):
            problems.add(result)
            continue
        time, has_zone = result
        times.append(time)
        zoned.setdefault(has_zone, name)
    if len(zoned) > 1:
        what = f"times have a zone here, and none in {zoned[False]}; expected one kind"
        problems.add(Problem(zoned[True], what, column=column))
    return None if len(problems) > before else _chunks(times)


def _concat(
    column: str, names: Sequence[str], parts: Sequence[pa.ChunkedArray], problems: Problems
) -> pa.ChunkedArray | None:
    kinds = Counter(part.type for part in parts if not pa.types.is_null(part.type))
    common = kinds.most_common(1)[0][0] if kinds else pa.null()
    usual = next(n for n, part in zip(names, parts, strict=True) if part.type == common)
    before = len(problems)
    for name, part in zip(names, parts, strict=True):
        try:
            wider = pa.unify_schemas(
                [pa.schema([(column, common)]), pa.schema([(column, part.type)])], promote_options="permissive"
            )
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            what = f"the column is {part.type} here, but {common} in {usual}; expected one type in all objects"
            problems.add(Problem(name, what, column=column))
            continue
        common = wider.field(column).type
    if len(problems) > before:
        return None
    cast: list[pa.ChunkedArray] = []
    for name, part in zip(names, parts, strict=True):
        try:
            # An integer beyond 2**53 among floats loses its last digits, as it would in any model.
            cast.append(part.cast(common, safe=pa.types.is_integer(common)))
        except pa.ArrowInvalid as e:
            problems.add(
                Problem(name, f"{part.type} doesn't fit into the other objects' {common} ({e})", column=column)
            )
    return None if len(problems) > before else _chunks(cast)


def _chunks(parts: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks], type=parts[0].type)
