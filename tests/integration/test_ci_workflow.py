"""The example workflow for a team's own CI: its commands, in its order, in a working directory of nothing else."""

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.integration.graph import Workplace, stored_json, workplace
from tests.servers import REPOSITORY

pytestmark = [pytest.mark.integration, pytest.mark.long]

WORKFLOW = REPOSITORY / "deploy" / "ci" / "fraud-model.yml"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with workplace(tmp_path_factory.mktemp("ci")) as ours:
        shutil.copytree(REPOSITORY / "deploy" / "ci", ours.folder / "deploy" / "ci")
        yield ours


def steps() -> dict[str, str]:
    """The command of each step but the installation, by its name."""
    (job,) = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    return {step["name"]: step["run"] for step in job["steps"] if "run" in step and step["name"] != "Install"}


def sh(place: Workplace, command: str) -> subprocess.CompletedProcess[str]:
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{place.environment['PATH']}"
    return subprocess.run(
        ["bash", "-ec", command], cwd=place.folder, env={**place.environment, "PATH": path}, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
    )  # fmt: skip


def test_each_step_passes_and_the_last_one_is_the_gate(place: Workplace) -> None:
    outputs = {}
    for name, command in steps().items():
        done = sh(place, command)
        assert done.returncode == 0, done.stdout
        outputs[name] = done.stdout
    assert list(outputs)[-1] == "The model gate"
    assert outputs["The model gate"].startswith("passed: fraud_model version 1 is the champion: the first model")
    assert stored_json(place.folder / ".fraud_assets", "champion_model")["champion"] == 1


def test_a_setting_that_is_wrong_fails_the_dry_run(place: Workplace) -> None:
    config: Path = place.folder / "deploy" / "ci" / "dry_run.yaml"
    config.write_text(config.read_text().replace("trials: 2", "trails: 2"))
    done = sh(place, steps()["A dry run of the whole graph"])
    assert done.returncode != 0
    assert "trails" in done.stdout


def test_the_page_shows_the_commands_of_the_workflow() -> None:
    page = (REPOSITORY / "docs" / "ci.md").read_text()
    for command in steps().values():
        assert command.splitlines()[-1].strip() in page
