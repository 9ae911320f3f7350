"""The champion: the version that is used, until another one is surely better."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa

from fraud_assets import checks
from fraud_assets.assets.catalog import OWNERS, tags
from fraud_assets.assets.config import ChampionModelConfig, validate_run_config
from fraud_assets.conditions import ON_OTHER_DATA
from fraud_assets.io_manager import JsonIOManager
from fraud_assets.metadata import link, table
from fraud_assets.ml.judgement import Judgement
from fraud_assets.ml.schema import DataError, Dataset
from fraud_assets.resources.lease import Lease
from fraud_assets.resources.mlflow_tracking import MlflowTracking
from fraud_assets.resources.model_registry import CHAMPION, ModelRegistry
from fraud_assets.resources.object_store import ObjectStore

# Another run compares and promotes for so long at most.
_PATIENCE_S = 300.0
_HISTORY = 100


@dg.asset(
    io_manager_key="json",
    group_name="model",
    owners=OWNERS,
    tags=tags("decision"),
    automation_condition=ON_OTHER_DATA,
    kinds={"mlflow"},
    code_version="1",
    check_specs=[checks.CHALLENGER_WON],
)
def champion_model(  # type: ignore[no-untyped-def] # see `checks`
    context: dg.AssetExecutionContext,
    config: ChampionModelConfig,
    raw_dataset: pa.Table,
    dataset_split: pa.Table,
    fraud_model: dict[str, Any],
    object_store: ObjectStore,
    mlflow: MlflowTracking,
):
    """Which version bears the alias `champion`: a new one takes it only if it is surely better on unseen rows.

    The page says which version is used, since when and why, and how the newest model did against it on the same rows.
    """
    from fraud_assets.ml.split import Split

    validate_run_config(context)
    dataset = Dataset.from_arrow(raw_dataset)
    holdout = Split.from_arrow(dataset_split, dataset).holdout
    if fraud_model["data_version"] != dataset.version:
        raise DataError(
            f"fraud_model was judged on data version {fraud_model['data_version']}, but raw_dataset is now "
            f"{dataset.version}: materialize fraud_model again"
        )
    name, challenger = fraud_model["registered_model"], fraud_model["version"]
    registry = mlflow.registry(name)
    values = JsonIOManager(store=object_store)
    # Two that compare at the same time could both win over the same champion, the second one over a better first.
    lease = Lease(object_store.child("models", "owners"))
    with lease.held(context.run.run_id, wait_s=_PATIENCE_S):
        before = registry.version_of(CHAMPION)
        comparison: dict[str, Any] | None = None
        if config.version is not None:
            promoted, reason = _by_hand(config.version, before)
        elif before == challenger:
            promoted, reason = None, f"version {challenger} is the champion already"
        elif failed := _failed_checks(context.instance, fraud_model):
            promoted, reason = None, f"checks have failed: {failed}"
        elif before is None:
            promoted, reason = challenger, "the first model that passes its checks"
        else:
            comparison = _compared(config, registry, object_store, dataset, holdout, fraud_model, before)
            promoted, reason = challenger if comparison["won"] else None, comparison["reason"]
        lease.check()
        if promoted is not None:
            registry.promote(promoted, reason)
        elif before != challenger:
            registry.keep_as_challenger(challenger, reason)
        champion = registry.version_of(CHAMPION)
    decision = _decision(promoted, before, challenger)
    context.log.info(f"{decision}, champion of {name} is {_named(champion)}: {reason}")
    last = values.stored("champion_model")
    value = {
        "registered_model": name,
        "champion": champion,
        "challenger": challenger,
        "previous": before,
        "decision": decision,
        "reason": reason,
        "metric": _metric(config, fraud_model),
        "min_gain": config.min_gain,
        "comparison": comparison,
        "data_version": dataset.version,
        "mlflow_parent_run_id": fraud_model["mlflow_parent_run_id"],
        "history": _history(last, name, before, champion, decision, reason, context.run.run_id),
    }
    url = None if champion is None else mlflow.version_url(name, champion)
    judgement = comparison and comparison["judgement"] and Judgement.from_dict(comparison["judgement"])
    return dg.MaterializeResult(
        value=value,
        data_version=dg.DataVersion(f"{name}/{champion}"),
        metadata={
            "decision": decision,
            "reason": reason,
            "champion": _named(champion),
            "challenger": _named(challenger),
            **({} if champion is None else {"model": f"models:/{name}@{CHAMPION}"}),
            **({"model in MLflow": dg.MetadataValue.url(url)} if url else {}),
            "MLflow parent run": link(fraud_model["mlflow_url"], fraud_model["mlflow_parent_run_id"]),
            **({"challenger against champion": table(_columns(judgement))} if judgement else {}),
            "history of the alias": table(pd.DataFrame(value["history"][::-1], columns=list(_ENTRY))),
        },
        check_results=[checks.of_challenge(champion == challenger, reason)],
    )


_ENTRY = ("at", "version", "previous", "decision", "reason", "dagster_run_id")


def _decision(promoted: int | None, before: int | None, challenger: int) -> str:
    if promoted is None:
        return "unchanged" if before == challenger else "kept"
    return "promoted" if before is None or promoted > before else "rolled_back"


def _metric(config: ChampionModelConfig, fraud_model: Mapping[str, Any]) -> Any:
    return fraud_model["metric"] if config.metric == "tuned" else config.metric


def _by_hand(version: int, before: int | None) -> tuple[int | None, str]:
    """What becomes of a version that somebody has named."""
    if version == before:
        return None, f"version {version}, which was named by hand, is the champion already"
    return version, f"named by hand, in the place of {_named(before)}"


def _failed_checks(instance: dg.DagsterInstance, fraud_model: Mapping[str, Any]) -> str:
    """The checks without which nothing is promoted, and that the latest values of their assets have not passed."""
    keys = [spec.key for spec in checks.GATES]
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    evaluations = {key: record.event and record.event.asset_check_evaluation for key, record in found.items()}
    failed = [key.to_user_string() for key, told in evaluations.items() if told is not None and not told.passed]
    if fraud_model["verdict"] != "signal" and checks.SIGNAL.key.to_user_string() not in failed:
        failed.append(checks.SIGNAL.key.to_user_string())
    return ", ".join(failed)


def _compared(
    config: ChampionModelConfig,
    registry: ModelRegistry,
    object_store: ObjectStore,
    dataset: Dataset,
    holdout: Any,
    fraud_model: Mapping[str, Any],
    champion: int,
) -> dict[str, Any]:
    """The outcome of `challenge`; lost where the storage has no judged fit of one of the two."""
    from fraud_assets.ml.challenge import Challenge, Rule, challenge
    from fraud_assets.ml.scoring import Scoring
    from fraud_assets.resources.contenders import ContenderFolder, NoContenderError

    try:
        challenging, reigning = (
            ContenderFolder.of(object_store, registry.name, version).load(registry.run_id(version))
            for version in (fraud_model["version"], champion)
        )
    except NoContenderError as error:
        return Challenge(False, f"not comparable: {error}").to_dict()
    rule = Rule(_metric(config, fraud_model), config.min_gain, config.resamples)
    scoring = Scoring.from_dict(fraud_model["scoring"])
    return challenge(dataset, holdout, challenging, reigning, scoring, rule).to_dict()


def _history(
    last: Mapping[str, Any] | None,
    name: str,
    before: int | None,
    champion: int | None,
    decision: str,
    reason: str,
    run_id: str,
) -> list[dict[str, Any]]:
    """The changes of the alias, the oldest first; one that was made elsewhere shows where the next one follows."""
    history: list[dict[str, Any]] = list(last["history"]) if last and last["registered_model"] == name else []
    now = datetime.now(UTC).isoformat(timespec="seconds")
    known = history[-1]["version"] if history else None
    if before != known:
        reason_of = "the alias was changed elsewhere, or by a run that was interrupted"
        history.append(_entry(now, before, known, "found", reason_of, ""))
    if champion != before:
        history.append(_entry(now, champion, before, decision, reason, run_id))
    return history[-_HISTORY:]


def _entry(*values: Any) -> dict[str, Any]:
    return dict(zip(_ENTRY, values, strict=True))


def _columns(judgement: Judgement) -> pd.DataFrame:
    """A row a metric: the challenger and the champion on the same rows, and the gain, each with its interval."""
    theirs = judgement.baselines[CHAMPION]

    def numbers(interval: Any, names: Sequence[str]) -> dict[str, float]:
        return dict(zip(names, (interval.value, interval.low, interval.high), strict=True))

    return pd.DataFrame(
        {
            "metric": metric,
            **numbers(judgement.metrics[metric], ("challenger", "low", "high")),
            **numbers(theirs.metrics[metric], ("champion", "champion low", "champion high")),
            **numbers(gain, ("gain", "gain low", "gain high")),
        }
        for metric, gain in theirs.gain.items()
    )


def _named(version: int | None) -> str:
    return "none" if version is None else f"version {version}"
