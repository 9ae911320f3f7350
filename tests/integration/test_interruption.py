"""Whoever interrupts tuning finds nothing running afterwards: no process, no MLflow run."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from tests.integration.graph import python, statuses, the_study, workplace
from tests.integration.transactions import ROLES, write_transactions
from tests.servers import REPOSITORY

pytestmark = pytest.mark.integration

# As long as it takes; it is interrupted after the first.
TRIALS = 500
# From the signal until nothing is left.
_PATIENCE_S = 15


def ctrl_c(process: "subprocess.Popen[str]") -> None:
    """A terminal sends SIGINT to all its processes."""
    os.killpg(process.pid, signal.SIGINT)


def terminate(process: "subprocess.Popen[str]") -> None:
    """Dagster sends SIGINT to the run's own process, which tells its steps."""
    os.kill(process.pid, signal.SIGINT)


def sigterm(process: "subprocess.Popen[str]") -> None:
    """What supervisors, Docker and Kubernetes send first."""
    os.kill(process.pid, signal.SIGTERM)


@pytest.mark.parametrize(
    ("interrupt", "executor"),
    [
        (ctrl_c, "multiprocess"),
        pytest.param(sigterm, "multiprocess", marks=pytest.mark.long),
        (terminate, "in_process"),
        pytest.param(sigterm, "in_process", marks=pytest.mark.long),
    ],
)
def test_a_tuning_that_is_interrupted_leaves_nothing_running(
    tmp_path: Path, executor: str, interrupt: Callable[["subprocess.Popen[str]"], None]
) -> None:
    with workplace(tmp_path) as place:
        config = {
            "raw_dataset": {"uri": str(write_transactions(tmp_path, 3000)), **ROLES},
            "dataset_split": {"folds": 1},
            "tuning_results": {"trials": TRIALS, "max_concurrent": 2},
            "execution": {"config": {executor: {}}},
        }
        process = place.start_materialize(config=config)
        assert process.stdout is not None
        log = ""
        try:
            for line in process.stdout:
                log += line
                if f"trial 1/{TRIALS}" in line:
                    break
            assert f"trial 1/{TRIALS}" in log, log
            assert any("raylet" in command for command in place.processes())
            began = time.monotonic()
            interrupt(process)
            try:
                rest, _ = process.communicate(timeout=90)
            except subprocess.TimeoutExpired as hung:
                pytest.fail(f"it did not end:\n{log}\n--- after the interrupt ---\n{(hung.output or b'').decode()}")
            while place.processes() and time.monotonic() - began < _PATIENCE_S:
                time.sleep(0.1)
            left = place.processes()
        finally:
            process.kill()
        with place.instance() as instance:
            (run,) = instance.get_runs()
        parent, children = the_study(f"sqlite:///{place.folder / '.fraud_assets' / 'mlflow.db'}")
    assert left == [], rest
    assert process.returncode != 0, rest
    assert run.status == dg.DagsterRunStatus.CANCELED, rest
    assert parent.info.status == "KILLED", rest
    assert set(statuses(children)) <= {"KILLED", "FINISHED"}
    assert 0 < len(children) < TRIALS


SWALLOWED = """
import contextlib, signal, tempfile
import pyarrow.fs
from fraud_assets.ml.search_space import SearchSpace
from fraud_assets.ml.split import SplitSettings
from fraud_assets.ml.study import StudyData
from fraud_assets.resources.object_store import Location
from fraud_assets.resources.ray_tune import Experiment, RayTune
from tests.ml.tables import dataset_of, split_by_group, transactions

def suggest(trial):
    if trial.number == 2:
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGINT)

dataset = dataset_of(transactions())
study = StudyData.prepare(dataset, split_by_group(dataset, SplitSettings(folds=1)), 1)
storage = Location(pyarrow.fs.LocalFileSystem(), tempfile.mkdtemp(dir="."))
experiment = Experiment(
    name="x", storage=storage, space=SearchSpace("s", suggest), study=study, metric="f1", second=None, points=[],
    trials=500, seed=1, max_concurrent=2, cpus_per_trial=1, gpus_per_trial=0, time_budget_s=None,
)
try:
    with RayTune(num_cpus=2).connect():
        RayTune().run(experiment)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_that_is_swallowed_in_tunes_loop_ends_the_study_all_the_same(tmp_path: Path) -> None:
    """Tune logs, and forgets, one that Ray made another error of while a trial is stopped or its checkpoint filed."""
    with workplace(tmp_path) as place:
        environment = {**place.environment, "PYTHONPATH": str(REPOSITORY)}
        assert python(SWALLOWED, folder=place.folder, environment=environment).strip().endswith("interrupted")
        assert place.processes() == []
