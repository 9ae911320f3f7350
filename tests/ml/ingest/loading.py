"""Small data sets in a folder, and what `load_dataset` makes of them."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.fs as pafs
import pytest

from fraud_assets.ml.ingest import LoadReport, load_dataset
from fraud_assets.ml.schema import DataError, Dataset, DatasetSpec

SPEC = DatasetSpec("is_fraud", entity="card", time="at")


def good(rows: int = 40, first: int = 0) -> pd.DataFrame:
    """Transactions without any fault, every row different; those of two calls fit together."""
    i = np.arange(first, first + rows)
    return pd.DataFrame(
        {
            "card": [f"c{n % 7:03d}" for n in i],
            "at": pd.Timestamp("2024-01-01") + pd.to_timedelta(i, unit="h"),
            "amount": i + 0.5,
            "count": i % 5,
            "channel": np.where(i % 3 == 0, "web", "shop"),
            "is_fraud": (i % 10 == 0).astype(int),
        }
    )


def with_values(frame: pd.DataFrame, column: str, values: dict[int, object]) -> pd.DataFrame:
    """`frame` with other values in `column`, by row, rows counted from 1 as in messages."""
    changed = frame[column].astype(object)
    for row, value in values.items():
        changed.iloc[row - 1] = value
    return frame.assign(**{column: changed})


def load(path: Path, spec: DatasetSpec = SPEC) -> tuple[Dataset, LoadReport]:
    return load_dataset(pafs.LocalFileSystem(), str(path), spec, name="s3://bank/raw")


def problems(path: Path, spec: DatasetSpec = SPEC) -> list[str]:
    """The lines of the DataError that loading ends in, one a problem."""
    with pytest.raises(DataError) as error:
        load(path, spec)
    headline, *lines = str(error.value).splitlines()
    count = re.fullmatch(r"s3://bank/raw can't be used: (\d+) problems?", headline)
    assert count is not None, headline
    found = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
    assert int(count[1]) == len(found) or "more" in found[-1]
    return found


def problem(path: Path, spec: DatasetSpec = SPEC) -> str:
    """The one problem that loading ends in."""
    found = problems(path, spec)
    assert len(found) == 1, found
    return found[0]
