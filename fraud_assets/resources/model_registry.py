"""The aliases of a registered model in MLflow: which version is used, and which one would like to be."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fraud_assets.resources.mlflow_errors import found_or_none

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
CHALLENGER = "challenger"
# A tag of a model version holds 5,000 characters, and one of a run 8,000.
_TAG_LENGTH = 2000


class NoSuchVersionError(Exception):
    """A model version that was asked for isn't in the registry; the message names it."""


@dataclass(frozen=True)
class ModelRegistry:
    """One registered model.

    Attributes:
        client: talks to the server.
        name: of the registered model.
    """

    client: "MlflowClient"
    name: str

    def version_of(self, alias: str) -> int | None:
        """The version that bears an alias, or None if none does, or there is no such model.

        Raises:
            MlflowException: the server doesn't answer, or refuses.
        """
        model = found_or_none(lambda: self.client.get_registered_model(self.name))
        return int(model.aliases[alias]) if model is not None and alias in model.aliases else None

    def run_id(self, version: int) -> str:
        """The MLflow run that logged a version.

        Raises:
            NoSuchVersionError: there is no such version.
            MlflowException: the server doesn't answer, or refuses.
        """
        return str(self._version(version).run_id)

    def promote(self, version: int, reason: str) -> None:
        """Give the alias `champion` to a version; it is no challenger any more.

        Raises:
            NoSuchVersionError: there is no such version.
            MlflowException: the server doesn't answer, or refuses.
        """
        self._version(version)
        self.client.set_registered_model_alias(self.name, CHAMPION, str(version))
        if self.version_of(CHALLENGER) == version:
            self.client.delete_registered_model_alias(self.name, CHALLENGER)
        self._tell(version, "promoted", reason)

    def keep_as_challenger(self, version: int, reason: str) -> None:
        """Give the alias `challenger` to a version that is not promoted.

        Raises:
            MlflowException: the server doesn't answer, or refuses.
        """
        self.client.set_registered_model_alias(self.name, CHALLENGER, str(version))
        self._tell(version, "kept as challenger", reason)

    def _tell(self, version: int, decision: str, reason: str) -> None:
        for tag, value in (("decision", decision), ("decision_reason", reason[:_TAG_LENGTH])):
            self.client.set_model_version_tag(self.name, str(version), tag, value)

    def _version(self, version: int) -> "ModelVersion":
        found = found_or_none(lambda: self.client.get_model_version(self.name, str(version)))
        if found is None:
            raise NoSuchVersionError(f"the registry has no version {version} of {self.name}")
        return found
