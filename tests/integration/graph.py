"""The graph as its users run it, and what it left behind: in Dagster, in MLflow, in the storage and on the machine."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from mlflow import MlflowClient
from mlflow.entities import Run

from fraud_assets.definitions import defs
from tests.servers import REPOSITORY

SEVEN = ("accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "average_precision")
ASSETS = ("raw_dataset", "dataset_split", "tuning_results", "best_params", "fraud_model", "champion_model")
EXPERIMENT = "fraud_assets"

# What the session that runs the tests may have set for itself.
FOREIGN = ("AWS_", "DAGSTER_", "FRAUD_", "MLFLOW_", "PYTHON", "RAY_", "TUNE_")


@dataclass(frozen=True)
class Workplace:
    """A working directory and the environment of the commands that a user gives in it.

    Attributes:
        folder: empty at first.
        environment: of every command.
        ray_folder: where Ray keeps its sessions; its path marks every process that a command starts.
    """

    folder: Path
    environment: Mapping[str, str]
    ray_folder: Path

    @property
    def dagster_home(self) -> Path:
        return Path(self.environment["DAGSTER_HOME"])

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command of the virtual environment; the log goes to its stdout."""
        program = Path(sysconfig.get_path("scripts")) / command[0]
        return subprocess.Popen(
            [str(program), *command[1:]], cwd=self.folder, env={**self.environment, **environment}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def run(self, *command: str, timeout_s: float = 400, **environment: str) -> "Finished":
        """Run a command to its end."""
        process = self.start(*command, **environment)
        try:
            log, _ = process.communicate(timeout=timeout_s)
        finally:
            process.kill()
        return Finished(process.returncode, log)

    def start_materialize(
        self, select: str = "*", config: Mapping[str, Any] | None = None, **environment: str
    ) -> subprocess.Popen[str]:
        """Start `dagster asset materialize` with the configuration of assets by their names."""
        file = self.dagster_home / "config.yaml"
        file.write_text(json.dumps(run_config(config or {})))
        command = ["dagster", "asset", "materialize", "--select", select, "-m", "fraud_assets.definitions"]
        return self.start(*command, "-c", str(file), **environment)

    def materialize(
        self, select: str = "*", config: Mapping[str, Any] | None = None, *, timeout_s: float = 400, **environment: str
    ) -> "Finished":
        """Run `dagster asset materialize` to its end."""
        process = self.start_materialize(select, config, **environment)
        try:
            log, _ = process.communicate(timeout=timeout_s)
        finally:
            process.kill()
        return Finished(process.returncode, log)

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """The Dagster instance of the commands."""
        with dg.DagsterInstance.from_config(str(self.dagster_home)) as instance:
            yield instance

    def processes(self) -> list[str]:
        """Command lines of what runs on this machine and was started from here, by whomever."""
        mark = str(self.ray_folder).encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                seen = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
                zombie = (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:  # it ended meanwhile
                continue
            if mark in seen and not zombie:
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        return found


@dataclass(frozen=True)
class Finished:
    """A command that ended, and what it printed."""

    code: int
    log: str


@contextmanager
def workplace(folder: Path, **environment: str) -> Iterator[Workplace]:
    """An empty working directory with its own home, Dagster instance and Ray."""
    # The path of a socket can't be long, and pytest's folders are.
    ray_folder = Path(tempfile.mkdtemp(prefix="fraud-"))
    home, work = folder / "home", folder / "work"
    (home / "dagster").mkdir(parents=True)
    work.mkdir()
    shutil.copy(REPOSITORY / "deploy" / "dagster.yaml", home / "dagster")
    own = {
        "HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
        "RAY_TMPDIR": str(ray_folder),
        # The code that these tests stand beside, whatever is installed.
        "PYTHONPATH": str(REPOSITORY),
        "no_proxy": "127.0.0.1,localhost",
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    try:
        yield Workplace(work, {**clean, **own, **environment}, ray_folder)
    finally:
        shutil.rmtree(ray_folder, ignore_errors=True)


def run_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dagster's run config: what is called like an asset is configuration of that asset, the rest is taken as it is."""
    ops = {name: {"config": dict(value)} for name, value in config.items() if name in ASSETS}
    rest = {name: value for name, value in config.items() if name not in ASSETS}
    return {**({"ops": ops} if ops else {}), **rest}


@dataclass(frozen=True)
class Outcome:
    """A Dagster run.

    Attributes:
        messages: what each failed step raised.
        materialized: the assets that it made, in order.
        log: every message and error of the run's event log.
    """

    success: bool
    messages: dict[str, str]
    materialized: list[str]
    log: str


def materialize(
    config: Mapping[str, Any] | None = None,
    select: Sequence[str] = ASSETS,
    instance: dg.DagsterInstance | None = None,
) -> Outcome:
    """Materialize assets of the code location in this process, with the resources that it defines."""
    with instance or dg.DagsterInstance.ephemeral() as used:
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            run_config=run_config(config or {}),
            asset_selection=[dg.AssetKey(name) for name in select],
            instance=used,
            raise_on_error=False,
        )
        return outcome(used, result.run_id)


def outcome(instance: dg.DagsterInstance, run_id: str) -> Outcome:
    """What became of a run."""
    entries = instance.all_logs(run_id)
    messages, materialized = {}, []
    for entry in entries:
        event = entry.dagster_event
        if event is not None and event.is_step_failure:
            error = event.step_failure_data.error
            if error is not None and error.cause is not None:
                error = error.cause
            messages[str(event.step_key)] = error.message if error is not None else ""
        if event is not None and event.is_step_materialization and event.asset_key is not None:
            materialized.append(event.asset_key.to_user_string())
    run = instance.get_run_by_id(run_id)
    success = run is not None and run.status == dg.DagsterRunStatus.SUCCESS
    errors = [
        getattr(entry.dagster_event and entry.dagster_event.event_specific_data, "error", None) for entry in entries
    ]
    told = [entry.user_message for entry in entries] + [error.to_string() for error in errors if error is not None]
    return Outcome(success, messages, materialized, "\n".join(told))


def mlflow_runs(uri: str) -> list[Run]:
    """All runs of our experiment."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id], max_results=1000))


def the_study(uri: str, before: Collection[str] = ()) -> tuple[Run, list[Run]]:
    """The only parent of our experiment and its children; fails if there is another parent or a stray child.

    Args:
        uri: of the tracking server.
        before: ids of runs that were there before.
    """
    runs = [run for run in mlflow_runs(uri) if run.info.run_id not in before]
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} <= {parent.info.run_id}
    return parent, children


def holdout(parent: Run) -> dict[str, float]:
    """What the holdout says of the model, by the name of the metric."""
    prefix = "holdout_"
    return {name.removeprefix(prefix): value for name, value in parent.data.metrics.items() if name.startswith(prefix)}


def statuses(runs: Sequence[Run]) -> list[str]:
    return sorted(run.info.status for run in runs)


def stored_json(folder: Path, asset: str) -> dict[str, Any]:
    """The value of an asset in the storage at `folder`."""
    value: dict[str, Any] = json.loads((folder / "assets" / f"{asset}.json").read_text())
    return value


def python(code: str, *options: str, folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run Python code in another process and folder; returns what it prints."""
    done = subprocess.run(
        [sys.executable, *options, "-c", code], cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
