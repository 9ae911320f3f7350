"""Where an asset stands in Dagster's catalogue: its group, who owns it, and the tags that it is found by."""

from typing import Literal

Group = Literal["data", "tuning", "model", "scoring"]
GROUPS: tuple[Group, ...] = ("data", "tuning", "model", "scoring")

OWNERS = ["team:fraud"]


def tags(contains: str) -> dict[str, str]:
    """The tags of an asset.

    Args:
        contains: what a value of it is made of; `transactions` where it holds rows of customers.
    """
    return {"domain": "fraud", "contains": contains}
