"""A running webserver, that of `dagster dev` for one, asked as the UI asks it."""

import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Run

from tests.integration.graph import Workplace, run_config, the_study
from tests.servers import free_ports

_LAUNCH = """
mutation ($config: RunConfigData!, $assets: [AssetKeyInput!]!, $location: String!) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: $location, repositoryName: "__repository__", jobName: "__ASSET_JOB",
               assetSelection: $assets},
    runConfigData: $config
  }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
       ... on RunConfigValidationInvalid { errors { message } } }
}"""
_STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
_TERMINATE = "mutation ($id: String!) { terminateRun(runId: $id) { __typename } }"
_EVENTS = """
query ($id: ID!) {
  logsForRun(runId: $id) { ... on EventConnection { events { ... on MessageEvent { message } } } }
}"""
_LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"


@dataclass(frozen=True)
class Webserver:
    """A running webserver, with one code location."""

    port: int

    def ask(self, query: str, **variables: Any) -> Any:
        """What GraphQL answers."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            found = json.loads(answer.read())
        assert "errors" not in found, found
        return found["data"]

    def launch(self, config: dict[str, Any], assets: list[str]) -> str:
        """Launch a run as the Launchpad does; returns its id."""
        (location,) = self.ask(_LOCATIONS)["workspaceOrError"]["locationEntries"]
        keys = [{"path": [name]} for name in assets]
        answer = self.ask(_LAUNCH, config=run_config(config), assets=keys, location=location["name"])["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def status(self, run_id: str) -> str:
        return str(self.ask(_STATUS, id=run_id)["runOrError"]["status"])

    def terminate(self, run_id: str) -> None:
        """Press Terminate."""
        self.ask(_TERMINATE, id=run_id)

    def events(self, run_id: str) -> list[str]:
        """The messages of a run's log."""
        found = self.ask(_EVENTS, id=run_id)["logsForRun"]["events"]
        return [event.get("message", "") for event in found]

    def wait(self, run_id: str, wanted: set[str], within_s: float) -> str:
        """Wait until the run has one of these statuses."""
        return str(until(lambda: (s := self.status(run_id)) in wanted and s, within_s, f"{run_id} is {wanted}"))

    def loaded(self) -> bool:
        """Whether it answers, and knows its code location.

        Raises:
            OSError: it doesn't answer.
        """
        entries = self.ask(_LOCATIONS)["workspaceOrError"]["locationEntries"]
        return [entry["loadStatus"] for entry in entries] == ["LOADED"]


@dataclass(frozen=True)
class Dev(Webserver):
    """A running `dagster dev`."""

    place: Workplace
    log: list[str]

    @property
    def study(self) -> tuple[Run, list[Run]]:
        return the_study(f"sqlite:///{self.place.folder / '.fraud_assets' / 'mlflow.db'}")


def until(condition: Callable[[], Any], within_s: float, what: str) -> Any:
    """Wait for what is true in the end."""
    give_up = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < give_up, f"not within {within_s} s: {what}"
        time.sleep(0.3)
    return found


@contextmanager
def dagster_dev(place: Workplace) -> Iterator[Dev]:
    """`dagster dev` in a workplace, until the context ends."""
    with free_ports(1) as (port,):
        pass
    process = place.start("dagster", "dev", "-m", "fraud_assets.definitions", "--port", str(port))
    log: list[str] = []
    # Whoever writes to a pipe that is full waits for ever.
    assert process.stdout is not None
    threading.Thread(target=log.extend, args=(process.stdout,), daemon=True).start()
    started = Dev(port, place, log)

    def loaded() -> bool:
        try:
            return started.loaded()
        except OSError:
            assert process.poll() is None, "".join(log)
            return False

    try:
        until(loaded, 90, "dagster dev answers")
        yield started
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)
