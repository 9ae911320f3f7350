"""Who is told when nobody looks: sensors that call a webhook when a run fails, and when a champion is decided on.

Both are Dagster's run-status sensors. Each goes through the finished runs of this code location in order, with a cursor
of its own, which begins at its first tick: what happened before is not told.

How Dagster 1.13.27 treats an exception (`RunStatusSensorDefinition`, `dagster._daemon.sensor`): it becomes a
`DagsterRunReaction` with an error, the tick fails, the cursor moves on all the same, and the run is not tried again.
After an exception, but not after a value that is returned, the same tick goes on to the next runs, up to five. What
these return must then not be a `SkipReason`: beside a reaction Dagster refuses that, keeps the old cursor, and tells of
the same runs at every tick. A reaction without an error makes a failed tick a success. Therefore these sensors raise no
`WebhookError`: they return that reaction themselves. A tick deals with one run, fails if that was not delivered, and
the next tick begins after it; the webhook itself is tried several times (`Webhook.send`). A run is told of twice only
if the daemon dies between the webhook's answer and the end of the tick.
"""

import re
from collections.abc import Mapping

import dagster as dg
from dagster._core.definitions.run_request import DagsterRunReaction
from dagster_shared.error import SerializableErrorInfo

from fraud_assets.ml.uri import without_credentials
from fraud_assets.resources.notification import Event, Notification
from fraud_assets.resources.provenance import dagster_run_url
from fraud_assets.resources.webhook import URL, Webhook, WebhookError

_CHAMPION = dg.AssetKey("champion_model")
_DECISIONS: Mapping[str, tuple[Event, str]] = {
    "promoted": ("promotion", "A challenger was promoted to champion"),
    "kept": ("refusal", "A challenger was refused, the champion stays"),
    "rolled_back": ("rollback", "The champion was rolled back"),
}
_VERSIONS = ("champion", "challenger", "model")
_LONGEST_TEXT = 500
_INTERVAL_S = 10  # a tick tells of one run


@dg.run_failure_sensor(
    minimum_interval_seconds=_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=f"Tells the webhook of {URL} which run failed, where, and why.",
)
def notify_failure(context: dg.RunFailureSensorContext, webhook: Webhook) -> dg.SkipReason | DagsterRunReaction:
    """Tells the webhook which run failed, where, and why; and what became of the champion, if the run got that far."""
    if not webhook.is_set:
        return dg.SkipReason(f"{URL} is not set")
    return _tell(context, webhook, failure(context))


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    minimum_interval_seconds=_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=f"Tells the webhook of {URL} whether a challenger became champion, and why.",
)
def notify_champion(context: dg.RunStatusSensorContext, webhook: Webhook) -> dg.SkipReason | DagsterRunReaction:
    """Tells the webhook whether a challenger became champion, and why."""
    if not webhook.is_set:
        return dg.SkipReason(f"{URL} is not set")
    said = champion_metadata(context)
    if said is None:
        return dg.SkipReason(f"run {context.dagster_run.run_id} did not materialize champion_model")
    if said.get("decision") == "unchanged":
        return dg.SkipReason(f"run {context.dagster_run.run_id} left the champion as it was: {said.get('reason')}")
    if said.get("decision") not in _DECISIONS:
        known = ", ".join(_DECISIONS)
        return _failed(context, f"champion_model says decision {said.get('decision')!r}, which is none of {known}")
    return _tell(context, webhook, decision(context, said))


def failure(context: dg.RunFailureSensorContext) -> Notification:
    """What is told of a failed run."""
    steps = context.get_step_failure_events()
    text = _sentence(_cause(steps[0] if steps else context.failure_event))
    job = context.dagster_run.job_name
    names = ", ".join(str(step.step_key) for step in steps)
    said = champion_metadata(context) or {}
    return Notification(
        event="failure",
        title=f"{job} failed at {names}" if steps else f"{job} failed",
        text=text,
        fields={
            **_run(context),
            **({"step": names} if steps else {}),
            **_facts(said, "decision", "reason", *_VERSIONS),
        },
        links=_links(context, said),
    )


def decision(context: dg.RunStatusSensorContext, said: Mapping[str, str]) -> Notification:
    """What is told of a decision on the champion; `said` is the metadata of `champion_model`."""
    event, title = _DECISIONS[said["decision"]]
    return Notification(
        event=event,
        title=title,
        text=said.get("reason", ""),
        fields={**_run(context), **_facts(said, *_VERSIONS)},
        links=_links(context, said),
    )


def champion_metadata(context: dg.RunStatusSensorContext) -> dict[str, str] | None:
    """The metadata of the run's materialization of `champion_model` as texts, or None if it made none."""
    records = context.instance.get_records_for_run(
        context.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION, ascending=False
    ).records
    for record in records:
        made = record.asset_materialization
        if made is not None and made.asset_key == _CHAMPION:
            return {name: _limited(str(value.value)) for name, value in made.metadata.items()}
    return None


def _tell(
    context: dg.RunStatusSensorContext, webhook: Webhook, notification: Notification
) -> dg.SkipReason | DagsterRunReaction:
    try:
        host = webhook.send(notification)
    except WebhookError as error:
        return _failed(context, str(error))
    return dg.SkipReason(f"told {host} of the {notification.event} of run {context.dagster_run.run_id}")


def _failed(context: dg.RunStatusSensorContext, message: str) -> DagsterRunReaction:
    """A failed tick that leaves the run behind; see the top of the module."""
    error = SerializableErrorInfo(f"{message} (run {context.dagster_run.run_id})", stack=[], cls_name=None)
    return DagsterRunReaction(context.dagster_run, error=error, run_status=context.dagster_run.status)


def _run(context: dg.RunStatusSensorContext) -> dict[str, str]:
    return {"job": context.dagster_run.job_name, "run": context.dagster_run.run_id}


def _facts(said: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: said[name] for name in names if said.get(name)}


def _links(context: dg.RunStatusSensorContext, said: Mapping[str, str]) -> dict[str, str]:
    links = {}
    if url := dagster_run_url(context.dagster_run.run_id):
        links["Dagster run"] = url
    parent = said.get("MLflow parent run", "")
    if parent.startswith(("http://", "https://")):
        links["MLflow parent run"] = parent
    return links


def _cause(event: dg.DagsterEvent) -> str:
    """What the user's code raised, with the name of its class; else what Dagster says itself."""
    error = getattr(event.event_specific_data, "error", None)
    if error is None:
        return event.message or ""
    raised = error.cause or error
    text = str(raised.message)
    return re.sub(rf"^\S*\b{re.escape(raised.cls_name)}(?=:|$)", raised.cls_name, text) if raised.cls_name else text


def _sentence(text: str) -> str:
    """The first sentence of `text`, without credentials."""
    return _limited(re.split(r"(?<=[.!?])\s|\n", text.strip(), maxsplit=1)[0])


def _limited(text: str) -> str:
    safe = without_credentials(text)
    return safe if len(safe) <= _LONGEST_TEXT else f"{safe[: _LONGEST_TEXT - 1]}…"
