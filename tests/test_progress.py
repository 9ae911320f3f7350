"""What the step's log says while tuning goes on."""

import logging
import re

import pytest

from fraud_assets.assets.progress import MOST_OBSERVATIONS, ProgressLog
from fraud_assets.ml.evaluate import Metric
from fraud_assets.resources.trials import TrialRecord

PARAMS = {"resampler": "smote", "booster": "dart"}


def tell(
    caplog: pytest.LogCaptureFixture, metric: Metric, scores: list[float | None], trials: int | None = None
) -> list[str]:
    """The lines about trials with these scores; None is a trial that failed."""
    caplog.set_level(logging.INFO)
    progress = ProgressLog(logging.getLogger("test"), metric, trials or len(scores))
    for i, score in enumerate(scores):
        trial_id = f"t{i}"
        progress.trial_started(TrialRecord(trial_id, PARAMS, "running"))
        if score is None:
            progress.trial_ended(TrialRecord(trial_id, PARAMS, "failed", error="ValueError: bad\n\nTraceback …"))
        else:
            progress.trial_ended(TrialRecord(trial_id, PARAMS, "finished", {metric: score}))
    return [record.getMessage() for record in caplog.records]


def test_a_line_has_the_trial_its_score_the_best_and_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = tell(caplog, "f1", [0.25], trials=10)
    assert re.fullmatch(
        r"trial 1/10 smote-dart-t0: f1 0\.2500; best 0\.2500 \(smote-dart-t0\); 9 left at \d+ a minute, about \d+ s",
        line,
    )


@pytest.mark.parametrize(("metric", "best"), [("f1", "0.9000 (smote-dart-t1)"), ("log_loss", "0.1000 (smote-dart-t2)")])
def test_the_best_is_the_highest_or_the_lowest_as_the_metric_has_it(
    caplog: pytest.LogCaptureFixture, metric: Metric, best: str
) -> None:
    assert f"best {best}" in tell(caplog, metric, [0.5, 0.9, 0.1])[-1]


def test_a_failed_trial_is_told_with_its_error_in_one_line_and_counts(caplog: pytest.LogCaptureFixture) -> None:
    failed, why, finished = tell(caplog, "f1", [None, 0.5])
    assert "trial 1/2 smote-dart-t0: failed; none has finished; 1 left" in failed
    assert why == "trial smote-dart-t0 failed: ValueError: bad"
    assert "trial 2/2" in finished
    assert "0 left" in finished


def test_a_pruned_trial_says_where_and_is_never_the_best(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    progress = ProgressLog(logging.getLogger("test"), "f1", 2)
    progress.trial_ended(TrialRecord("a", PARAMS, "pruned", {"f1": 0.9, "rounds": 50}))
    (line,) = [record.getMessage() for record in caplog.records]
    assert "trial 1/2 smote-dart-a: pruned after 50 rounds, f1 0.9000; none has finished; 1 left" in line


def test_the_rate_counts_from_the_first_trial_and_not_from_connecting(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 130.0, 160.0])
    monkeypatch.setattr("fraud_assets.assets.progress.time.monotonic", lambda: next(clock))
    caplog.set_level(logging.INFO)
    progress = ProgressLog(logging.getLogger("test"), "f1", 6)
    for trial_id in ("a", "b"):
        progress.trial_started(TrialRecord(trial_id, {}, "running"))
    for trial_id in ("a", "b"):
        progress.trial_ended(TrialRecord(trial_id, {}, "finished", {"f1": 0.5}))
    first, second = [record.getMessage() for record in caplog.records]
    assert "5 left at 2 a minute, about 150 s" in first
    assert "4 left at 2 a minute, about 120 s" in second


def observed(trials: int, before: int = 0) -> list[dict[str, float | str]]:
    """What is observed of a search whose trials all finish, the first ones in an earlier run."""
    seen: list[dict[str, float | str]] = []
    ended = [TrialRecord(f"t{i}", PARAMS, "finished", {"f1": i / trials}) for i in range(trials)]
    progress = ProgressLog(logging.getLogger("test"), "f1", trials, ended[:before], lambda p: seen.append(dict(p)))
    for trial in ended[before:]:
        progress.trial_started(trial)
        progress.trial_ended(trial)
    return seen


def test_an_observation_has_what_a_line_has() -> None:
    first, second = observed(2)
    assert first.items() >= {"trials done": 1, "trials left": 1, "best f1": 0.0, "best trial": "smote-dart-t0"}.items()
    assert second.items() >= {"trials done": 2, "trials left": 0, "best f1": 0.5, "best trial": "smote-dart-t1"}.items()
    assert {"trials a minute", "about seconds left"} <= first.keys()


@pytest.mark.parametrize("trials", [1, 2, 19, 20, 21, 39, 100, 999, 1000, 1001])
def test_a_search_of_any_length_is_observed_from_its_first_trial_to_its_last_ones_twenty_times_at_most(
    trials: int,
) -> None:
    done = [int(progress["trials done"]) for progress in observed(trials)]
    assert done[0] == 1
    assert done[-1] > trials * 0.94
    assert len(done) == len(set(done)) <= MOST_OBSERVATIONS


def test_a_search_that_goes_on_is_observed_at_its_own_first_trial_and_then_at_the_same_steps() -> None:
    assert [progress["trials done"] for progress in observed(100, before=61)] == [62, 65, 70, 75, 80, 85, 90, 95, 100]


def test_nothing_has_finished_is_no_best(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[dict[str, float | str]] = []
    progress = ProgressLog(logging.getLogger("test"), "f1", 2, observe=lambda p: seen.append(dict(p)))
    progress.trial_ended(TrialRecord("a", PARAMS, "failed", error="ValueError: bad"))
    assert [key for key in seen[0] if key.startswith("best")] == []
