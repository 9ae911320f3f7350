"""Batch scoring: unlabelled objects, and what the champion says of each of their rows."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa

from fraud_assets.assets.catalog import OWNERS, tags
from fraud_assets.assets.columns import LEDGER_COLUMNS
from fraud_assets.assets.config import ScoredTransactionsConfig, validate_run_config
from fraud_assets.metadata import table, table_schema
from fraud_assets.ml.identity import digest
from fraud_assets.ml.ingest.objects import list_objects
from fraud_assets.ml.schema import DataError
from fraud_assets.ml.scoring_ledger import LedgerEntry, ledger_table
from fraud_assets.resources.mlflow_tracking import MlflowTracking
from fraud_assets.resources.object_store import Location, ObjectStore, check_access, explain_errors, locate

_ROWS_SHOWN = 10
_FAILURES_SHOWN = 20


@dg.asset(
    io_manager_key="parquet",
    group_name="scoring",
    owners=OWNERS,
    tags=tags("scores"),
    kinds={"xgboost", "parquet"},
    code_version="1",
    deps=[dg.AssetKey("champion_model")],
    # In the queue of runs, two that score wait for each other: they would do the same work twice.
    pool="scoring",
)
def scored_transactions(
    context: dg.AssetExecutionContext,
    config: ScoredTransactionsConfig,
    object_store: ObjectStore,
    mlflow: MlflowTracking,
) -> Iterator[dg.MaterializeResult[pa.Table]]:
    """Unlabelled transactions, scored by the champion object by object; its value is the ledger of scored objects.

    The footer of a scored object says what was scored, so that a run that ends half way has lost nothing. An object
    that can't be scored keeps no other from it; the run fails after all others were scored and the ledger was stored.

    The page says what the last run has scored, with which model, how many transactions it calls frauds, where the
    scores are, and what could not be scored and why.
    """
    from fraud_assets.resources.champion import load_champion
    from fraud_assets.resources.scored_objects import delete_left_behind, is_scored, plan, read_ledger, score_object

    validate_run_config(context)
    object_store.check_access()
    output = config.output_location(object_store)
    uri = config.source_uri()
    if uri is None:
        _allow_no_source(context)
        yield _result(read_ledger(output).values(), {"nothing to score": "no location of unlabelled objects is named"})
        return
    source = locate(uri)
    check_apart(source, output)
    if source.is_s3:
        # Otherwise a missing bucket is told as a missing object, and a refusal without its reason.
        check_access(source)
    with explain_errors(source):
        objects = list_objects(source.filesystem, source.path, source.uri)
    champion = load_champion(mlflow, config.version)
    delete_left_behind(output)
    ledger = read_ledger(output)
    tasks, failures = plan(source, objects, output)
    scored: list[LedgerEntry] = []
    preview: pa.Table | None = None
    for task in tasks:
        try:
            if is_scored(task, ledger) and not config.rescore:
                continue
            entry, first_rows = score_object(task, output, champion.classifier, champion.version)
        except DataError as error:
            if source.is_s3:
                # A storage that is away is told as such, and not as so many bad objects.
                check_access(source)
            failures.append(str(error))
            context.log.warning(f"not scored: {error}")
            continue
        ledger[task.target.path] = entry
        scored.append(entry)
        preview = first_rows if preview is None else preview
        context.log.info(f"scored {entry.source}: {entry.rows} rows, {entry.frauds} called fraud, in {entry.output}")
    rows, frauds = sum(entry.rows for entry in scored), sum(entry.frauds for entry in scored)
    metadata: dict[str, Any] = {
        "objects scored": len(scored),
        "objects skipped": len(objects) - len(scored) - len(failures),
        "objects failed": len(failures),
        "rows scored": rows,
        "called fraud": frauds,
        "model": champion.uri,
        **({"model in MLflow": dg.MetadataValue.url(champion.url)} if champion.url else {}),
        "decision threshold": champion.classifier.threshold,
        "scored by other versions": sum(e is not None and e.model_version != champion.version for e in ledger.values()),
        "source": source.uri,
        "output": output.uri,
    }
    if rows:
        metadata["share called fraud"] = frauds / rows
    if failures:
        metadata["failed"] = table(pd.DataFrame({"why": failures[:_FAILURES_SHOWN]}))
    if preview is not None:
        metadata["preview"] = table(preview.slice(0, _ROWS_SHOWN).to_pandas())
    yield _result(ledger.values(), metadata)
    if failures:
        raise DataError(_what_failed(failures, len(objects), source))


def check_apart(source: Location, output: Location) -> None:
    """Refuse a location for scores that is, holds, or is inside the one of the unlabelled objects.

    Raises:
        DataError: it is so; scores would be taken for objects to score.
    """
    if source.is_s3 != output.is_s3 or source.endpoint != output.endpoint:
        return
    one, other = (f"{place.path.rstrip('/')}/" for place in (source, output))
    if one.startswith(other) or other.startswith(one):
        raise DataError(
            f"the scores can't be kept at {output.uri}, as the objects to score are at {source.uri}: "
            "name two locations of which none is inside the other, in `uri` and `output_uri`"
        )


def _allow_no_source(context: dg.AssetExecutionContext) -> None:
    """Nothing to score is an error where nothing but scoring was asked for, and none where all assets are made."""
    told = "no objects to score are named: set `uri` of scored_transactions' config, or FRAUD_SCORING_URI"
    if len(list(context.job_def.asset_layer.executable_asset_keys)) == 1:
        raise DataError(told)
    # As things are where nobody scores: nothing to be warned of.
    context.log.info(told)


def _result(ledger: Collection[LedgerEntry | None], metadata: dict[str, Any]) -> dg.MaterializeResult[pa.Table]:
    """The ledger with its newest lines, and what else the page shows."""
    entries = sorted((entry for entry in ledger if entry is not None), key=lambda entry: entry.output)
    value = ledger_table(entries)
    newest = value.sort_by([("scored_at", "descending")]).slice(0, _ROWS_SHOWN)
    identity = [[e.source, e.size, e.modified, e.model_version, e.output] for e in entries]
    return dg.MaterializeResult(
        value=value,
        data_version=dg.DataVersion(digest(identity)),
        metadata={
            "dagster/row_count": value.num_rows,
            "dagster/column_schema": table_schema(value.schema, LEDGER_COLUMNS),
            **metadata,
            "ledger, newest first": table(newest.to_pandas()),
        },
    )


def _what_failed(failures: Sequence[str], objects: int, source: Location) -> str:
    lines = [f"{len(failures)} of {objects} objects of {source.uri} can't be scored; the others are:"]
    lines += [f"- {failure}" for failure in failures[:_FAILURES_SHOWN]]
    if len(failures) > _FAILURES_SHOWN:
        lines.append(f"- and {len(failures) - _FAILURES_SHOWN:,} more")
    return "\n".join(lines)
