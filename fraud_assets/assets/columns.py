"""What the columns of the assets' tables mean, and what they are made of, as Dagster's catalogue shows it."""

import dagster as dg
import pyarrow as pa

from fraud_assets.metadata import table_schema
from fraud_assets.ml.evaluate import METRICS
from fraud_assets.ml.schema import ColumnRoles
from fraud_assets.ml.split import Split

_RAW_DATASET = dg.AssetKey("raw_dataset")

LEDGER_COLUMNS = {
    "source": "URI of the object with the unlabelled rows",
    "size": "its bytes when it was scored",
    "modified": "its last change then",
    "rows": "transactions in it",
    "frauds": "those called fraud",
    "model_version": "version of the registered model that scored it",
    "threshold": "a row of at least this probability was called fraud",
    "output": "URI of the scored object",
    "scored_at": "when that was complete",
}

_TRIAL_COLUMNS = {
    "trial_id": "Tune's id, and the name of the trial's folder in Ray's storage",
    "name": "resampler, booster, id: the name of the trial's run in MLflow",
    "status": "finished, pruned, failed, or stopped by the time budget or a user",
    "seconds": "wall clock, resampling and fitting together",
    "error": "of a failed trial: what went wrong, then the traceback",
    "mlflow_run_id": "the trial's run in MLflow, a child of the search's",
    "params": "the whole configuration as JSON",
    "threshold": "decision threshold, chosen on the predictions of all folds together",
    "rounds": "boosting rounds that predict",
    "fit_seconds": "fitting alone, without what trials share",
    "weight": "share of the trial in the model; 0 for those that are no part of it",
    "pareto_front": "whether no other trial beats it in one objective without losing in the other",
}


def split_schema(schema: pa.Schema) -> dg.TableSchema:
    """The columns of `dataset_split`."""
    fits = {name: f"whether the row fits what {name[5:]} judges" for name in schema.names if name.startswith("fits_")}
    return table_schema(
        schema,
        {
            "row_id": "position of the row in raw_dataset, from 0",
            "role": "fold_0, fold_1, … (validates in that fold), holdout (judges), train (only ever fits), left_out "
            "(its entity is known to be compromised by then), unused (its label is not known yet when the holdout "
            "begins)",
            **fits,
        },
    )


def split_lineage(roles: ColumnRoles, split: Split) -> dg.TableColumnLineage:
    """Which columns of `raw_dataset` decide the role of a row, and the fits that it is part of.

    By time that is the time, and where entities that are known to be compromised are left out of judging, entity and
    label. At random it is the label, whose rate is the same everywhere, and what belongs together: an entity's rows, or
    exact copies, which every column decides.
    """
    if split.strategy == "time":
        fits = [roles.time]
        role = [*fits, *([roles.entity, roles.label] if split.settings.leave_out_known and roles.entity else [])]
    else:
        fits = role = [roles.label, roles.entity] if split.strategy == "group" else [*roles.columns]
    return dg.TableColumnLineage(
        {
            name: [dg.TableColumnDep(_RAW_DATASET, column) for column in columns if column is not None]
            for name, columns in {"role": role, **dict.fromkeys(split.fit_names, fits)}.items()
        }
    )


def trials_schema(schema: pa.Schema) -> dg.TableSchema:
    """The columns of `tuning_results`."""
    return table_schema(schema, {name: _trial_column(name) for name in schema.names})


def _trial_column(name: str) -> str:
    if name in _TRIAL_COLUMNS:
        return _TRIAL_COLUMNS[name]
    if name.startswith("params/"):
        return "suggested; empty where the trial has no such parameter"
    if name.endswith("_at_threshold"):
        return "at the threshold, on the predictions of all folds together"
    metric = name.removesuffix("_std")
    if metric in METRICS:
        return "mean over folds" if metric == name else f"standard deviation of {metric} over folds"
    return ""
