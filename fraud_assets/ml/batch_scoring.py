"""Scores the tables of objects piece by piece: the input's own columns, and beside them what the model says."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from fraud_assets.ml.estimator import FraudClassifier
from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.ingest.columns import has_header, missing_column, plain_type
from fraud_assets.ml.ingest.objects import ObjectTable
from fraud_assets.ml.ingest.problems import ROWS_SHOWN, Problem, Problems
from fraud_assets.ml.schema import DataError

# What each row gets.
SCORES = pa.schema(
    [
        ("fraud_probability", pa.float64()),
        ("is_fraud", pa.bool_()),
        ("model_version", pa.int64()),
        ("threshold", pa.float64()),
    ]
)

# A model sees float32: what is beyond its range would be infinite.
_LARGEST = float(np.finfo(np.float32).max)


def text_among(encoder: FeatureEncoder, columns: Sequence[str]) -> set[str]:
    """Those of a CSV object's `columns` that stay text: categories, of which "01" may be one, and what no model sees.

    Types inferred for the latter would differ from object to object.
    """
    return {*columns} - ({*encoder.columns} - {*encoder.categories})


def scored_schema(o: ObjectTable, encoder: FeatureEncoder) -> pa.Schema:
    """The schema of an object's rows as `score_pieces` gives them: the object's own columns, then those of `SCORES`.

    The schema's metadata is left out: what pandas keeps there would be wrong with more columns.

    Raises:
        DataError: a column that the model needs is missing or of the wrong kind, or a column has the name of one of
            ours; the message lists every problem found.
    """
    problems = Problems(o.name)
    if has_header(o, problems):
        for name in o.schema.names:
            if name in SCORES.names:
                what = "the scored object gets a column of this name; rename it, or leave it out"
                problems.add(Problem(o.name, what, column=name))
        for column in encoder.columns:
            problem = _column_problem(o, column, categorical=column in encoder.categories)
            problems.extend([problem] if problem else [])
    if len(problems):
        # In one line, as it may be one of many objects.
        raise DataError("; ".join(map(str, problems)))
    return pa.schema([*o.schema, *SCORES])


def score_pieces(o: ObjectTable, classifier: FraudClassifier, version: int) -> Iterator[pa.Table]:
    """The rows of an object in their order, scored, a piece at a time; an object without rows may have no piece.

    Args:
        o: a table that has at least the model's columns.
        classifier: the model.
        version: its number in the registry.

    Raises:
        DataError: see `scored_schema`; or a number is infinite, or too large for the model.
        UnreadableError: a piece is corrupt.
        OSError: the storage failed.
    """
    schema = scored_schema(o, classifier.encoder)
    rows_before = 0
    for piece in o.pieces():
        features = _features(piece, classifier.encoder)
        _check_range(o.name, features, classifier.encoder, rows_before)
        # XGBoost warns of an empty table.
        fraud = classifier.predict_proba(features.to_pandas())[:, 1] if piece.num_rows else np.empty(0)
        scores = [
            pa.array(fraud, pa.float64()),
            pa.array(fraud >= classifier.threshold),
            pa.repeat(pa.scalar(version, pa.int64()), piece.num_rows),
            pa.repeat(pa.scalar(classifier.threshold, pa.float64()), piece.num_rows),
        ]
        yield pa.table([*piece.columns, *scores], schema=schema)
        rows_before += piece.num_rows


def _column_problem(o: ObjectTable, column: str, *, categorical: bool) -> Problem | None:
    """Why the model can't use `column` of the object, if it can't."""
    if column not in o.schema.names:
        return missing_column(o.name, column, "the model needs it", o.schema.names)
    if column in o.mixed:
        return o.mixed[column]
    kind = plain_type(o.schema.field(column).type)
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    if pa.types.is_null(kind) or (pa.types.is_string(kind) if categorical else number):
        return None
    expected = "text" if categorical else "numbers or booleans"
    return Problem(o.name, f"the column is {kind}; the model expects {expected}", column=column)


def _features(piece: pa.Table, encoder: FeatureEncoder) -> pa.Table:
    """The model's columns in their plain types."""
    columns = [piece.column(column) for column in encoder.columns]
    return pa.table([values.cast(plain_type(values.type)) for values in columns], names=list(encoder.columns))


def _check_range(name: str, features: pa.Table, encoder: FeatureEncoder, rows_before: int) -> None:
    for column, values in zip(features.column_names, features.columns, strict=True):
        if not pa.types.is_floating(values.type):
            continue
        beyond = np.flatnonzero(np.abs(values.to_numpy()) > _LARGEST)
        if len(beyond):
            rows = (beyond[:ROWS_SHOWN] + rows_before + 1).tolist()
            what = "infinite, or too large for the model; expected finite numbers, and nothing where one is missing"
            raise DataError(str(Problem(name, what, column, rows, len(beyond))))
