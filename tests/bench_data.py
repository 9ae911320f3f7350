"""The real data sets, which lie beside the repository where its authors work."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

_BENCH = Path(__file__).parents[2] / "shared" / "bench"
_FOLDER = _BENCH / "data"

ARTICLE = "article_training_data.csv"
HANDBOOK = "handbook_2018-06-20_2018-09-05.parquet"


def bench_file(name: str) -> Path:
    """The file called `name`; skips the test where it is absent."""
    if not (_FOLDER / name).exists():
        pytest.skip(f"the benchmark data {name} is not on this machine")
    return _FOLDER / name


def handbook_protocol() -> Any:
    """The module with the Handbook's protocol; skips the test where it is absent."""
    path = _BENCH / "handbook_protocol.py"
    if not path.exists():
        pytest.skip("the Handbook's protocol is not on this machine")
    spec = importlib.util.spec_from_file_location("handbook_protocol", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
