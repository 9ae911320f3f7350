"""The model: judged without the holdout, refitted on everything, logged."""

import os
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa

from fraud_assets.assets.config import FraudModelConfig, validate_run_config
from fraud_assets.metadata import named_values, table
from fraud_assets.ml.identity import digest
from fraud_assets.ml.schema import DataError, Dataset
from fraud_assets.resources.mlflow_tracking import MlflowTracking, ParentRun

_EXAMPLE_ROWS = 5


@dg.asset(io_manager_key="json", group_name="fraud", kinds={"xgboost", "mlflow"}, code_version="1")
def fraud_model(
    context: dg.AssetExecutionContext,
    config: FraudModelConfig,
    raw_dataset: pa.Table,
    dataset_split: pa.Table,
    best_params: dict[str, Any],
    mlflow: MlflowTracking,
) -> dg.MaterializeResult[dict[str, Any]]:
    """The best configuration, judged on the holdout by a fit without it, then fitted on all rows and logged."""
    from fraud_assets.ml.estimator import FraudClassifier
    from fraud_assets.ml.evaluate import score
    from fraud_assets.ml.split import Split
    from fraud_assets.resources.mlflow_model import log_model

    validate_run_config(context)
    dataset = Dataset.from_arrow(raw_dataset)
    split = Split.from_arrow(dataset_split, dataset)
    if best_params["data_version"] != dataset.version:
        raise DataError(
            f"best_params was tuned on data version {best_params['data_version']}, but raw_dataset is now "
            f"{dataset.version}: materialize tuning_results and best_params again"
        )
    X, y, threshold = dataset.X, dataset.y, best_params["threshold"]

    def fit(rows: np.ndarray) -> FraudClassifier:
        return FraudClassifier.fit(
            X.iloc[rows],
            y[rows],
            dataset.roles.categorical,
            best_params["params"],
            threshold=threshold,
            seed=best_params["seed"],
            threads=os.cpu_count() or 1,
        )

    tags = {"fraud_model.dagster_run_id": context.run.run_id}
    with mlflow.parent_run(best_params["mlflow_parent_run_id"], tags=tags) as parent:
        judged = fit(split.judged_fit)
        probability = judged.predict_proba(X.iloc[split.holdout])[:, 1]
        holdout = score(y[split.holdout], probability, threshold)
        context.log.info(f"holdout of {len(split.holdout)} rows: {holdout}")
        final = fit(np.arange(len(dataset))) if config.refit_on_all else judged
        _log_run(parent, dataset, best_params, {f"holdout_{name}": value for name, value in holdout.items()})
        fitted_on = "all rows" if config.refit_on_all else "the rows outside the holdout"
        example = X.iloc[_example_rows(X)].reset_index(drop=True)
        logged = log_model(
            final, example, mlflow.registered_model, {"data_version": dataset.version, "fitted_on": fitted_on}
        )
    value = {
        "model_uri": logged.model_uri,
        "registered_model": mlflow.registered_model,
        "version": int(logged.registered_model_version),
        "mlflow_parent_run_id": parent.run_id,
        "data_version": dataset.version,
        "fitted_on": fitted_on,
        "threshold": threshold,
        "holdout": holdout,
        "holdout_fitted_on": "the rows outside the holdout",
    }
    return dg.MaterializeResult(
        value=value,
        data_version=dg.DataVersion(digest(value)),
        metadata={
            "model": f"models:/{mlflow.registered_model}/{value['version']}",
            "MLflow parent run": parent.url or parent.run_id,
            "which number belongs to which fit": (
                f"The holdout's metrics are those of a fit on {len(split.judged_fit)} rows without the holdout, "
                f"judged on its {len(split.holdout)}. The logged model is fitted on {fitted_on}."
            ),
            "holdout": named_values(holdout, ("metric", "value")),
            "validation": named_values(best_params["metrics"], ("metric", "mean over folds, threshold 0.5")),
            "fraud rate of the holdout": float(y[split.holdout].mean()),
            "decision threshold": threshold,
            "confusion matrix": table(_confusion(y[split.holdout], probability >= threshold)),
            "importance": named_values(final.importance(), ("column", "gain")),
            "params": dg.MetadataValue.json(best_params["params"]),
        },
    )


def _log_run(parent: ParentRun, dataset: Dataset, best_params: dict[str, Any], metrics: dict[str, float]) -> None:
    """What the parent run says of its model: parameters, metrics, and the rows that it comes from."""
    parent.log_params({**best_params["params"], "threshold": best_params["threshold"]})
    parent.log_metrics({**{f"best_{name}": value for name, value in best_params["metrics"].items()}, **metrics})
    parent.log_input(dataset)


def _example_rows(X: pd.DataFrame) -> np.ndarray:
    """The first rows, those without a missing value first: an example shows what a column looks like."""
    complete = np.flatnonzero(X.notna().all(axis=1))
    return complete[:_EXAMPLE_ROWS] if len(complete) else np.arange(min(_EXAMPLE_ROWS, len(X)))


def _confusion(y: np.ndarray, called: np.ndarray) -> pd.DataFrame:
    """Counts of the holdout's rows: what they are against what they are called."""
    names = {0: "legitimate", 1: "fraud"}
    counts = pd.crosstab(
        pd.Categorical([names[i] for i in y], list(names.values())),
        pd.Categorical([names[int(i)] for i in called], list(names.values())),
        dropna=False,
    )
    counts.columns = [f"called {name}" for name in names.values()]
    return counts.rename_axis("is").reset_index()
