"""Which columns the objects of a data set have in common, and of which type each of them is for all of them."""

from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches

import pyarrow as pa

from fraud_assets.ml.ingest.csv_objects import separator_hint
from fraud_assets.ml.ingest.objects import ObjectTable
from fraud_assets.ml.ingest.problems import Problem, Problems, listed, shown
from fraud_assets.ml.schema import DatasetSpec


def common_types(objects: Sequence[ObjectTable], spec: DatasetSpec, problems: Problems) -> dict[str, pa.DataType]:
    """The type of each column that all objects have; what doesn't fit is added to `problems` and left out.

    Integers, floats and columns without any value fit together. Text and numbers don't, nor do objects that lack a
    column or have one more. The order of columns doesn't matter; the first object's is kept. The time is the exception:
    it may be of another type in each object, and its type here is one of them.
    """
    columns = _common_columns(objects, spec, problems)
    features = set(spec.features_among(columns))
    types: dict[str, pa.DataType] = {}
    for column in columns:
        kinds = [plain_type(o.schema.field(column).type) for o in objects]
        mixed = [o.mixed[column] for o in objects if column in features and column in o.mixed]
        problems.extend(mixed)
        if column == spec.time:
            types[column] = kinds[0]
        elif not mixed and (common := _common_type(column, objects, kinds, problems)) is not None:
            types[column] = common
    return types


def plain_type(kind: pa.DataType) -> pa.DataType:
    """One of the few types that the rest deals with: one kind of text, and decimals as floats."""
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_decimal(kind):
        return pa.float64()
    return pa.float32() if pa.types.is_float16(kind) else kind


def has_header(o: ObjectTable, problems: Problems) -> bool:
    """Whether the object names each column, and no two alike; if not, `problems` is told."""
    columns = o.schema.names
    counts = Counter(columns)
    twice = [column for column, count in counts.items() if count > 1]
    before = len(problems)
    for column in twice:
        problems.add(Problem(o.name, f"{counts[column]} columns have this name; expected unique names", column=column))
    if "" in counts:
        position = columns.index("") + 1
        problems.add(Problem(o.name, f"column {position} has no name; expected a name for each column in the header"))
    return len(problems) == before


def _common_columns(objects: Sequence[ObjectTable], spec: DatasetSpec, problems: Problems) -> list[str]:
    """The columns that all objects have, those of `spec` that most of them lack being told on the way."""
    if not objects:
        return []
    # The majority is right: one odd object among many is told as such, even if it comes first.
    usual_set, _ = Counter(frozenset(o.schema.names) for o in objects).most_common(1)[0]
    usual = next(o for o in objects if set(o.schema.names) == usual_set)
    roles = {column: role for role, column in spec.roles.items()}
    roles |= dict.fromkeys(spec.features, "features") | dict.fromkeys(spec.exclude, "exclude")
    for column, role in roles.items():
        if column not in usual_set:
            where = usual.name if len(objects) == 1 else problems.location
            problems.add(missing_column(where, column, f"{role!r} names it", usual.schema.names))
    for o in objects:
        has = set(o.schema.names)
        differences = []
        if usual_set - has:
            differences.append(f"lacks {listed(sorted(usual_set - has))}")
        if has - usual_set:
            differences.append(f"has {listed(sorted(has - usual_set))} besides")
        if differences:
            what = f"its columns differ from those of {usual.name}: it {' and '.join(differences)}; expected one schema"
            problems.add(Problem(o.name, what))
    return [c for c in usual.schema.names if all(c in o.schema.names for o in objects)]


def missing_column(where: str, column: str, why: str, columns: list[str]) -> Problem:
    """The problem that `where` has no `column` among its `columns`; `why` is a clause that says who wants it."""
    by_lower = {c.lower(): c for c in columns}
    close = [by_lower[match] for match in get_close_matches(column.lower(), by_lower, n=3)]
    hint = f"; did you mean {' or '.join(shown(c) for c in close)}?" if close else ""
    what = f"there is no such column, but {why}; the columns are {listed(columns, 30)}{hint}{separator_hint(columns)}"
    return Problem(where, what, column=column)


def _common_type(
    column: str, objects: Sequence[ObjectTable], kinds: Sequence[pa.DataType], problems: Problems
) -> pa.DataType | None:
    counts = Counter(kind for kind in kinds if not pa.types.is_null(kind))
    common = counts.most_common(1)[0][0] if counts else pa.null()
    usual = next(o.name for o, kind in zip(objects, kinds, strict=True) if kind == common)
    before = len(problems)
    for o, kind in zip(objects, kinds, strict=True):
        try:
            wider = pa.unify_schemas(
                [pa.schema([(column, common)]), pa.schema([(column, kind)])], promote_options="permissive"
            )
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            what = f"the column is {kind} here, but {common} in {usual}; expected one type in all objects"
            problems.add(Problem(o.name, what, column=column))
            continue
        common = wider.field(column).type
    return None if len(problems) > before else common
