"""What MLflow has of a study: enough to see in its UI what was done, how it went, with which code and data."""

import csv
import io
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from tests.integration.graph import ASSETS, materialize, the_study
from tests.integration.transactions import ROLES, write_transactions

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("local_ray")]

GRAPH = ASSETS[:5]


def test_the_parent_and_its_children_tell_of_the_whole_study(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUD_DAGSTER_URL", "http://dagster.example.org/")
    settings = {
        "raw_dataset": {"uri": str(write_transactions(work)), **ROLES},
        "dataset_split": {"folds": 2},
        # Boosted trees that stop early are the first two points of this space's search.
        "tuning_results": {"trials": 2, "max_concurrent": 1, "pruner": "none"},
        "fraud_model": {"resamples": 200},
    }
    run = materialize(settings, GRAPH)
    assert run.success, run.messages
    parent, children = the_study(embedded_mlflow)
    tags = parent.data.tags

    dagster = tags["tuning_results.dagster_run_id"]
    assert tags["tuning_results.dagster_run_url"] == f"http://dagster.example.org/runs/{dagster}"
    assert tags["fraud_model.dagster_run_url"] == f"http://dagster.example.org/runs/{dagster}"
    assert tags["dagster_asset"] == "tuning_results"
    assert tags["data_version"]
    assert tags["mlflow.source.name"] == "fraud_assets"
    assert f"[{dagster}](http://dagster.example.org/runs/{dagster})" in tags["mlflow.note.content"]
    assert "verdict" in tags["mlflow.note.content"]

    def artifact(name: str) -> str:
        return str(mlflow.artifacts.load_text(f"runs:/{parent.info.run_id}/{name}"))

    mlflow.set_tracking_uri(embedded_mlflow)
    rows = list(csv.DictReader(io.StringIO(artifact("trials.csv"))))
    assert {row["mlflow_run_id"] for row in rows} == {child.info.run_id for child in children}
    assert any(line.startswith("xgboost==") for line in artifact("requirements.txt").splitlines())
    assert artifact("model_card.md").startswith("# fraud_model, version 1")

    client = MlflowClient(embedded_mlflow)
    best = client.get_metric_history(parent.info.run_id, "best_average_precision_by_trial")
    assert [point.step for point in best][-1] == 2
    assert best[-1].value == max(child.data.metrics["average_precision"] for child in children)
    for child in children:
        assert child.info.run_name == f"passthrough-gbtree-{child.data.tags['trial_id']}"
        assert child.data.params.keys() >= {"eta", "max_depth"}
        curve = client.get_metric_history(child.info.run_id, "average_precision_by_round")
        assert max(point.value for point in curve) == pytest.approx(child.data.metrics["average_precision"])
