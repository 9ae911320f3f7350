"""What the pages tell people to type names things that exist."""

import re
from pathlib import Path

import pytest

from fraud_assets.conditions import status_of
from fraud_assets.definitions import defs
from fraud_assets.resources.new_data_policy import NewDataPolicy
from tests.servers import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_jobs_and_assets_in_commands_exist(page: Path) -> None:
    text = page.read_text()
    repository = defs.get_repository_def()
    jobs = re.findall(r"dagster job execute .*?-j (\w+)", text)
    assert set(jobs) <= {job.name for job in repository.get_all_jobs()}
    assets = {key.to_user_string() for key in repository.asset_graph.materializable_asset_keys}
    selected = [name for names in re.findall(r"--select ([\w,]+)", text) for name in names.split(",")]
    assert set(selected) <= assets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_sensors_and_jobs_of_the_automation_page_exist() -> None:
    text = (REPOSITORY / "docs" / "automation.md").read_text()
    repository = defs.get_repository_def()
    known = {sensor.name for sensor in repository.sensor_defs} | {job.name for job in repository.get_all_jobs()}
    known |= {schedule.name for schedule in repository.schedule_defs}
    named = set(re.findall(r"`(\w+_(?:sensor|job|retune|automation))`", text))
    assert named
    assert named <= known


def test_each_setting_of_the_policy_is_on_the_page_with_its_default() -> None:
    text = (REPOSITORY / "docs" / "automation.md").read_text()
    for name, field in NewDataPolicy.model_fields.items():
        if name in ("name", "log_level"):
            continue
        default = "`none`" if field.default is None else str(field.default)
        row = next(line for line in text.splitlines() if line.startswith(f"| `FRAUD_{name.upper()}`"))
        assert default in row.rpartition("|")[0].rpartition("|")[2], row


def test_the_page_has_each_value_of_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (REPOSITORY / "docs" / "automation.md").read_text()
    for chosen in re.findall(r"^\| `([a-z]+)`(?: \(default\))? \|", text.partition("**The sensor**")[0], re.MULTILINE):
        monkeypatch.setenv("FRAUD_AUTOMATION", chosen)
        status_of("sensor")
