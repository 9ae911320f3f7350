"""Runs as jobs of a Ray cluster, as deploy/kuberay has them: launched by `dagster dev`, terminated, killed."""

import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.faults.faults import commands, strike
from tests.integration.dev_server import Dev, dagster_dev, until
from tests.integration.graph import Workplace, statuses, the_study, workplace
from tests.integration.transactions import ROLES, write_transactions
from tests.servers import REPOSITORY, S3Server, free_ports

pytestmark = [pytest.mark.integration, pytest.mark.cluster, pytest.mark.long]

KUBERAY = REPOSITORY / "deploy" / "kuberay"
TRIALS = 24
TOKEN = "b" * 64
OVER = {"CANCELED", "FAILURE", "SUCCESS"}
_SELECT = ["raw_dataset", "dataset_split", "tuning_results"]


@dataclass(frozen=True)
class Jobs:
    """A cluster that takes jobs, and a Dagster beside it that knows its address and token, and no key.

    Attributes:
        cluster: its processes are marked by this workplace.
        dev: the Dagster.
        mlflow: the server that jobs and tests ask.
    """

    cluster: Workplace
    dev: Dev
    mlflow: str
    config: dict[str, Any]

    def drivers(self) -> list[int]:
        """Processes of runs on the cluster, and of their steps."""
        return [pid for pid, command in commands(self.cluster) if "execute_run" in command or "fraud_assets" in command]

    def launch(self) -> str:
        return self.dev.launch(self.config, _SELECT)

    def until_trials_end(self, run_id: str, number: int) -> None:
        """Wait until Dagster's log of a run that goes on has seen so many trials end."""

        def ended() -> bool:
            events = self.dev.events(run_id)
            assert self.dev.status(run_id) not in OVER, events
            return sum(message.startswith("trial ") for message in events) >= number

        until(ended, 180, f"{number} trials of {run_id} have ended")


def head_environment() -> dict[str, str]:
    """What the manifest sets for every Ray process, secrets aside."""
    (cluster,) = [
        part for part in yaml.safe_load_all((KUBERAY / "raycluster.yaml").read_text()) if part["kind"] == "RayCluster"
    ]
    (container,) = cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory, seaweedfs: S3Server, mlflow_server: str) -> Iterator[Jobs]:
    folder = tmp_path_factory.mktemp("jobs")
    token = folder / "token"
    token.write_text(TOKEN)
    auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    with free_ports(3) as (port, dashboard, agent):
        pass
    pods = {
        **head_environment(),
        # As in an image: a job finds the commands of its environment.
        "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}",
        **seaweedfs.environment,
        "FRAUD_STORAGE_URI": f"s3://{seaweedfs.make_bucket()}/graph",
        "MLFLOW_TRACKING_URI": mlflow_server,
    }
    beside = {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
    with workplace(folder / "ray", **auth, **pods) as cluster, workplace(folder / "dagster", **auth, **beside) as place:
        instance = yaml.safe_load((KUBERAY / "dagster.yaml").read_text())
        # PostgreSQL is Dagster's own matter; in a folder that both sides see SQLite does the same.
        del instance["storage"]
        (place.dagster_home / "dagster.yaml").write_text(yaml.safe_dump(instance))
        head = cluster.start(
            "ray", "start", "--head", "--block", f"--port={port}", "--num-cpus=3", "--node-ip-address=127.0.0.1",
            "--include-dashboard=true", f"--dashboard-port={dashboard}", "--disable-usage-stats",
            # The agent that starts jobs; its usual port is that of every other Ray on this machine.
            f"--dashboard-agent-listen-port={agent}", f"--temp-dir={cluster.ray_folder}",
        )  # fmt: skip
        config = {
            "raw_dataset": {"uri": str(write_transactions(folder, 3000)), **ROLES},
            "dataset_split": {"folds": 1},
            "tuning_results": {"trials": TRIALS, "max_concurrent": 2, "search_space": "article", "members": 1},
        }
        try:
            listed = ("ray", "job", "list", "--address", beside["RAY_API_SERVER_ADDRESS"])
            until(lambda: place.run(*listed).code == 0 or head.poll() is not None, 90, "the cluster takes jobs")
            with dagster_dev(place) as dev:
                yield Jobs(cluster, dev, mlflow_server, config)
        finally:
            head.terminate()
            head.wait(60)


def test_terminated_killed_and_launched_again(jobs: Jobs, tmp_path: Path) -> None:
    first = jobs.launch()
    jobs.until_trials_end(first, 2)
    jobs.dev.terminate(first)
    assert jobs.dev.wait(first, OVER, 60) == "CANCELED", "".join(jobs.dev.log)
    until(lambda: not jobs.drivers(), 15, "the driver is gone")
    parent, children = the_study(jobs.mlflow)
    assert parent.info.status == "KILLED"
    assert set(statuses(children)) <= {"KILLED", "FINISHED"}

    second = jobs.launch()
    jobs.until_trials_end(second, 2)
    for pid in jobs.drivers():
        strike(pid)
    assert jobs.dev.wait(second, OVER, 90) == "FAILURE", "".join(jobs.dev.log)

    third = jobs.launch()
    assert jobs.dev.wait(third, OVER, 200) == "SUCCESS", "".join(jobs.dev.log)
    same, children = the_study(jobs.mlflow)
    assert (same.info.run_id, same.info.status) == (parent.info.run_id, "FINISHED")
    assert statuses(children) == ["FINISHED"] * TRIALS
    assert any("raylet" in command for _, command in commands(jobs.cluster)), "the cluster lives on"


def test_keys_and_token_are_in_no_file_of_dagster_and_no_log_of_the_cluster(jobs: Jobs, seaweedfs: S3Server) -> None:
    secrets = [TOKEN.encode(), seaweedfs.secret_key.encode()]
    files = [file for place in (jobs.cluster.ray_folder, jobs.dev.place.folder.parent) for file in place.rglob("*")]
    found = [file for file in files if file.is_file() and any(secret in file.read_bytes() for secret in secrets)]
    assert files
    assert found == []
