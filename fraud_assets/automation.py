"""What starts a run when nobody is there: jobs, a schedule, sensors."""

import os

import dagster as dg

from fraud_assets.assets.catalog import GROUPS
from fraud_assets.assets.config import RawDatasetConfig, ScoredTransactionsConfig
from fraud_assets.assets.dataset import dataset_source
from fraud_assets.checks import DRIFT
from fraud_assets.conditions import status_of
from fraud_assets.object_watch import TAG_LENGTH, ObjectWatch
from fraud_assets.resources.inventory import Inventory
from fraud_assets.resources.mlflow_tracking import MlflowTracking
from fraud_assets.resources.new_data_policy import NewDataPolicy
from fraud_assets.resources.object_store import Location, ObjectStore, locate
from fraud_assets.run_config import run_config_of

# Seconds between two looks at a location.
_INTERVAL_S = int(os.environ.get("FRAUD_SENSOR_INTERVAL", "60"))
_DATA = ("raw_dataset", "dataset_split")
_MODEL = ("fraud_model", "champion_model")

_RETUNED = (*_DATA, "tuning_results", "best_params", *_MODEL)
_CONFIGS = {
    "retune_job": run_config_of(_RETUNED),
    "retrain_job": run_config_of((*_DATA, *_MODEL), {"fraud_model": {"tuned_on": "earlier_data"}}),
    "check_drift_job": run_config_of(["raw_dataset"]),
    "score_job": run_config_of(["scored_transactions"]),
}

retune_job = dg.define_asset_job(
    "retune_job",
    selection=list(_RETUNED),
    config=_CONFIGS["retune_job"],
    description="Read the data, split it, tune, log the best model, and promote it if it is surely better.",
)
retrain_job = dg.define_asset_job(
    "retrain_job",
    selection=[*_DATA, *_MODEL],
    config=_CONFIGS["retrain_job"],
    description="The best parameters stand: fit and judge them on the data as it is now, and promote the model if it "
    "is surely better.",
)
check_drift_job = dg.define_asset_job(
    "check_drift_job",
    selection=["raw_dataset"],
    config=_CONFIGS["check_drift_job"],
    description="Read the data and compare it with what the champion was trained on.",
)
_JOBS = {"retune": retune_job, "retrain": retrain_job, "check_drift": check_drift_job}

weekly_retune = dg.ScheduleDefinition(
    name="weekly_retune",
    job=retune_job,
    run_config=_CONFIGS["retune_job"],
    cron_schedule="0 3 * * 0",
    description="A search each Sunday at 03:00, whether there is new data or not. Off until somebody starts it.",
)

score_job = dg.define_asset_job(
    "score_job",
    selection=["scored_transactions"],
    config=_CONFIGS["score_job"],
    description="Score the unlabelled objects that are new or have changed with the champion.",
)


def _soon(location: Location) -> Location:
    """The same place, where a server that doesn't answer is told while the tick still lasts."""
    return locate(location.uri, attempts=2)


declarative_automation = dg.AutomationConditionSensorDefinition(
    "declarative_automation",
    target=dg.AssetSelection.groups(*GROUPS),
    default_status=status_of("declarative"),
    description="Makes what is out of date: see each asset's automation condition.",
)


@dg.sensor(jobs=list(_JOBS.values()), minimum_interval_seconds=_INTERVAL_S, default_status=status_of("sensor"))
def new_data_sensor(
    context: dg.SensorEvaluationContext, object_store: ObjectStore, new_data_policy: NewDataPolicy
) -> dg.SensorResult:
    """Retunes when enough new data has come to FRAUD_DATASET_URI, and nothing was written for a while.

    A storage that doesn't answer is a reason to skip; one that refuses, and a data set without a label, fail the tick.
    """
    location, spec = dataset_source(RawDatasetConfig(), object_store)
    job = _JOBS[new_data_policy.on_new_data]
    if job is retrain_job and context.instance.get_latest_materialization_event(dg.AssetKey("best_params")) is None:
        job = retune_job  # there are no best parameters yet
    watch = ObjectWatch(
        Inventory(_soon(object_store.root).child("sensors", context.sensor_name), _soon(location), spec),
        new_data_policy,
        job_name=job.name,
        run_config=_CONFIGS[job.name],
        busy_jobs={job.name for job in _JOBS.values()},
        busy_asset="tuning_results",
    )
    return watch.tick(context)


@dg.sensor(job=score_job, minimum_interval_seconds=_INTERVAL_S, default_status=status_of("sensor"))
def new_scoring_sensor(
    context: dg.SensorEvaluationContext, object_store: ObjectStore, new_data_policy: NewDataPolicy
) -> dg.SensorResult:
    """Scores when objects have come to FRAUD_SCORING_URI, and nothing was written for a while; as `new_data_sensor`."""
    uri = ScoredTransactionsConfig().source_uri()
    if uri is None:
        return dg.SensorResult(skip_reason="no objects to score are named: set FRAUD_SCORING_URI")
    watch = ObjectWatch(
        Inventory(_soon(object_store.root).child("sensors", context.sensor_name), _soon(locate(uri)), None),
        # Whatever comes is to be scored, and soon.
        new_data_policy.model_copy(update={"min_interval": 0.0, "min_new_rows": 0, "min_new_frauds": None}),
        job_name=score_job.name,
        run_config=_CONFIGS["score_job"],
        busy_jobs={score_job.name},
        busy_asset="scored_transactions",
    )
    return watch.tick(context)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[check_drift_job],
    request_job=retune_job,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Retunes after check_drift_job has found drift, or no champion to compare with.",
)
def drift_sensor(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
    """Retunes after check_drift_job has found drift, or no champion to compare with."""
    run = context.dagster_run
    events = context.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    evaluations = [entry.get_dagster_event().asset_check_evaluation_data for entry in events]
    (drift,) = (told for told in evaluations if told.check_name == DRIFT.name)
    compared = bool(drift.metadata)
    if drift.passed and compared:
        return dg.SkipReason(f"run {run.run_id} has found no drift")
    tags = {name: value for name, value in run.tags.items() if not name.startswith("dagster/")}
    tags |= {"drift": (drift.description or "drift")[:TAG_LENGTH]}
    return dg.RunRequest(
        run_key=run.run_id,
        job_name=retune_job.name,
        run_config=_CONFIGS["retune_job"],
        tags=tags,
    )


def _ends_abandoned_runs(name: str, status: dg.DagsterRunStatus) -> dg.SensorDefinition:
    """A sensor that ends the MLflow runs which a killed process of a run with this status has left RUNNING."""

    @dg.run_status_sensor(
        name=name,
        run_status=status,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Ends the MLflow runs that a killed process of a {_ENDED[status]} run has left RUNNING.",
    )
    def ends_abandoned_runs(context: dg.RunStatusSensorContext, mlflow: MlflowTracking) -> dg.SkipReason:
        ended = mlflow.end_abandoned(context.instance)
        return dg.SkipReason(f"ended {len(ended)} MLflow runs that nothing works on any more: {', '.join(ended)}")

    return ends_abandoned_runs


_ENDED = {dg.DagsterRunStatus.FAILURE: "failed", dg.DagsterRunStatus.CANCELED: "canceled"}
mlflow_after_failure = _ends_abandoned_runs("mlflow_after_failure", dg.DagsterRunStatus.FAILURE)
mlflow_after_cancel = _ends_abandoned_runs("mlflow_after_cancel", dg.DagsterRunStatus.CANCELED)
