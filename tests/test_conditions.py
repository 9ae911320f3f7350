"""What is out of date, and when declarative automation makes it again."""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from fraud_assets.conditions import status_of
from fraud_assets.definitions import defs
from tests.integration.graph import ASSETS, materialize
from tests.integration.transactions import ROLES, write_transactions

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


@dataclass
class Automation:
    """Evaluates all conditions as the sensor does, tick after tick, from 01:00 of a day on."""

    instance: dg.DagsterInstance
    cursor: Any = None
    time: datetime.datetime = datetime.datetime(2026, 1, 5, 1, 0)

    def tick(self, minutes: int = 1) -> list[str]:
        self.time += datetime.timedelta(minutes=minutes)
        result = dg.evaluate_automation_conditions(defs, self.instance, cursor=self.cursor, evaluation_time=self.time)
        self.cursor = result.cursor
        return [asset for asset in ASSETS if result.get_num_requested(dg.AssetKey(asset))]

    def made(self, assets: tuple[str, ...], version: str) -> None:
        """What Dagster hears when somebody has made these."""
        for asset in assets:
            tags = {"dagster/data_version": f"{asset}-{version}"}
            self.instance.report_runless_asset_event(dg.AssetMaterialization(asset, tags=tags))


@pytest.fixture
def automation() -> Iterator[Automation]:
    with dg.DagsterInstance.ephemeral() as instance:
        ours = Automation(instance)
        ours.made(ASSETS, "1")
        assert ours.tick() == []
        yield ours


def test_at_night_the_data_is_read_and_nothing_else(automation: Automation) -> None:
    assert automation.tick(90) == ["raw_dataset"]
    assert automation.tick() == []


def test_the_same_data_read_again_makes_nothing(automation: Automation) -> None:
    automation.made(ASSETS[:1], "1")
    assert automation.tick() == []


def test_other_data_makes_all_that_follows_in_one_run(automation: Automation) -> None:
    automation.made(ASSETS[:1], "2")
    assert automation.tick() == list(ASSETS[1:])
    assert automation.tick() == []
    automation.made(ASSETS[1:], "2")
    assert automation.tick() == []


def test_a_model_that_somebody_made_by_hand_is_judged_against_the_champion(automation: Automation) -> None:
    automation.made(("fraud_model",), "2")
    assert automation.tick() == ["champion_model"]


def test_only_one_of_sensor_and_conditions_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    running = dg.DefaultSensorStatus.RUNNING
    for chosen, on in {"": [], "off": [], "sensor": ["sensor"], "declarative": ["declarative"]}.items():
        monkeypatch.setenv("FRAUD_AUTOMATION", chosen)
        assert [kind for kind in ("sensor", "declarative") if status_of(kind) == running] == on
    monkeypatch.setenv("FRAUD_AUTOMATION", "both")
    with pytest.raises(ValueError, match="FRAUD_AUTOMATION is 'both'; expected one of off, sensor, declarative"):
        status_of("sensor")


def test_unchanged_data_read_again_leaves_what_follows_fresh_and_other_data_makes_it_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = {"raw_dataset": {"uri": str(write_transactions(tmp_path)), **ROLES}}
    home = tmp_path / "home"
    home.mkdir()

    def read(*assets: str) -> None:
        assert materialize(config, assets, dg.DagsterInstance.local_temp(str(home))).success

    def status() -> StaleStatus:
        with dg.DagsterInstance.local_temp(str(home)) as instance:
            context = LoadingContextForTest(instance)
            resolver = CachingStaleStatusResolver(instance, defs.resolve_asset_graph(), context)
            return resolver.get_status(dg.AssetKey("dataset_split"))

    read("raw_dataset", "dataset_split")
    read("raw_dataset")
    assert status() == StaleStatus.FRESH
    write_transactions(tmp_path, rows=1300)
    read("raw_dataset")
    assert status() == StaleStatus.STALE
