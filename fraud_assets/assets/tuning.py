"""The search for the best configuration, and what it found."""

from dataclasses import asdict
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa

from fraud_assets.assets.config import TuningConfig, validate_run_config
from fraud_assets.assets.progress import ProgressLog
from fraud_assets.metadata import pictures, png_files, table
from fraud_assets.ml.evaluate import direction
from fraud_assets.ml.identity import digest
from fraud_assets.ml.schema import Dataset, read_info, with_info
from fraud_assets.ml.search_space import SearchSpace, resolve_search_space
from fraud_assets.resources.mlflow_tracking import MlflowTracking
from fraud_assets.resources.object_store import ObjectStore
from fraud_assets.resources.ray_tune import Experiment, RayTune

# What a trial does with its configuration; a new number makes new experiments of what was the same one before.
TRIAL_CODE_VERSION = "1"
_TOP = 10


def experiment_id(split_version: str, space: SearchSpace, config: TuningConfig) -> str:
    """Digest of what decides an experiment: data and split, search space, settings, and the code of a trial."""
    return digest([split_version, space.name, config.model_dump(), TRIAL_CODE_VERSION])


@dg.asset(
    io_manager_key="parquet", group_name="fraud", kinds={"ray", "optuna", "mlflow"}, code_version=TRIAL_CODE_VERSION
)
def tuning_results(
    context: dg.AssetExecutionContext,
    config: TuningConfig,
    raw_dataset: pa.Table,
    dataset_split: pa.Table,
    object_store: ObjectStore,
    ray: RayTune,
    mlflow: MlflowTracking,
) -> dg.MaterializeResult[pa.Table]:
    """Every trial of the search on Ray Tune: configuration, metrics, status; each one a child run in MLflow."""
    from fraud_assets.ml.result_grid import best_trial, grid_frame, rank
    from fraud_assets.ml.split import Split
    from fraud_assets.ml.study import StudyData
    from fraud_assets.ml.study_plots import study_figures

    validate_run_config(context)
    dataset = Dataset.from_arrow(raw_dataset)
    split = Split.from_arrow(dataset_split, dataset)
    space = resolve_search_space(config.search_space)
    scoring = config.scoring()
    study = StudyData.prepare(dataset, split, config.seed, scoring)
    scoring.require(config.metric, study.rows)
    identity = experiment_id(split.version, space, config)
    name = f"{config.search_space.rpartition(':')[2]}-{config.metric}-{identity[:8]}-{context.run.run_id[:8]}"
    storage = object_store.child("tune")
    object_store.check_access()
    tags = {"experiment_id": identity, "data_version": dataset.version, "dagster_asset": "tuning_results"}
    with mlflow.parent_run(name=name, tags=tags) as parent:
        context.log.info(f"experiment {name}: {config.trials} trials, MLflow parent run {parent.run_id}")
        experiment = Experiment(
            name=name,
            storage=storage,
            space=space,
            study=study,
            metric=config.metric,
            trials=config.trials,
            seed=config.seed,
            max_concurrent=config.max_concurrent,
            cpus_per_trial=config.cpus_per_trial,
            gpus_per_trial=config.gpus_per_trial,
            time_budget_s=config.time_budget_s,
        )
        with parent.child_runs() as children, ray.connect():
            progress = ProgressLog(context.log, config.metric, config.trials)
            trials = ray.run(experiment, [progress, children])
        grid = grid_frame(
            [{**asdict(t), "name": t.name, "mlflow_run_id": children.run_ids.get(t.trial_id)} for t in trials]
        )
        info: dict[str, Any] = {
            "experiment": name,
            "experiment_id": identity,
            "mlflow_parent_run_id": parent.run_id,
            "data_version": dataset.version,
            "metric": config.metric,
            "seed": config.seed,
            "search_space": config.search_space,
            "defaults_first": space.defaults is not None,
            "scoring": scoring.to_dict(),
            "trials": {str(status): int(count) for status, count in grid["status"].value_counts().items()},
        }
        # Told here, where the parent run fails with it, if there is no best trial.
        best = best_trial(grid, config.metric)
        plots = study_figures(grid, config.metric)
        parent.log_files(png_files(plots))
        return dg.MaterializeResult(
            value=with_info(pa.Table.from_pandas(grid, preserve_index=False), info),
            # The same experiment asked for again is another one: Tune's order of events differs, and so its results.
            data_version=dg.DataVersion(name),
            metadata={
                "dagster/row_count": len(grid),
                "metric": config.metric,
                f"best {config.metric}": best["score"],
                "trials": dg.MetadataValue.json(info["trials"]),
                "top 10": table(_top(rank(grid, config.metric), config.metric)),
                "experiment id": identity,
                "Ray storage": storage.child(name).uri,
                "MLflow parent run": parent.url or parent.run_id,
                **pictures(plots, ("optimization_history", "param_importances", "parallel_coordinates")),
            },
        )


def _top(ranked: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The best trials with what was suggested for them."""
    params = [column for column in ranked.columns if column.startswith("params/") and ranked[column].nunique() > 1]
    top = ranked.head(_TOP)[["name", metric, f"{metric}_std", "seconds", *params]]
    return top.rename(columns=lambda column: column.removeprefix("params/"))


@dg.asset(io_manager_key="json", group_name="fraud", kinds={"json"}, code_version="1")
def best_params(context: dg.AssetExecutionContext, tuning_results: pa.Table) -> dg.MaterializeResult[dict[str, Any]]:
    """The best trial's configuration and decision threshold, and where they come from."""
    from fraud_assets.ml.result_grid import best_trial

    validate_run_config(context)
    info = read_info(tuning_results)
    grid = tuning_results.to_pandas()
    value = {**best_trial(grid, info["metric"], first_is_default=info["defaults_first"]), **info}
    better = "more" if direction(info["metric"]) == "max" else "less"
    return dg.MaterializeResult(
        value=value,
        data_version=dg.DataVersion(digest(value)),
        metadata={
            "best params": dg.MetadataValue.json(value["params"]),
            "trial": value["name"],
            f"{info['metric']} ({better} is better)": value["score"],
            "standard deviation over folds": value["score_std"],
            "decision threshold": value["threshold"],
            **{
                name.replace("_", " "): value[name]
                for name in ("margin_over_runner_up", "margin_over_defaults")
                if value[name] is not None
            },
            "all": dg.MetadataValue.json(value),
        },
    )
