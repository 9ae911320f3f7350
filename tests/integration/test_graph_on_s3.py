"""The whole graph on S3 and an MLflow server, configured by the environment alone, one asset after another."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.bench_data import ARTICLE, bench_file
from tests.integration.graph import ASSETS, Finished, Workplace, holdout, mlflow_runs, statuses, the_study, workplace
from tests.servers import S3Server

pytestmark = pytest.mark.integration

TRIALS = 3
CONFIG: dict[str, dict[str, Any]] = {
    "dataset_split": {"folds": 2},
    "tuning_results": {"trials": TRIALS, "metric": "average_precision"},
}
# The default executor is what the embedded default is tested with; here each asset is a process already.
IN_PROCESS: dict[str, Any] = {"execution": {"config": {"in_process": {}}}}


@dataclass(frozen=True)
class Materialized:
    """The graph after each asset was materialized by a command of its own."""

    place: Workplace
    commands: list[Finished]
    server: S3Server
    bucket: str
    mlflow_uri: str
    before: set[str]

    @property
    def study(self) -> tuple[Run, list[Run]]:
        return the_study(self.mlflow_uri, self.before)

    def objects(self) -> dict[str, bytes]:
        """Every object of the bucket."""
        client = self.server.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {key: client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}

    def value(self, asset: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.objects()[f"graph/assets/{asset}.json"])
        return answer


@pytest.fixture(scope="module")
def graph(s3_server: S3Server, mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Materialized]:
    data = bench_file(ARTICLE)
    # One MLflow server serves the whole session.
    before = {run.info.run_id for run in mlflow_runs(mlflow_server)}
    bucket = s3_server.make_bucket()
    s3_server.client().upload_file(str(data), bucket, "raw/transactions/article.csv")
    with workplace(
        tmp_path_factory.mktemp(f"on-{s3_server.name}"),
        **s3_server.environment,
        MLFLOW_TRACKING_URI=mlflow_server,
        FRAUD_DATASET_URI=f"s3://{bucket}/raw/transactions",
        FRAUD_STORAGE_URI=f"s3://{bucket}/graph",
        FRAUD_LABEL="is_fraud",
        FRAUD_ENTITY="entity_id",
        FRAUD_TIME="event_timestamp",
    ) as place:
        commands = []
        for asset in ASSETS:
            config = {asset: CONFIG[asset]} if asset in CONFIG else {}
            commands.append(place.materialize(asset, {**config, **IN_PROCESS}))
            assert commands[-1].code == 0, commands[-1].log
        yield Materialized(place, commands, s3_server, bucket, mlflow_server, before)


def test_assets_made_by_separate_commands_share_one_parent_run(graph: Materialized) -> None:
    parent, children = graph.study
    assert parent.info.status == "FINISHED"
    assert statuses(children) == ["FINISHED"] * TRIALS
    for asset in ("best_params", "fraud_model"):
        assert graph.value(asset)["mlflow_parent_run_id"] == parent.info.run_id
    client = MlflowClient(graph.mlflow_uri)
    (version,) = [v for v in client.search_model_versions("name='fraud_model'") if v.run_id == parent.info.run_id]
    assert int(version.version) == graph.value("fraud_model")["version"]


def test_everything_that_the_graph_stores_is_in_the_bucket(graph: Materialized) -> None:
    # Tune makes folders as S3's consoles do, SeaweedFS keeps empty ones: objects without content.
    keys = {key for key, content in graph.objects().items() if content or not key.endswith("/")}
    values = {
        f"graph/assets/{asset}.{'json' if asset in ('best_params', 'fraud_model', 'champion_model') else 'parquet'}"
        for asset in ASSETS
    }
    folder = f"graph/tune/{graph.value('best_params')['experiment']}"
    tune = {key for key in keys if key.startswith(f"{folder}/")}
    version = f"graph/models/fraud_model/v{graph.value('fraud_model')['version']}"
    model = {key for key in keys if key.startswith(f"{version}/")}
    assert {f"{version}/{name}" for name in ("contender.json", "seen_rows.parquet", "reference.parquet")} < model
    assert keys == {"raw/transactions/article.csv"} | values | tune | model
    assert len([key for key in tune if key.endswith("/result.json")]) == TRIALS
    assert any(key.startswith(f"{folder}/attempt-1/experiment_state") for key in tune)
    assert list(graph.place.folder.iterdir()) == []


def test_the_keys_are_found_nowhere(graph: Materialized, tmp_path: Path) -> None:
    parent, children = graph.study
    model = graph.value("fraud_model")
    downloaded = graph.place.run("mlflow", "artifacts", "download", "-u", model["model_uri"], "-d", str(tmp_path))
    assert downloaded.code == 0, downloaded.log
    places = {f"command {i}": finished.log.encode() for i, finished in enumerate(graph.commands)}
    places |= {f"MLflow run {run.info.run_id}": str(run.to_dictionary()).encode() for run in (parent, *children)}
    places |= {f"object {key}": content for key, content in graph.objects().items()}
    folders = [tmp_path, graph.place.folder.parent, graph.place.ray_folder]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    places |= {f"file {file}": file.read_bytes() for file in files}
    # Columns are compressed in Parquet.
    columns = {
        name: str(pq.read_table(io.BytesIO(content)).to_pydict()).encode()
        for name, content in places.items()
        if name.endswith("tuning_results.parquet")
    }
    places |= {f"{name}, uncompressed": content for name, content in columns.items()}
    assert any(name.endswith("tuner.pkl") for name in places)
    assert any("session_" in name for name in places), "Ray's logs are not where they are looked for"
    for key in (graph.server.access_key, graph.server.secret_key):
        forms = {key.encode(), key.encode().hex().encode(), quote(key).encode(), quote(key, safe="").encode()}
        forms.add(json.dumps(key).strip('"').encode())
        assert [name for name, content in places.items() if any(form in content for form in forms)] == []


def test_exact_copies_in_the_articles_data_are_dropped(graph: Materialized) -> None:
    table = pq.read_table(io.BytesIO(graph.objects()["graph/assets/raw_dataset.parquet"]))
    assert table.num_rows == 11_932


def test_the_articles_data_shows_no_signal(graph: Materialized) -> None:
    scores, prevalence = holdout(graph.study[0]), 0.0497
    assert abs(scores["roc_auc"] - 0.5) < 0.08
    assert 0.7 * prevalence < scores["average_precision"] < 1.5 * prevalence
