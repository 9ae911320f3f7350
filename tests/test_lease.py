"""One run at a time works on an experiment, and a crash keeps nobody out."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow.fs
import pytest

from fraud_assets.resources.lease import Lease, LeaseLostError, LeaseTakenError
from fraud_assets.resources.object_store import Location
from fraud_assets.resources.owner import Owner


@pytest.fixture
def folder(tmp_path: Path) -> Location:
    return Location(pyarrow.fs.LocalFileSystem(), str(tmp_path / "owners"))


def lease(folder: Location, *, stale_s: float = 1.0) -> Lease:
    """One that is quick."""
    return Lease(folder, renew_s=0.1, stale_s=stale_s)


def claims(folder: Location) -> list[Path]:
    return list(Path(folder.path).glob("*.json"))


def test_a_second_run_is_told_who_works_on_it(folder: Location) -> None:
    taken = pytest.raises(LeaseTakenError, match=rf"Dagster run first \(process {os.getpid()} on .*terminate it")
    with lease(folder).held("first"), taken, lease(folder).held("second"):
        pass
    assert claims(folder) == []


def test_it_is_free_again_after_the_block_and_after_an_error_in_it(folder: Location) -> None:
    with pytest.raises(ValueError, match="ours"), lease(folder).held("first"):
        raise ValueError("ours")
    with lease(folder).held("second"):
        assert len(claims(folder)) == 1


HOLDER = """
import sys, time
import pyarrow.fs
from fraud_assets.resources.lease import Lease
from fraud_assets.resources.object_store import Location
with Lease(Location(pyarrow.fs.LocalFileSystem(), sys.argv[1]), renew_s=0.2).held("killed"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_holder_that_was_killed_on_this_machine_keeps_nobody_waiting(folder: Location) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, folder.path], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LeaseTakenError, match="Dagster run killed"), Lease(folder, renew_s=0.5).held("early"):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert len(claims(folder)) == 1
    # A claim of this age would be good for minutes, if its holder could be alive.
    with Lease(folder).held("next"):
        pass


def foreign_claim(folder: Location) -> Path:
    """A claim by a process of another machine, of which nothing is known here."""
    Path(folder.path).mkdir(exist_ok=True)
    file = Path(folder.path, "foreign.json")
    owner = replace(Owner.this_process("foreign"), boot="another machine's", host="elsewhere")
    file.write_text(json.dumps({"owner": asdict(owner), "held": True, "renewal": "x"}))
    return file


def test_a_holder_elsewhere_that_is_silent_has_it_no_more_when_that_was_long_enough(folder: Location) -> None:
    foreign_claim(folder)
    began = time.monotonic()
    with lease(folder, stale_s=1.0).held("next"):
        assert time.monotonic() - began >= 0.9
        assert len(claims(folder)) == 1


def test_a_holder_elsewhere_that_renews_it_keeps_it(folder: Location) -> None:
    file = foreign_claim(folder)
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(0.2):
            os.utime(file)

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        with pytest.raises(LeaseTakenError, match="on elsewhere"), lease(folder, stale_s=60).held("next"):
            pass
    finally:
        stop.set()
        thread.join()


def test_a_holder_whose_run_has_ended_keeps_nobody_waiting_for_long(folder: Location) -> None:
    foreign_claim(folder)
    began = time.monotonic()
    with lease(folder, stale_s=600).held("next", is_over=lambda run_id: run_id == "foreign"):
        assert time.monotonic() - began >= 0.25
        assert len(claims(folder)) == 1


def test_a_step_that_outlives_its_run_keeps_it(folder: Location) -> None:
    with lease(folder, stale_s=600).held("first"):
        taken = pytest.raises(LeaseTakenError)
        with taken, lease(folder, stale_s=600).held("next", is_over=lambda run_id: True):
            pass


def test_of_many_at_once_never_two_hold_it(folder: Location) -> None:
    inside, most, held = [0], [0], [0]
    lock = threading.Lock()

    def work(number: int) -> None:
        try:
            with lease(folder, stale_s=60).held(f"run {number}"):
                with lock:
                    inside[0] += 1
                    held[0] += 1
                    most[0] = max(most[0], inside[0])
                time.sleep(0.05)
                with lock:
                    inside[0] -= 1
        except LeaseTakenError:
            return

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert held[0] >= 1
    assert claims(folder) == []


def test_a_holder_that_can_not_renew_it_is_told_before_anybody_else_may_have_it(folder: Location) -> None:
    with lease(folder, stale_s=1.0).held("first") as held:
        held.check()
        for file in claims(folder):
            file.unlink()
        Path(folder.path).rmdir()
        Path(folder.path).write_text("in the way")
        time.sleep(1.1)
        with pytest.raises(LeaseLostError, match="took no sign of life for 1 s"):
            held.check()
        Path(folder.path).unlink()
