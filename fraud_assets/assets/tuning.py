"""The search for the best configuration, and what it found."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa

from fraud_assets.assets.catalog import OWNERS, tags
from fraud_assets.assets.columns import trials_schema
from fraud_assets.assets.config import validate_run_config
from fraud_assets.assets.search import opened_experiment, search
from fraud_assets.assets.spread_data import stored_features, without_features
from fraud_assets.assets.tuning_config import TuningConfig
from fraud_assets.conditions import ON_OTHER_DATA
from fraud_assets.io_manager import JsonIOManager, StoredTable
from fraud_assets.metadata import link, pictures, png_files, table
from fraud_assets.ml.evaluate import METRICS, direction
from fraud_assets.ml.identity import digest
from fraud_assets.ml.schema import DataError, Dataset, read_info, with_info
from fraud_assets.ml.search_space import SearchSpace, resolve_search_space
from fraud_assets.resources.failure_limit import FailureLimit
from fraud_assets.resources.mlflow_tracking import MlflowTracking
from fraud_assets.resources.object_store import ObjectStore
from fraud_assets.resources.optuna_storage import OptunaStorage
from fraud_assets.resources.provenance import requirements
from fraud_assets.resources.ray_tune import Experiment, RayTune
from fraud_assets.resources.tune_results import read_predictions

# What a trial does with its configuration; a new number makes new experiments of what was the same one before.
TRIAL_CODE_VERSION = "4"
_TOP = 10
# Of the last model's members so many are tried first.
_WARM_POINTS = 5


def experiment_id(split_version: str, space: SearchSpace, config: TuningConfig) -> str:
    """Digest of what decides an experiment: data and split, search space, settings, and the code of a trial."""
    return digest([split_version, space.name, config.identity(), TRIAL_CODE_VERSION])


@dg.asset(
    io_manager_key="parquet",
    group_name="tuning",
    owners=OWNERS,
    tags=tags("trials"),
    automation_condition=ON_OTHER_DATA,
    kinds={"ray", "optuna", "mlflow"},
    code_version=TRIAL_CODE_VERSION,
    # Of runs that wait in Dagster's queue one searches at a time, where dagster.yaml limits its pools to that.
    pool="ray",
)
def tuning_results(
    context: dg.AssetExecutionContext,
    config: TuningConfig,
    raw_dataset: StoredTable,
    dataset_split: pa.Table,
    object_store: ObjectStore,
    ray: RayTune,
    mlflow: MlflowTracking,
    optuna: OptunaStorage,
) -> dg.MaterializeResult[pa.Table]:
    """Every trial of the search on Ray Tune: configuration, metrics, status; each one a child run in MLflow.

    The page says how good the best trials are, what was suggested for them, which parameters mattered, and whether more
    trials would have helped. While the search goes on, its events say how far it is.
    """
    from fraud_assets.ml.choice import choose_members
    from fraud_assets.ml.optuna_study import pareto_front
    from fraud_assets.ml.result_grid import best_so_far, best_trial, grid_frame, rank
    from fraud_assets.ml.split import Split
    from fraud_assets.ml.study import StudyData
    from fraud_assets.ml.study_plots import study_figures
    from fraud_assets.ml.suggested_resamplers import require_resamplable

    validate_run_config(context)
    space = resolve_search_space(config.search_space)
    scoring = config.scoring()
    spread = config.workers_per_trial > 1
    dataset = without_features(raw_dataset, scoring) if spread else Dataset.from_arrow(raw_dataset.read())
    split = Split.from_arrow(dataset_split, dataset)
    require_resamplable(space, dataset.y, split, config.limit())
    study = StudyData.prepare(dataset, split, config.seed, scoring, config.limit())
    data_version = dataset.version
    del dataset  # the search goes on for long, and needs the encoded rows only
    for wanted in (config.metric, config.second):
        if wanted in METRICS:
            scoring.require(wanted, study.rows)
    known = _known_to_be_good(object_store) if config.warm_start else []
    points = space.first_points(known)
    identity = experiment_id(split.version, space, config)
    object_store.check_access()
    label = f"{config.search_space.rpartition(':')[2]}-{config.metric}"
    tags = {"data_version": data_version, "dagster_asset": "tuning_results"}
    with (
        optuna.opened() as optuna_storage,
        opened_experiment(context, object_store, ray, mlflow, label=label, experiment_id=identity, tags=tags) as opened,
    ):
        folder, parent = opened.folder, opened.parent
        experiment = Experiment(
            name=folder.name,
            storage=folder.location,
            space=space,
            study=study,
            metric=config.metric,
            second=config.second,
            points=points,
            trials=config.trials,
            seed=config.seed,
            max_concurrent=config.max_concurrent,
            cpus_per_trial=config.cpus_per_trial,
            gpus_per_trial=config.gpus_per_trial,
            workers_per_trial=config.workers_per_trial,
            features=stored_features(raw_dataset, split) if spread else None,
            time_budget_s=config.time_budget_s,
            pruning=config.pruning(space),
            retries=config.trial_retries,
        )
        failures = FailureLimit(config.max_failed_trials)
        trials, children = search(context, opened, ray, experiment, failures, optuna_storage)
        grid = grid_frame(
            [{**asdict(trial), "name": trial.name, "mlflow_run_id": children.get(trial.trial_id)} for trial in trials]
        )
        # Told here, where the parent run fails with it, if there is no best trial.
        preference = config.preference()
        try:
            best = best_trial(grid, preference)
        except DataError:
            folder.update(outcome="failed")
            raise
        checkpoints = {t.trial_id: t.checkpoint for t in trials}
        choice = choose_members(
            grid,
            preference,
            study,
            lambda trial: read_predictions(folder.location, str(checkpoints[trial])),
            most=config.members,
        )
        grid["weight"] = grid["trial_id"].map(choice.weights).fillna(0.0)
        if config.second is not None:
            grid["pareto_front"] = pareto_front(grid, config.metric, config.second)
        info: dict[str, Any] = {
            "experiment": folder.name,
            "experiment_id": identity,
            "mlflow_parent_run_id": parent.run_id,
            "mlflow_url": parent.url,
            "data_version": data_version,
            "metric": config.metric,
            "seed": config.seed,
            "search_space": config.search_space,
            "defaults_first": space.defaults is not None,
            "scoring": scoring.to_dict(),
            "neighbour_limit": {"rows": config.neighbour_limit, "past": config.past_neighbour_limit},
            "preference": asdict(preference),
            "report": choice.report,
            "trials": {str(status): int(count) for status, count in grid["status"].value_counts().items()},
        }
        plots = png_files(study_figures(grid, config.metric, config.second))
        parent.log_files({**plots, "trials.csv": grid.to_csv(index=False).encode(), "requirements.txt": requirements()})
        parent.log_curve(f"best_{config.metric}_by_trial", best_so_far(grid, config.metric))
        parent.describe(_told(config, best, len(choice.weights), choice.report), context.run.run_id)
        value = with_info(pa.Table.from_pandas(grid, preserve_index=False), info)
        ranked = rank(grid, preference)
        return dg.MaterializeResult(
            value=value,
            # The same experiment asked for again is another one: Tune's order of events differs, and so its results.
            data_version=dg.DataVersion(folder.name),
            metadata={
                "dagster/row_count": len(grid),
                "dagster/column_schema": trials_schema(value.schema),
                "metric": config.metric,
                f"best {config.metric}": best["score"],
                f"{config.metric} of the {len(choice.weights)} averaged trials": choice.report[config.metric],
                "trials": dg.MetadataValue.json(info["trials"]),
                "MLflow parent run": link(parent.url, parent.run_id),
                "top 10": table(_top(ranked, config.metric)),
                **({"Pareto front": table(_front(grid, config))} if config.second else {}),
                **(
                    {"Optuna study": f"{optuna_storage.study_name} in {optuna_storage.place}"} if optuna_storage else {}
                ),
                **pictures(
                    plots, ("optimization_history", "pareto_front", "param_importances", "parallel_coordinates")
                ),
                "experiment id": identity,
                "Ray storage": folder.location.uri,
            },
        )


def _known_to_be_good(object_store: ObjectStore) -> list[dict[str, Any]]:
    """The configurations of the last model, the weightiest first; none before the first search."""
    last = JsonIOManager(store=object_store).stored("best_params")
    return [] if last is None else [member["params"] for member in last["members"]][:_WARM_POINTS]


def _told(config: TuningConfig, best: Mapping[str, Any], members: int, report: Mapping[str, float]) -> str:
    """What a search came to, for its run in MLflow."""
    return (
        f"Search of {config.trials} trials in the space `{config.search_space}` for {config.metric}. The best one is "
        f"`{best['name']}` with {best['score']:.4f} (mean over folds); the average of {members} trials, the model, has "
        f"{report[config.metric]:.4f}. All trials: `trials.csv` among the artifacts, and the child runs."
    )


def _top(ranked: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The best trials with what was suggested for them, and their share in the model."""
    params = [column for column in ranked.columns if column.startswith("params/") and ranked[column].nunique() > 1]
    top = ranked.head(_TOP)[["name", "weight", metric, f"{metric}_std", "rounds", "seconds", *params]]
    return top.rename(columns=lambda column: column.removeprefix("params/"))


def _front(grid: pd.DataFrame, config: TuningConfig) -> pd.DataFrame:
    """The trials that no other one beats in one objective without losing in the other."""
    front = grid[grid["pareto_front"]].sort_values(str(config.second))
    return front[["name", config.metric, f"{config.metric}_std", str(config.second), "seconds"]]


@dg.asset(
    io_manager_key="json",
    group_name="tuning",
    owners=OWNERS,
    tags=tags("parameters"),
    automation_condition=ON_OTHER_DATA,
    kinds={"json"},
    code_version="2",
)
def best_params(context: dg.AssetExecutionContext, tuning_results: pa.Table) -> dg.MaterializeResult[dict[str, Any]]:
    """The configurations that the model averages, their decision threshold, and where they come from.

    The page says which parameters won, by how much over the runner-up and over XGBoost's defaults, and from which
    probability on a transaction is called a fraud.
    """
    from fraud_assets.ml.result_grid import Preference, best_trial, members

    validate_run_config(context)
    info = read_info(tuning_results)
    report, preference = info.pop("report"), Preference(**info["preference"])
    grid, metric = tuning_results.to_pandas(), preference.metric
    best = best_trial(grid, preference, first_is_default=info["defaults_first"])
    value = {
        "members": members(grid, metric),
        "threshold": report["threshold"],
        "score": report[metric],
        "score_std": report[f"{metric}_std"],
        "metrics": report,
        "best_trial": best,
        **info,
    }
    better = "more" if direction(metric) == "max" else "less"
    sign = 1 if direction(metric) == "max" else -1
    margins = {name: best[name] for name in ("margin_over_runner_up", "margin_over_defaults") if best[name] is not None}
    return dg.MaterializeResult(
        value=value,
        data_version=dg.DataVersion(digest(value)),
        metadata={
            "best trial": best["name"],
            "MLflow parent run": link(info["mlflow_url"], info["mlflow_parent_run_id"]),
            "best params": dg.MetadataValue.json(best["params"]),
            "members of the model": table(_shares(value["members"])),
            f"{metric} ({better} is better)": value["score"],
            "standard deviation over folds": value["score_std"],
            "decision threshold": value["threshold"],
            "margin of the average over the best trial": sign * (value["score"] - best["score"]),
            **{f"{name.replace('_', ' ')} (best trial)": margin for name, margin in margins.items()},
            "all": dg.MetadataValue.json(value),
        },
    )


def _shares(members: list[dict[str, Any]]) -> pd.DataFrame:
    """A row a member: how much it counts, and how good it is alone; the configurations would fill the page."""
    return pd.DataFrame({"trial": m["name"], "share": m["weight"], "score alone": m["score"]} for m in members)
