"""Trials that fail, and workers that die: what becomes of the study."""

import math
import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from ray.exceptions import RayActorError, RaySystemError, RayTaskError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

from fraud_assets.assets.progress import ProgressLog
from fraud_assets.resources.lost_workers import retried_before_their_start
from fraud_assets.resources.telling_trial import TellingTrial
from fraud_assets.resources.trials import ERROR, TrialRecord
from tests.integration.graph import ASSETS, Outcome, materialize, statuses, the_study
from tests.integration.transactions import ROLES, space, write_transactions

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("local_ray")]

TRIALS = 6
TUNING = ASSETS[:3]
# A worker's title while it fits: an idle one's death would cost no trial.
FITTING = ("ray::FraudTrial.train", "ray::ResourceTrainable.train")
# Half a second of fitting, so that there is a moment to kill a worker in.
SLOW = "return {'eta': trial.suggest_float('eta', 0.01, 0.3), 'n_estimators': 500, 'max_depth': 8}"


def tune(work: Path, **tuning: Any) -> Outcome:
    config = {
        "raw_dataset": {"uri": str(write_transactions(work, 3000)), **ROLES},
        "dataset_split": {"folds": 1},
        "tuning_results": {"trials": TRIALS, "max_concurrent": 2, "pruner": "none", "members": 1, **tuning},
    }
    return materialize(config, TUNING)


def grid(work: Path) -> Any:
    return pq.read_table(work / ".fraud_assets" / "assets" / "tuning_results.parquet").to_pandas()


def bearers(titles: tuple[str, ...]) -> set[int]:
    """The processes of this session's Ray whose title starts with one of these: other tests run a Ray beside it."""
    mark, found = os.environ["RAY_TMPDIR"].encode(), set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            title = (process / "cmdline").read_bytes()
            ours = mark in (process / "environ").read_bytes() + title
        except OSError:  # it ended meanwhile
            continue
        if ours and title.decode(errors="replace").startswith(titles):
            found.add(int(process.name))
    return found


def kill_one(titles: tuple[str, ...], at_trial: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Kill a process of Ray with one of these titles after so many trials have ended; returns its pid, then.

    Of those that fit, one that has just begun: what it is at is not about to end by itself.
    """
    killed: list[int] = []

    def kill() -> None:
        seen = bearers(FITTING)
        while not killed:
            time.sleep(0.01)
            found = bearers(titles)
            for pid in list(found - seen)[:1]:
                killed.append(pid)
                os.kill(pid, signal.SIGKILL)
            seen = found

    told = ProgressLog.trial_ended
    ended: list[str] = []

    def trial_ended(self: ProgressLog, trial: TrialRecord) -> None:
        ended.append(trial.trial_id)
        if len(ended) == at_trial:
            threading.Thread(target=kill, daemon=True).start()
        told(self, trial)

    monkeypatch.setattr(ProgressLog, "trial_ended", trial_ended)
    return killed


def test_a_trial_that_loses_its_worker_is_started_anew(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = kill_one(FITTING, 2, monkeypatch)
    run = tune(work, search_space=space(work, monkeypatch, SLOW))
    assert killed
    assert run.success, run.messages
    assert list(grid(work)["status"]) == ["finished"] * TRIALS
    parent, children = the_study(embedded_mlflow)
    assert parent.info.status == "FINISHED"
    assert statuses(children) == ["FINISHED"] * TRIALS, "a trial has one child, however often it is started"


def test_without_retries_it_has_failed_and_the_study_goes_on(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = kill_one(FITTING, 2, monkeypatch)
    run = tune(work, search_space=space(work, monkeypatch, SLOW), trial_retries=0)
    assert killed
    assert run.success, run.messages
    trials = grid(work)
    assert sorted(trials["status"]) == ["failed"] + ["finished"] * (TRIALS - 1)
    (error,) = trials[trials["status"] == "failed"]["error"]
    assert "ActorDiedError" in error
    _, children = the_study(embedded_mlflow)
    assert statuses(children) == ["FAILED"] + ["FINISHED"] * (TRIALS - 1)
    (failed,) = [child for child in children if child.info.status == "FAILED"]
    assert "ActorDiedError" in failed.data.tags["error"]


def test_the_actor_that_trials_share_may_die(work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = kill_one(("ray::SharedWork",), 2, monkeypatch)
    body = f"trial.suggest_categorical('resampler', ['smote', 'passthrough'])\n{SLOW}"
    run = tune(work, search_space=space(work, monkeypatch, body))
    assert killed
    assert run.success, run.messages
    assert list(grid(work)["status"]) == ["finished"] * TRIALS


def test_a_study_that_only_fails_is_stopped_with_the_first_error(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = space(work, monkeypatch, "trial.suggest_float('eta', 0.1, 0.3)\nreturn {'objective': 'no:such'}")
    run = tune(work, search_space=failing, trials=60, max_failed_trials=3)
    assert not run.success
    assert "4 trials have failed one after the other, which is more than max_failed_trials (3)" in run.log
    assert "no:such" in run.messages["tuning_results"]
    parent, children = the_study(embedded_mlflow)
    assert parent.info.status == "FAILED"
    assert 4 <= len(children) < 20
    assert set(statuses(children)) <= {"FAILED", "KILLED"}


class NotANumber(TellingTrial):
    """Reports what no trial may win with."""

    objectives = ("f1", "fit_seconds")

    def fit_on(self) -> dict[str, Any]:
        result = {"f1": math.nan, "fit_seconds": 1.0}
        self.require_finite(result)
        return result


def test_a_metric_that_is_no_number_is_a_failed_trial() -> None:
    result = NotANumber.step(NotANumber.__new__(NotANumber))
    assert result["done"]
    assert result[ERROR].startswith("FloatingPointError: f1 is nan: the trial can't be compared with others\n")


class RaisedInTheActor(TellingTrial):
    """Asks an actor that raises."""

    objectives = ("f1",)
    cause: Exception

    def fit_on(self) -> dict[str, Any]:
        raise RayTaskError("resampled", "Traceback", self.cause).as_instanceof_cause()


def told_or_raised(cause: Exception) -> dict[str, Any]:
    trial = RaisedInTheActor.__new__(RaisedInTheActor)
    trial.cause = cause
    return trial.step()


def test_what_the_actor_raises_is_the_trials_result_unless_it_is_rays_own() -> None:
    assert told_or_raised(ValueError("no such column"))[ERROR].startswith("ValueError: no such column")
    with pytest.raises(RaySystemError):
        told_or_raised(RaySystemError("the raylet is gone"))


@pytest.mark.parametrize(
    ("error", "status"), [(RayActorError(), Trial.RUNNING), (ValueError("not of Ray"), Trial.PENDING)]
)
def test_a_trial_whose_worker_is_lost_before_it_starts_is_tried_again_as_one_that_runs(
    error: Exception, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(TuneController, "_process_trial_failure", lambda self, trial, error: seen.append(trial.status))
    controller = SimpleNamespace(_set_trial_status=lambda trial, new: setattr(trial, "status", new))
    with retried_before_their_start():
        TuneController._process_trial_failure(controller, SimpleNamespace(status=Trial.PENDING), error)
    assert seen == [status]
