"""MLflow runs that say RUNNING though nothing works on them any more: what a killed process could not write."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from fraud_assets.resources.owner import Owner

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

OWNER_TAG = "fraud_assets.owner"
_PARENT = "mlflow.parentRunId"
_PAGE = 1000

# The MLflow status for what became of a Dagster run, by its id; None of one that goes on, or that nobody knows.
EndedAs = Callable[[str], str | None]


def owner_tag(owner: Owner) -> dict[str, str]:
    """The tag of a run by which others see whether its owner still works on it."""
    return {OWNER_TAG: json.dumps(asdict(owner))}


def end_abandoned(client: "MlflowClient", experiment_id: str, ended_as: EndedAs) -> list[str]:
    """End the parents and children of an experiment that are RUNNING, while their owner has died or ended.

    A run with an owner, which is a parent or the child of a model that was fitted again, gets the status that the
    owner's Dagster run came to, or FAILED where its process has died without one. The child of a trial is KILLED, as
    its trial was. A run that nobody of ours made is left alone, and so is one whose owner may live.

    Returns:
        The ids of the runs that were ended.

    Raises:
        MlflowException: the server doesn't answer, or refuses.
    """
    running = list(_running(client, experiment_id))
    ended: dict[str, str] = {}
    for run in running:
        if (status := _ended_as(run, ended_as)) is not None:
            ended[run.info.run_id] = status
    for run in running:
        parent = run.data.tags.get(_PARENT)
        if parent is not None and OWNER_TAG not in run.data.tags and (parent in ended or _is_orphan(client, parent)):
            ended[run.info.run_id] = "KILLED"
    # Children first: as long as their parent is RUNNING, a next time finds them by it.
    for run_id, status in reversed(ended.items()):
        client.set_terminated(run_id, status, int(time.time() * 1000))
    return list(ended)


def _running(client: "MlflowClient", experiment_id: str) -> "Iterator[Run]":
    token = None
    while True:
        page = client.search_runs([experiment_id], "attributes.status = 'RUNNING'", max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _ended_as(run: "Run", ended_as: EndedAs) -> str | None:
    """What a RUNNING run should say; None where it may be right, or has no owner."""
    tag = run.data.tags.get(OWNER_TAG)
    if tag is None:
        return None
    owner = Owner(**json.loads(tag))
    return ended_as(owner.run_id) or ("FAILED" if owner.has_died else None)


def _is_orphan(client: "MlflowClient", parent: str) -> bool:
    """Whether the parent of a RUNNING child is one of ours, and has ended."""
    run = client.get_run(parent)
    return OWNER_TAG in run.data.tags and run.info.status != "RUNNING"
