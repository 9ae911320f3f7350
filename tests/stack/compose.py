"""deploy/compose/compose.yaml as services: what Docker Compose would read from it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.servers import REPOSITORY

COMPOSE = REPOSITORY / "deploy" / "compose"
# The forms of the specification that the file uses: ${A}, ${A:-default}, ${A:?}.
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<form>[-?])(?P<default>[^}]*))?\}")


@dataclass(frozen=True)
class Service:
    """A service of the compose file.

    Attributes:
        command: empty where the image's own is meant.
        environment: of `env_file` and `environment`.
        listens: on these ports inside the network.
        published: the ports of the host for people, by the port inside.
        check: the command of its health check.
        waits_for: services that have to be healthy before it starts.
        mounts: named volumes by the path at which it sees them.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    listens: list[int]
    published: dict[int, int]
    check: list[str]
    waits_for: list[str]
    mounts: dict[str, str]


def document() -> dict[str, Any]:
    """The file as YAML, nothing filled in."""
    loaded: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    return loaded


def settings() -> dict[str, str]:
    """What settings.env says."""
    lines = (COMPOSE / "settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def services(variables: Mapping[str, str]) -> dict[str, Service]:
    """Every service by its name, with `variables` filled in.

    Raises:
        KeyError: a variable that has to be set is missing; it names which.
    """
    volumes = document()["volumes"]
    found = {}
    for name, part in filled_in(document()["services"], variables).items():
        pairs = [entry.rsplit(":", 2) for entry in part.get("ports", [])]
        mounts = [entry.split(":") for entry in part.get("volumes", [])]
        found[name] = Service(
            name,
            part.get("command", []),
            {**(settings() if "env_file" in part else {}), **part.get("environment", {})},
            [int(port) for port in part.get("expose", [])],
            {int(inside): int(outside) for _, outside, inside in pairs},
            part["healthcheck"]["test"][1:],
            list(part.get("depends_on", {})),
            {mount[1]: mount[0] for mount in mounts if mount[0] in volumes},
        )
    return found


def filled_in(part: Any, variables: Mapping[str, str]) -> Any:
    """A part of the document with its variables replaced."""
    if isinstance(part, dict):
        return {name: filled_in(value, variables) for name, value in part.items()}
    if isinstance(part, list):
        return [filled_in(value, variables) for value in part]
    return _VARIABLE.sub(lambda match: _value(match, variables), part) if isinstance(part, str) else part


def variables_of(file: Path) -> set[str]:
    """The names of the variables in a file."""
    return {match["name"] for match in _VARIABLE.finditer(file.read_text())}


def _value(match: "re.Match[str]", variables: Mapping[str, str]) -> str:
    if match["form"] == "-":
        return variables.get(match["name"]) or match["default"]
    return variables[match["name"]]
