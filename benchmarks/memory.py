"""How much memory a command needs, in all its processes together.

    python -m benchmarks.memory [--interval 0.5] COMMAND...

The memory of a process is its proportional set size (PSS): what it shares with others, as Ray's object store is, counts
for each of them by its share, and so once in the sum. The processes are all descendants of this one. It is the
"subreaper" that orphans are given to, so that those of Ray, which detach themselves, are still among them. Linux only.
"""

import argparse
import ctypes
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_NAME_LENGTH = 60


@dataclass(frozen=True)
class Sample:
    """What all processes held at one moment.

    Attributes:
        at: seconds since 1970.
        processes: bytes of each process, by its id and what it calls itself.
    """

    at: float
    processes: Mapping[tuple[int, str], int]

    @property
    def total(self) -> int:
        """Bytes of all of them together."""
        return sum(self.processes.values())

    def of(self, process: int) -> int:
        """Bytes of the process with this id; 0 if there was none."""
        return sum(size for (pid, _), size in self.processes.items() if pid == process)


@dataclass(frozen=True)
class Usage:
    """What a command needed.

    Attributes:
        returncode: what it ended with.
        seconds: from its start to its end.
        samples: the memory of its processes, in order of time.
    """

    returncode: int
    seconds: float
    samples: Sequence[Sample]

    def peak(self, since: float = 0.0, until: float = float("inf")) -> Sample:
        """The sample with most memory in [since, until), in seconds since 1970; an empty one if there is none."""
        within = [sample for sample in self.samples if since <= sample.at < until]
        return max(within, key=lambda sample: sample.total, default=Sample(since, {}))


def measure(
    command: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    output: IO[str] | None = None,
    interval: float = 0.5,
) -> Usage:
    """Run a command to its end, and sample the memory of it and all its descendants every `interval` seconds.

    Args:
        command: the program and its arguments.
        folder: working directory; None for this process's.
        environment: None for this process's.
        output: where its output and errors go; None for this process's.
        interval: between two samples. A shorter peak may be missed.

    Raises:
        OSError: this is no Linux, or the command can't be started.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "this process can't be made the subreaper of its descendants")
    started, samples = time.perf_counter(), list[Sample]()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
    while process.poll() is None:
        samples.append(_sample())
        time.sleep(interval)
    seconds = time.perf_counter() - started
    # Orphans that have ended are this process's to bury.
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return Usage(process.returncode, seconds, samples)


def _sample() -> Sample:
    """The memory of all descendants of this process, the orphans of those that ended among them."""
    at, own = time.time(), os.getpid()
    sizes: dict[tuple[int, str], int] = {}
    waiting = [own]
    while waiting:
        pid = waiting.pop()
        # A process that has ended meanwhile has no files any more.
        with suppress(FileNotFoundError, ProcessLookupError):
            waiting += _children(pid)
            if pid != own:
                sizes[pid, _name(pid)] = _proportional_set_size(pid)
    return Sample(at, sizes)


def _children(pid: int) -> list[int]:
    """The children of all threads of a process."""
    # Plain files, as this is read several times a second beside what is measured.
    children = list[int]()
    for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
        with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/task/{thread}/children") as file:  # noqa: PTH123
            children += map(int, file.read().split())
    return children


def _name(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").split()
    return " ".join(Path(word).name or word for word in words)[:_NAME_LENGTH]


def _proportional_set_size(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def shown(sample: Sample, processes: int = 5) -> dict[str, object]:
    """A sample as JSON types: GiB of all, and of the largest processes."""
    largest = sorted(sample.processes.items(), key=lambda item: -item[1])[:processes]
    return {
        "gib": gib(sample.total),
        "processes": len(sample.processes),
        "largest": {f"{pid} {name}": gib(size) for (pid, name), size in largest},
    }


def gib(size: float) -> float:
    """Bytes in GiB, to three digits after the point."""
    return round(size / 2**30, 3)


def main() -> None:
    """Run a command, and print what it needed as one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between two samples")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    usage = measure(args.command, interval=args.interval)
    peak = usage.peak()
    at = peak.at - usage.samples[0].at if usage.samples else 0.0
    report = {
        "returncode": usage.returncode,
        "seconds": round(usage.seconds, 1),
        "peak": shown(peak),
        "at_s": round(at, 1),
    }
    sys.stdout.write(json.dumps(report) + "\n")
    sys.exit(usage.returncode)


if __name__ == "__main__":
    main()
