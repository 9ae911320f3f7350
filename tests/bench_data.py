"""The real data sets, which lie beside the repository where its authors work."""

from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[2] / "shared" / "bench" / "data"

ARTICLE = "article_training_data.csv"
HANDBOOK = "handbook_2018-06-20_2018-09-05.parquet"


def bench_file(name: str) -> Path:
    """The file called `name`; skips the test where it is absent."""
    if not (_FOLDER / name).exists():
        pytest.skip(f"the benchmark data {name} is not on this machine")
    return _FOLDER / name
