"""The parent run in MLflow, and who finds it again."""

import signal
import subprocess
import sys
from pathlib import Path

from mlflow import MlflowClient

from fraud_assets.resources.mlflow_abandoned import OWNER_TAG
from fraud_assets.resources.mlflow_tracking import MlflowTracking

# dagster-mlflow goes on with a run as soon as there is one: the earliest moment after it.
KILLED_AS_THE_RUN_IS_MADE = """
import os, signal, sys
import dagster as dg
import dagster_mlflow.resources
from fraud_assets.resources.mlflow_tracking import MlflowTracking

dagster_mlflow.resources.MlFlow.__init__ = lambda self, context: os.kill(os.getpid(), signal.SIGKILL)

@dg.op
def step(mlflow: MlflowTracking):
    with mlflow.parent_run(name="study", tags={"token": "abc"}):
        pass

@dg.job(resource_defs={"mlflow": MlflowTracking(tracking_uri=sys.argv[1])})
def job():
    step()

job.execute_in_process()
"""


def test_a_run_whose_process_is_killed_as_it_is_made_is_found_again(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    command = [sys.executable, "-c", KILLED_AS_THE_RUN_IS_MADE, uri]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    found = MlflowTracking(tracking_uri=uri).find_run(None, "token", "abc")
    assert found is not None
    run = MlflowClient(uri).get_run(found)
    assert run.info.run_name == "study"
    assert OWNER_TAG in run.data.tags, "its end can be told"
    assert "dagster_run_id" in run.data.tags
