"""A search that is broken again and again, and the record that has to be whole in the end."""

import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from mlflow import MlflowClient

from fraud_assets.resources.object_store import Location
from tests.faults.faults import FAULTS
from tests.integration.graph import Workplace, statuses, the_study, workplace
from tests.integration.transactions import ROLES, write_transactions
from tests.servers import S3Server

TRIALS = 12
# Moments of a command: it starts, trials end, the last one has ended.
PHASES = ("start", "search", "end")
_LONGEST_S = {"start": 9.0, "search": 0.6, "end": 3.0, "model": 7.0}
# Of the process that fits the model; Ray has no part in it.
MODEL_FAULTS = ("everything", "run", "sigterm", "sigint")
_PATIENCE_S = 150
_SEARCH = "raw_dataset,dataset_split,tuning_results"
_MODEL = "best_params,fraud_model"
_SEARCHED = "Materialized value tuning_results"


@dataclass(frozen=True)
class Kill:
    """One fault at one moment.

    Attributes:
        fault: its name among `FAULTS`.
        phase: one of `PHASES`, or "model": the model is fitted and logged.
        after: trials that the command has ended before it, in the phase `search`.
        delay_s: from that moment on.
    """

    fault: str
    phase: str
    after: int
    delay_s: float

    @classmethod
    def draw(cls, chance: random.Random) -> "Kill":
        """Any of those that break a search."""
        phase = chance.choice(PHASES)
        return cls(chance.choice(list(FAULTS)), phase, chance.randint(1, 3), chance.uniform(0, _LONGEST_S[phase]))

    @classmethod
    def draw_for_the_model(cls, chance: random.Random) -> "Kill":
        """Any of those that break the step after the search."""
        return cls(chance.choice(MODEL_FAULTS), "model", 0, chance.uniform(0, _LONGEST_S["model"]))


@dataclass
class Search:
    """A search in a place of its own, on S3 or in a folder.

    Attributes:
        place: where its command is given.
        storage: of the graph.
        violations: what did not hold.
    """

    place: Workplace
    config: dict[str, Any]
    storage: Location
    violations: list[str] = field(default_factory=list)
    _kept: dict[str, Any] = field(default_factory=dict)

    def run(self, kill: Kill | None = None, select: str = _SEARCH) -> tuple[int, bool, str]:
        """Give the command once, and strike it; returns its exit code, whether the fault hit anything, and its log."""
        process = self.place.start_materialize(select, self.config if select == _SEARCH else None)
        try:
            return self._follow(process, kill)
        except BaseException:
            # Whoever interrupts the harness wants its command to end, too.
            os.killpg(process.pid, signal.SIGKILL)
            raise

    def _follow(self, process: "subprocess.Popen[str]", kill: Kill | None) -> tuple[int, bool, str]:
        assert process.stdout is not None
        hit, log = False, []
        if kill is not None and kill.phase == "start":
            time.sleep(kill.delay_s)
            hit = FAULTS[kill.fault](process, self.place)
        ended = 0
        for line in process.stdout:
            log.append(line)
            if kill is not None and kill.phase == "model" and not hit and 'subprocess for "fraud_model"' in line:
                time.sleep(kill.delay_s)
                hit = FAULTS[kill.fault](process, self.place)
            told = re.search(rf" trial (\d+)/{TRIALS} ", line)
            ended += told is not None
            if kill is None or hit or told is None:
                continue
            if ended == kill.after if kill.phase == "search" else kill.phase == "end" and told[1] == str(TRIALS):
                time.sleep(kill.delay_s)
                hit = FAULTS[kill.fault](process, self.place)
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.violations.append(f"{kill}: the command hangs")
            process.kill()
            process.wait()
        # Ray's agents may take long to notice that their raylet is gone.
        if not self._nothing_left(90):
            self.violations.append(f"{kill}: left over: {self.place.processes()}")
        self._compare_journal(kill)
        return process.returncode, hit, "".join(log)

    def check(self) -> None:
        """What has to hold of a search that has come to its end."""
        with self.storage.filesystem.open_input_file(f"{self.storage.path}/assets/tuning_results.parquet") as source:
            grid = pq.read_table(source).to_pandas()
        try:
            parent, children = the_study(f"sqlite:///{self.place.folder / '.fraud_assets' / 'mlflow.db'}")
        except (AssertionError, ValueError) as error:
            self.violations.append(f"one parent and its children do not hold: {error}")
            return
        numbers = sorted(self._kept)
        held = {
            "the number of trials": len(grid) == TRIALS,
            "each trial finished": set(grid["status"]) == {"finished"},
            "trials are there once": grid["trial_id"].is_unique,
            "the journal has each number once": numbers == [f"{number:06d}" for number in range(TRIALS)],
            "the journal has the grid's trials": {t["trial_id"] for t in self._kept.values()} == set(grid["trial_id"]),
            "the parent": parent.info.status == "FINISHED",
            "the children": statuses(children) == ["FINISHED"] * TRIALS,
            "the children are the grid's": {run.info.run_id for run in children} == set(grid["mlflow_run_id"]),
            "the children have metrics": all(run.data.metrics and run.data.params for run in children),
        }
        self.violations += [f"{what} does not hold" for what, holds in held.items() if not holds]
        self.violations += [
            f"trial {trial['name']} is {trial['status']}: {str(trial['error'])[:600]}"
            for trial in grid[grid["status"] != "finished"].to_dict("records")
        ]

    def check_model(self) -> None:
        """What has to hold of the model that came of the search."""
        with self.storage.filesystem.open_input_stream(f"{self.storage.path}/assets/fraud_model.json") as source:
            model = json.loads(source.read())
        uri = f"sqlite:///{self.place.folder / '.fraud_assets' / 'mlflow.db'}"
        version = MlflowClient(uri).get_model_version(model["registered_model"], str(model["version"]))
        parent, _ = the_study(uri)
        held = {
            "the model is the parent's": version.run_id == parent.info.run_id == model["mlflow_parent_run_id"],
            "the version is whole": version.status == "READY" and bool(version.description),
        }
        self.violations += [f"{what} does not hold" for what, holds in held.items() if not holds]

    def _compare_journal(self, kill: Kill | None) -> None:
        """A trial that has ended is never run again, nor lost."""
        found = {}
        for info in self._files("tune", suffix=".ended.json"):
            with self.storage.filesystem.open_input_stream(info) as source:
                found[Path(info).name.partition(".")[0]] = json.loads(source.read())
        for number, trial in self._kept.items():
            if found.get(number) != trial:
                self.violations.append(f"{kill}: trial {number} was {trial['trial_id']}, is {found.get(number)}")
        self._kept = found

    def _files(self, *parts: str, suffix: str) -> list[str]:
        from pyarrow import fs

        place = self.storage.child(*parts)
        selector = fs.FileSelector(place.path, recursive=True, allow_not_found=True)
        return [info.path for info in place.filesystem.get_file_info(selector) if info.path.endswith(suffix)]

    def _nothing_left(self, within_s: float) -> bool:
        give_up = time.monotonic() + within_s
        while self.place.processes() and time.monotonic() < give_up:
            time.sleep(0.2)
        return self.place.processes() == []


@contextmanager
def search(folder: Path, server: S3Server | None) -> Iterator[Search]:
    """A search that nobody has started yet; its storage is a bucket of `server`, or a folder."""
    config = {
        "raw_dataset": {"uri": str(write_transactions(folder, 3000)), **ROLES},
        "dataset_split": {"folds": 1},
        "tuning_results": {
            "trials": TRIALS,
            "max_concurrent": 2,
            "search_space": "article",
            "members": 1,
            "trial_retries": 10,
        },
    }
    if server is None:
        from pyarrow import fs

        with workplace(folder) as place:
            yield Search(place, config, Location(fs.LocalFileSystem(), str(place.folder / ".fraud_assets")))
        return
    bucket = server.make_bucket()
    with workplace(folder, **server.environment, FRAUD_STORAGE_URI=f"s3://{bucket}/graph") as place:
        yield Search(place, config, Location(_filesystem(server), f"{bucket}/graph", server.endpoint))


def _filesystem(server: S3Server) -> Any:
    from pyarrow import fs

    return fs.S3FileSystem(
        access_key=server.access_key,
        secret_key=server.secret_key,
        scheme="http",
        endpoint_override=server.endpoint.removeprefix("http://"),
        region="us-east-1",
    )


def break_and_finish(broken: Search, kills: list[Kill], of_the_model: Kill | None = None) -> list[tuple[Kill, bool]]:
    """Give the command once a kill, then until it comes to its end; returns which of them hit anything.

    A command that ends well in spite of a fault ends the search: there is nothing left to break.

    Args:
        broken: the search.
        kills: what breaks it.
        of_the_model: what breaks the fit of its model, if that is made at all.
    """
    hits = _break(broken, kills, _SEARCH)
    if not broken.violations:
        broken.check()
    if of_the_model is not None and not broken.violations:
        hits += _break(broken, [of_the_model], _MODEL)
        broken.check()
        broken.check_model()
    return hits


def _break(broken: Search, kills: list[Kill], select: str) -> list[tuple[Kill, bool]]:
    hits = []
    for kill in kills:
        code, hit, log = broken.run(kill, select)
        hits.append((kill, hit))
        if code == 0:
            return hits
        if select == _SEARCH and _SEARCHED in log:
            # Struck when Dagster knew of the result: the same command again would ask for another search.
            return hits
    code, _, log = broken.run(select=select)
    if code != 0:
        broken.violations.append(f"after {kills} the command fails: {log[-3000:]}")
    return hits
