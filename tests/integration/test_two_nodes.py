"""A cluster of two machines that loses one of them in the middle of a search."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.faults.faults import parent_of
from tests.integration.graph import Workplace, statuses, the_study, workplace
from tests.integration.transactions import ROLES, write_transactions
from tests.servers import free_ports

pytestmark = [pytest.mark.integration, pytest.mark.cluster]

TRIALS = 12


@dataclass(frozen=True)
class Cluster:
    """A head that only drives, and two nodes with a CPU each."""

    place: Workplace
    home: Workplace
    address: str
    nodes: "list[subprocess.Popen[str]]"

    def status(self) -> str:
        """What `ray status` says, if the cluster answers."""
        done = self.home.run("ray", "status", "--address", self.address)
        return done.log if done.code == 0 else ""

    def fitting_on(self, node: "subprocess.Popen[str]") -> int:
        """How many trial workers a node has now; its raylet starts them, and `ray start` the raylet."""
        raylets = {pid for pid in processes() if command(pid).split("\0")[0].endswith("raylet")}
        own = {pid for pid in raylets if parent_of(pid) == node.pid}
        return sum(
            command(pid).startswith(("ray::FraudTrial", "ray::ResourceTrainable")) and parent_of(pid) in own
            for pid in processes()
        )


def processes() -> list[int]:
    return [int(process.name) for process in Path("/proc").glob("[0-9]*")]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:  # it ended meanwhile
        return ""


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    token = folder / "token"
    token.write_text("a" * 64)
    auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    with free_ports(1) as (port,):
        address = f"127.0.0.1:{port}"
    with ExitStack() as stack:
        home = stack.enter_context(workplace(folder / "head", **auth, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="1"))
        place = stack.enter_context(workplace(folder / "driver", **auth, RAY_ADDRESS=address))
        common = ["--block", "--node-ip-address=127.0.0.1", "--disable-usage-stats"]
        head = home.start(
            "ray", "start", "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false",
            f"--temp-dir={home.ray_folder}", *common,
        )  # fmt: skip
        started = [head]
        try:
            found = Cluster(place, home, address, [])
            give_up = time.monotonic() + 90
            while not found.status():
                assert head.poll() is None, head.stdout and head.stdout.read()
                assert time.monotonic() < give_up, "the head doesn't answer"
            # One after the other: of nodes that start at once on one machine, often one doesn't join.
            for number in (1, 2):
                node = home.start("ray", "start", f"--address={address}", "--num-cpus=1", *common)
                found.nodes.append(node)
                started.append(node)
                while f"/{number}.0 CPU" not in found.status():
                    assert node.poll() is None, node.stdout and node.stdout.read()
                    assert time.monotonic() < give_up, f"node {number} doesn't join"
            yield found
        finally:
            for process in reversed(started):
                process.terminate()
            for process in started:
                process.wait(60)


def test_a_node_that_is_killed_costs_only_the_trials_on_it(tmp_path: Path) -> None:
    with cluster(tmp_path) as ray:
        config = {
            "raw_dataset": {"uri": str(write_transactions(tmp_path, 3000)), **ROLES},
            "dataset_split": {"folds": 1},
            "tuning_results": {"trials": TRIALS, "max_concurrent": 2, "search_space": "article", "members": 1},
        }
        process = ray.place.start_materialize("raw_dataset,dataset_split,tuning_results", config)
        assert process.stdout is not None
        log, spread = "", [0, 0]
        for line in process.stdout:
            log += line
            if "trial " in line:
                # A worker may be between two trials just now.
                spread = [max(most, ray.fitting_on(node)) for most, node in zip(spread, ray.nodes, strict=True)]
            if f"trial 3/{TRIALS}" in line:
                os.killpg(ray.nodes[1].pid, signal.SIGKILL)
        process.wait(60)
        assert process.returncode == 0, log
        assert spread == [1, 1], "a trial at a time on each node"
        assert ray.status(), "the cluster is somebody else's, and lives on"
        parent, children = the_study(f"sqlite:///{ray.place.folder / '.fraud_assets' / 'mlflow.db'}")
        grid = pq.read_table(ray.place.folder / ".fraud_assets" / "assets" / "tuning_results.parquet").to_pandas()
    assert parent.info.status == "FINISHED"
    assert list(grid["status"]) == ["finished"] * TRIALS
    assert statuses(children) == ["FINISHED"] * TRIALS
