"""What a run's record says of where it comes from: Dagster's page, the commit of this code, the installed packages."""

import os
from importlib.metadata import distributions
from pathlib import Path

from fraud_assets.ml.uri import without_credentials

_PACKAGE = Path(__file__).parents[1]


def dagster_run_url(run_id: str) -> str | None:
    """The page of a Dagster run, where FRAUD_DAGSTER_URL says where its UI is."""
    server = os.environ.get("FRAUD_DAGSTER_URL", "").strip().rstrip("/")
    return f"{without_credentials(server)}/runs/{run_id}" if server else None


def dagster_tags(asset: str, run_id: str) -> dict[str, str]:
    """Tags for an MLflow run: the Dagster run that works on it for an asset, and its page where it has one."""
    url = dagster_run_url(run_id)
    return {f"{asset}.dagster_run_id": run_id, **({f"{asset}.dagster_run_url": url} if url else {})}


def source_tags() -> dict[str, str]:
    """MLflow's own tags for the code that makes a run: this package, and the commit of its repository if it is in one.

    What MLflow finds out itself is where the command `dagster` is installed.
    """
    from mlflow.utils.git_utils import get_git_commit
    from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_SOURCE_NAME

    commit = get_git_commit(str(_PACKAGE))
    return {MLFLOW_SOURCE_NAME: _PACKAGE.name, **({MLFLOW_GIT_COMMIT: commit} if commit else {})}


def requirements() -> bytes:
    """The installed packages with their versions, as the text of a requirements file."""
    found = {f"{package.name}=={package.version}" for package in distributions() if package.name}
    return "".join(f"{line}\n" for line in sorted(found, key=str.lower)).encode()
