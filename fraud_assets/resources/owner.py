"""Who works on something, told so that others can see whether he still does."""

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """The process that works on something, on behalf of a Dagster run.

    Attributes:
        run_id: its Dagster run.
        host: the machine's name.
        boot: tells the machine's current boot, and the container, from any other.
        pid: of its process.
        process_start: tells it from a later process with the same number; ticks since the machine's boot.
    """

    run_id: str
    host: str
    boot: str
    pid: int
    process_start: int

    @classmethod
    def this_process(cls, run_id: str) -> "Owner":
        """This process, on behalf of a Dagster run."""
        pid = os.getpid()
        return cls(run_id, socket.gethostname(), _boot(), pid, _process_start(pid) or 0)

    @property
    def has_died(self) -> bool:
        """Whether its process ran on this machine and is gone; False where that can't be told."""
        return bool(self.boot) and self.boot == _boot() and _process_start(self.pid) != self.process_start


def _boot() -> str:
    """What Linux calls the machine's current boot, and the numbers of its processes; empty where nothing tells."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + str(Path("/proc/self/ns/pid").readlink())
    return ""


def _process_start(pid: int) -> int | None:
    """When a process was started, in ticks since the machine's boot; None if there is none, or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
