"""Hashes of values and rows: equal ones have equal hashes, however they are spread over pieces and objects."""

import numpy as np
import pandas as pd
import pyarrow as pa

# The hash of a missing value.
_MISSING = np.uint64(0x5851F42D4C957F2D)


def hashes_of(column: pa.ChunkedArray) -> np.ndarray:
    """A hash of each value, shape (rows,), uint64."""
    kind = column.type
    missing = column.is_null().to_numpy()
    if pa.types.is_null(kind):
        return np.full(len(column), _MISSING)
    if pa.types.is_nested(kind):
        column = pa.chunked_array([[repr(value) for value in column.to_pylist()]], type=pa.string())
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())  # pandas would make objects of them where one is missing
    if pa.types.is_string(column.type):
        column = column.dictionary_encode()  # hashes each distinct text once
    elif pa.types.is_integer(column.type) and column.null_count:
        column = column.fill_null(0)  # pandas would make floats of them, which end at 2**53
    hashes = pd.util.hash_pandas_object(column.to_pandas(), index=False).to_numpy()
    return np.where(missing, _MISSING, hashes)


def joined(rows: np.ndarray, column: np.ndarray) -> np.ndarray:
    """The hashes of rows that get one more column, from those of the rows and of its values."""
    return np.asarray(rows * np.uint64(0x9E3779B97F4A7C15) ^ column)
