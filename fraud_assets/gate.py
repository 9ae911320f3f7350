"""Ends with an exit code that says whether the newest model is the champion: `python -m fraud_assets.gate`.

For CI, after `dagster asset materialize`: 0 where it is, 3 where the champion stays, and 1 where that can't be told.
"""

import sys
from typing import Any

import dagster as dg

from fraud_assets.summary import stored_value

PROMOTED, UNKNOWN, REFUSED = 0, 1, 3


def verdict(champion: dict[str, Any]) -> tuple[int, str]:
    """The exit code and a line for people, from the value of `champion_model`."""
    name, version = champion["registered_model"], champion["challenger"]
    if champion["champion"] == version:
        return PROMOTED, f"passed: {name} version {version} is the champion: {champion['reason']}"
    stays = "there is no champion" if champion["champion"] is None else f"version {champion['champion']} stays champion"
    return REFUSED, f"refused: {name} version {version}; {stays}: {champion['reason']}"


if __name__ == "__main__":
    with dg.DagsterInstance.get() as dagster_instance:
        value = stored_value(dagster_instance, "champion_model")
    code, line = verdict(value)
    sys.stdout.write(f"{line}\n")
    sys.exit(code)
