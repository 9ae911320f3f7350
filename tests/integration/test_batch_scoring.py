"""Unlabelled objects on a real S3 server, scored with a model out of a real MLflow, again and again."""

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import dagster as dg
import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud_assets.definitions import defs
from fraud_assets.ml.batch_scoring import score_pieces
from fraud_assets.ml.estimator import FraudClassifier, Member
from fraud_assets.resources import scored_objects
from fraud_assets.resources.champion import load_champion
from fraud_assets.resources.mlflow_model import log_model
from fraud_assets.resources.mlflow_tracking import MlflowTracking
from tests.conftest import UseS3
from tests.integration.graph import EXPERIMENT, Outcome, materialize, outcome
from tests.integration.transactions import ROLES, transactions, write_transactions
from tests.servers import REPOSITORY, S3Server

pytestmark = pytest.mark.integration

FEATURES = ["amount", "visits", "channel", "night", "abroad"]
ASSETS_OF_A_RUN = ["raw_dataset", "scored_transactions"]
SCORES = ["fraud_probability", "is_fraud", "model_version", "threshold"]


def unlabelled(rows: int, seed: int) -> pd.DataFrame:
    return transactions(max(rows, 4), seed).drop(columns="is_fraud").head(rows)


def classifier(rounds: int) -> FraudClassifier:
    frame = transactions(4000)
    params = {"booster": "gbtree", "n_estimators": rounds, "resampler": "passthrough"}
    y = frame["is_fraud"].to_numpy().astype(int)
    return FraudClassifier.fit(frame[FEATURES], y, ["channel"], [Member(params)], threshold=0.2, seed=1, threads=1)


@pytest.fixture(scope="module")
def registry(mlflow_database: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a database with two versions of the model, of which none bears the alias."""
    folder = tmp_path_factory.mktemp("registry")
    (folder / "mlflow.db").write_bytes(mlflow_database.read_bytes())
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    experiment = mlflow.MlflowClient(uri).create_experiment(EXPERIMENT, (folder / "artifacts").as_uri())
    with mlflow.start_run(experiment_id=experiment):
        for rounds in (10, 20):
            log_model(classifier(rounds), transactions(10)[FEATURES], "fraud_model", {})
    return uri


@dataclass(frozen=True)
class Place:
    """A bucket with objects to score below `in/`, whose scores belong below `out/`, and the graph's values `graph/`."""

    server: S3Server
    bucket: str
    client: Any
    registry: str

    def put(self, name: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=f"in/{name}", Body=content)

    def keys(self, prefix: str = "out/") -> list[str]:
        """Keys of the objects; SeaweedFS lists the folders that were made, too."""
        listed = self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return [entry["Key"] for entry in listed if not entry["Key"].endswith("/")]

    def content(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def outputs(self) -> dict[str, bytes]:
        """Every object below `out/`."""
        return {key.removeprefix("out/"): self.content(key) for key in self.keys()}

    def table(self, name: str) -> pa.Table:
        return pq.ParquetFile(io.BytesIO(self.content(f"out/{name}"))).read()

    def ledger(self) -> pd.DataFrame:
        content = self.content("graph/assets/scored_transactions.parquet")
        frame: pd.DataFrame = pq.ParquetFile(io.BytesIO(content)).read().to_pandas()
        return frame.set_index("source")

    def let_champion_be(self, version: int) -> None:
        mlflow.MlflowClient(self.registry).set_registered_model_alias("fraud_model", "champion", str(version))


@dataclass(frozen=True)
class Scored:
    """What a run has done.

    Attributes:
        run: the run.
        page: the asset's metadata; empty if it was not materialized.
    """

    run: Outcome
    page: dict[str, Any]

    @property
    def counts(self) -> tuple[int, int, int]:
        scored, skipped, failed = (self.page[f"objects {what}"] for what in ("scored", "skipped", "failed"))
        return scored, skipped, failed

    @property
    def error(self) -> str:
        """What the asset raised, without the name of the class."""
        (message,) = self.run.messages.values()
        return message.partition(": ")[2].strip()


def score(**config: Any) -> Scored:
    key = dg.AssetKey("scored_transactions")
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            run_config={"ops": {"scored_transactions": {"config": config}}},
            asset_selection=[key],
            instance=instance,
            raise_on_error=False,
        )
        event = instance.get_latest_materialization_event(key)
        found = event.asset_materialization.metadata if event and event.asset_materialization else {}
        return Scored(outcome(instance, result.run_id), {name: value.value for name, value in found.items()})


@pytest.fixture
def place(seaweedfs: S3Server, use_s3: UseS3, work: Path, registry: str, monkeypatch: pytest.MonkeyPatch) -> Place:
    use_s3(seaweedfs)
    bucket = seaweedfs.make_bucket()
    for name, value in {"SCORING": "in", "SCORED": "out", "STORAGE": "graph"}.items():
        monkeypatch.setenv(f"FRAUD_{name}_URI", f"s3://{bucket}/{value}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry)
    made = Place(seaweedfs, bucket, seaweedfs.client(), registry)
    made.put("day=1/a.csv", unlabelled(50, 1).to_csv(index=False).encode())
    made.put("day=1/b.csv.gz", gzipped(unlabelled(60, 2)))
    made.put("day=2/c.parquet", grouped(unlabelled(70, 3), 20))
    made.let_champion_be(1)
    return made


def gzipped(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    frame.to_csv(sink, index=False, compression="gzip")
    return sink.getvalue()


def grouped(frame: pd.DataFrame, rows: int) -> bytes:
    """`frame` as Parquet of row groups of so many rows."""
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink, row_group_size=rows)
    return sink.getvalue()


OUTPUTS = ["day=1/a.parquet", "day=1/b.parquet", "day=2/c.parquet"]


def test_objects_of_each_kind_are_scored_into_parquet_at_the_same_path(place: Place) -> None:
    scored = score()
    assert scored.run.success, scored.run.messages
    assert scored.counts == (3, 0, 0)
    assert sorted(place.outputs()) == OUTPUTS
    for name, rows in zip(OUTPUTS, (50, 60, 70), strict=True):
        table = place.table(name)
        assert table.schema.names == [*unlabelled(1, 0).columns, *SCORES]
        assert table.num_rows == rows
        assert table.column("model_version").unique().to_pylist() == [1]
        probability = table.column("fraud_probability").to_numpy()
        assert table.column("is_fraud").to_pylist() == (probability >= 0.2).tolist()
    own = pa.Table.from_pandas(unlabelled(70, 3), preserve_index=False).replace_schema_metadata(None)
    assert place.table("day=2/c.parquet").select(own.schema.names).equals(own)

    ledger, frauds = place.ledger(), {name: sum(place.table(name).column("is_fraud").to_pylist()) for name in OUTPUTS}
    line = ledger.loc[f"s3://{place.bucket}/in/day=1/b.csv.gz"]
    assert line["size"] == len(place.content("in/day=1/b.csv.gz"))
    assert (line["rows"], line["frauds"]) == (60, frauds["day=1/b.parquet"])
    assert (line["model_version"], line["threshold"]) == (1, 0.2)
    assert line["output"] == f"s3://{place.bucket}/out/day=1/b.parquet"
    assert abs(pd.Timestamp.now(tz="UTC") - line["scored_at"]) < pd.Timedelta("5min")
    assert scored.page["rows scored"] == ledger["rows"].sum() == 180
    assert 0 < scored.page["called fraud"] == ledger["frauds"].sum()
    assert scored.page["model"] == "models:/fraud_model/1"
    for shown in ("preview", "ledger, newest first", "share called fraud"):
        assert shown in scored.page


def test_the_registered_model_itself_says_the_same_of_the_same_rows(place: Place) -> None:
    assert score().run.success
    model = mlflow.pyfunc.load_model("models:/fraud_model@champion")
    for name, rows in zip(OUTPUTS, (unlabelled(50, 1), unlabelled(60, 2), unlabelled(70, 3)), strict=True):
        served = model.predict(rows[FEATURES], params={"predict_method": "predict_proba"})[:, 1]
        table = place.table(name)
        # A CSV's decimals are those of the object.
        np.testing.assert_allclose(table.column("fraud_probability"), served, rtol=0, atol=0)
        assert table.column("is_fraud").to_pylist() == model.predict(rows[FEATURES]).astype(bool).tolist()


def test_a_second_run_scores_nothing_and_has_the_same_ledger(place: Place) -> None:
    score()
    before, ledger = place.outputs(), place.ledger()
    again = score()
    assert again.run.success
    assert again.counts == (0, 3, 0)
    assert place.outputs() == before
    assert place.ledger().equals(ledger)


def test_what_is_new_or_has_changed_is_scored_and_nothing_else(place: Place) -> None:
    score()
    before = place.outputs()
    place.put("day=1/a.csv", unlabelled(55, 11).to_csv(index=False).encode())
    place.put("day=3/d.pq", grouped(unlabelled(10, 4), 10))
    again = score()
    assert again.counts == (2, 2, 0)
    after = place.outputs()
    assert sorted(after) == [*OUTPUTS, "day=3/d.parquet"]
    assert [name for name in OUTPUTS if after[name] == before[name]] == OUTPUTS[1:]
    assert place.table("day=1/a.parquet").num_rows == 55
    assert len(place.ledger()) == 4


def test_another_champion_scores_what_comes_and_all_of_it_where_that_is_asked_for(place: Place) -> None:
    score()
    place.let_champion_be(2)
    place.put("day=3/d.parquet", grouped(unlabelled(10, 4), 10))
    new = score()
    assert new.counts == (1, 3, 0)
    assert new.page["scored by other versions"] == 3
    everything = score(rescore=True)
    assert everything.counts == (4, 0, 0)
    assert everything.page["scored by other versions"] == 0
    assert set(place.ledger()["model_version"]) == {2}
    named = score(rescore=True, version=1)
    assert named.counts == (4, 0, 0)
    assert set(place.ledger()["model_version"]) == {1}


def test_bad_objects_keep_no_other_from_being_scored_and_are_told_together(place: Place) -> None:
    place.put("day=0/bad.csv", unlabelled(5, 1).drop(columns="night").to_csv(index=False).encode())
    content = grouped(unlabelled(70, 3), 20)
    place.put("day=0/half.parquet", content[: len(content) // 2])
    # The first row group can be read, a later one can't: half of the scores are written by then.
    corrupt = bytearray(grouped(unlabelled(200_000, 3), 66_000))
    middle = pq.ParquetFile(io.BytesIO(corrupt)).metadata.row_group(2).column(2).data_page_offset
    corrupt[middle : middle + 200] = b"\xff" * 200
    place.put("day=0/late.parquet", bytes(corrupt))
    place.put("day=1/a.parquet", grouped(unlabelled(5, 5), 5))

    scored = score()

    assert not scored.run.success
    assert scored.counts == (2, 0, 5)
    message = scored.error
    assert message.startswith(f"5 of 7 objects of s3://{place.bucket}/in can't be scored; the others are:")
    for told in (
        "in/day=0/bad.csv, column 'night': there is no such column",
        "in/day=0/half.parquet: the object is not a complete Parquet file",
        "in/day=0/late.parquet: the object is not a complete Parquet file",
        "in/day=1/a.csv: 2 objects would be scored into",
        "in/day=1/a.parquet: 2 objects would be scored into",
    ):
        assert told in message
    assert sorted(place.outputs()) == OUTPUTS[1:]
    assert len(place.ledger()) == 2

    place.put("day=0/bad.csv", unlabelled(5, 1).to_csv(index=False).encode())
    for name in ("day=0/half.parquet", "day=0/late.parquet", "day=1/a.parquet"):
        place.client.delete_object(Bucket=place.bucket, Key=f"in/{name}")
    repaired = score()
    assert repaired.run.success, repaired.run.messages
    assert repaired.counts == (2, 2, 0)


def test_an_object_that_breaks_is_replaced_by_nothing(place: Place) -> None:
    score()
    before = place.outputs()
    place.put("day=1/a.csv", b"amount\n1\n")
    assert score().counts == (0, 2, 1)
    assert place.outputs() == before


def test_an_object_without_rows_is_scored_too(place: Place) -> None:
    place.put("day=3/none.parquet", grouped(unlabelled(0, 1), 1))
    place.put("day=3/header.csv", b"amount,visits,channel,night,abroad\n")
    assert score().counts == (5, 0, 0)
    assert place.table("day=3/none.parquet").num_rows == place.table("day=3/header.parquet").num_rows == 0
    assert score().counts == (0, 5, 0)


def test_a_crash_in_the_middle_loses_nothing_and_doubles_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def crashing(*args: Any) -> Iterator[pa.Table]:
        calls.append(args)
        pieces = score_pieces(*args)
        yield next(pieces)
        if len(calls) == 2:
            raise RuntimeError("the power is gone")
        yield from pieces

    monkeypatch.setattr(scored_objects, "score_pieces", crashing)
    broken = score()
    assert "the power is gone" in broken.run.log
    assert broken.page == {}
    assert sorted(place.outputs()) == OUTPUTS[:1]
    monkeypatch.undo()


def test_after_a_kill_in_the_middle_the_next_run_does_the_rest(place: Place, tmp_path: Path) -> None:
    script = """
import os, signal
from fraud_assets.resources import scored_objects
from tests.integration.test_batch_scoring import score
real, calls = scored_objects.score_pieces, []
def killed(*args):
    calls.append(args)
    pieces = real(*args)
    yield next(pieces)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    yield from pieces
scored_objects.score_pieces = killed
score()
"""
    process = Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert process.wait(120) == -signal.SIGKILL
    before = place.outputs()
    assert sorted(before) == OUTPUTS[:2]
    assert place.keys("graph/assets/") == []

    again = score()

    assert again.run.success
    assert again.counts == (1, 2, 0)
    after = place.outputs()
    assert sorted(after) == OUTPUTS
    assert [after[name] for name in OUTPUTS[:2]] == list(before.values())
    assert sorted(place.ledger()["rows"]) == [50, 60, 70]


def test_who_looks_while_an_object_is_replaced_finds_the_old_scores_or_the_new(place: Place) -> None:
    place.put("day=2/c.parquet", grouped(unlabelled(100_000, 3), 20_000))
    score()
    found, done = set[int](), threading.Event()

    def look() -> None:
        while not done.is_set():
            found.update(place.table("day=2/c.parquet").column("model_version").unique().to_pylist())

    looking = threading.Thread(target=look)
    looking.start()
    place.let_champion_be(2)
    try:
        assert score(rescore=True).counts == (3, 0, 0)
    finally:
        done.set()
        looking.join()
    assert found <= {1, 2}
    assert 1 in found


def test_what_something_else_has_put_there_is_not_replaced(place: Place) -> None:
    other = grouped(unlabelled(3, 1), 3)
    place.client.put_object(Bucket=place.bucket, Key="out/day=1/a.parquet", Body=other)
    scored = score()
    assert scored.counts == (2, 0, 1)
    message = scored.error
    assert "out/day=1/a.parquet stands where its scores belong, and scored_transactions didn't write it" in message
    assert place.outputs()["day=1/a.parquet"] == other
    # Another location with the same names inside.
    place.client.put_object(Bucket=place.bucket, Key="more/day=1/b.csv", Body=b"amount\n1\n")
    message = score(uri=f"s3://{place.bucket}/more").error
    assert (
        f"has the scores of s3://{place.bucket}/in/day=1/b.csv.gz; delete it, or name another `output_uri`" in message
    )


def test_one_object_may_be_named_alone(place: Place) -> None:
    assert score(uri=f"s3://{place.bucket}/in/day=1/a.csv").counts == (1, 0, 0)
    assert sorted(place.outputs()) == ["a.parquet"]


@pytest.mark.parametrize("inside", ["in", "in/scored", ""])
def test_scores_in_the_place_of_the_input_are_refused(place: Place, inside: str) -> None:
    scored = score(output_uri=f"s3://{place.bucket}/{inside}")
    message = scored.error
    assert message.startswith("the scores can't be kept at s3://")
    assert sorted(place.keys("in/")) == [f"in/{name}" for name in ("day=1/a.csv", "day=1/b.csv.gz", "day=2/c.parquet")]


def test_a_neighbour_whose_name_begins_alike_is_no_part_of_the_input(place: Place) -> None:
    assert score(output_uri=f"s3://{place.bucket}/in-scored").run.success


def test_without_a_champion_nothing_is_scored_and_it_is_told(place: Place) -> None:
    mlflow.MlflowClient(place.registry).delete_registered_model_alias("fraud_model", "champion")
    message = score().error
    assert message == "no version of fraud_model bears the alias 'champion': materialize champion_model first"
    message = score(version=9).error
    assert message.startswith("fraud_model has no version 9")
    assert score(version=2).counts == (3, 0, 0)


def test_a_location_without_objects_is_told(place: Place) -> None:
    message = score(uri=f"s3://{place.bucket}/nowhere").error
    assert message.startswith(f"s3://{place.bucket}/nowhere does not exist")


def test_no_location_is_an_error_where_scoring_alone_is_asked_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FRAUD_SCORING_URI")
    message = score().error
    assert "set `uri` of scored_transactions' config, or FRAUD_SCORING_URI" in message


def test_no_location_is_fine_where_all_assets_are_made(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score()
    monkeypatch.delenv("FRAUD_SCORING_URI")
    run = materialize({"raw_dataset": {"uri": str(write_transactions(tmp_path)), **ROLES}}, ASSETS_OF_A_RUN)
    assert run.success, run.messages
    assert sorted(run.materialized) == sorted(ASSETS_OF_A_RUN)
    assert "no objects to score are named" in run.log
    assert len(place.ledger()) == 3


def test_the_registry_of_the_resource_is_asked(place: Place) -> None:
    champion = load_champion(MlflowTracking(tracking_uri=place.registry))
    assert (champion.version, champion.classifier.threshold, champion.url) == (1, 0.2, None)


def test_the_job_scores_and_retuning_does_not(place: Place, tmp_path: Path) -> None:
    assert defs.resolve_job_def("score_job").execute_in_process().success
    assert sorted(place.outputs()) == OUTPUTS
    nodes = {node.name for node in defs.resolve_job_def("retune_job").graph.nodes}
    assert "fraud_model" in nodes
    assert "scored_transactions" not in nodes
