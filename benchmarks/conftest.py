"""What the figures of `make bench` share: each compares two sides that ran in one session, and prints their medians."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.sides import FIGURES, Side, summary

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "bench"
_SIDES = pytest.StashKey[list[Side]]()
_NOTES = pytest.StashKey[list[tuple[str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of `make bench BENCH="…"`."""
    group = parser.getgroup("fraud_assets")
    group.addoption("--bench-data", type=Path, default=_BESIDE, help="folder of article_baseline.py and of data/")
    group.addoption("--bench-trials", type=int, default=0, help="trials of each figure; 0 for its own number")
    group.addoption("--bench-budget", type=float, default=120, help="seconds of each side that has equal wall clock")
    group.addoption("--bench-repeats", type=int, default=0, help="how often each side runs; 0 for its own number")


def pytest_configure(config: pytest.Config) -> None:
    """Nothing has been measured yet."""
    config.stash[_SIDES], config.stash[_NOTES] = [], []


@dataclass
class Recorder:
    """Runs a side under pytest-benchmark, and remembers numbers for the summary.

    Attributes:
        walls: seconds of each run of the last side that was timed.
    """

    benchmark: BenchmarkFixture
    config: pytest.Config
    walls: list[float] = field(default_factory=list)

    def seconds(self, figure: str, side: str, run: Callable[[], object], *, repeats: int = 1) -> None:
        """Time a side, `--bench-repeats` times or else `repeats` times."""
        self.benchmark.group = figure
        self.benchmark.pedantic(run, rounds=self.config.getoption("--bench-repeats") or repeats, iterations=1)
        self.walls = list(self.benchmark.stats.stats.data)
        for wall in self.walls:
            self.add(figure, side, wall, "s")

    def add(self, figure: str, side: str, value: float, unit: str) -> None:
        """Remember a number of a side; what the figure compares has to be a side that `sides.FIGURES` names."""
        self.benchmark.extra_info.setdefault(side, []).append(value)
        self.config.stash[_SIDES].append(Side(figure, side, value, unit))

    def note(self, figure: str, line: str) -> None:
        """Remember a line that the summary prints below the figure."""
        self.config.stash[_NOTES].append((figure, line))


@pytest.fixture
def recorder(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Recorder:
    """What remembers the numbers of a benchmark."""
    return Recorder(benchmark, request.config)


@pytest.fixture
def trials(request: pytest.FixtureRequest) -> int:
    """The number of trials that was asked for, or 0."""
    return int(request.config.getoption("--bench-trials"))


@pytest.fixture
def budget(request: pytest.FixtureRequest) -> float:
    """Seconds of a side that has equal wall clock."""
    return float(request.config.getoption("--bench-budget"))


def data_file(request: pytest.FixtureRequest, name: str) -> Path:
    """A file that the project doesn't own; the figure is skipped without it."""
    file = Path(request.config.getoption("--bench-data"), name).resolve()
    if not file.exists():
        pytest.skip(f"{file.name} is not there: name its folder with --bench-data")
    return file


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the figures, in their order, and the machine that they are of."""
    sides = config.stash[_SIDES]
    if not sides:
        return
    terminalreporter.section("figures")
    machine: dict[str, Any] = config.hook.pytest_benchmark_generate_machine_info(config=config)
    cpu = machine.get("cpu", {})
    told = {"cpu": cpu.get("brand_raw"), "cores": cpu.get("count"), "system": machine.get("release")}
    terminalreporter.write_line(json.dumps({**told, "python": machine.get("python_version")}))
    measured = {side.figure for side in sides}
    for figure in [name for name in FIGURES if name in measured]:
        for line in summary(figure, [side for side in sides if side.figure == figure]):
            terminalreporter.write_line(line)
        for of, line in config.stash[_NOTES]:
            if of == figure:
                terminalreporter.write_line(f"    {line}")
