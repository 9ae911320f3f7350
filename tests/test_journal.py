"""What a later run knows of the trials of an earlier one."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.fs
import pytest

from fraud_assets.resources.journal import Journal
from fraud_assets.resources.object_store import Location, StorageError
from fraud_assets.resources.trials import TrialRecord


@pytest.fixture
def folder(tmp_path: Path) -> Location:
    """A folder that doesn't exist yet."""
    return Location(pyarrow.fs.LocalFileSystem(), str(tmp_path / "trials"))


def started(trial_id: str, **params: Any) -> TrialRecord:
    return TrialRecord(trial_id, params, "running")


def finished(trial_id: str, f1: float = 0.5, **params: Any) -> TrialRecord:
    return TrialRecord(trial_id, params, "finished", {"f1": f1}, 1.5, None, f"attempt-1/{trial_id}/checkpoint")


def test_an_experiment_without_trials_has_none(folder: Location) -> None:
    journal = Journal(folder)
    assert (journal.ended, journal.interrupted, journal.numbered) == ([], [], 0)


def test_trials_come_back_as_they_were_in_the_order_in_which_they_were_started(folder: Location) -> None:
    journal = Journal(folder)
    failed = TrialRecord("b", {"eta": 0.2}, "failed", error="ValueError: no")
    for trial in (started("a", eta=0.1), started("b", eta=0.2), started("c", eta=0.3)):
        journal.trial_started(trial)
    for trial in (finished("c", eta=0.3), failed):
        journal.trial_ended(trial)

    later = Journal(folder)

    assert later.ended == [failed, finished("c", eta=0.3)]
    assert later.interrupted == [started("a", eta=0.1)]
    assert later.numbered == 3


def test_an_interrupted_trial_that_is_started_again_is_one_trial(folder: Location) -> None:
    first = Journal(folder)
    first.trial_started(started("a", eta=0.1))
    first.trial_started(started("b", eta=0.2))
    first.trial_ended(finished("b", eta=0.2))

    second = Journal(folder)
    second.trial_started(started("c", eta=0.1))
    assert Journal(folder).interrupted == [started("c", eta=0.1)]
    second.trial_ended(finished("c", eta=0.1))
    second.trial_started(started("d", eta=0.1))

    third = Journal(folder)
    assert third.ended == [finished("c", eta=0.1), finished("b", eta=0.2)]
    assert third.interrupted == [started("d", eta=0.1)], "a trial with the same parameters, but not the same trial"
    assert third.numbered == 3


def test_numpys_numbers_are_kept_as_numbers(folder: Location) -> None:
    Journal(folder).trial_ended(TrialRecord("a", {"depth": np.int64(3)}, "finished", {"f1": float(np.float32(0.5))}))
    (kept,) = Journal(folder).ended
    assert (kept.params, kept.metrics) == ({"depth": 3}, {"f1": 0.5})


def test_what_no_json_holds_is_refused_with_its_type(folder: Location) -> None:
    with pytest.raises(TypeError, match="a parameter of a trial is object; expected numbers"):
        Journal(folder).trial_started(started("a", eta=object()))


def test_a_record_that_is_none_is_told_with_its_place(folder: Location) -> None:
    Journal(folder).trial_started(started("a"))
    (file,) = Path(folder.path).iterdir()
    file.write_text("{")
    with pytest.raises(StorageError, match=r"000000\.started\.json is no record of a trial"):
        Journal(folder)


def test_a_storage_that_comes_back_costs_no_trial(folder: Location) -> None:
    """A file where the folder should be: nothing can be written until it is gone."""
    blocking = Path(folder.path)
    journal = Journal(folder, patience_s=30)
    blocking.write_text("in the way")
    threading.Timer(1.2, blocking.unlink).start()
    journal.trial_started(started("a"))
    assert [trial.trial_id for trial in Journal(folder).interrupted] == ["a"]


def test_a_storage_that_stays_away_is_told(folder: Location) -> None:
    journal = Journal(folder, patience_s=0.1)
    Path(folder.path).write_text("in the way")
    with pytest.raises(StorageError, match="trials"):
        journal.trial_started(started("a"))
