"""The services of deploy/compose, as `make stack` starts them: a run of the whole graph, and what is left of it."""

import io
import json
import sqlite3
import urllib.request
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from mlflow import MlflowClient

from tests.faults.faults import parent_of
from tests.integration.dev_server import Webserver, until
from tests.integration.graph import ASSETS, statuses, the_study
from tests.integration.transactions import ROLES, transactions
from tests.stack.stack import Stack, stack

pytestmark = [pytest.mark.integration, pytest.mark.cluster, pytest.mark.long]

TRIALS = 2
OVER = {"CANCELED", "FAILURE", "SUCCESS"}
_SETTINGS = {
    "FRAUD_DATASET_URI": "s3://transactions/raw",
    "FRAUD_STORAGE_URI": "s3://fraud/graph",
    **{f"FRAUD_{role.upper()}": column for role, column in ROLES.items()},
    "FRAUD_EXCLUDE": "",
}
_CONFIG = {
    "dataset_split": {"folds": 1},
    "tuning_results": {"trials": TRIALS, "members": 1, "search_space": "article", "max_concurrent": 1},
    "fraud_model": {"resamples": 200},
    "execution": {"config": {"in_process": {}}},
}


@dataclass(frozen=True)
class Ran:
    """A run of the whole graph that ended.

    Attributes:
        workers: how many trial workers there were at a time, at most: on the cluster's worker, and elsewhere.
    """

    stack: Stack
    run_id: str
    status: str
    events: list[str]
    workers: tuple[int, int]

    @property
    def mlflow(self) -> str:
        return self.stack.url("mlflow", 5000)


@pytest.fixture(scope="module")
def ran() -> Iterator[Ran]:
    with stack(_SETTINGS) as running:
        table = io.BytesIO()
        transactions().to_parquet(table, index=False)
        running.s3.client().put_object(Bucket="transactions", Key="raw/transactions.parquet", Body=table.getvalue())
        webserver = Webserver(running.ports["dagster-webserver", 3000])
        until(webserver.loaded, 60, "the code location is loaded")
        run_id = webserver.launch(_CONFIG, list(ASSETS))
        most = (0, 0)

        def over() -> str | None:
            nonlocal most
            here, elsewhere = trial_workers(running)
            most = max(most[0], here), max(most[1], elsewhere)
            return status if (status := webserver.status(run_id)) in OVER else None

        status = until(over, 240, "the run is over")
        yield Ran(running, run_id, status, webserver.events(run_id), most)
    assert running.left_over() == [], "something outlives the stack"
    assert not running.folder.exists()


def trial_workers(running: Stack) -> tuple[int, int]:
    """How many processes of trials are children of the worker's raylet, and how many are of others in this stack."""
    commands = {}
    for pid in running.left_over():
        try:
            commands[pid] = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:  # it ended meanwhile
            continue
    worker = running.processes["ray-worker"].pid
    raylets = {pid for pid, said in commands.items() if said.split("\0")[0].endswith("raylet")}
    here = {pid for pid in raylets if parent_of(pid) == worker}
    trials = [pid for pid, said in commands.items() if said.startswith(("ray::FraudTrial", "ray::ResourceTrainable"))]
    return sum(parent_of(pid) in here for pid in trials), sum(parent_of(pid) in raylets - here for pid in trials)


def test_the_run_succeeds_as_a_job_of_the_cluster_with_its_trials_on_the_worker(ran: Ran) -> None:
    assert ran.status == "SUCCESS", "\n".join(ran.events)
    # The driver goes on for a moment after it has told Dagster.
    until(lambda: jobs(ran.stack) == {ran.run_id: "SUCCEEDED"}, 30, "one job, which succeeded")
    on_worker, elsewhere = ran.workers
    assert on_worker > 0
    assert elsewhere == 0


def jobs(running: Stack) -> dict[str, str]:
    """The status of each job that was submitted to the cluster, by the Dagster run that it is."""
    request = urllib.request.Request(
        f"{running.url('ray-head', 8265)}/api/jobs/",
        headers={"Authorization": f"Bearer {running.secrets['RAY_AUTH_TOKEN']}"},
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        found = json.loads(answer.read())
    return {job["metadata"]["dagster/run-id"]: job["status"] for job in found if job["type"] == "SUBMISSION"}


def test_values_are_in_s3(ran: Ran) -> None:
    listed = ran.stack.s3.client().list_objects_v2(Bucket="fraud", Prefix="graph/assets/")["Contents"]
    assert {Path(entry["Key"]).stem for entry in listed} >= set(ASSETS)


def test_the_mlflow_server_has_the_study_and_the_champion_with_its_model_in_s3(ran: Ran) -> None:
    parent, children = the_study(ran.mlflow)
    assert parent.info.status == "FINISHED"
    assert statuses(children) == ["FINISHED"] * TRIALS
    champion = MlflowClient(ran.mlflow).get_model_version_by_alias("fraud_model", "champion")
    assert champion.run_id == parent.info.run_id
    assert champion.source.startswith(("models:/", "mlflow-artifacts:/"))
    listed = ran.stack.s3.client().list_objects_v2(Bucket="mlflow", Prefix="artifacts/")["Contents"]
    assert any(entry["Key"].endswith("/MLmodel") for entry in listed)


def test_what_steps_print_is_where_the_webserver_reads_it(ran: Ran) -> None:
    # In a container the volume `dagster-storage` is there.
    logs = list((ran.stack.instance / "storage" / ran.run_id / "compute_logs").glob("*.err"))
    assert any(file.stat().st_size for file in logs)


def test_secrets_are_in_no_record_of_dagster_or_mlflow_and_in_no_log(ran: Ran) -> None:
    values = [value.encode() for value in ran.stack.secrets.values()]
    rows: dict[str, bytes] = defaultdict(bytes)
    for table, said in records(ran.stack):
        # SQLite has a file, and so a table, for each run.
        rows[table] += said
    assert {"dagster.event_logs", "dagster.runs", "mlflow.tags"} <= set(rows)
    assert ran.run_id.encode() in rows["dagster.event_logs"], "the search finds what is there"
    assert [table for table, said in rows.items() if any(value in said for value in values)] == []
    # The S3 server itself apart: its log names the access key's id.
    files = [file for file in ran.stack.folder.rglob("*") if file.is_file() and "s3-data" not in file.parts]
    files = [file for file in files if not file.name.startswith(("weed.", "s3.log"))]
    assert [str(file) for file in files if any(value in content(file) for value in values)] == []


def content(file: Path) -> bytes:
    """What a file holds; the services go on, and may have deleted it meanwhile."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def records(running: Stack) -> Iterator[tuple[str, bytes]]:
    """Every table of Dagster's and MLflow's databases, with what its columns say, unpacked."""
    if running.database is None:
        for file in (*running.instance.rglob("*.db"), running.folder / "mlflow.db"):
            yield from _tables("mlflow" if file.stem == "mlflow" else "dagster", sqlite3.connect(file))
        return
    for database in ("dagster", "mlflow"):
        connection = psycopg2.connect(
            host="127.0.0.1", port=running.ports["postgres", 5432], dbname=database, user="fraud",
            password=running.secrets["POSTGRES_PASSWORD"],
        )  # fmt: skip
        yield from _tables(database, connection)
        connection.close()


def _tables(database: str, connection: Any) -> Iterator[tuple[str, bytes]]:
    cursor = connection.cursor()
    if isinstance(connection, sqlite3.Connection):
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    else:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for (table,) in cursor.fetchall():
        cursor.execute(f'SELECT * FROM "{table}"')
        yield f"{database}.{table}", b"\n".join(_said(value) for row in cursor.fetchall() for value in row)


def _said(value: Any) -> bytes:
    """A column's value; Dagster packs its snapshots."""
    if isinstance(value, (bytes, memoryview)):
        raw = bytes(value)
        return zlib.decompress(raw) if raw[:1] == b"\x78" else raw
    return str(value).encode()
