"""What a daemon did with days that were delivered, as Dagster and MLflow tell it."""

import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from tests.integration.dev_server import Dev, until
from tests.integration.graph import mlflow_runs
from tests.soak.world import World

_SENSOR = "new_data_sensor"
_TICKS = """
query ($sensor: SensorSelector!) {
  sensorOrError(sensorSelector: $sensor) {
    ... on Sensor { sensorState { ticks(limit: 5000) { status timestamp skipReason runIds error { message } } } }
  }
}"""
_ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


@dataclass(frozen=True)
class Delivery:
    """A day that was written: its number from 1 on, its object, when, and whether it has the new pattern."""

    number: int
    name: str
    at: float
    changed: bool


@dataclass(frozen=True)
class Retune:
    """A run that the sensor asked for."""

    run_id: str
    status: str
    objects: int
    tags: dict[str, str]
    started: float
    champion: dict[str, Any]
    decision: str


@dataclass
class Record:
    """Follows a running daemon."""

    dev: Dev
    deliveries: list[Delivery] = field(default_factory=list)
    retunes: list[Retune] = field(default_factory=list)
    ticks: list[dict[str, Any]] = field(default_factory=list)

    def delivered(self, number: int, name: str, *, changed: bool) -> None:
        """A day was written just now."""
        self.deliveries.append(Delivery(number, name, time.time(), changed))

    def until_idle(self, within_s: float) -> None:
        """Wait until the sensor has nothing to ask for, and nothing runs."""

        def idle() -> bool:
            newest = self._ticks()[:1]
            said = (newest[0]["skipReason"] or "") if newest else ""
            return said.startswith("nothing new among") and not self._under_way()

        until(idle, within_s, "the sensor has nothing to ask for, and nothing runs")
        self._read()

    def _under_way(self) -> list[str]:
        with self.dev.place.instance() as instance:
            return [run.run_id for run in instance.get_runs() if run.status.value not in _ENDED]

    def _ticks(self) -> list[dict[str, Any]]:
        (location,) = self.dev.ask("{ workspaceOrError { ... on Workspace { locationEntries { name } } } }")[
            "workspaceOrError"
        ]["locationEntries"]
        selector = {
            "repositoryLocationName": location["name"],
            "repositoryName": "__repository__",
            "sensorName": _SENSOR,
        }
        found: list[dict[str, Any]] = self.dev.ask(_TICKS, sensor=selector)["sensorOrError"]["sensorState"]["ticks"]
        return found

    def _read(self) -> None:
        self.ticks = self._ticks()[::-1]
        with self.dev.place.instance() as instance:
            records = instance.get_run_records(dg.RunsFilter(tags={"dagster/sensor_name": _SENSOR}))
            self.retunes = [self._retune(instance, record) for record in reversed(records)]

    def _retune(self, instance: dg.DagsterInstance, record: dg.RunRecord) -> Retune:
        run = record.dagster_run
        made = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
        told: dict[str, Any] = {}
        for found in made:
            event = found.asset_materialization
            if event is not None and event.asset_key == dg.AssetKey("champion_model"):
                told = {name: value.value for name, value in event.metadata.items()}
        return Retune(
            run.run_id,
            run.status.value,
            int(run.tags["dataset_objects"]),
            dict(run.tags),
            record.create_timestamp.timestamp(),
            told,
            str(told.get("decision", "")),
        )

    def violations(self, world: World) -> list[str]:
        """What did not hold."""
        found = []
        for delivery in self.deliveries:
            if self._run_of(delivery, world) is None and not self._reasons(delivery, world):
                found.append(f"{delivery.name} was neither retuned nor skipped for a reason")
        asked = Counter(retune.tags["fraud_assets/content"] for retune in self.retunes)
        found += [f"content {content} was asked for {count} times" for content, count in asked.items() if count > 1]
        found += [f"run {r.run_id} ended as {r.status}" for r in self.retunes if r.status != "SUCCESS"]
        found += [f"a tick failed: {tick['error']}" for tick in self.ticks if tick["status"] == "FAILURE"]
        found += [f"run {run_id} is under way" for run_id in self._under_way()]
        uri = f"sqlite:///{self.dev.place.folder / '.fraud_assets' / 'mlflow.db'}"
        found += [
            f"MLflow run {r.info.run_id} is {r.info.status}" for r in mlflow_runs(uri) if r.info.status == "RUNNING"
        ]
        if left := [command for command in self.dev.place.processes() if "raylet" in command]:
            found.append(f"left over: {left}")
        if not any(r.decision == "promoted" and r.objects >= world.history + world.change for r in self.retunes):
            found.append("no model was promoted after the pattern had changed")
        return found

    def _run_of(self, delivery: Delivery, world: World) -> Retune | None:
        """The first run that saw the day."""
        return next((r for r in self.retunes if r.objects >= world.history + delivery.number), None)

    def _reasons(self, delivery: Delivery, world: World) -> list[str]:
        """Why the sensor asked for nothing between the delivery and the run that saw it."""
        run = self._run_of(delivery, world)
        end = run.started if run else time.time()
        said = [t["skipReason"] for t in self.ticks if delivery.at <= t["timestamp"] <= end and t["skipReason"]]
        return list(dict.fromkeys(_kind(reason) for reason in said))

    def table(self, world: World) -> list[str]:
        """Lines: one a delivery, one a run, and the ticks."""
        lines = ["day         fraud   retuned by  waited because"]
        for delivery in self.deliveries:
            run = self._run_of(delivery, world)
            pattern = "new" if delivery.changed else "old"
            reasons = "; ".join(self._reasons(delivery, world)) or "did not wait"
            lines.append(f"{delivery.name[:10]}  {pattern:<6}  {run.run_id[:8] if run else 'none':<10}  {reasons}")
        lines += ["", "run       objects  decision  reason"]
        for run in self.retunes:
            lines.append(f"{run.run_id[:8]}  {run.objects:>7}  {run.decision:<8}  {run.champion.get('reason', '')}")
        return [*lines, "", f"ticks of {_SENSOR}: {json.dumps(Counter(tick['status'] for tick in self.ticks))}"]


def _kind(reason: str) -> str:
    """A reason without what differs from tick to tick."""
    if "waits until nothing was written" in reason:
        return "settling"
    if match := re.match(r"run (\w{8})\S* of (\w+) is (\w+)", reason):
        return f"{match[2]} {match[1]} was {match[3]}"
    return reason.partition(":")[0][:80]
