"""The raw transactions and the role of each of them."""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa

from fraud_assets import checks
from fraud_assets.assets.catalog import OWNERS, tags
from fraud_assets.assets.columns import split_lineage, split_schema
from fraud_assets.assets.config import DatasetSplitConfig, DriftConfig, RawDatasetConfig, validate_run_config
from fraud_assets.conditions import NIGHTLY, ON_OTHER_DATA
from fraud_assets.io_manager import JsonIOManager
from fraud_assets.metadata import column_schema, table
from fraud_assets.ml.schema import DataError, Dataset, DatasetSpec
from fraud_assets.ml.split import Split
from fraud_assets.resources.object_store import Location, ObjectStore, check_access, explain_errors, locate

if TYPE_CHECKING:
    from fraud_assets.ml.drift import DriftReport

_SAMPLE_SPEC = DatasetSpec(
    label="tx_fraud", entity="customer_id", time="tx_datetime", exclude=("transaction_id", "terminal_id")
)
_PREVIEW_ROWS = 10


@dg.asset(
    io_manager_key="parquet",
    group_name="data",
    owners=OWNERS,
    tags=tags("transactions"),
    automation_condition=NIGHTLY,
    kinds={"s3", "parquet"},
    code_version="1",
    check_specs=[checks.LEAKAGE, checks.DRIFT],
)
def raw_dataset(  # type: ignore[no-untyped-def] # see `checks`
    context: dg.AssetExecutionContext, config: RawDatasetConfig, object_store: ObjectStore
):
    """Labelled transactions from the object store: validated, exact duplicates dropped, every column with its role.

    The page says which data the model learns from: where it lies, how many rows and frauds, from when to when, what was
    dropped, and what each column is used for. The checks say whether a column gives the label away, and whether the
    newest rows have drifted away from what the champion was trained on.
    """
    from fraud_assets.ml.ingest import load_dataset
    from fraud_assets.ml.leakage import find_leakage

    validate_run_config(context)
    object_store.check_access()
    location, spec = _source(context, config, object_store)
    if location.is_s3:
        # Otherwise a missing bucket is told as a missing object, and a refusal without its reason.
        check_access(location)
    with explain_errors(location):
        dataset, report = load_dataset(location.filesystem, location.path, spec, name=location.uri)
    context.log.info(f"{len(dataset)} transactions, {report.fraud_rate:.3%} of them fraud, from {dataset.source}")
    return dg.MaterializeResult(
        value=dataset.to_arrow(),
        data_version=dg.DataVersion(dataset.version),
        metadata={
            "dagster/row_count": len(dataset),
            "dagster/column_schema": column_schema(dataset.table.schema, dataset.roles),
            "source": dataset.source,
            "objects": report.objects,
            "rows read": report.rows_read,
            "duplicates": report.duplicates,
            "duplicates dropped": report.duplicates_dropped,
            "frauds": int(dataset.y.sum()),
            "fraud rate": report.fraud_rate,
            "first transaction": str(report.first_time),
            "last transaction": str(report.last_time),
            "data version": dataset.version,
            "preview": table(dataset.table.slice(0, _PREVIEW_ROWS).to_pandas()),
        },
        check_results=[
            checks.of_leakage(find_leakage(dataset)),
            checks.of_drift(_drift(dataset, config.drift, object_store)),
        ],
    )


def _drift(dataset: Dataset, config: DriftConfig, object_store: ObjectStore) -> "DriftReport | None":
    """How the newest rows differ from what the champion was trained on; None where there is no champion."""
    from fraud_assets.ml.drift import find_drift
    from fraud_assets.resources.contenders import ContenderFolder

    # The champion comes after this asset, so that its value from last time is no input.
    last = JsonIOManager(store=object_store).stored("champion_model")
    if last is None or last["champion"] is None:
        return None
    reference = ContenderFolder.of(object_store, last["registered_model"], last["champion"]).reference()
    if reference is None:
        return None
    recent = dataset
    if config.days is not None and dataset.time is not None:
        since = dataset.time.max() - pd.Timedelta(days=config.days)
        recent = replace(dataset, table=dataset.table.filter(pa.array(dataset.time > since)))
    return find_drift(reference, recent, config.thresholds())


def dataset_source(config: RawDatasetConfig, object_store: ObjectStore) -> tuple[Location, DatasetSpec]:
    """Where the transactions are and what their columns mean; the sample data's place where no data set was named.

    Raises:
        DataError: a data set was named, but not its label.
        StorageError: its URI can't be understood.
    """
    uri = config.dataset_uri()
    return (object_store.child("raw"), _SAMPLE_SPEC) if uri is None else (locate(uri), config.spec())


def _source(
    context: dg.AssetExecutionContext, config: RawDatasetConfig, object_store: ObjectStore
) -> tuple[Location, DatasetSpec]:
    """The source; generates the sample data where nothing at all was named."""
    if config.dataset_uri() is not None:
        return dataset_source(config, object_store)
    if not object_store.is_default:
        # The storage is the user's: what nobody asked for is not written there, and no model learns from it.
        raise DataError(
            "no data set is named: set `uri` of raw_dataset's config, or FRAUD_DATASET_URI. "
            "(Sample data is used only where neither a data set nor a storage is named.)"
        )
    sample, spec = dataset_source(config, object_store)
    if not _has_objects(sample):
        from fraud_assets.ml.sample_data import SampleConfig, generate, write_daily_objects

        written = write_daily_objects(generate(SampleConfig()), sample.filesystem, sample.path)
        context.log.info(f"no data set is named: wrote sample data, {len(written)} days, to {sample.uri}")
    return sample, spec


def _has_objects(location: Location) -> bool:
    from pyarrow.fs import FileSelector

    return bool(location.filesystem.get_file_info(FileSelector(location.path, allow_not_found=True)))


@dg.asset(
    io_manager_key="parquet",
    group_name="data",
    owners=OWNERS,
    tags=tags("row_roles"),
    automation_condition=ON_OTHER_DATA,
    kinds={"scikitlearn", "parquet"},
    code_version="1",
    check_specs=[checks.COPIES, checks.ENTITIES],
)
def dataset_split(  # type: ignore[no-untyped-def] # see `checks`
    context: dg.AssetExecutionContext, config: DatasetSplitConfig, raw_dataset: pa.Table
):
    """The one role of every transaction: validate in a fold and fit in the others, or judge as part of the holdout.

    The page says how the rows were split and why so, how many rows and frauds fit, validate and judge, and from when
    they are. The checks say that no copy of a row, and no entity, stands on both sides.
    """
    from fraud_assets.ml.split import SplitSettings, make_split

    validate_run_config(context)
    dataset = Dataset.from_arrow(raw_dataset)
    split = make_split(dataset, SplitSettings(**config.model_dump()))
    context.log.info(f"split by {split.strategy}" + (f": {split.reason}" if split.reason else ""))
    value = split.to_arrow()
    return dg.MaterializeResult(
        value=value,
        data_version=dg.DataVersion(split.version),
        metadata={
            "dagster/row_count": len(split.roles),
            "dagster/column_schema": split_schema(value.schema),
            "dagster/column_lineage": split_lineage(dataset.roles, split),
            "strategy": split.strategy,
            "why": split.reason or "as configured",
            "fitting rows": table(_describe_fits(dataset, split)),
            "roles": table(_describe_roles(dataset, split.roles)),
            "settings": dg.MetadataValue.json(asdict(split.settings)),
            "data version of raw_dataset": split.data_version,
        },
        check_results=checks.of_split(dataset, split),
    )


def _describe_roles(dataset: Dataset, roles: np.ndarray) -> pd.DataFrame:
    """Size, fraud rate, entities and time span of each role."""
    frame = pd.DataFrame({"role": roles, "fraud": dataset.y})
    columns = {"rows": ("fraud", "size"), "frauds": ("fraud", "sum"), "fraud rate": ("fraud", "mean")}
    if dataset.entity is not None:
        frame["entity"] = dataset.entity
        columns["entities"] = ("entity", "nunique")
    if dataset.time is not None:
        frame["time"] = dataset.time
        columns |= {"first": ("time", "min"), "last": ("time", "max")}
    return frame.groupby("role").agg(**columns).reset_index()


def _describe_fits(dataset: Dataset, split: Split) -> pd.DataFrame:
    """Size and fraud rate of what each fold, and the fit that the holdout judges, is fitted on."""
    names = [*(f"fold_{i}" for i in range(split.fits.shape[1] - 1)), "holdout"]
    fits = [dataset.y[fits] for fits in split.fits.T]
    return pd.DataFrame(
        {"for": names, "rows": [len(y) for y in fits], "frauds": [int(y.sum()) for y in fits]}
        | {"fraud rate": [float(y.mean()) for y in fits]}
    )
