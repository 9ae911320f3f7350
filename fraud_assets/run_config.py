"""The settings of runs that nobody starts by hand: a file, as the Launchpad takes it."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

_VARIABLE = "FRAUD_RUN_CONFIG"


def run_config_of(assets: Collection[str], own: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """The run config of a job: what the file in FRAUD_RUN_CONFIG says of these assets, and what the job itself sets.

    Args:
        assets: names of the job's assets; what the file says of others is left out.
        own: what the job sets, by asset; it wins.

    Raises:
        ValueError: the file can't be read, or is no mapping; the message names it.
    """
    given = _read()
    ops = {name: dict(value) for name, value in (given.pop("ops", None) or {}).items() if name in assets}
    for name, values in (own or {}).items():
        ops[name] = {"config": {**ops.get(name, {}).get("config", {}), **values}}
    return {**given, **({"ops": ops} if ops else {})}


def _read() -> dict[str, Any]:
    name = os.environ.get(_VARIABLE, "").strip()
    if not name:
        return {}
    try:
        value = yaml.safe_load(Path(name).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{_VARIABLE} names {name}, which can't be read as YAML: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{_VARIABLE} names {name}, which is no mapping; expected `ops:` and what follows")
    return value
