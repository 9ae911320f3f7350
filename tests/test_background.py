"""Listeners that the study doesn't wait for."""

import threading

import pytest

from fraud_assets.resources.background import Background
from fraud_assets.resources.trials import TrialRecord

TRIAL = TrialRecord("a", {}, "running")


class Listener:
    """Remembers what it hears in a list that several share; raises where it is told to."""

    def __init__(self, name: str, heard: list[str], fails_at: str | None = None) -> None:
        self._name, self._heard, self._fails_at = name, heard, fails_at

    def trial_started(self, trial: TrialRecord) -> None:
        self._hear(f"{trial.trial_id} started")

    def trial_ended(self, trial: TrialRecord) -> None:
        self._hear(f"{trial.trial_id} ended")

    def _hear(self, what: str) -> None:
        if what == self._fails_at:
            raise RuntimeError(f"{self._name} failed")
        self._heard.append(f"{self._name}: {what}")


def test_each_event_reaches_the_listeners_in_order_before_the_next_one_does() -> None:
    heard: list[str] = []
    with Background([Listener("first", heard), Listener("second", heard)]) as background:
        background.trial_started(TRIAL)
        background.trial_ended(TRIAL)
    assert heard == ["first: a started", "second: a started", "first: a ended", "second: a ended"]


def test_nobody_waits_for_a_slow_listener() -> None:
    heard: list[str] = []
    answered = threading.Event()

    class Slow(Listener):
        def _hear(self, what: str) -> None:
            assert answered.wait(60)
            super()._hear(what)

    with Background([Slow("slow", heard)]) as background:
        background.trial_started(TRIAL)
        background.trial_ended(TRIAL)
        assert heard == [], "the caller waited"
        answered.set()
    assert len(heard) == 2


@pytest.mark.parametrize(
    ("failing", "expected"),
    [("second", ["first: a started", "first: a ended"]), ("first", [])],
)
def test_one_that_fails_is_told_at_the_end_and_those_after_it_hear_no_more(failing: str, expected: list[str]) -> None:
    """What follows the record of a trial is never ahead of the record."""
    heard: list[str] = []
    listeners = [Listener(name, heard, "a started" if name == failing else None) for name in ("first", "second")]
    failed = pytest.raises(RuntimeError, match=f"{failing} failed")
    with failed, Background(listeners) as background:
        background.trial_started(TRIAL)
        background.trial_ended(TRIAL)
    assert heard == expected


def test_the_studys_own_error_is_not_hidden() -> None:
    own = pytest.raises(ValueError, match="the study's own")
    with own, Background([Listener("first", [], "a started")]) as background:
        background.trial_started(TRIAL)
        raise ValueError("the study's own")


def test_the_thread_ends_with_the_study() -> None:
    with Background([]):
        assert "trial-listeners" in {thread.name for thread in threading.enumerate()}
    assert "trial-listeners" not in {thread.name for thread in threading.enumerate()}
