"""The whole graph with nothing configured: no server, an empty working directory, Dagster's default executor."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from fraud_assets.ml.schema import read_info
from tests.integration.graph import (
    ASSETS,
    SEVEN,
    Finished,
    Workplace,
    holdout,
    statuses,
    stored_json,
    the_study,
    workplace,
)
from tests.servers import REPOSITORY

pytestmark = pytest.mark.integration

TRIALS = 4
SMALL = {"dataset_split": {"folds": 2}, "tuning_results": {"trials": TRIALS}}


@dataclass(frozen=True)
class Materialized:
    """The graph after `dagster asset materialize --select '*'`."""

    place: Workplace
    finished: Finished

    @property
    def storage(self) -> Path:
        return self.place.folder / ".fraud_assets"

    @property
    def mlflow_uri(self) -> str:
        return f"sqlite:///{self.storage / 'mlflow.db'}"

    @property
    def study(self) -> tuple[Run, list[Run]]:
        return the_study(self.mlflow_uri)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Materialized]:
    with workplace(tmp_path_factory.mktemp("embedded")) as place:
        yield Materialized(place, place.materialize(config=SMALL))


def test_every_asset_is_materialized_with_one_command(graph: Materialized) -> None:
    assert graph.finished.code == 0, graph.finished.log
    with graph.place.instance() as instance:
        (run,) = instance.get_runs()
        made = [asset for asset in ASSETS if instance.get_latest_materialization_event(dg.AssetKey(asset))]
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert tuple(made) == ASSETS


def test_each_step_ran_in_a_process_of_its_own(graph: Materialized) -> None:
    steps = dict(re.findall(r" - (\d+) - (\w+) - STEP_START ", graph.finished.log))
    assert sorted(steps.values()) == sorted([*ASSETS, "scored_transactions"])


def test_all_assets_have_one_parent_run_that_is_finished(graph: Materialized) -> None:
    parent, _ = graph.study
    assert parent.info.status == "FINISHED"
    for asset in ("best_params", "fraud_model", "champion_model"):
        assert stored_json(graph.storage, asset)["mlflow_parent_run_id"] == parent.info.run_id
    info = read_info(pq.read_table(graph.storage / "assets" / "tuning_results.parquet"))
    assert info["mlflow_parent_run_id"] == parent.info.run_id


def test_each_trial_is_a_finished_child_with_its_parameters_and_metrics(graph: Materialized) -> None:
    _, children = graph.study
    assert statuses(children) == ["FINISHED"] * TRIALS
    for child in children:
        assert {"booster", "lambda", "imbalance"} <= set(child.data.params)
        assert {*SEVEN, *(f"{name}_std" for name in SEVEN)} <= set(child.data.metrics)
    assert len({run.data.tags["trial_id"] for run in children}) == TRIALS


def test_the_grid_says_of_each_trial_what_mlflow_says(graph: Materialized) -> None:
    _, children = graph.study
    grid = pq.read_table(graph.storage / "assets" / "tuning_results.parquet").to_pandas().set_index("mlflow_run_id")
    assert set(grid.index) == {run.info.run_id for run in children}
    assert set(grid["status"]) == {"finished"}
    for run in children:
        row = grid.loc[run.info.run_id]
        assert row["name"] == run.info.run_name
        assert row["f1"] == run.data.metrics["f1"]
        assert row["params/lambda"] == float(run.data.params["lambda"])


def test_the_model_is_registered_under_the_same_parent(graph: Materialized) -> None:
    parent, _ = graph.study
    value = stored_json(graph.storage, "fraud_model")
    (version,) = MlflowClient(graph.mlflow_uri).search_model_versions("name='fraud_model'")
    assert version.run_id == parent.info.run_id
    assert int(version.version) == value["version"]
    assert set(SEVEN) <= set(holdout(parent))
    (data,) = parent.inputs.dataset_inputs
    assert data.dataset.digest == value["data_version"]


def test_sample_data_is_one_object_a_day_and_is_written_once(graph: Materialized) -> None:
    def objects() -> dict[str, int]:
        return {file.name: file.stat().st_mtime_ns for file in (graph.storage / "raw").iterdir()}

    before = objects()
    assert len(before) == 60
    assert all(re.fullmatch(r"\d{4}-\d{2}-\d{2}\.parquet", name) for name in before)
    again = graph.place.materialize("raw_dataset")
    assert again.code == 0, again.log
    assert objects() == before
    assert "wrote sample data" in graph.finished.log
    assert "wrote sample data" not in again.log


def test_the_model_finds_the_frauds_of_the_sample_data(graph: Materialized) -> None:
    assert holdout(graph.study[0])["roc_auc"] > 0.8


def test_everything_is_stored_in_one_folder(graph: Materialized) -> None:
    assert [entry.name for entry in graph.place.folder.iterdir()] == [".fraud_assets"]
    assert not list(graph.place.folder.parent.rglob("mlruns"))
    info = read_info(pq.read_table(graph.storage / "assets" / "tuning_results.parquet"))
    assert [entry.name for entry in (graph.storage / "tune").iterdir()] == [info["experiment"]]
    assert len(list((graph.storage / "tune").glob("*/attempt-1/*/result.json"))) == TRIALS


def test_no_process_outlives_the_command(graph: Materialized) -> None:
    sessions = list(graph.place.ray_folder.glob("ray/session_2*"))
    assert len(sessions) == 1, "Ray kept its session elsewhere, so that this test would see nothing"
    assert graph.place.processes() == []


def test_the_log_shows_each_trial_with_its_score_the_best_and_what_is_left(graph: Materialized) -> None:
    pattern = r"trial (\d)/4 \S+: average_precision \d\.\d{4}; best (\d\.\d{4}) \(\S+\); (\d) left at \d+ a minute"
    lines = re.findall(pattern, graph.finished.log)
    assert [(done, left) for done, _, left in lines] == [("1", "3"), ("2", "2"), ("3", "1"), ("4", "0")]
    best = [float(score) for _, score, _ in lines]
    assert best == sorted(best)
    assert f"{stored_json(graph.storage, 'best_params')['best_trial']['score']:.4f}" == lines[-1][1]


def test_the_first_model_is_the_champion_and_a_version_can_be_named_by_one_command(graph: Materialized) -> None:
    assert stored_json(graph.storage, "champion_model")["decision"] == "promoted"
    page = (REPOSITORY / "docs" / "automation.md").read_text()
    (command,) = re.findall(r"^(dagster asset materialize --select champion_model .*)$", page, re.MULTILINE)
    done = graph.place.run(*shlex.split(command))
    assert done.code == 0, done.log
    value = stored_json(graph.storage, "champion_model")
    assert (value["decision"], value["champion"]) == ("unchanged", 1)
    assert value["reason"] == "version 1, which was named by hand, is the champion already"


def test_the_summary_tells_where_to_look(graph: Materialized) -> None:
    done = graph.place.run("python", "-m", "fraud_assets.summary")
    assert done.code == 0, done.log
    best, parent = stored_json(graph.storage, "best_params"), graph.study[0]
    for told in (
        best["best_trial"]["name"],
        "models:/fraud_model/1",
        parent.info.run_id,
        graph.storage.as_uri(),
        "make dev",
    ):
        assert told in done.log
