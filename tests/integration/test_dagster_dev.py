"""The UI's way: `dagster dev`, a run that is launched, terminated, killed, and launched again."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.faults import commands, parent_of, titled
from tests.integration.dev_server import Dev, dagster_dev, until
from tests.integration.graph import Workplace, statuses, workplace
from tests.integration.transactions import ROLES, write_transactions

pytestmark = pytest.mark.integration

TRIALS = 12


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with workplace(tmp_path_factory.mktemp("dev")) as place, dagster_dev(place) as dev:
        yield dev


def ray_processes(place: Workplace) -> list[str]:
    return [command for _, command in commands(place) if "ray" in command.partition("\0")[0] or "gcs_server" in command]


def run_process(place: Workplace) -> int:
    """The run's own process: it has started the one that forks steps; a step has started Ray's server."""
    server = titled(place, "gcs_server")
    assert server is not None
    return parent_of(parent_of(parent_of(server)))


def journal(place: Workplace) -> dict[str, dict[str, Any]]:
    """The trials that ended, by their number, as the storage has them."""
    return {
        file.name.partition(".")[0]: json.loads(file.read_text())
        for file in place.folder.glob(".fraud_assets/tune/*/trials/*.ended.json")
    }


def test_terminate_kill_and_launch_again(dev: Dev, tmp_path: Path) -> None:
    """One story, as starting Ray takes long: terminated, then killed, then it goes on to its end, and another waits."""
    config = {
        "raw_dataset": {"uri": str(write_transactions(tmp_path, 3000)), **ROLES},
        "dataset_split": {"folds": 1},
        "tuning_results": {"trials": TRIALS, "max_concurrent": 2, "search_space": "article", "members": 1},
    }
    first = dev.launch(config, ["raw_dataset", "dataset_split", "tuning_results"])
    until(lambda: len(journal(dev.place)) >= 2, 120, "two trials have ended")
    began = time.monotonic()
    dev.terminate(first)
    assert dev.wait(first, {"CANCELED", "FAILURE", "SUCCESS"}, 30) == "CANCELED"
    until(lambda: not ray_processes(dev.place), 15, "Ray is gone")
    assert time.monotonic() - began < 15
    parent, children = dev.study
    assert parent.info.status == "KILLED"
    assert set(statuses(children)) <= {"KILLED", "FINISHED"}
    kept = journal(dev.place)

    second = dev.launch(config, ["tuning_results"])
    until(lambda: len(journal(dev.place)) >= len(kept) + 2, 120, "two more trials have ended")
    os.kill(run_process(dev.place), signal.SIGKILL)
    assert dev.wait(second, {"CANCELED", "FAILURE", "SUCCESS"}, 60) == "FAILURE"
    until(lambda: dev.study[0].info.status == "FAILED", 90, "the sensor ends the MLflow run\n" + "".join(dev.log))
    assert "RUNNING" not in statuses(dev.study[1])
    assert kept.items() <= journal(dev.place).items()
    kept = journal(dev.place)

    third = dev.launch(config, ["tuning_results"])
    dev.wait(third, {"STARTED"}, 60)
    beside = dev.launch(config, ["tuning_results"])
    until(lambda: len(journal(dev.place)) > len(kept), 120, "another trial has ended")
    assert (dev.status(third), dev.status(beside)) == ("STARTED", "QUEUED"), "one search has the machine"
    dev.terminate(beside)
    assert dev.wait(third, {"CANCELED", "FAILURE", "SUCCESS"}, 200) == "SUCCESS"
    ended = journal(dev.place)
    assert len(ended) == TRIALS
    assert kept.items() <= ended.items(), "a trial that had ended was run again"
    same, children = dev.study
    assert (same.info.run_id, same.info.status) == (parent.info.run_id, "FINISHED")
    assert statuses(children) == ["FINISHED"] * TRIALS
