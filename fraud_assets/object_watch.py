"""The decision of a sensor that watches a folder of objects: ask for a run, or say why not."""

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import dagster as dg

from fraud_assets.ml.ingest.objects import StoredObject, list_objects
from fraud_assets.ml.new_data import NewData, content, listing
from fraud_assets.ml.schema import DataError
from fraud_assets.resources.inventory import Inventory
from fraud_assets.resources.new_data_policy import NewDataPolicy
from fraud_assets.resources.object_store import StorageAwayError, check_access, explain_errors

CONTENT_TAG = "fraud_assets/content"
_SENSOR_TAG = "dagster/sensor_name"
# Of a tag, so that the run's page stays readable.
TAG_LENGTH = 250
_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True)
class Cursor:
    """What a sensor remembers from tick to tick, however many objects there are.

    Attributes:
        listing: digest of path, size and time of all objects at the last tick.
        since: when these were first seen so, in seconds since 1970 by our own clock: the server's may be wrong.
        asked: digest of what the objects held when a run was last asked for.
        over: why nothing is to be done until something is written again, else None.
    """

    listing: str = ""
    since: float = 0.0
    asked: str | None = None
    over: str | None = None

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """The inverse of `to_json`; an empty one where there is none."""
        return cls(**json.loads(text)) if text else cls()

    def to_json(self) -> str:
        """As Dagster keeps it."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class ObjectWatch:
    """Watches the objects of a location.

    The run key is made of what the objects hold, and of the run that was last asked for; the tag `fraud_assets/content`
    of that run, in Dagster's own database, says what it was asked for. So a sensor whose cursor was reset, or whose
    daemon died between asking and remembering, asks for nothing twice; and data that was there before, then changed,
    and is now as it was, is asked for again.

    Attributes:
        inventory: what is known of the objects.
        policy: when a run is asked for.
        job_name: the job that is asked for.
        run_config: its configuration.
        busy_jobs: no run is asked for while one of these waits or runs, or one of `busy_asset`.
        busy_asset: as above, in a run that somebody started by hand.
    """

    inventory: Inventory
    policy: NewDataPolicy
    job_name: str
    run_config: Mapping[str, Any]
    busy_jobs: Collection[str]
    busy_asset: str

    def tick(self, context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Look once.

        Raises:
            StorageError: the storage refuses: keys or names are wrong. A storage that is away is a reason to skip.
        """
        cursor = Cursor.parse(context.cursor)
        try:
            return self._tick(context, cursor)
        except StorageAwayError as error:
            return _skip(cursor, str(error))

    def _tick(self, context: dg.SensorEvaluationContext, cursor: Cursor) -> dg.SensorResult:
        source, policy = self.inventory.source, self.policy
        try:
            with explain_errors(source):
                objects = list_objects(source.filesystem, source.path, source.uri)
        except DataError as error:
            # There is no data yet; or no such bucket, which looks the same in a listing, and is somebody's mistake.
            check_access(source)
            return _skip(cursor, str(error))
        cursor = _listed(cursor, objects)
        if cursor.over is not None:
            return _skip(cursor, cursor.over)
        quiet = time.time() - cursor.since
        if quiet < policy.settle_seconds:
            return _skip(
                cursor,
                f"{len(objects)} objects in {source.uri}, the last change was seen {quiet:.0f} s ago: waits until "
                f"nothing was written for {policy.settle_seconds:g} s",
            )
        state = self.inventory.inspect(objects, policy.tick_seconds)
        if len(state) < len(objects):
            return _skip(cursor, f"has read {len(state)} of {len(objects)} objects so far, and goes on")
        now = content(state)
        last = _last_asked(context)
        asked = last.tags.get(CONTENT_TAG) if last is not None else cursor.asked
        if now in (asked, cursor.asked):
            return _over(cursor, f"nothing new among the {len(objects)} objects of {source.uri}")
        new = NewData.between(self.inventory.asked(asked), state)
        told = new.told(source.path)
        if not policy.enough(new.rows, new.frauds) and not new.problems:
            return _over(cursor, f"too little for a run, which takes {policy.wanted}: {told}")
        if waits := self._waits_for(context):
            return _skip(cursor, f"{waits}; then: {told}")
        self.inventory.keep_asked(now, state, before=asked)
        context.log.info(f"asks for {self.job_name}: {told}")
        tags = {CONTENT_TAG: now, "dataset_uri": source.uri, "dataset_objects": str(len(objects))}
        tags |= {"new_rows": str(new.rows), "new_frauds": str(new.frauds)}
        tags |= {f"{kind}_objects": names[:TAG_LENGTH] for kind, names in new.named(source.path).items()}
        # An object that can't be read fails the run, with the reason: nobody would look for it in a tick.
        tags |= {"problem": new.problems[0][:TAG_LENGTH]} if new.problems else {}
        request = dg.RunRequest(
            run_key=f"{now}-after-{last.run_id if last is not None else 'nothing'}",
            job_name=self.job_name,
            run_config=self.run_config,
            tags=tags,
        )
        return dg.SensorResult(run_requests=[request], cursor=replace(cursor, asked=now, over=None).to_json())

    def _waits_for(self, context: dg.SensorEvaluationContext) -> str | None:
        """Why a run has to wait, though there is enough new data."""
        for run in context.instance.get_runs(dg.RunsFilter(statuses=_UNDER_WAY)):
            selected = {key.to_user_string() for key in run.asset_selection or ()}
            if run.job_name in self.busy_jobs or self.busy_asset in selected:
                return f"run {run.run_id} of {run.job_name} is {run.status.value.lower()}"
        newest = [
            record.create_timestamp.timestamp()
            for job in sorted(self.busy_jobs)
            for record in context.instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)
        ]
        past = time.time() - max(newest, default=0.0)
        if 0 <= past < self.policy.min_interval:
            return f"the last run began {past:.0f} s ago, and min_interval is {self.policy.min_interval:g} s"
        return None


def _listed(cursor: Cursor, objects: Collection[StoredObject]) -> Cursor:
    """The cursor after a look at the objects: since when they have been as they are."""
    seen, now = listing({stored.path: (stored.size, stored.modified) for stored in objects}), time.time()
    # Our own clock may have been set back.
    if seen != cursor.listing or cursor.since > now:
        return Cursor(seen, now, cursor.asked)
    return cursor


def _last_asked(context: dg.SensorEvaluationContext) -> dg.DagsterRun | None:
    """The newest run that this sensor has asked for, as far as Dagster knows."""
    found = context.instance.get_runs(dg.RunsFilter(tags={_SENSOR_TAG: context.sensor_name}), limit=1)
    return found[0] if found else None


def _skip(cursor: Cursor, reason: str) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason, cursor=cursor.to_json())


def _over(cursor: Cursor, reason: str) -> dg.SensorResult:
    """Skip, and from now on without reading anything, until something is written."""
    return _skip(replace(cursor, over=reason), reason)
