"""A search that goes on where an earlier run of it was interrupted."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import dagster as dg

from fraud_assets.assets.progress import ProgressLog
from fraud_assets.io_manager import ParquetIOManager
from fraud_assets.metadata import link
from fraud_assets.resources.background import Background
from fraud_assets.resources.experiments import ExperimentFolder, open_experiment
from fraud_assets.resources.failure_limit import FailureLimit
from fraud_assets.resources.interrupts import interrupted_once
from fraud_assets.resources.journal import Journal
from fraud_assets.resources.lease import Lease, LeaseTakenError, Watch
from fraud_assets.resources.mlflow_tracking import MlflowTracking, ParentRun
from fraud_assets.resources.object_store import ObjectStore
from fraud_assets.resources.optuna_storage import OpenStorage
from fraud_assets.resources.optuna_view import Watched, watched_study
from fraud_assets.resources.provenance import dagster_tags
from fraud_assets.resources.ray_tune import Experiment, RayTune
from fraud_assets.resources.trials import TrialRecord

_TOKEN_TAG = "fraud_assets.experiment_token"


@dataclass(frozen=True)
class OpenExperiment:
    """An experiment while a run works on it, and no other does.

    Attributes:
        folder: its place in the storage.
        lease: that says so.
        journal: what became of its trials in earlier runs.
        parent: its run in MLflow.
        dashboard: the address of Ray's dashboard, None where none runs.
    """

    folder: ExperimentFolder
    lease: Lease
    journal: Journal
    parent: ParentRun
    dashboard: str | None


@contextmanager
def opened_experiment(
    context: dg.AssetExecutionContext,
    object_store: ObjectStore,
    ray: RayTune,
    mlflow: MlflowTracking,
    *,
    label: str,
    experiment_id: str,
    tags: Mapping[str, str],
) -> Iterator[OpenExperiment]:
    """Open the unfinished experiment with this id, or a new one; connected to Ray, which is told of before MLflow.

    Raises:
        LeaseTakenError: another run works on it.
        StorageError: the storage refused it.
        ConnectionError: Ray doesn't answer.
        MlflowException: MLflow doesn't answer, or refuses.
    """
    result = ParquetIOManager(store=object_store).location(context.asset_key.to_user_string())
    was_killed = partial(_was_killed, context.instance, context.asset_key)
    folder = open_experiment(object_store.child("tune"), label, experiment_id, result, was_killed)
    held = folder.lease.held(context.run.run_id, is_over=partial(_is_over, context.instance))
    with interrupted_once(), held as lease:
        if folder.is_over(result, was_killed):
            raise LeaseTakenError(f"another run has just ended experiment {folder.name}: start again for a new one")
        with ray.connect(meanwhile=mlflow.prepare) as dashboard:
            # Kept before there is a run that bears the token.
            state = folder.update(dagster_run_id=context.run.run_id)
            own = {
                "experiment": folder.name,
                "experiment_id": experiment_id,
                _TOKEN_TAG: state.token,
                **dagster_tags("tuning_results", context.run.run_id),
            }
            parent_id = mlflow.find_run(state.mlflow_run_id, _TOKEN_TAG, state.token)
            with mlflow.parent_run(parent_id, name=folder.name, tags={**own, **tags}) as parent:
                folder.update(mlflow_run_id=parent.run_id)
                yield OpenExperiment(folder, lease, folder.journal(), parent, dashboard)


def search(
    context: dg.AssetExecutionContext,
    opened: OpenExperiment,
    ray: RayTune,
    experiment: Experiment,
    failures: FailureLimit,
    optuna_storage: OpenStorage | None = None,
) -> tuple[list[TrialRecord], dict[str, str]]:
    """Do what is left of a search.

    Trials that ended are kept, and Optuna is told of them. Those that were under way are started anew, before anything
    new is suggested.

    Args:
        context: of the step, whose log and asset tell of the search.
        opened: the experiment.
        ray: connected.
        experiment: the whole of the search, as if nothing had been done; its name and storage don't matter.
        failures: how many of its trials may fail.
        optuna_storage: where people watch it, if anywhere.

    Returns:
        All trials, and the id of each one's run in MLflow by the trial's id.

    Raises:
        RuntimeError: MLflow refused the record of a trial.
        TooManyFailedTrialsError: hardly anything else came of the trials.
        StorageError: the storage refused it.
        OptunaStorageError: the storage in which it is to be watched refused the study, before any trial.
    """
    folder, journal = opened.folder, opened.journal
    before, left = journal.ended, experiment.trials - len(journal.ended)
    context.log.info(
        f"experiment {folder.name}: {experiment.trials} trials, {len(before)} of them ended in earlier runs; "
        f"MLflow parent run {opened.parent.run_id}"
    )
    with (
        watched_study(optuna_storage, _watched(opened, experiment), before, context.log) as views,
        opened.parent.child_runs() as children,
    ):
        children.go_on(before, journal.interrupted)
        trials = list(before)
        if left > 0:
            attempt = folder.next_attempt()
            point = experiment.space.point
            again = [again for trial in journal.interrupted if (again := point(trial.params)) is not None]
            rest = replace(
                experiment,
                name=f"attempt-{attempt}",
                storage=folder.location,
                points=[*again, *experiment.points[journal.numbered :]],
                trials=left,
                # The seed of the first attempt would suggest what was suggested then.
                seed=experiment.seed + attempt - 1,
                told=[(told, trial) for trial in before if (told := point(trial.params)) is not None],
            )
            observe = partial(_observe, context, _links(opened))
            progress = ProgressLog(context.log, experiment.metric, experiment.trials, before, observe)
            with Background([journal, *views, children]) as record:
                trials += ray.run(rest, [Watch(opened.lease), failures, progress, record])
    folder.update(outcome="searched")
    return trials, children.run_ids


def _watched(opened: OpenExperiment, experiment: Experiment) -> Watched:
    state = opened.folder.state()
    attributes = {
        "experiment_id": state.experiment_id,
        "mlflow_parent_run_id": opened.parent.run_id,
        "dagster_run_id": state.dagster_run_id or "",
    }
    objectives = [experiment.metric, *([experiment.second] if experiment.second else [])]
    return Watched(opened.folder.name, state.token, attributes, objectives, experiment.space)


def _links(opened: OpenExperiment) -> dict[str, dg.MetadataValue]:
    """Where more of a search can be seen while it goes on."""
    links: dict[str, dg.MetadataValue] = {"MLflow parent run": link(opened.parent.url, opened.parent.run_id)}
    if opened.dashboard is not None:
        links["Ray dashboard"] = dg.MetadataValue.url(opened.dashboard)
    return links


def _observe(
    context: dg.AssetExecutionContext, links: Mapping[str, dg.MetadataValue], progress: Mapping[str, float | str]
) -> None:
    """Show how far a search is on the asset's page."""
    context.log_event(dg.AssetObservation(context.asset_key, metadata={**progress, **links}))


def _is_over(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether Dagster knows that a run has ended; it knows nothing of one of another instance."""
    run = instance.get_run_by_id(run_id)
    return run is not None and run.is_finished


def _was_killed(instance: dg.DagsterInstance, asset: dg.AssetKey, run_id: str) -> bool:
    """Whether Dagster knows a run, but not that it has made the asset."""
    if instance.get_run_by_id(run_id) is None:
        return False
    made = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    return all(record.asset_key != asset for record in made)
