"""An MLflow run says RUNNING only while something works on it, whatever became of what would have said so."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import dagster as dg
import pytest
from mlflow import MlflowClient

from fraud_assets.automation import mlflow_after_cancel, mlflow_after_failure
from fraud_assets.resources.mlflow_abandoned import OWNER_TAG, end_abandoned, owner_tag
from fraud_assets.resources.mlflow_tracking import MlflowTracking
from fraud_assets.resources.owner import Owner


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture
def client(uri: str) -> MlflowClient:
    return MlflowClient(uri)


@pytest.fixture
def experiment(client: MlflowClient, tmp_path: Path) -> str:
    return str(client.create_experiment(tmp_path.name))


@pytest.fixture(scope="module")
def dead() -> Owner:
    """A process of this machine that is gone."""
    code = "import json, dataclasses; from fraud_assets.resources.owner import Owner; "
    code += "print(json.dumps(dataclasses.asdict(Owner.this_process('killed'))))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return Owner(**json.loads(done.stdout))


def family(client: MlflowClient, experiment: str, tags: dict[str, str]) -> tuple[str, str]:
    """A RUNNING parent with these tags, and its RUNNING child."""
    parent = client.create_run(experiment, tags=tags).info.run_id
    return parent, client.create_run(experiment, tags={"mlflow.parentRunId": parent}).info.run_id


def statuses(client: MlflowClient, runs: tuple[str, ...]) -> list[str]:
    return [client.get_run(run_id).info.status for run_id in runs]


def nothing_known(run_id: str) -> None:
    """What a Dagster instance says of a run of another one."""


def test_what_a_process_that_is_gone_left_running_is_ended(client: MlflowClient, experiment: str, dead: Owner) -> None:
    runs = family(client, experiment, owner_tag(dead))
    assert set(end_abandoned(client, experiment, nothing_known)) == set(runs)
    assert statuses(client, runs) == ["FAILED", "KILLED"]
    assert end_abandoned(client, experiment, nothing_known) == []


def test_what_somebody_works_on_is_left_alone(client: MlflowClient, experiment: str) -> None:
    alive = Owner.this_process("ours")
    elsewhere = replace(alive, boot="another machine's", pid=1)
    kept = [family(client, experiment, owner_tag(owner)) for owner in (alive, elsewhere)]
    kept.append(family(client, experiment, {}))
    assert end_abandoned(client, experiment, nothing_known) == []
    assert [statuses(client, runs) for runs in kept] == [["RUNNING"] * 2] * 3


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_what_dagster_knows_to_have_ended_ends_alike(client: MlflowClient, experiment: str, status: str) -> None:
    elsewhere = replace(Owner.this_process("over"), boot="another machine's")
    runs = family(client, experiment, owner_tag(elsewhere))
    end_abandoned(client, experiment, {"over": status}.get)
    assert statuses(client, runs) == [status, "KILLED"]


def test_a_child_that_outlived_its_parent_is_ended(client: MlflowClient, experiment: str, dead: Owner) -> None:
    runs = family(client, experiment, owner_tag(dead))
    client.set_terminated(runs[0], "FINISHED")
    assert end_abandoned(client, experiment, nothing_known) == [runs[1]]
    assert statuses(client, runs) == ["FINISHED", "KILLED"]


def test_runs_that_have_ended_are_left_as_they_are(client: MlflowClient, experiment: str, dead: Owner) -> None:
    runs = family(client, experiment, owner_tag(dead))
    for run_id in runs:
        client.set_terminated(run_id, "FINISHED")
    assert end_abandoned(client, experiment, nothing_known) == []
    assert statuses(client, runs) == ["FINISHED"] * 2


@dg.job
def some_job() -> None:
    """For the sensors' contexts."""


@pytest.mark.parametrize(
    ("sensor", "became", "expected"),
    [
        (mlflow_after_failure, dg.DagsterRunStatus.FAILURE, "FAILED"),
        (mlflow_after_cancel, dg.DagsterRunStatus.CANCELED, "KILLED"),
    ],
)
def test_the_sensors_end_what_a_failed_or_canceled_run_left_running(
    client: MlflowClient,
    uri: str,
    tmp_path: Path,
    sensor: dg.SensorDefinition,
    became: dg.DagsterRunStatus,
    expected: str,
) -> None:
    experiment = client.create_experiment(f"{tmp_path.name}-sensor")
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(some_job, status=became)
        elsewhere = replace(Owner.this_process(run.run_id), boot="another machine's")
        runs = family(client, experiment, {OWNER_TAG: json.dumps(asdict(elsewhere))})
        event = dg.DagsterEvent(
            {"FAILED": "PIPELINE_FAILURE", "KILLED": "PIPELINE_CANCELED"}[expected], job_name="some_job"
        )
        context = dg.build_run_status_sensor_context(
            sensor_name=sensor.name, dagster_event=event, dagster_instance=instance, dagster_run=run
        )
        mlflow = MlflowTracking(tracking_uri=uri, experiment=f"{tmp_path.name}-sensor")
        skipped = sensor(context, mlflow=mlflow)
    assert isinstance(skipped, dg.SkipReason)
    assert "ended 2 MLflow runs" in str(skipped.skip_message)
    assert statuses(client, runs) == [expected, "KILLED"]
