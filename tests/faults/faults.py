"""What breaks a search: signals to processes that it consists of."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.integration.graph import Workplace

# Strikes a command's process, or one that it has started; False where there is none of the kind at the moment.
Fault = Callable[["subprocess.Popen[str]", Workplace], bool]


def commands(place: Workplace) -> list[tuple[int, str]]:
    """Numbers and command lines of the processes that were started from a place."""
    mark, found = str(place.ray_folder).encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes() + (process / "cmdline").read_bytes():
                found.append((int(process.name), (process / "cmdline").read_text()))
        except OSError:  # it ended meanwhile
            continue
    return found


def parent_of(pid: int) -> int:
    """The process that has started another one, or taken it over."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def strike(pid: int | None, number: int = signal.SIGKILL) -> bool:
    """Send a signal, if there is a process to send it to."""
    if pid is None:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def titled(place: Workplace, *titles: str) -> int | None:
    """A process whose program ends, or whose title begins, so."""
    for pid, command in commands(place):
        program = command.partition("\0")[0]
        if any(program.endswith(title) or command.startswith(title) for title in titles):
            return pid
    return None


def step_of(place: Workplace) -> int | None:
    """The process of the step that has started Ray."""
    server = titled(place, "gcs_server")
    try:
        return None if server is None else parent_of(server)
    except OSError:
        return None


def everything(process: "subprocess.Popen[str]", place: Workplace) -> bool:
    """Kill the run's process, its steps, and Ray, as a machine that is switched off."""
    del place
    os.killpg(process.pid, signal.SIGKILL)
    return True


def step(process: "subprocess.Popen[str]", place: Workplace) -> bool:
    """Kill the process of the step."""
    del process
    return strike(step_of(place))


def run(process: "subprocess.Popen[str]", place: Workplace) -> bool:
    """Kill the run's own process; its steps live."""
    del place
    return strike(process.pid)


def worker(process: "subprocess.Popen[str]", place: Workplace) -> bool:
    """Kill a worker that fits trials."""
    del process
    return strike(titled(place, "ray::FraudTrial", "ray::ResourceTrainable"))


def shared_work(process: "subprocess.Popen[str]", place: Workplace) -> bool:
    """Kill the actor that trials ask."""
    del process
    return strike(titled(place, "ray::SharedWork"))


def raylet(process: "subprocess.Popen[str]", place: Workplace) -> bool:
    """Kill the machine's part of Ray."""
    del process
    return strike(titled(place, "/raylet"))


def gcs(process: "subprocess.Popen[str]", place: Workplace) -> bool:
    """Kill Ray's head."""
    del process
    return strike(titled(place, "/gcs_server"))


def sigterm(process: "subprocess.Popen[str]", place: Workplace) -> bool:
    """Ask the run's process to end, as supervisors do."""
    del place
    return strike(process.pid, signal.SIGTERM)


def sigint(process: "subprocess.Popen[str]", place: Workplace) -> bool:
    """Ask the run's process to end, as Dagster's Terminate does."""
    del place
    return strike(process.pid, signal.SIGINT)


FAULTS: dict[str, Fault] = {
    fault.__name__: fault for fault in (everything, step, run, worker, shared_work, raylet, gcs, sigterm, sigint)
}
