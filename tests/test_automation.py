from pathlib import Path

import dagster as dg
import pytest

from fraud_assets.automation import new_data_sensor
from fraud_assets.resources.object_store import ObjectStore


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "transactions"
    folder.mkdir()
    (folder / "monday.csv").write_text("label,amount\n0,1\n")
    monkeypatch.setenv("FRAUD_DATASET_URI", str(folder))
    return folder


def tick(cursor: str | None = None) -> dg.SensorResult:
    context = dg.build_sensor_context(cursor=cursor, resources={"object_store": ObjectStore()})
    result = new_data_sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def run_keys(result: dg.SensorResult) -> list[str | None]:
    return [request.run_key for request in result.run_requests or []]


def test_new_changed_and_deleted_objects_each_ask_for_a_run(dataset: Path) -> None:
    first = tick()
    (dataset / "tuesday.csv").write_text("label,amount\n1,2\n")
    added = tick(first.cursor)
    (dataset / "tuesday.csv").write_text("label,amount\n1,23\n")
    changed = tick(added.cursor)
    (dataset / "monday.csv").unlink()
    deleted = tick(changed.cursor)

    keys = [key for result in (first, added, changed, deleted) for key in run_keys(result)]
    assert len(set(keys)) == 4


def test_unchanged_objects_ask_for_nothing_and_the_tick_says_so(dataset: Path) -> None:
    again = tick(tick().cursor)

    assert run_keys(again) == []
    assert again.skip_reason is not None
    assert "nothing new among the 1 objects" in str(again.skip_reason.skip_message)


def test_a_sensor_that_lost_its_cursor_asks_under_the_same_key(dataset: Path) -> None:
    assert run_keys(tick(None)) == run_keys(tick(None))


def test_a_location_without_data_is_skipped_with_its_name(dataset: Path) -> None:
    (dataset / "monday.csv").unlink()
    result = tick()

    assert run_keys(result) == []
    assert result.skip_reason is not None
    assert str(dataset) in str(result.skip_reason.skip_message)
