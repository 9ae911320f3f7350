"""What the tests of the whole graph share."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud_assets.resources.ray_tune import RayTune
from tests.integration.graph import FOREIGN


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A Ray that all studies in this process share; `RayTune.connect` uses what it finds, and leaves it."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="fraud-") as folder:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("RAY_TMPDIR", folder)
        with RayTune(num_cpus=2).connect():
            yield


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory for this process, and an environment in which nothing is configured."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in list(os.environ):
        if name.startswith(FOREIGN) and not name.startswith(("RAY_", "PYTEST", "PYTHON")):
            monkeypatch.delenv(name)
    return folder
