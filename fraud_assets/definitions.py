"""The code location: it lists, it defines nothing."""

import dagster as dg

from fraud_assets.assets import dataset, model, scoring, tuning
from fraud_assets.automation import mlflow_after_cancel, mlflow_after_failure, new_data_sensor, retune_job, score_job
from fraud_assets.executor import step_executor
from fraud_assets.io_manager import JsonIOManager, ParquetIOManager
from fraud_assets.resources.mlflow_tracking import MlflowTracking
from fraud_assets.resources.object_store import ObjectStore
from fraud_assets.resources.ray_tune import RayTune

object_store = ObjectStore.configure_at_launch()

defs = dg.Definitions(
    assets=dg.load_assets_from_modules([dataset, tuning, model, scoring]),
    jobs=[retune_job, score_job],
    sensors=[new_data_sensor, mlflow_after_failure, mlflow_after_cancel],
    executor=step_executor,
    resources={
        "object_store": object_store,
        "parquet": ParquetIOManager(store=object_store),
        "json": JsonIOManager(store=object_store),
        "ray": RayTune.configure_at_launch(),
        "mlflow": MlflowTracking.configure_at_launch(),
    },
)
