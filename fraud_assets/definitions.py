"""The code location: it lists, it defines nothing."""

import dagster as dg

from fraud_assets.assets import champion, dataset, model, scoring, tuning
from fraud_assets.automation import (
    check_drift_job,
    declarative_automation,
    drift_sensor,
    mlflow_after_cancel,
    mlflow_after_failure,
    new_data_sensor,
    new_scoring_sensor,
    retrain_job,
    retune_job,
    score_job,
    weekly_retune,
)
from fraud_assets.executor import step_executor
from fraud_assets.io_manager import JsonIOManager, ParquetIOManager
from fraud_assets.notifications import notify_champion, notify_failure
from fraud_assets.resources.mlflow_tracking import MlflowTracking
from fraud_assets.resources.new_data_policy import NewDataPolicy
from fraud_assets.resources.object_store import ObjectStore
from fraud_assets.resources.optuna_storage import OptunaStorage
from fraud_assets.resources.ray_tune import RayTune
from fraud_assets.resources.webhook import Webhook

object_store = ObjectStore.configure_at_launch()

defs = dg.Definitions(
    assets=dg.load_assets_from_modules([dataset, tuning, model, champion, scoring]),
    jobs=[retune_job, retrain_job, check_drift_job, score_job],
    schedules=[weekly_retune],
    sensors=[
        new_data_sensor,
        new_scoring_sensor,
        declarative_automation,
        drift_sensor,
        mlflow_after_failure,
        mlflow_after_cancel,
        notify_failure,
        notify_champion,
    ],
    executor=step_executor,
    resources={
        "object_store": object_store,
        "parquet": ParquetIOManager(store=object_store),
        "json": JsonIOManager(store=object_store),
        "ray": RayTune.configure_at_launch(),
        "new_data_policy": NewDataPolicy.from_environment(),
        "mlflow": MlflowTracking.configure_at_launch(),
        "optuna": OptunaStorage.configure_at_launch(),
        "webhook": Webhook(),
    },
)
