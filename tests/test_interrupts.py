"""Interrupts arrive, whatever the code that they pass through makes of them."""

import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest
from dagster._utils.interrupts import raise_interrupts_as

from fraud_assets.resources.interrupts import interrupted_once, plain_interrupts, remembered_interrupts


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_is_swallowed_is_remembered() -> None:
    with remembered_interrupts() as raised:
        assert raised == []
        with suppress(KeyboardInterrupt):
            interrupt()
    assert [type(error) for error in raised] == [KeyboardInterrupt]


def test_dagsters_own_interrupt_is_raised_and_remembered_as_such() -> None:
    with raise_interrupts_as(dg.DagsterExecutionInterruptedError):
        with pytest.raises(dg.DagsterExecutionInterruptedError), remembered_interrupts() as raised:
            interrupt()
        assert [type(error) for error in raised] == [dg.DagsterExecutionInterruptedError]


def test_the_handler_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with suppress(KeyboardInterrupt), remembered_interrupts():
        interrupt()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_thread_that_no_signal_reaches_has_nothing_to_remember() -> None:
    seen: list[list[BaseException]] = []

    def work() -> None:
        with remembered_interrupts() as raised:
            seen.append(raised)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[]]


def raise_as_ray_does(interruption: type[BaseException]) -> None:
    try:
        raise interruption
    except BaseException as error:
        raise SystemError("returned a result with an exception set") from error


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, dg.DagsterExecutionInterruptedError])
def test_an_interrupt_that_became_a_system_error_is_raised_as_itself(interruption: type[BaseException]) -> None:
    with pytest.raises(interruption), plain_interrupts():
        raise_as_ray_does(interruption)


def test_another_system_error_stays_one() -> None:
    with pytest.raises(SystemError, match="something else"), plain_interrupts():
        raise SystemError("something else")


def test_what_cleans_up_after_an_interrupt_is_not_interrupted() -> None:
    before = signal.getsignal(signal.SIGINT)
    cleaned = []
    raised = pytest.raises(KeyboardInterrupt)
    with raised, interrupted_once():
        try:
            interrupt()
        finally:
            interrupt()
            cleaned.append("up")
    assert cleaned == ["up"]
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_that_is_swallowed_is_remembered_though_no_other_is_heeded() -> None:
    with interrupted_once(), remembered_interrupts() as raised:
        with suppress(KeyboardInterrupt):
            interrupt()
        interrupt()
    assert [type(error) for error in raised] == [KeyboardInterrupt]


# A run's process and its step, which has more to tell at its end than a pipe holds.
RUN_AND_STEP = """
import multiprocessing, os, pathlib, signal, sys, time

def step(events, folder, inside):
    from fraud_assets.resources import interrupts
    from fraud_assets.resources.interrupts import RunDiedError, ended_with_the_run
    interrupts._LAST_S = 2.0
    try:
        with ended_with_the_run():
            folder.joinpath("step").write_text(str(os.getpid()))
            time.sleep(600 if inside else 1)
    except RunDiedError:
        folder.joinpath("told").touch()
    time.sleep(0 if inside else 1)
    events.put(bytes(1 << 20))

if __name__ == "__main__":
    folder, context = pathlib.Path(sys.argv[1]), multiprocessing.get_context("forkserver")
    events = context.Queue()
    context.Process(target=step, args=(events, folder, sys.argv[2] == "inside")).start()
    while not folder.joinpath("step").exists():
        time.sleep(0.05)
    time.sleep(0 if sys.argv[2] == "inside" else 1.5)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("moment", ["inside", "after"])
def test_a_step_whose_run_was_killed_ends_though_nobody_hears_it(tmp_path: Path, moment: str) -> None:
    script = tmp_path / "run.py"
    script.write_text(RUN_AND_STEP)
    done = subprocess.run([sys.executable, str(script), str(tmp_path), moment], check=False)
    assert done.returncode == -signal.SIGKILL
    process = Path("/proc", (tmp_path / "step").read_text())
    give_up = time.monotonic() + 30
    while process.exists():
        assert time.monotonic() < give_up
        time.sleep(0.1)
    assert (tmp_path / "told").exists() == (moment == "inside")
