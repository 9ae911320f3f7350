"""What the growth benchmark says of memory."""

import sys
import time

import pytest

from benchmarks import memory

MIB = 2**20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def peak_mib(program: str) -> float:
    usage = memory.measure([sys.executable, "-c", program], interval=0.05)
    assert usage.returncode == 0
    return usage.peak().total / MIB


def test_a_process_that_detached_itself_and_lost_its_parent_is_counted() -> None:
    hold = "import time; x = b'x' * (200 << 20); time.sleep(1)"
    start = f"import subprocess, sys, time;subprocess.Popen([sys.executable, '-c', {hold!r}], start_new_session=True);"
    detached = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {start!r}]); time.sleep(2)"

    assert 200 < peak_mib(detached) < 260


def test_memory_that_processes_share_counts_once() -> None:
    # All come by it a little at a time: a sample looks at one process after the other, and would count what is shared
    # between two looks for both.
    shared = (
        "import mmap, os, time; m = mmap.mmap(-1, 200 << 20); [os.fork() for _ in range(2)];"
        "[(m.write(b'x' * (1 << 20)), time.sleep(0.005)) for _ in range(200)]; time.sleep(1)"
    )
    assert 200 < peak_mib(shared) < 260


def test_the_peak_of_a_stretch_of_time_is_that_of_its_samples() -> None:
    program = "import time; x = b'x' * (100 << 20); time.sleep(0.5); del x; time.sleep(0.5)"
    usage = memory.measure([sys.executable, "-c", program], interval=0.05)
    last = usage.samples[-1].at

    assert usage.peak().total > 100 * MIB
    assert usage.peak(since=last).total < 50 * MIB
    assert usage.peak(since=time.time() + 10).processes == {}
