"""The model: judged without the holdout, refitted on everything, logged."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa

from fraud_assets import checks
from fraud_assets.assets.catalog import OWNERS, tags
from fraud_assets.assets.config import FraudModelConfig, validate_run_config
from fraud_assets.conditions import ON_OTHER_DATA
from fraud_assets.metadata import link, named_values, pictures, png_files, table
from fraud_assets.ml.identity import digest
from fraud_assets.ml.judgement import Judgement
from fraud_assets.ml.markdown import shortened
from fraud_assets.ml.schema import DataError, Dataset
from fraud_assets.ml.scoring import Scoring
from fraud_assets.resources.mlflow_tracking import MlflowTracking, ParentRun
from fraud_assets.resources.object_store import ObjectStore
from fraud_assets.resources.provenance import dagster_tags

_EXAMPLE_ROWS = 5
# MLflow's column for it; PostgreSQL refuses what is longer, SQLite doesn't.
_DESCRIPTION_CHARACTERS = 5000


@dg.asset(
    io_manager_key="json",
    group_name="model",
    owners=OWNERS,
    tags=tags("model"),
    automation_condition=ON_OTHER_DATA,
    kinds={"xgboost", "mlflow"},
    code_version="4",
    check_specs=[checks.SIGNAL, checks.OVERFIT, checks.CALIBRATION],
)
def fraud_model(  # type: ignore[no-untyped-def] # see `checks`
    context: dg.AssetExecutionContext,
    config: FraudModelConfig,
    raw_dataset: pa.Table,
    dataset_split: pa.Table,
    best_params: dict[str, Any],
    object_store: ObjectStore,
    mlflow: MlflowTracking,
):
    """The best trials' average, judged on the holdout by a fit without it, then fitted on all rows and logged.

    The page says how good the model is on rows that nothing has seen, how sure that is, how much better than the
    baselines, what it looks at, and where in MLflow it is. The checks say whether there is a signal at all.
    """
    from fraud_assets.ml.estimator import Member
    from fraud_assets.ml.final_model import build_final_model, describe_model, for_other_data
    from fraud_assets.ml.model_plots import model_figures
    from fraud_assets.ml.neighbour_limit import NeighbourLimit
    from fraud_assets.ml.split import Split
    from fraud_assets.resources.contenders import ContenderFolder
    from fraud_assets.resources.mlflow_model import log_model

    validate_run_config(context)
    dataset = Dataset.from_arrow(raw_dataset)
    split = Split.from_arrow(dataset_split, dataset)
    tuned_version = best_params["data_version"]
    retrained = tuned_version != dataset.version
    if retrained and config.tuned_on == "this_data":
        raise DataError(
            f"best_params was tuned on data version {tuned_version}, but raw_dataset is now {dataset.version}: "
            "materialize tuning_results and best_params again, or set tuned_on to earlier_data, as retrain_job does"
        )
    threads = os.cpu_count() or 1
    limit = NeighbourLimit(**best_params["neighbour_limit"])
    with _mlflow_run(context, mlflow, best_params["mlflow_parent_run_id"], dataset, retrained=retrained) as parent:
        if retrained:
            context.log.info(f"parameters of data version {tuned_version} stand; their threshold is chosen anew")
            best_params = for_other_data(best_params, dataset, split, limit, threads)
        model = build_final_model(
            dataset,
            split,
            [Member(member["params"], member["weight"]) for member in best_params["members"]],
            Scoring.from_dict(best_params["scoring"]),
            threshold=best_params["threshold"],
            seed=best_params["seed"],
            threads=threads,
            limit=limit,
            **config.model_dump(exclude={"tuned_on"}),
        )
        judgement, classifier = model.judgement, model.classifier
        precision = judgement.metrics["average_precision"]
        context.log.info(
            f"holdout of {judgement.rows} rows, {judgement.frauds} frauds: average precision {precision.value:.4f} "
            f"({precision.low:.4f} to {precision.high:.4f}), prevalence {judgement.prevalence:.4f}"
        )
        figures = model_figures(
            model.holdout.y,
            model.holdout.probability,
            classifier.threshold,
            baselines=model.baselines,
            importance=classifier.importance(),
            rows=f"holdout of {judgement.rows:,} rows with {judgement.frauds} frauds",
        )
        plots = png_files(figures)
        _log_run(parent, dataset, best_params, judgement)
        fitted_on = "all rows" if config.refit_on_all else "the rows before or outside the holdout"
        verdict = "signal" if judgement.has_signal else "no_signal"
        logged = log_model(
            classifier,
            dataset.X.iloc[_example_rows(dataset.X)].reset_index(drop=True),
            mlflow.registered_model,
            {"data_version": dataset.version, "fitted_on": fitted_on, "verdict": verdict},
        )
        parent.set_tags({"verdict": verdict})
        parent.describe(_told(best_params, judgement, verdict, fitted_on), context.run.run_id)
        version = int(logged.registered_model_version)
        parent.client.set_model_version_tag(mlflow.registered_model, str(version), "verdict", verdict)
        card = describe_model(
            dataset,
            split,
            best_params,
            model,
            name=mlflow.registered_model,
            version=version,
            run=parent.url or parent.run_id,
            refit_on_all=config.refit_on_all,
        ).render()
        parent.log_files({**plots, "model_card.md": card.encode()})
        rest = "The rest is in the run's artifact `model_card.md`."
        description = shortened(card, _DESCRIPTION_CHARACTERS, rest)
        parent.client.update_model_version(mlflow.registered_model, str(version), description)
        contender = ContenderFolder.of(object_store, mlflow.registered_model, version)
        contender.save(model.judged, dataset, split, parent.run_id)
    value = {
        "model_uri": logged.model_uri,
        "registered_model": mlflow.registered_model,
        "version": version,
        "verdict": verdict,
        "metric": best_params["metric"],
        "scoring": best_params["scoring"],
        "mlflow_parent_run_id": best_params["mlflow_parent_run_id"],
        "mlflow_run_id": parent.run_id,
        "mlflow_url": parent.url,
        "tuned_on": tuned_version,
        "data_version": dataset.version,
        "fitted_on": fitted_on,
        "threshold": classifier.threshold,
        "judgement": judgement.to_dict(),
        "calibration": asdict(model.calibration),
    }
    url = mlflow.version_url(mlflow.registered_model, version)
    return dg.MaterializeResult(
        value=value,
        data_version=dg.DataVersion(digest(value)),
        metadata={
            "model": f"models:/{mlflow.registered_model}/{version}",
            **({"model in MLflow": dg.MetadataValue.url(url)} if url else {}),
            "MLflow run" if retrained else "MLflow parent run": link(parent.url, parent.run_id),
            "verdict": verdict,
            "parameters": f"tuned on data version {tuned_version}" + (", fitted on newer data" if retrained else ""),
            "which number belongs to which fit": (
                f"The holdout's metrics are those of a fit on {model.judged_rows} rows without the holdout, judged on "
                f"its {judgement.rows}. The logged model is fitted on {fitted_on}."
            ),
            "average precision (holdout)": precision.value,
            "holdout": table(_intervals(judgement)),
            **pictures(plots, ("precision_recall", "calibration", "confusion_matrix", "importance")),
            "gain over baselines": table(_gains(judgement, best_params["metric"])),
            "validation": table(_validation(best_params["metrics"])),
            "decision threshold": classifier.threshold,
            "importance of each column": named_values(classifier.importance(), ("column", "share of the gain")),
            "members": dg.MetadataValue.json(best_params["members"]),
        },
        check_results=checks.of_model(judgement, model.calibration, best_params["metric"], best_params["metrics"]),
    )


def _mlflow_run(
    context: dg.AssetExecutionContext, mlflow: MlflowTracking, parent_id: str, dataset: Dataset, *, retrained: bool
) -> AbstractContextManager[ParentRun]:
    """The run of the tuning; where its parameters are used for other data, a child of it, as it has a model already."""
    tags = dagster_tags("fraud_model", context.run.run_id)
    if not retrained:
        return mlflow.parent_run(parent_id, tags=tags)
    own = {"mlflow.parentRunId": parent_id, "data_version": dataset.version, "dagster_asset": "fraud_model"}
    return mlflow.parent_run(name=f"retrained-{dataset.version}", tags={**tags, **own})


def _told(best_params: Mapping[str, Any], judgement: Judgement, verdict: str, fitted_on: str) -> str:
    """What the model is worth, for its run in MLflow."""
    precision = judgement.metrics["average_precision"]
    return (
        f"The average of {len(best_params['members'])} trials, tuned for {best_params['metric']} "
        f"({best_params['score']:.4f} as mean over folds). On the holdout's {judgement.rows:,} rows average precision "
        f"is {precision.value:.4f} ({precision.low:.4f} to {precision.high:.4f}) at a prevalence of "
        f"{judgement.prevalence:.4f}: verdict {verdict}. The logged model is fitted on {fitted_on}. The whole report: "
        "`model_card.md` among the artifacts."
    )


def _log_run(parent: ParentRun, dataset: Dataset, best_params: dict[str, Any], judgement: Judgement) -> None:
    """What the parent run says of its model: parameters, metrics, and the rows that it comes from."""
    best = best_params["best_trial"]["params"]
    parent.log_params({**best, "members": len(best_params["members"]), "threshold": best_params["threshold"]})
    holdout: dict[str, float] = {}
    for name, interval in judgement.metrics.items():
        holdout |= {f"holdout_{name}": interval.value}
        holdout |= {f"holdout_{name}_low": interval.low, f"holdout_{name}_high": interval.high}
    parent.log_metrics({**{f"best_{name}": value for name, value in best_params["metrics"].items()}, **holdout})
    parent.log_input(dataset)


def _intervals(judgement: Judgement) -> pd.DataFrame:
    """Each metric on the holdout, with its interval, beside those of the baselines."""
    rows = []
    for name, interval in judgement.metrics.items():
        row = {"metric": name, "value": interval.value, "low": interval.low, "high": interval.high}
        for baseline, comparison in judgement.baselines.items():
            row[baseline] = comparison.metrics[name].value if name in comparison.metrics else None
        rows.append(row)
    return pd.DataFrame(rows)


def _gains(judgement: Judgement, metric: str) -> pd.DataFrame:
    """By how much the model is better than each baseline in the tuned metric and in ranking, with paired intervals."""
    return pd.DataFrame(
        {"baseline": baseline, "metric": name, "gain": gain.value, "low": gain.low, "high": gain.high}
        for baseline, comparison in judgement.baselines.items()
        for name, gain in comparison.gain.items()
        if name in (metric, "average_precision", "roc_auc")
    )


def _validation(metrics: dict[str, float]) -> pd.DataFrame:
    """Mean and spread of each metric over the validation folds."""
    names = [name for name in metrics if f"{name}_std" in metrics]
    return pd.DataFrame(
        {"metric": name, "mean over folds": metrics[name], "standard deviation": metrics[f"{name}_std"]}
        for name in names
    )


def _example_rows(X: pd.DataFrame) -> np.ndarray:
    """The first rows, those without a missing value first: an example shows what a column looks like."""
    complete = np.flatnonzero(X.notna().all(axis=1))
    return complete[:_EXAMPLE_ROWS] if len(complete) else np.arange(min(_EXAMPLE_ROWS, len(X)))
