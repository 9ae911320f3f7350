"""Servers that are away while a search goes on: for a while, or for good."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.graph import mlflow_runs, statuses, the_study, workplace
from tests.integration.transactions import ROLES, write_transactions
from tests.network import line_to
from tests.servers import S3Server, mlflow, postgres

pytestmark = pytest.mark.integration

TRIALS = 8
# Longer than pyarrow's own attempts, which give up after nine seconds.
OUTAGE_S = 15


def config(folder: Path) -> dict[str, Any]:
    return {
        "raw_dataset": {"uri": str(write_transactions(folder, 3000)), **ROLES},
        "dataset_split": {"folds": 1},
        "tuning_results": {"trials": TRIALS, "max_concurrent": 2, "search_space": "article", "members": 1},
    }


def log_of(process: "subprocess.Popen[str]", at: str, do: Callable[[], None]) -> str:
    """The log of a command to its end; something is done when `at` stands in it."""
    assert process.stdout is not None
    log = ""
    for line in process.stdout:
        log += line
        if at in line:
            do()
    process.wait(60)
    return log


def test_a_storage_that_is_away_for_a_while_costs_no_trial(tmp_path: Path, seaweedfs: S3Server) -> None:
    bucket = seaweedfs.make_bucket()
    with line_to(seaweedfs.endpoint) as line:
        environment = {
            **seaweedfs.environment,
            "AWS_ENDPOINT_URL": line.url,
            "FRAUD_STORAGE_URI": f"s3://{bucket}/graph",
        }

        def outage() -> None:
            line.down()
            time.sleep(OUTAGE_S)
            line.up()

        with workplace(tmp_path, **environment) as place:
            process = place.start_materialize("raw_dataset,dataset_split,tuning_results", config(tmp_path))
            log = log_of(process, f"trial 2/{TRIALS}", outage)
            assert process.returncode == 0, log
            parent, children = the_study(f"sqlite:///{place.folder / '.fraud_assets' / 'mlflow.db'}")
    assert parent.info.status == "FINISHED"
    assert statuses(children) == ["FINISHED"] * TRIALS
    client = seaweedfs.client()
    listed = client.list_objects_v2(Bucket=bucket, Prefix="graph/tune/")["Contents"]
    ended = [entry["Key"] for entry in listed if entry["Key"].endswith(".ended.json")]
    kept = [json.loads(client.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in ended]
    assert [trial["status"] for trial in kept] == ["finished"] * TRIALS


@pytest.mark.long
def test_mlflow_that_is_away_for_a_while_misses_nothing(tmp_path: Path, mlflow_server: str) -> None:
    before = {run.info.run_id for run in mlflow_runs(mlflow_server)}
    with line_to(mlflow_server) as line:

        def outage() -> None:
            line.down()
            time.sleep(OUTAGE_S)
            line.up()

        with workplace(tmp_path, MLFLOW_TRACKING_URI=line.url) as place:
            process = place.start_materialize("raw_dataset,dataset_split,tuning_results", config(tmp_path))
            log = log_of(process, f"trial 2/{TRIALS}", outage)
            assert process.returncode == 0, log
    parent, children = the_study(mlflow_server, before)
    assert parent.info.status == "FINISHED"
    assert statuses(children) == ["FINISHED"] * TRIALS
    assert all(child.data.metrics and child.data.params for child in children)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("initdb") is None, reason="PostgreSQL is not installed")
def test_a_database_behind_mlflow_that_crashes_and_comes_back_misses_nothing(tmp_path: Path) -> None:
    server_folder = tmp_path / "mlflow"
    server_folder.mkdir()
    with postgres() as database, mlflow(server_folder, database.uri) as uri:

        def outage() -> None:
            database.stop()
            time.sleep(OUTAGE_S)
            database.start()

        with workplace(tmp_path, MLFLOW_TRACKING_URI=uri) as place:
            process = place.start_materialize("raw_dataset,dataset_split,tuning_results", config(tmp_path))
            log = log_of(process, f"trial 2/{TRIALS}", outage)
            assert process.returncode == 0, log
        parent, children = the_study(uri)
    assert parent.info.status == "FINISHED"
    assert statuses(children) == ["FINISHED"] * TRIALS
    assert all(child.data.metrics and child.data.params for child in children)


@pytest.mark.long
def test_mlflow_that_is_gone_fails_the_run_and_a_later_one_completes_the_record(
    tmp_path: Path, mlflow_server: str
) -> None:
    before = {run.info.run_id for run in mlflow_runs(mlflow_server)}
    impatient = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1"}
    with line_to(mlflow_server) as line, workplace(tmp_path, MLFLOW_TRACKING_URI=line.url, **impatient) as place:
        settings = config(tmp_path)
        process = place.start_materialize("raw_dataset,dataset_split,tuning_results", settings)
        log = log_of(process, f"trial 2/{TRIALS}", line.down)
        assert process.returncode != 0
        assert "MLflow refused the record of trial" in log
        assert f"trial {TRIALS}/{TRIALS}" in log, "the study went on"
        line.up()
        again = place.materialize("tuning_results", settings)
        assert again.code == 0, again.log
    assert f"{TRIALS} trials, {TRIALS} of them ended in earlier runs" in again.log
    parent, children = the_study(mlflow_server, before)
    assert parent.info.status == "FINISHED"
    assert statuses(children) == ["FINISHED"] * TRIALS
    assert all(child.data.metrics and child.data.params for child in children)
