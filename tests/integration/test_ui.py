"""The graph in Dagster's UI, in a real browser: materialize all from the Launchpad, follow the run, read each page."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration import browser
from tests.integration.dev_server import Dev, dagster_dev
from tests.integration.graph import workplace
from tests.integration.transactions import ROLES, write_transactions

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.integration, pytest.mark.long]

_UI_S = 30
_RUN_S = 300
# How Dagster's UI tells of an error.
_BANNER = re.compile("An unexpected error|PythonError|GraphQL error")
GROUPS = ("data", "tuning", "model", "scoring")
# Of each asset: names of numbers and tables of its page, and titles of its pictures.
PAGES: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "raw_dataset": (("rows read", "fraud rate", "duplicates dropped", "last transaction", "preview"), ()),
    "dataset_split": (("strategy", "why", "roles", "fitting rows"), ()),
    "tuning_results": (("best average_precision", "top 10", "MLflow parent run"), ("optimization history",)),
    "best_params": (("best trial", "decision threshold", "members of the model"), ()),
    "fraud_model": (
        ("verdict", "average precision (holdout)", "gain over baselines", "decision threshold", "MLflow parent run"),
        ("precision recall", "calibration", "confusion matrix", "importance"),
    ),
    "champion_model": (("decision", "reason", "champion", "history of the alias"), ()),
    "scored_transactions": (("nothing to score", "ledger, newest first"), ()),
}


@pytest.fixture(scope="module")
def problems() -> list[str]:
    return []


@pytest.fixture(scope="module")
def page(problems: list[str]) -> "Iterator[Page]":
    # Before anything is started that nobody would look at.
    with browser.page(problems) as opened:
        opened.set_default_timeout(_UI_S * 1000)
        yield opened


@pytest.fixture(scope="module")
def dev(page: "Page", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with workplace(tmp_path_factory.mktemp("ui")) as place, dagster_dev(place) as dev:
        yield dev


def row_of(page: "Page", name: str) -> "Locator":
    """The row of the asset's metadata with this name, when it is there."""
    row = page.get_by_role("row").filter(has=page.get_by_text(name, exact=True)).last
    row.wait_for()
    return row


def launch(page: "Page", dev: Dev, config: dict[str, Any]) -> str:
    """Materialize all from the asset graph's Launchpad, with this text in its editor; returns the run's id."""
    page.goto(f"http://127.0.0.1:{dev.port}/asset-groups")
    # Dagster asks its users once for their address.
    page.get_by_role("button", name="Skip").click()
    for group in GROUPS:
        page.get_by_text(group, exact=True).first.wait_for()
    page.get_by_role("button", name="Materialize all").click(modifiers=["Shift"])
    # The editor holds every default before anybody types: that is what is replaced.
    page.locator(".CodeMirror", has_text="ops:").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(json.dumps(config))
    page.get_by_text("No errors", exact=True).wait_for()
    # The dialog's, which is behind the page's in the document.
    page.get_by_role("button", name="Materialize").last.click()
    page.wait_for_url(re.compile("/runs/[0-9a-f-]{36}"))
    return str(page.url).rpartition("/")[2].partition("?")[0]


def test_all_assets_are_made_from_the_launchpad_and_each_page_has_its_numbers_and_pictures(
    page: "Page", dev: Dev, problems: list[str], tmp_path: Path
) -> None:
    settings = {
        "raw_dataset": {"uri": str(write_transactions(tmp_path)), **ROLES},
        "dataset_split": {"folds": 2},
        "tuning_results": {"trials": 2, "search_space": "article", "max_concurrent": 2},
        "fraud_model": {"resamples": 200},
        "champion_model": {"resamples": 200},
    }
    run_id = launch(page, dev, {"ops": {name: {"config": value} for name, value in settings.items()}})
    outcome = page.get_by_text(re.compile("^(Success|Failure|Canceled)$")).first
    outcome.wait_for(timeout=_RUN_S * 1000)
    assert outcome.inner_text() == "Success", "\n".join(dev.events(run_id))

    for asset, (names, titles) in PAGES.items():
        page.goto(f"http://127.0.0.1:{dev.port}/assets/{asset}?view=overview")
        page.get_by_text("Latest materialization").first.wait_for()
        for name in names:
            value = row_of(page, name).inner_text().replace(name, "", 1)
            assert re.search(r"\w", value), f"{asset} says nothing of {name}"
        for title in titles:
            row_of(page, title).get_by_text("Show Markdown").click()
            picture = page.get_by_role("dialog").get_by_role("img", name=title)
            picture.wait_for()
            assert picture.evaluate("image => image.naturalWidth") > 100, f"{asset}: {title} can't be seen"
            page.keyboard.press("Escape")
            picture.wait_for(state="detached")
        assert not page.get_by_text(_BANNER).count(), asset
    assert problems == []


def test_the_search_has_told_of_itself_while_it_went_on(page: "Page", dev: Dev) -> None:
    query = """{ assetOrError(assetKey: {path: ["tuning_results"]}) { ... on Asset { assetObservations { timestamp
        metadataEntries { label ... on IntMetadataEntry { intValue } } } } } }"""
    observations = dev.ask(query)["assetOrError"]["assetObservations"]
    done = [{e["label"]: e.get("intValue") for e in o["metadataEntries"]}["trials done"] for o in observations]
    assert sorted(done) == [1, 2]
    page.goto(f"http://127.0.0.1:{dev.port}/assets/tuning_results?view=events&time={observations[0]['timestamp']}")
    page.get_by_text("Observed in run").wait_for()
    page.get_by_text("trials left", exact=True).wait_for()


def test_a_good_run_warns_of_nothing(dev: Dev) -> None:
    """In the run's log, in what its steps print, and in what `dagster dev` prints of its own."""
    printed = [file.read_text() for file in dev.place.dagster_home.glob("storage/*/compute_logs/*.err")]
    assert printed
    told = "\n".join([*printed, *dev.log])
    found = re.findall(r"^.*(?:Warning\b|WARNING|ERROR|Traceback).*$", told, re.MULTILINE)
    # Dagster's own advice to use another command.
    assert [line for line in found if "Function `dev_command` is superseded" not in line] == []
