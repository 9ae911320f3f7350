"""How the steps of a run are started."""

from typing import Any

import dagster as dg

# The graph, and what Dagster itself imports as a step begins; a name that another version lacks is passed over.
_IMPORTED_ONCE = (
    "fraud_assets.definitions",
    "dagster._cli",
    "dagster._core.storage.sqlite_storage",
    "dagster._daemon.daemon",
    # Most steps need them; two seconds together.
    "scipy.stats",
    "sklearn.metrics",
)

_MAX_CONCURRENT = dg.Field(
    dg.Noneable(int),
    default_value=None,
    description="Steps under way at a time, at most. Default: as many as cores.",
)
_MODES: Any = {"multiprocess": {"max_concurrent": _MAX_CONCURRENT}, "in_process": {}}


@dg.configured(
    dg.multi_or_in_process_executor,
    config_schema=dg.Field(dg.Selector(_MODES), default_value={"multiprocess": {}}),  # type: ignore[no-untyped-call]
)
def step_executor(config: dict[str, Any]) -> dict[str, Any]:
    """Each step in a process of its own, forked from one that has imported the graph already.

    Dagster's default starts a new interpreter for each step, which then imports Dagster, pandas and this package: more
    than a second a step. Nothing that has threads (Ray, MLflow, XGBoost) is imported before the fork.
    """
    if "in_process" in config:
        return config
    forked = {"start_method": {"forkserver": {"preload_modules": list(_IMPORTED_ONCE)}}}
    return {"multiprocess": {**config["multiprocess"], **forked}}
