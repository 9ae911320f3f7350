"""Turns a time column of any kind into one: timestamp[ns] without a zone, in UTC."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fraud_assets.ml.ingest.problems import ROWS_SHOWN, Problem, listed

# One representation for all: every zone is converted, Parquet gives it back bit by bit, and pandas' default unit needs
# no conversion anywhere downstream. It ends at the years 1677 and 2262, where no transaction is.
STORED_TIME = pa.timestamp("ns")

_EXPECTED = "expected timestamps, dates or ISO 8601 text such as 2024-01-31 or 2024-01-31T12:30:00+00:00"
_WITH_ZONE = r"\d[T ].*(Z|z|[+-]\d{2}(:?\d{2})?)$"


def to_event_time(where: str, name: str, column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, bool] | Problem:
    """`column` as `STORED_TIME`, and whether its values say their zone; or what is wrong with it.

    Values without a zone are taken for UTC. Missing values stay missing.

    Args:
        where: what messages call the object.
        name: the column's name.
        column: timestamps of any unit and zone, dates, or ISO 8601 text.
    """
    kind = column.type
    if pa.types.is_null(kind):
        return column.cast(STORED_TIME), False
    if pa.types.is_string(kind):
        return _from_text(where, name, column)
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return Problem(where, f"the time column is {kind}; {_EXPECTED}", column=name)
    has_zone = pa.types.is_timestamp(kind) and kind.tz is not None
    try:
        return column.cast(STORED_TIME), has_zone
    except pa.ArrowInvalid:
        year = pc.year(column)
        outside = pc.or_(pc.less(year, 1678), pc.greater(year, 2261))
        return _problem(where, name, column, outside, "outside the years 1678 to 2261; expected the transaction's time")


def _from_text(where: str, name: str, column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, bool] | Problem:
    parsed = pd.to_datetime(column.to_pandas(), format="ISO8601", utc=True, errors="coerce")
    unparsed = pc.and_(pa.array(parsed.isna().to_numpy()), column.is_valid())
    if pc.any(unparsed).as_py():
        return _problem(where, name, column, unparsed, f"not a time; {_EXPECTED}")
    zoned = pc.match_substring_regex(column, _WITH_ZONE)
    has_zone = bool(pc.any(zoned).as_py())
    if has_zone and not pc.all(zoned).as_py():
        return _problem(
            where, name, column, pc.invert(zoned), "no time zone while other rows have one; expected one kind"
        )
    times = pa.chunked_array([pa.array(parsed.dt.tz_localize(None), type=STORED_TIME, from_pandas=True)])
    return times, has_zone


def _problem(where: str, name: str, column: pa.ChunkedArray, mask: pa.ChunkedArray, what: str) -> Problem:
    rows = np.flatnonzero(mask.fill_null(False).to_numpy())
    first = column.take(pa.array(rows[:ROWS_SHOWN]))
    values = first.to_pylist() if pa.types.is_string(column.type) else first.cast(pa.string()).to_pylist()
    return Problem(
        where, f"{listed(values)}: {what}", column=name, rows=(rows[:ROWS_SHOWN] + 1).tolist(), row_count=len(rows)
    )
