"""What an MLflow run says of where it comes from."""

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from fraud_assets.resources import provenance
from fraud_assets.resources.provenance import dagster_run_url, dagster_tags, requirements, source_tags


def test_the_page_of_a_dagster_run_is_known_where_the_environment_names_the_ui(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRAUD_DAGSTER_URL", raising=False)
    assert dagster_run_url("r1") is None
    assert dagster_tags("fraud_model", "r1") == {"fraud_model.dagster_run_id": "r1"}
    monkeypatch.setenv("FRAUD_DAGSTER_URL", " https://me:secret@dagster.example.org/ ")
    assert dagster_tags("fraud_model", "r1") == {
        "fraud_model.dagster_run_id": "r1",
        "fraud_model.dagster_run_url": "https://dagster.example.org/runs/r1",
    }


def test_the_commit_is_that_of_the_repository_that_has_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "fraud_assets"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.setattr(provenance, "_PACKAGE", package)
    assert source_tags() == {"mlflow.source.name": "fraud_assets"}, "no repository"

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=me", "-c", "user.email=me@example.org")
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "code")
    assert source_tags()["mlflow.source.git.commit"] == git("rev-parse", "HEAD")


def test_code_that_a_repository_ignores_is_not_of_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment inside of somebody's repository."""
    package = tmp_path / ".venv" / "fraud_assets"
    package.mkdir(parents=True)
    (tmp_path / ".gitignore").write_text(".venv\n")
    monkeypatch.setattr(provenance, "_PACKAGE", package)
    identity = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", ".gitignore"], cwd=tmp_path, check=True)
    subprocess.run(["git", *identity, "commit", "--quiet", "--message", "ours"], cwd=tmp_path, check=True)
    assert "mlflow.source.git.commit" not in source_tags()


def test_the_requirements_are_the_installed_packages_each_once_with_its_version() -> None:
    lines = requirements().decode().splitlines()
    assert f"xgboost=={version('xgboost')}" in lines
    assert lines == sorted(set(lines), key=str.lower)
    assert all(line.count("==") == 1 and "://" not in line for line in lines)
