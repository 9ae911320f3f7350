"""What the tests of the whole graph share."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

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


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without a run; to make one takes seconds."""
    file = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def embedded_mlflow(work: Path, mlflow_database: Path) -> str:
    """The URI of the embedded default's database in the working directory, which exists already."""
    (work / ".fraud_assets").mkdir()
    copy = shutil.copy(mlflow_database, work / ".fraud_assets")
    return f"sqlite:///{copy}"


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
