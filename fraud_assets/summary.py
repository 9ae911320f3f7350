"""Prints what the last materialization made and where to look: `python -m fraud_assets.summary`."""

import json
import sys
from typing import Any

import dagster as dg

from fraud_assets.ml.uri import without_credentials
from fraud_assets.resources.mlflow_tracking import MlflowTracking
from fraud_assets.resources.object_store import ObjectStore, explain_errors, locate

SHOWN = ("best_params", "fraud_model", "champion_model")


def summary(
    best: dict[str, Any], model: dict[str, Any], champion: dict[str, Any], storage_uri: str, tracking_uri: str
) -> str:
    """The text, from the values of the assets in `SHOWN`."""
    judgement = model["judgement"]
    holdout = "\n                ".join(
        f"{name} {interval['value']:.4f} ({interval['low']:.4f} to {interval['high']:.4f})"
        for name, interval in judgement["metrics"].items()
    )
    return f"""
Best trial      {best["best_trial"]["name"]}: {best["metric"]} {best["best_trial"]["score"]:.4f}
Parameters      {json.dumps(best["best_trial"]["params"])}
Model           {len(best["members"])} trials averaged
Validation      {best["metric"]} {best["score"]:.4f} (standard deviation over folds {best["score_std"]:.4f})
Holdout         {holdout}
                {judgement["level"]:.0%} intervals; by a fit without the holdout's {judgement["rows"]} rows, of which
                {judgement["frauds"]} are frauds ({judgement["prevalence"]:.2%}); threshold {model["threshold"]:.4f}
Verdict         {model["verdict"]}
MLflow model    models:/{model["registered_model"]}/{model["version"]}  (fitted on {model["fitted_on"]})
Champion        {_champion(champion)}
MLflow run      {model["mlflow_parent_run_id"]}, experiment "{best["experiment"]}"
Stored in       {storage_uri}
Both UIs        make dev: Dagster on http://127.0.0.1:3000, MLflow on http://127.0.0.1:5000 ({tracking_uri})
"""


def _champion(value: dict[str, Any]) -> str:
    version = "none" if value["champion"] is None else f"version {value['champion']}"
    return f"{version}; {value['decision']}: {value['reason']}"


def stored_value(instance: dg.DagsterInstance, asset: str) -> dict[str, Any]:
    """The stored JSON of the asset's last materialization, wherever that put it; ends the process if there is none."""
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    if event is None or event.asset_materialization is None:
        raise SystemExit(f"{asset} was never materialized in the Dagster instance at {instance.root_directory}")
    location = locate(str(event.asset_materialization.metadata["dagster/uri"].value))
    with explain_errors(location), location.filesystem.open_input_stream(location.path) as source:
        value: dict[str, Any] = json.loads(source.read())
    return value


if __name__ == "__main__":
    with dg.DagsterInstance.get() as dagster_instance:
        best, model, champion = (stored_value(dagster_instance, asset) for asset in SHOWN)
    sys.stdout.write(summary(best, model, champion, ObjectStore().root.uri, without_credentials(MlflowTracking().uri)))
