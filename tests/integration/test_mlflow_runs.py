"""An MLflow run is RUNNING only while something works on it; what became of it is its status."""

import gc
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from tests.integration.graph import ASSETS, EXPERIMENT, materialize, mlflow_runs, statuses, the_study
from tests.integration.transactions import ROLES, space, write_transactions

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("local_ray")]

TUNING = ASSETS[:3]


def config(work: Path, **tuning: Any) -> dict[str, Any]:
    return {
        "raw_dataset": {"uri": str(write_transactions(work)), **ROLES},
        "dataset_split": {"folds": 1},
        "tuning_results": {"trials": 3, "max_concurrent": 2, **tuning},
    }


def in_the_search(statement: str) -> str:
    """Of a space: what it does when the search asks, but not when it is looked at before."""
    asked = "not isinstance(trial.study.sampler, RandomSampler)"
    return f"from optuna.samplers import RandomSampler\nif {asked}: {statement}"


def test_a_space_that_raises_when_looked_at_fails_tuning_before_mlflow_has_a_run(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising = space(work, monkeypatch, "raise RuntimeError('no suggestion today')")
    run = materialize(config(work, search_space=raising))
    assert "no suggestion today" in run.messages["tuning_results"]
    assert run.materialized == ["raw_dataset", "dataset_split"]
    assert mlflow_runs(embedded_mlflow) == []


def test_a_space_that_raises_fails_tuning_with_its_error_and_the_parent_with_it(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising = space(work, monkeypatch, in_the_search("raise RuntimeError('no suggestion today')"))
    run = materialize(config(work, search_space=raising))
    assert not run.success
    assert "no suggestion today" in run.messages["tuning_results"]
    assert run.materialized == ["raw_dataset", "dataset_split"]
    parent, children = the_study(embedded_mlflow)
    assert parent.info.status == "FAILED"
    assert children == []


def test_trials_that_all_fail_fail_tuning_with_the_first_error(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = space(work, monkeypatch, "trial.suggest_float('eta', 0.1, 0.3)\nreturn {'objective': 'no:such'}")
    run = materialize(config(work, search_space=failing, trials=2))
    assert not run.success
    assert "none of 2 trials finished ({'failed': 2})" in run.messages["tuning_results"]
    assert "no:such" in run.messages["tuning_results"]
    assert run.materialized == ["raw_dataset", "dataset_split"]
    parent, children = the_study(embedded_mlflow)
    assert parent.info.status == "FAILED"
    assert statuses(children) == ["FAILED"] * 2
    assert all("no:such" in child.data.tags["error"] for child in children)


def test_a_study_goes_on_after_a_trial_that_fails(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "bad = trial.number == 1\nreturn {'eta': 0.1, 'objective': 'no:such' if bad else 'binary:logistic'}"
    run = materialize(config(work, search_space=space(work, monkeypatch, body)))
    assert run.success
    assert run.materialized == list(ASSETS)
    parent, children = the_study(embedded_mlflow)
    assert parent.info.status == "FINISHED"
    assert statuses(children) == ["FAILED", "FINISHED", "FINISHED"]
    grid = pq.read_table(work / ".fraud_assets" / "assets" / "tuning_results.parquet").to_pandas()
    assert sorted(grid["status"]) == ["failed", "finished", "finished"]
    (failed,) = grid[grid["status"] == "failed"].to_dict("records")
    (child,) = [one for one in children if one.info.status == "FAILED"]
    assert failed["mlflow_run_id"] == child.info.run_id
    assert "no:such" in failed["error"]
    assert "no:such" in child.data.tags["error"]
    assert "no:such" in run.log


def test_a_model_that_fails_to_fit_fails_the_parent_and_the_next_attempt_continues_it(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    settings = config(work)
    assert materialize(settings, ASSETS[:4]).success
    stored = work / ".fraud_assets" / "assets" / "best_params.json"
    good = stored.read_text()
    stored.write_text(good.replace('"objective": "binary:logistic"', '"objective": "no:such"'))
    assert "no:such" in materialize({}, ["fraud_model"]).messages["fraud_model"]
    parent, children = the_study(embedded_mlflow)
    assert parent.info.status == "FAILED"
    assert statuses(children) == ["FINISHED"] * 3
    stored.write_text(good)
    assert materialize({}, ["fraud_model"]).success
    again, _ = the_study(embedded_mlflow)
    assert (again.info.run_id, again.info.status) == (parent.info.run_id, "FINISHED")


def test_two_studies_in_one_process_are_two_parents(work: Path, embedded_mlflow: str) -> None:
    settings = config(work, trials=1)
    assert materialize(settings, TUNING).success
    assert materialize(settings, TUNING).success
    runs = mlflow_runs(embedded_mlflow)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run not in parents]
    assert statuses(parents) == ["FINISHED"] * 2
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {run.info.run_id for run in parents}


def test_an_mlflow_run_of_the_surroundings_is_left_alone(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(embedded_mlflow)
    foreign = client.create_run(client.create_experiment("somebody else's"))
    monkeypatch.setenv("MLFLOW_RUN_ID", foreign.info.run_id)
    assert materialize(config(work, trials=1), TUNING).success
    the_study(embedded_mlflow)
    assert client.get_run(foreign.info.run_id).info.status == "RUNNING"


def test_a_tuning_that_is_interrupted_is_killed_and_not_failed(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Dagster raises in a step that is terminated, raised in the middle of a study."""
    raising = "import dagster\n    if trial.number == 2: raise dagster.DagsterExecutionInterruptedError()"
    interrupting = space(work, monkeypatch, in_the_search(f"\n    {raising}"))
    run = materialize(config(work, search_space=interrupting))
    assert "DagsterExecutionInterruptedError" in run.messages["tuning_results"]
    parent, children = the_study(embedded_mlflow)
    assert parent.info.status == "KILLED"
    assert set(statuses(children)) <= {"KILLED", "FINISHED"}
    # Workers go with the study's last reference; with a Ray of our own, that is shut down.
    gc.collect()


def test_a_server_that_is_away_is_told_before_any_trial(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = materialize(config(work), TUNING)
    assert "127.0.0.1" in run.messages["tuning_results"]
    assert run.materialized == ["raw_dataset", "dataset_split"]


def test_the_experiment_is_named_by_the_configuration(work: Path, embedded_mlflow: str) -> None:
    settings = {**config(work, trials=1), "resources": {"mlflow": {"config": {"experiment": "ours"}}}}
    assert materialize(settings, TUNING).success
    client = MlflowClient(embedded_mlflow)
    assert client.get_experiment_by_name("ours") is not None
    assert client.get_experiment_by_name(EXPERIMENT) is None
