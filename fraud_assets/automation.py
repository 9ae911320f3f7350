"""What starts a run when nobody is there: jobs and sensors."""

import dagster as dg

from fraud_assets.assets.config import RawDatasetConfig
from fraud_assets.assets.dataset import dataset_location
from fraud_assets.ml.identity import digest
from fraud_assets.ml.ingest.objects import list_objects
from fraud_assets.ml.schema import DataError
from fraud_assets.resources.mlflow_tracking import MlflowTracking
from fraud_assets.resources.object_store import ObjectStore, explain_errors

retune_job = dg.define_asset_job(
    "retune_job",
    selection=dg.AssetSelection.groups("fraud") - dg.AssetSelection.assets("scored_transactions"),
    description="Read the data, split it, tune, and log the best model.",
)

score_job = dg.define_asset_job(
    "score_job",
    selection=["scored_transactions"],
    description="Score the unlabelled objects that are new or have changed with the champion.",
)


@dg.sensor(job=retune_job, minimum_interval_seconds=60)
def new_data_sensor(context: dg.SensorEvaluationContext, object_store: ObjectStore) -> dg.SensorResult:
    """Retunes when the objects of FRAUD_DATASET_URI are others than at the last look.

    The run's key comes from paths, sizes and times of change, so that a sensor that lost its cursor asks for nothing
    twice. A storage that refuses fails the tick.
    """
    location = dataset_location(RawDatasetConfig(), object_store)
    try:
        with explain_errors(location):
            objects = list_objects(location.filesystem, location.path, location.uri)
    except DataError as error:
        return dg.SensorResult(skip_reason=str(error))
    seen = digest([[found.path, found.size, found.modified] for found in objects])
    if seen == context.cursor:
        return dg.SensorResult(skip_reason=f"nothing new among the {len(objects)} objects of {location.uri}")
    tags = {"dataset_uri": location.uri, "dataset_objects": str(len(objects))}
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=seen, tags=tags)], cursor=seen)


def _end_abandoned(context: dg.RunStatusSensorContext, mlflow: MlflowTracking) -> dg.SkipReason:
    ended = mlflow.end_abandoned(context.instance)
    return dg.SkipReason(f"ended {len(ended)} MLflow runs that nothing works on any more: {', '.join(ended)}")


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.FAILURE,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends the MLflow runs that a killed process of a failed run has left RUNNING.",
)
def mlflow_after_failure(context: dg.RunStatusSensorContext, mlflow: MlflowTracking) -> dg.SkipReason:
    """Ends the MLflow runs that a killed process of a failed run has left RUNNING."""
    return _end_abandoned(context, mlflow)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.CANCELED,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends the MLflow runs that a killed process of a canceled run has left RUNNING.",
)
def mlflow_after_cancel(context: dg.RunStatusSensorContext, mlflow: MlflowTracking) -> dg.SkipReason:
    """Ends the MLflow runs that a killed process of a canceled run has left RUNNING."""
    return _end_abandoned(context, mlflow)
