"""Children of a parent run: written beside the study, and what happens when MLflow refuses."""

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from requests.exceptions import ChunkedEncodingError

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
        for trial_id in "abcde":
            runs.trial_started(started(trial_id))
        runs.trial_ended(TrialRecord("a", PARAMS, "finished", {"f1": 0.5, "f1_std": 0.1}))
        runs.trial_ended(TrialRecord("b", PARAMS, "failed", error="ValueError: no\n\n" + "x" * 20_000))
        runs.trial_ended(TrialRecord("c", PARAMS, "stopped"))
        runs.trial_ended(TrialRecord("e", PARAMS, "pruned", {"f1": 0.1, "rounds": 50}))
    children = children_of(client, parent)
    assert {trial_id: run.info.status for trial_id, run in children.items()} == {
        "a": "FINISHED",
        "b": "FAILED",
        "c": "KILLED",
        "d": "KILLED",  # it never ended
        "e": "FINISHED",
    }
    assert {trial_id: run.info.run_id for trial_id, run in children.items()} == runs.run_ids
    assert children["a"].data.metrics == {"f1": 0.5, "f1_std": 0.1}
    assert children["a"].data.params == {"eta": "0.1", "resampler": "smote"}
    assert children["a"].info.run_name == "smote-a"
    assert children["b"].data.tags["error"].startswith("ValueError: no\n")
    assert "error" not in children["c"].data.tags
    assert [trial_id for trial_id, run in children.items() if "pruned" in run.data.tags] == ["e"]
    assert children["e"].data.metrics == {"f1": 0.1, "rounds": 50}
    assert client.get_run(parent[1]).info.status == "RUNNING"


def test_what_a_trial_scored_by_boosting_round_is_a_curve_beside_its_score(
    client: MlflowClient, parent: tuple[str, str]
) -> None:
    with ChildRuns(client, *parent) as runs:
        runs.trial_started(started("a"))
        curve = [[10, 0.3], [20, 0.5], [30, 0.4]]
        runs.trial_ended(TrialRecord("a", PARAMS, "finished", {"average_precision": 0.5}, curve=curve))
    child = children_of(client, parent)["a"]
    history = client.get_metric_history(child.info.run_id, "average_precision_by_round")
    assert [[point.step, point.value] for point in history] == curve
    assert child.data.metrics["average_precision"] == 0.5


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


@pytest.mark.parametrize("failing", ["create_run", "log_batch"])
def test_a_refusal_is_told_with_the_trial(client: MlflowClient, parent: tuple[str, str], failing: str) -> None:
    refused = pytest.raises(RuntimeError, match="MLflow refused the record of trial smote-a: the server's disk is full")
    with refused, ChildRuns(FailingClient(client, failing), *parent) as runs:
        runs.trial_started(started("a"))
        runs.trial_ended(TrialRecord("a", PARAMS, "finished", {"f1": 0.5}))
    if failing == "log_batch":
        assert {run.info.status for run in children_of(client, parent).values()} == {"KILLED"}


def test_the_studys_own_error_is_not_hidden_by_a_refusal(client: MlflowClient, parent: tuple[str, str]) -> None:
    own = pytest.raises(ValueError, match="the study's own")
    with own, ChildRuns(FailingClient(client, "set_terminated"), *parent) as runs:
        runs.trial_started(started("a"))
        raise ValueError("the study's own")


class LosingClient:
    """An MLflow of which the first answer to each kind of call breaks off on the way, when the server has done it."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client
        self.lost: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            if name in self.lost or name == "search_runs":
                return result
            self.lost.add(name)
            try:
                raise ChunkedEncodingError("Connection broken: IncompleteRead(0 bytes read, 2 more expected)")
            except ChunkedEncodingError as error:
                raise MlflowException(f"API request failed with exception {error}")  # noqa: B904 - as MLflow does it

        return call


def test_an_answer_that_is_lost_leaves_no_trial_without_a_record_and_none_with_two(
    client: MlflowClient, parent: tuple[str, str]
) -> None:
    losing = LosingClient(client)
    with ChildRuns(losing, *parent) as runs:
        for trial_id in "ab":
            runs.trial_started(started(trial_id))
            runs.trial_ended(TrialRecord(trial_id, PARAMS, "finished", {"f1": 0.5}))
    assert losing.lost == {"create_run", "log_batch", "set_terminated", "delete_run"}
    found = client.search_runs([parent[0]], f"tags.`mlflow.parentRunId` = '{parent[1]}'")
    assert sorted((run.data.tags["trial_id"], run.info.status) for run in found) == [
        ("a", "FINISHED"),
        ("b", "FINISHED"),
    ]
    assert {run.info.run_id for run in found} == set(runs.run_ids.values())
    assert all(run.data.metrics == {"f1": 0.5} for run in found)


def interrupted(client: MlflowClient, parent: tuple[str, str]) -> ChildRuns:
    """Children as a killed process leaves them: a and b have ended, and b's end is not recorded, c is under way."""
    runs = ChildRuns(client, *parent)
    for trial_id, params in (("a", {"eta": 1}), ("b", {"eta": 2}), ("c", {"eta": 3})):
        runs.trial_started(TrialRecord(trial_id, params, "running"))
    runs.trial_ended(TrialRecord("a", {"eta": 1}, "finished", {"f1": 0.1}))
    return runs


def test_a_later_run_takes_over_the_children_and_completes_them(client: MlflowClient, parent: tuple[str, str]) -> None:
    before = interrupted(client, parent).run_ids
    ended = [
        TrialRecord("a", {"eta": 1}, "finished", {"f1": 0.1}),
        TrialRecord("b", {"eta": 2}, "finished", {"f1": 0.2}),
        TrialRecord("lost", {"eta": 9}, "failed", error="no"),  # killed before MLflow heard of it at all
    ]
    with ChildRuns(client, *parent) as runs:
        runs.go_on(ended, [TrialRecord("c", {"eta": 3}, "running")])
        assert children_of(client, parent)["c"].info.status == "KILLED"
        runs.trial_started(TrialRecord("d", {"eta": 3}, "running"))
        runs.trial_started(TrialRecord("e", {"eta": 3}, "running"))
        for trial_id in "de":
            runs.trial_ended(TrialRecord(trial_id, {"eta": 3}, "finished", {"f1": 0.3}))

    children = children_of(client, parent)
    assert {trial_id: run.info.status for trial_id, run in children.items()} == {
        "a": "FINISHED",
        "b": "FINISHED",
        "d": "FINISHED",
        "e": "FINISHED",
        "lost": "FAILED",
    }
    assert children["b"].data.metrics == {"f1": 0.2}
    ids = {trial_id: run.info.run_id for trial_id, run in children.items()}
    assert ids == runs.run_ids
    assert (ids["a"], ids["b"], ids["d"]) == (before["a"], before["b"], before["c"]), "no child is there twice"
    assert [trial_id for trial_id, run in children.items() if "interrupted" in run.data.tags] == ["d"]


def test_children_that_are_complete_are_left_as_they_are(client: MlflowClient, parent: tuple[str, str]) -> None:
    interrupted(client, parent)
    with ChildRuns(FailingClient(client, "log_batch"), *parent) as runs:
        runs.go_on([TrialRecord("a", {"eta": 1}, "finished", {"f1": 0.1})], [])
