"""What Dagster's daemon does with our sensor, step by step, on a real instance."""

from dataclasses import dataclass, field

import dagster as dg

from fraud_assets.automation import new_data_sensor
from fraud_assets.resources.new_data_policy import NewDataPolicy
from fraud_assets.resources.object_store import ObjectStore

AT_ONCE = NewDataPolicy(settle_seconds=0, min_interval=0)


@dataclass
class Daemon:
    """What Dagster's daemon does with a sensor: it evaluates ticks, makes the runs, and keeps the cursor."""

    instance: dg.DagsterInstance
    policy: NewDataPolicy = field(default_factory=lambda: AT_ONCE)
    cursor: str | None = None
    asked: list[dg.RunRequest] = field(default_factory=list)
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.SUCCESS

    def evaluate(self) -> dg.SensorResult:
        context = dg.build_sensor_context(
            self.instance,
            cursor=self.cursor,
            sensor_name="new_data_sensor",
            resources={"object_store": ObjectStore(), "new_data_policy": self.policy},
        )
        result = new_data_sensor(context)
        assert isinstance(result, dg.SensorResult)
        return result

    def tick(self, *, remembers: bool = True) -> str | None:
        """One tick; why it asked for nothing, or None. Without `remembers`, it dies before it has kept the cursor."""
        result = self.evaluate()
        for request in result.run_requests or []:
            if self.instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": str(request.run_key)})):
                continue
            self.asked.append(request)
            tags = {**request.tags, "dagster/sensor_name": "new_data_sensor", "dagster/run_key": str(request.run_key)}
            self.instance.add_run(dg.DagsterRun(job_name=str(request.job_name), tags=tags, status=self.status))
        self.cursor = result.cursor if remembers else self.cursor
        return result.skip_reason.skip_message if result.skip_reason else None
