"""Whoever interrupts tuning finds nothing running afterwards: no process, no MLflow run."""

import os
import signal
import subprocess
import time
from pathlib import Path

import dagster as dg
import pytest

from tests.integration.graph import statuses, the_study, workplace
from tests.integration.transactions import ROLES, write_transactions

pytestmark = pytest.mark.integration

# As long as it takes; it is interrupted after the first.
TRIALS = 500


@pytest.mark.parametrize("terminal", [True, False], ids=["Ctrl-C in a terminal", "Terminate in Dagster"])
def test_a_tuning_that_is_interrupted_leaves_nothing_running(tmp_path: Path, terminal: bool) -> None:
    """A terminal sends SIGINT to all its processes, Dagster to the run's own, which tells its steps."""
    with workplace(tmp_path) as place:
        config = {
            "raw_dataset": {"uri": str(write_transactions(tmp_path, 3000)), **ROLES},
            "dataset_split": {"folds": 1},
            "tuning_results": {"trials": TRIALS, "max_concurrent": 2},
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
            (os.killpg if terminal else os.kill)(process.pid, signal.SIGINT)
            try:
                rest, _ = process.communicate(timeout=90)
            except subprocess.TimeoutExpired as hung:
                pytest.fail(f"it did not end:\n{log}\n--- after the interrupt ---\n{(hung.output or b'').decode()}")
            seconds = time.monotonic() - began
        finally:
            process.kill()
        left = place.processes()
        with place.instance() as instance:
            (run,) = instance.get_runs()
        parent, children = the_study(f"sqlite:///{place.folder / '.fraud_assets' / 'mlflow.db'}")
    assert left == []
    assert process.returncode != 0, rest
    assert run.status in (dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE)
    assert parent.info.status == "KILLED", rest
    assert set(statuses(children)) <= {"KILLED", "FINISHED"}
    assert 0 < len(children) < TRIALS
    assert seconds < 60
