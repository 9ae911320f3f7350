"""Which experiment a search goes on with."""

import os
from collections.abc import Collection
from pathlib import Path

import pyarrow.fs
import pytest

from fraud_assets.resources.experiments import ExperimentFolder, ExperimentState, open_experiment
from fraud_assets.resources.object_store import Location, StorageError

ID = "0123456789abcdef"


@pytest.fixture
def storage(tmp_path: Path) -> Location:
    return Location(pyarrow.fs.LocalFileSystem(), str(tmp_path / "tune"))


@pytest.fixture
def result(tmp_path: Path) -> Location:
    """Where the outcome of a search is stored; nothing is there yet."""
    return Location(pyarrow.fs.LocalFileSystem(), str(tmp_path / "tuning_results.parquet"))


def opened(
    storage: Location, result: Location, experiment_id: str = ID, killed: Collection[str] = ()
) -> ExperimentFolder:
    return open_experiment(storage, "article-f1", experiment_id, result, lambda run_id: run_id in killed)


def store(result: Location, folder: ExperimentFolder, *, after_s: float) -> None:
    """Store an outcome so many seconds after the experiment's own was told."""
    told = Path(folder.location.path, "experiment.json").stat().st_mtime
    file = Path(result.path)
    file.write_text("outcome")
    os.utime(file, (told + after_s, told + after_s))


def test_the_first_is_number_one(storage: Location, result: Location) -> None:
    folder = opened(storage, result)
    assert folder.name == "article-f1-01234567-1"
    assert (folder.state().experiment_id, folder.state().mlflow_run_id, folder.state().outcome) == (ID, None, None)


def test_an_unfinished_one_is_gone_on_with(storage: Location, result: Location) -> None:
    first = opened(storage, result)
    token = first.update().token
    first.update(mlflow_run_id="m")
    again = opened(storage, result)
    assert again.name == first.name
    assert again.state() == ExperimentState(ID, token, "m", None)


def test_one_of_other_data_or_settings_is_another_one(storage: Location, result: Location) -> None:
    opened(storage, result).update(mlflow_run_id="m")
    assert opened(storage, result, "fedcba9876543210").name == "article-f1-fedcba98-1"


def test_one_whose_outcome_is_stored_is_over_and_asked_for_again_it_is_a_new_one(
    storage: Location, result: Location
) -> None:
    first = opened(storage, result)
    first.update(outcome="searched")
    store(result, first, after_s=1)
    assert opened(storage, result).name == "article-f1-01234567-2"


def test_one_whose_outcome_could_not_be_stored_is_gone_on_with(storage: Location, result: Location) -> None:
    first = opened(storage, result)
    first.update(outcome="searched")
    assert opened(storage, result).name == first.name, "nothing was ever stored"
    store(result, first, after_s=-1)
    assert opened(storage, result).name == first.name, "what is stored is older: another experiment's"


def test_one_whose_run_was_killed_before_it_told_of_its_result_is_gone_on_with(
    storage: Location, result: Location
) -> None:
    first = opened(storage, result)
    first.update(outcome="searched", dagster_run_id="r")
    store(result, first, after_s=1)
    assert opened(storage, result, killed=["r"]).name == first.name
    assert opened(storage, result, killed=["other"]).name == "article-f1-01234567-2"


def test_one_of_which_nothing_can_come_is_not_gone_on_with(storage: Location, result: Location) -> None:
    opened(storage, result).update(outcome="failed")
    assert opened(storage, result).name == "article-f1-01234567-2"


def test_attempts_are_counted(storage: Location, result: Location) -> None:
    folder = opened(storage, result)
    assert folder.next_attempt() == 1
    Path(folder.location.path, "attempt-1").mkdir(parents=True)
    Path(folder.location.path, "trials").mkdir()
    assert folder.next_attempt() == 2


def test_a_state_that_is_none_is_told_with_its_place(storage: Location, result: Location) -> None:
    folder = opened(storage, result)
    folder.update(mlflow_run_id="m")
    Path(folder.location.path, "experiment.json").write_text("[]")
    with pytest.raises(StorageError, match=r"experiment\.json is no experiment's state"):
        opened(storage, result)
