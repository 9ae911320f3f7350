"""Children of a parent run: written beside the study, and what happens when MLflow refuses."""

import threading
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from fraud_assets.resources.mlflow_children import ChildRuns
from fraud_assets.resources.trials import TrialRecord

PARAMS = {"eta": 0.1, "resampler": "smote"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    return MlflowClient(f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}")


@pytest.fixture
def parent(client: MlflowClient, tmp_path: Path) -> tuple[str, str]:
    """Ids of an experiment and of a run in it."""
    experiment = client.create_experiment(tmp_path.name)
    return experiment, client.create_run(experiment).info.run_id


def started(trial_id: str) -> TrialRecord:
    return TrialRecord(trial_id, PARAMS, "running")


def children_of(client: MlflowClient, parent: tuple[str, str]) -> dict[str, Any]:
    """The children by the id of their trial."""
    found = client.search_runs([parent[0]], f"tags.`mlflow.parentRunId` = '{parent[1]}'")
    return {run.data.tags["trial_id"]: run for run in found}


def test_each_trial_becomes_a_child_with_the_status_that_it_ended_with(
    client: MlflowClient, parent: tuple[str, str]
) -> None:
    with ChildRuns(client, *parent) as runs:
        for trial_id in "abcd":
            runs.trial_started(started(trial_id))
        runs.trial_ended(TrialRecord("a", PARAMS, "finished", {"f1": 0.5, "f1_std": 0.1}))
        runs.trial_ended(TrialRecord("b", PARAMS, "failed", error="ValueError: no\n\n" + "x" * 20_000))
        runs.trial_ended(TrialRecord("c", PARAMS, "stopped"))
    children = children_of(client, parent)
    assert {trial_id: run.info.status for trial_id, run in children.items()} == {
        "a": "FINISHED",
        "b": "FAILED",
        "c": "KILLED",
        "d": "KILLED",  # it never ended
    }
    assert {trial_id: run.info.run_id for trial_id, run in children.items()} == runs.run_ids
    assert children["a"].data.metrics == {"f1": 0.5, "f1_std": 0.1}
    assert children["a"].data.params == {"eta": "0.1", "resampler": "smote"}
    assert children["a"].info.run_name == "smote-a"
    assert children["b"].data.tags["error"].startswith("ValueError: no\n")
    assert "error" not in children["c"].data.tags
    assert client.get_run(parent[1]).info.status == "RUNNING"


def test_a_trial_whose_start_nobody_told_is_recorded_all_the_same(
    client: MlflowClient, parent: tuple[str, str]
) -> None:
    with ChildRuns(client, *parent) as runs:
        runs.trial_ended(TrialRecord("a", PARAMS, "finished", {"f1": 0.5}))
    assert children_of(client, parent)["a"].info.status == "FINISHED"


def test_an_interrupted_study_leaves_no_child_running(client: MlflowClient, parent: tuple[str, str]) -> None:
    interrupted = pytest.raises(KeyboardInterrupt)
    with interrupted, ChildRuns(client, *parent) as runs:
        runs.trial_started(started("a"))
        raise KeyboardInterrupt
    assert children_of(client, parent)["a"].info.status == "KILLED"


class FailingClient:
    """An MLflow whose answer to one kind of call is an error, as a server with a full disk gives it."""

    def __init__(self, client: MlflowClient, failing: str) -> None:
        self._client = client
        self._failing = failing

    def __getattr__(self, name: str) -> Any:
        if name == self._failing:
            raise OSError("the server's disk is full")
        return getattr(self._client, name)


@pytest.mark.parametrize("failing", ["create_run", "log_batch", "set_terminated"])
def test_a_refusal_is_told_when_the_study_is_over_and_does_not_stop_it(
    client: MlflowClient, parent: tuple[str, str], failing: str
) -> None:
    refused = pytest.raises(RuntimeError, match="MLflow refused the record of a trial: the server's disk is full")
    told = []
    with refused, ChildRuns(FailingClient(client, failing), *parent) as runs:
        for trial_id in "ab":
            runs.trial_started(started(trial_id))
            runs.trial_ended(TrialRecord(trial_id, PARAMS, "finished", {"f1": 0.5}))
        told.append("the study went on")
    assert told
    if failing == "log_batch":
        assert {run.info.status for run in children_of(client, parent).values()} == {"KILLED"}


def test_the_studys_own_error_is_not_hidden_by_a_refusal(client: MlflowClient, parent: tuple[str, str]) -> None:
    own = pytest.raises(ValueError, match="the study's own")
    with own, ChildRuns(FailingClient(client, "create_run"), *parent) as runs:
        runs.trial_started(started("a"))
        raise ValueError("the study's own")


def test_nobody_waits_for_a_slow_server(client: MlflowClient, parent: tuple[str, str]) -> None:
    answered = threading.Event()

    class SlowClient:
        def create_run(self, *args: Any) -> Any:
            assert answered.wait(60)
            return client.create_run(*args)

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

    with ChildRuns(SlowClient(), *parent) as runs:
        for trial_id in "abc":
            runs.trial_started(started(trial_id))
            runs.trial_ended(TrialRecord(trial_id, PARAMS, "finished", {"f1": 0.5}))
        assert runs.run_ids == {}, "a caller waited until the server answered"
        answered.set()
    assert {run.info.status for run in children_of(client, parent).values()} == {"FINISHED"}
    assert len(runs.run_ids) == 3


def test_the_thread_ends_with_the_study(client: MlflowClient, parent: tuple[str, str]) -> None:
    with ChildRuns(client, *parent):
        assert "mlflow-children" in {thread.name for thread in threading.enumerate()}
    assert "mlflow-children" not in {thread.name for thread in threading.enumerate()}
