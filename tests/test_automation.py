"""When new data asks for a run, and when it does not; on a folder, with Dagster's own history of runs."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from fraud_assets.resources.new_data_policy import NewDataPolicy
from fraud_assets.resources.object_store import StorageError
from tests.sensor_daemon import AT_ONCE, Daemon


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "transactions"
    folder.mkdir()
    write(folder, "monday", "0,1")
    monkeypatch.setenv("FRAUD_DATASET_URI", str(folder))
    monkeypatch.setenv("FRAUD_STORAGE_URI", str(tmp_path / "storage"))
    monkeypatch.setenv("FRAUD_LABEL", "label")
    return folder


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Daemon(instance)


def write(folder: Path, name: str, *rows: str) -> None:
    file = folder / f"{name}.csv"
    file.write_text("\n".join(["label,amount", *rows]) + "\n")


def touch(folder: Path, name: str, seconds: float = 5) -> None:
    """Move the time of change, as writing the same bytes again does."""
    file = folder / f"{name}.csv"
    at = file.stat().st_mtime + seconds
    os.utime(file, (at, at))


def test_new_changed_and_deleted_objects_each_ask_for_one_run(dataset: Path, daemon: Daemon) -> None:
    assert daemon.tick() is None
    write(dataset, "tuesday", "1,2", "0,7")
    assert daemon.tick() is None
    write(dataset, "tuesday", "1,23", "0,7")
    assert daemon.tick() is None
    (dataset / "monday.csv").unlink()
    assert daemon.tick() is None
    assert "nothing new among the 1 objects" in str(daemon.tick())

    told = [
        {name: request.tags[name] for name in request.tags if name.endswith("_objects")} for request in daemon.asked
    ]
    assert told == [
        {"dataset_objects": "1", "new_objects": "monday.csv"},
        {"dataset_objects": "2", "new_objects": "tuesday.csv"},
        {"dataset_objects": "2", "changed_objects": "tuesday.csv"},
        {"dataset_objects": "1", "deleted_objects": "monday.csv"},
    ]
    assert [(request.tags["new_rows"], request.tags["new_frauds"]) for request in daemon.asked][1] == ("2", "1")
    assert {request.job_name for request in daemon.asked} == {"retune_job"}


def test_the_same_bytes_written_again_ask_for_nothing(dataset: Path, daemon: Daemon) -> None:
    daemon.tick()
    touch(dataset, "monday")
    assert "nothing new" in str(daemon.tick())
    assert len(daemon.asked) == 1


def test_an_unchanged_folder_is_not_read_again(dataset: Path, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.tick()
    daemon.tick()
    monkeypatch.setattr("fraud_assets.resources.inventory.Inventory.inspect", None)
    assert "nothing new" in str(daemon.tick())


@pytest.mark.parametrize("storage_is_lost", [False, True])
def test_a_sensor_that_lost_its_cursor_asks_for_nothing_twice(
    dataset: Path, daemon: Daemon, storage_is_lost: bool
) -> None:
    daemon.tick()
    daemon.cursor = None
    if storage_is_lost:
        shutil.rmtree(dataset.parent / "storage")
    assert "nothing new" in str(daemon.tick())
    assert len(daemon.asked) == 1


def test_a_daemon_that_died_before_it_kept_the_cursor_asks_for_nothing_twice(dataset: Path, daemon: Daemon) -> None:
    assert daemon.tick(remembers=False) is None
    assert "nothing new" in str(daemon.tick())
    assert len(daemon.asked) == 1


def test_a_tick_that_died_before_the_run_was_made_is_asked_again_under_the_same_key(
    dataset: Path, daemon: Daemon
) -> None:
    (first,), (second,) = daemon.evaluate().run_requests or [], daemon.evaluate().run_requests or []
    assert first.run_key == second.run_key


def test_runs_that_dagster_has_forgotten_are_remembered_by_the_cursor(dataset: Path, daemon: Daemon) -> None:
    daemon.tick()
    for run in daemon.instance.get_runs():
        daemon.instance.delete_run(run.run_id)
    assert "nothing new" in str(daemon.tick())


def test_data_that_is_again_as_it_was_before_the_last_run_asks_for_another_one(dataset: Path, daemon: Daemon) -> None:
    for row in ("0,1", "0,2", "0,1", "0,2"):
        write(dataset, "monday", row)
        touch(dataset, "monday")
        assert daemon.tick() is None
    assert len({request.run_key for request in daemon.asked}) == 4


def test_nothing_is_asked_for_before_the_objects_were_quiet_for_a_while(
    dataset: Path, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1e9]
    monkeypatch.setattr("fraud_assets.object_watch.time.time", lambda: now[0])
    daemon.policy = NewDataPolicy(settle_seconds=100, min_interval=0)
    assert "waits until nothing was written for 100 s" in str(daemon.tick())
    now[0] += 99
    write(dataset, "tuesday", "1,2")
    assert "the last change was seen 0 s ago" in str(daemon.tick())
    now[0] += 99
    assert "seen 99 s ago" in str(daemon.tick())
    now[0] += 2
    assert daemon.tick() is None
    assert daemon.asked[0].tags["new_objects"] == "monday.csv, tuesday.csv"


def test_a_clock_that_was_set_back_delays_a_run_by_no_more_than_settling(
    dataset: Path, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1e9]
    monkeypatch.setattr("fraud_assets.object_watch.time.time", lambda: now[0])
    daemon.policy = NewDataPolicy(settle_seconds=100, min_interval=0)
    daemon.tick()
    now[0] -= 1e6
    daemon.tick()
    now[0] += 101
    assert daemon.tick() is None


def test_times_of_the_server_that_are_wrong_make_no_difference(dataset: Path, daemon: Daemon) -> None:
    touch(dataset, "monday", seconds=1e7)  # from the future
    assert daemon.tick() is None
    touch(dataset, "monday", seconds=-2e7)
    assert "nothing new" in str(daemon.tick())


def test_too_little_asks_for_nothing_until_it_is_enough(dataset: Path, daemon: Daemon) -> None:
    daemon.policy = NewDataPolicy(settle_seconds=0, min_interval=0, min_new_rows=4)
    assert "too little for a run, which takes 4 new rows: new monday.csv: 1 rows, 0 frauds" in str(daemon.tick())
    write(dataset, "tuesday", "0,1", "0,2")
    assert "3 rows" in str(daemon.tick())
    write(dataset, "wednesday", "0,1")
    assert daemon.tick() is None
    write(dataset, "thursday", "0,1")
    assert "new thursday.csv: 1 rows" in str(daemon.tick())


def test_frauds_may_count_in_the_place_of_rows(dataset: Path, daemon: Daemon) -> None:
    daemon.policy = NewDataPolicy(settle_seconds=0, min_interval=0, min_new_rows=None, min_new_frauds=2)
    write(dataset, "tuesday", *["0,1"] * 100, "1,1")
    assert "which takes 2 new frauds: new monday.csv, tuesday.csv: 102 rows, 1 frauds" in str(daemon.tick())
    write(dataset, "wednesday", "1,1")
    assert daemon.tick() is None


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
def test_nothing_is_asked_for_while_a_run_waits_or_works(
    dataset: Path, daemon: Daemon, status: dg.DagsterRunStatus
) -> None:
    by_hand = dg.DagsterRun(
        job_name="__ASSET_JOB", status=status, asset_selection=frozenset([dg.AssetKey("tuning_results")])
    )
    daemon.instance.add_run(by_hand)
    assert f"run {by_hand.run_id} of __ASSET_JOB is {status.value.lower()}; then: new monday.csv" in str(daemon.tick())
    daemon.instance.delete_run(by_hand.run_id)
    daemon.status = status
    assert daemon.tick() is None
    write(dataset, "tuesday", "0,1")
    assert f"of retune_job is {status.value.lower()}" in str(daemon.tick())


def test_the_next_run_waits_for_min_interval(dataset: Path, daemon: Daemon) -> None:
    daemon.policy = NewDataPolicy(settle_seconds=0, min_interval=1000)
    assert daemon.tick() is None
    write(dataset, "tuesday", "0,1")
    assert "min_interval is 1000 s; then: new tuesday.csv" in str(daemon.tick())
    daemon.policy = AT_ONCE
    assert daemon.tick() is None


def test_a_retrain_is_a_retune_as_long_as_there_are_no_best_parameters(dataset: Path, daemon: Daemon) -> None:
    daemon.policy = NewDataPolicy(settle_seconds=0, min_interval=0, on_new_data="retrain")
    daemon.tick()
    daemon.instance.report_runless_asset_event(dg.AssetMaterialization("best_params"))
    write(dataset, "tuesday", "0,1")
    daemon.tick()
    assert [request.job_name for request in daemon.asked] == ["retune_job", "retrain_job"]
    assert daemon.asked[1].run_config == {"ops": {"fraud_model": {"config": {"tuned_on": "earlier_data"}}}}


def test_an_object_that_turns_bad_asks_for_one_run_that_will_say_why(dataset: Path, daemon: Daemon) -> None:
    daemon.policy = NewDataPolicy(settle_seconds=0, min_interval=0, min_new_rows=100, min_new_frauds=None)
    daemon.tick()
    (dataset / "monday.parquet").write_bytes(b"PAR1 but no more")
    assert daemon.tick() is None
    assert "monday.parquet" in daemon.asked[0].tags["problem"]
    assert "nothing new" in str(daemon.tick())


def test_a_cursor_is_small_however_many_objects_there_are(dataset: Path, daemon: Daemon) -> None:
    for i in range(300):
        write(dataset, f"day-{i}", f"0,{i}")
    daemon.tick()
    assert len(str(daemon.cursor)) < 1000
    assert json.loads(str(daemon.cursor))["asked"]
    assert len(daemon.asked[0].tags["new_objects"]) < 300


def test_reading_goes_on_at_the_next_tick_when_the_time_is_up(dataset: Path, daemon: Daemon) -> None:
    for i in range(100):
        write(dataset, f"day-{i:03}", f"0,{i}")
    daemon.policy = NewDataPolicy(settle_seconds=0, min_interval=0, tick_seconds=1e-9)
    reasons = [daemon.tick() for _ in range(3)]
    assert reasons[0] == "has read 64 of 101 objects so far, and goes on"
    assert reasons[1] is None
    assert len(daemon.asked) == 1
    assert daemon.asked[0].tags["dataset_objects"] == "101"


def test_a_location_without_data_is_skipped_with_its_name(dataset: Path, daemon: Daemon) -> None:
    (dataset / "monday.csv").unlink()
    assert str(dataset) in str(daemon.tick())


def test_a_server_that_is_away_is_a_reason_to_skip(
    dataset: Path, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("FRAUD_DATASET_URI", "s3://bucket/raw")
    assert "http://127.0.0.1:9 can't be reached" in str(daemon.tick())


def test_a_location_that_can_not_be_understood_fails_the_tick(
    dataset: Path, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUD_DATASET_URI", "s3:///raw")
    with pytest.raises(StorageError, match="names no bucket"):
        daemon.tick()


def test_the_policy_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_SETTLE_SECONDS", "7")
    monkeypatch.setenv("FRAUD_MIN_NEW_ROWS", "none")
    monkeypatch.setenv("FRAUD_ON_NEW_DATA", "retrain")
    policy = NewDataPolicy.from_environment()
    assert (policy.settle_seconds, policy.min_new_rows, policy.on_new_data) == (7, None, "retrain")
    monkeypatch.setenv("FRAUD_MIN_NEW_ROWS", "many")
    with pytest.raises(ValueError, match="FRAUD_MIN_NEW_ROWS is 'many'"):
        NewDataPolicy.from_environment()
