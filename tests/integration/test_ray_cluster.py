"""Trials run on the Ray cluster that RAY_ADDRESS names, and the cluster is left as it was found."""

import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.graph import Finished, Workplace, statuses, the_study, workplace
from tests.integration.transactions import ROLES, write_transactions
from tests.servers import free_ports

pytestmark = [pytest.mark.integration, pytest.mark.cluster]

TRIALS = 2


def config(place: Workplace) -> dict[str, Any]:
    return {
        "raw_dataset": {"uri": str(write_transactions(place.folder.parent)), **ROLES},
        "dataset_split": {"folds": 1},
        "tuning_results": {"trials": TRIALS, "max_concurrent": 1},
        "execution": {"config": {"in_process": {}}},
    }


@dataclass(frozen=True)
class Cluster:
    """A running cluster and the graph that was materialized on it.

    Attributes:
        place: where the command was given; it has a Ray folder of its own.
        home: where the cluster was started; its Ray folder marks the cluster's processes.
    """

    address: str
    place: Workplace
    home: Workplace
    finished: Finished


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    token = folder / "token"
    token.write_text("a" * 64)
    auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    with free_ports(1) as (port,):
        address = f"127.0.0.1:{port}"
    with (
        workplace(folder / "head", **auth, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="1") as home,
        workplace(folder / "driver", **auth, RAY_ADDRESS=address) as place,
    ):
        head = home.start(
            "ray", "start", "--head", "--block", f"--port={port}", "--num-cpus=2", "--node-ip-address=127.0.0.1",
            "--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={home.ray_folder}",
        )  # fmt: skip
        try:
            _await_cluster(home, address, head)
            yield Cluster(address, place, home, place.materialize(config=config(place)))
        finally:
            head.terminate()
            head.wait(60)


def _await_cluster(home: Workplace, address: str, head: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 90
    while home.run("ray", "status", "--address", address).code != 0:
        assert head.poll() is None, head.stdout.read() if head.stdout else ""
        assert time.monotonic() < deadline, "the cluster doesn't answer"


def test_the_graph_is_materialized_on_the_cluster(cluster: Cluster) -> None:
    assert cluster.finished.code == 0, cluster.finished.log
    uri = f"sqlite:///{cluster.place.folder / '.fraud_assets' / 'mlflow.db'}"
    parent, children = the_study(uri)
    assert parent.info.status == "FINISHED"
    assert statuses(children) == ["FINISHED"] * TRIALS


def test_no_ray_was_started_here(cluster: Cluster) -> None:
    assert not list(cluster.place.ray_folder.rglob("session_2*"))
    assert cluster.place.processes() == []


def test_the_cluster_lives_on(cluster: Cluster) -> None:
    running = " ".join(cluster.home.processes())
    assert "raylet" in running
    assert "gcs_server" in running
    status = cluster.home.run("ray", "status", "--address", cluster.address)
    assert status.code == 0, status.log
    assert re.search(r"0\.0/2\.0 CPU", status.log), status.log


def test_the_token_reaches_no_log_and_no_file(cluster: Cluster) -> None:
    token = b"a" * 64
    assert token not in cluster.finished.log.encode()
    files = [file for file in cluster.place.folder.rglob("*") if file.is_file()]
    assert files
    assert [file for file in files if token in file.read_bytes()] == []


def test_a_cluster_that_is_away_is_told_before_mlflow_has_a_run(cluster: Cluster, tmp_path: Path) -> None:
    with free_ports(1) as (port,):
        address = f"127.0.0.1:{port}"
    with workplace(tmp_path, RAY_ADDRESS=address) as place:
        began = time.monotonic()
        done = place.materialize(config=config(place))
        seconds = time.monotonic() - began
        database = place.folder / ".fraud_assets" / "mlflow.db"
    assert done.code != 0
    assert f"Ray at {address} can't be reached" in done.log
    assert "check RAY_ADDRESS" in done.log
    assert not database.exists()
    assert seconds < 120
