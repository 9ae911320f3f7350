"""Reads one CSV object with pyarrow, and says what it is that can't be read."""

import codecs
import csv
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from fraud_assets.ml.ingest.problems import ROWS_SHOWN, Problem, listed, shown

# Given the names in a header, those of the columns that stay text.
TextAmong = Callable[[Sequence[str]], Collection[str]]

# How much is decoded at a time to look for bytes that aren't UTF-8.
_DECODED_BYTES = 1 << 20

# A text column in which more than this part of the values are numbers is a number column with a few texts in it.
_MOSTLY_NUMBERS = 0.5


def read_csv(name: str, content: pa.Buffer, text_among: TextAmong) -> pa.Table | list[Problem]:
    """The table in `content`, uncompressed CSV in UTF-8 with a header and commas, or what is wrong with it.

    Types are inferred from all rows, but for the columns that aren't numbers by nature: an entity for instance (a
    leading zero counts), a time, and what no model sees; these stay text. Empty values and the usual spellings of a
    missing one (NA, NaN, null, …) are missing, in text too.

    Args:
        name: what messages call the object.
        content: the bytes.
        text_among: says which columns stay text.
    """
    undecodable = _undecodable(name, content)
    if undecodable is not None:
        return [undecodable]
    try:
        with pacsv.open_csv(pa.BufferReader(content), parse_options=_parse_options()) as reader:
            columns = reader.schema.names
    except pa.ArrowInvalid:
        columns = []  # the whole is read below, and says more
    text = dict.fromkeys(text_among(columns), pa.string())
    convert = pacsv.ConvertOptions(column_types=text, strings_can_be_null=True)
    try:
        return pacsv.read_csv(pa.BufferReader(content), parse_options=_parse_options(), convert_options=convert)
    except pa.ArrowInvalid as e:
        return _ragged_rows(name, content) or [Problem(name, f"can't be read as CSV with a header and commas ({e})")]


def _parse_options(**options: object) -> pacsv.ParseOptions:
    # Without newlines_in_values a line break in quotes is fine until it meets the end of a block.
    return pacsv.ParseOptions(newlines_in_values=True, **options)


def _undecodable(name: str, content: pa.Buffer) -> Problem | None:
    """The first line that isn't UTF-8; Arrow would turn the column into binary, or fail on the header later."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    data = memoryview(content)
    for start in range(0, len(data), _DECODED_BYTES):
        end = start + _DECODED_BYTES
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(data[start:end], final=end >= len(data))
        except UnicodeDecodeError as e:
            return _describe_undecodable(name, content.to_pybytes(), start - pending + e.start)
    return None


def _describe_undecodable(name: str, data: bytes, position: int) -> Problem:
    line_start = data.rfind(b"\n", 0, position) + 1
    line_end = data.find(b"\n", position)
    line = data[line_start : line_end if line_end >= 0 else len(data)]
    # Latin-1 gives every byte a character, so that the line can be taken apart although it is no UTF-8.
    before = next(csv.reader([line[: position - line_start].decode("latin-1")]), [""])
    header = next(csv.reader([data[: data.find(b"\n")].decode("utf-8", "replace")]))
    index = max(len(before) - 1, 0)
    row = data.count(b"\n", 0, position)
    return Problem(
        name,
        f"byte 0x{data[position]:02x} is not UTF-8; expected UTF-8, this looks like another encoding "
        "(Latin-1, Windows-1252, UTF-16): convert the object, for instance with iconv",
        column=header[index] if row and index < len(header) else None,
        rows=[row] if row else [],
    )


def _ragged_rows(name: str, content: pa.Buffer) -> list[Problem]:
    """One problem for each number of values that differs from the header's; empty if that isn't what is wrong."""
    ragged: defaultdict[tuple[int, int], list[int]] = defaultdict(list)

    def remember(row: pacsv.InvalidRow) -> str:
        # Its numbers count the header.
        ragged[row.actual_columns, row.expected_columns].append(row.number - 1)
        return "skip"

    # Arrow knows the row numbers only where it reads in one thread, hence this second reading.
    options = pacsv.ReadOptions(use_threads=False)
    try:
        pacsv.read_csv(pa.BufferReader(content), options, _parse_options(invalid_row_handler=remember))
    except pa.ArrowInvalid:
        return []
    return [
        Problem(name, f"{actual} values where the header has {expected}", rows=rows, row_count=len(rows))
        for (actual, expected), rows in ragged.items()
    ]


def texts_among_numbers(name: str, table: pa.Table, text_among: TextAmong) -> dict[str, Problem]:
    """The columns of a CSV object whose type was inferred as text because of a few texts among numbers, and these.

    In Parquet somebody declared such a column to be text, so that numbers in it are codes.
    """
    text, found = text_among(table.column_names), {}
    for column, values in zip(table.column_names, table.columns, strict=True):
        if column in text or not pa.types.is_string(values.type):
            continue
        different = values.drop_null().unique()
        is_number = pd.to_numeric(different.to_pandas(), errors="coerce").notna().to_numpy()
        texts = different.filter(pa.array(~is_number))
        is_text = pc.is_in(values, value_set=texts).to_numpy(zero_copy_only=False)
        present, count = len(values) - values.null_count, int(is_text.sum())
        if present - count > _MOSTLY_NUMBERS * present:
            what = (
                f"{listed(texts.to_pylist(), ROWS_SHOWN)}: text among {present - count:,} numbers; "
                "expected numbers only, and nothing where a value is missing"
            )
            rows = np.flatnonzero(is_text)[:ROWS_SHOWN] + 1
            found[column] = Problem(name, what, column, rows.tolist(), count)
    return found


def separator_hint(columns: list[str]) -> str:
    """A hint for a header that was not split, because the object separates its values by something else."""
    if len(columns) == 1:
        for separator in (";", "\t", "|"):
            if separator in columns[0]:
                return f" (are the values separated by {shown(separator)}? expected commas)"
    return ""
