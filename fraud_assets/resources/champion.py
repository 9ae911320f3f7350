"""The model that scores: the version of the registered model that bears the alias, or one that is named."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from fraud_assets.ml.estimator import FraudClassifier
from fraud_assets.resources.environment import defaults_in_environment
from fraud_assets.resources.mlflow_tracking import MlflowTracking
from fraud_assets.resources.model_registry import CHAMPION, ModelRegistry, NoSuchVersionError

# Where MLflow keeps the artifact "classifier" of `log_model` inside a model.
_CLASSIFIER = "artifacts/classifier"


class NoChampionError(LookupError):
    """The registry has no such version; the message says what to do."""


@dataclass(frozen=True)
class Champion:
    """A version of the registered model.

    Attributes:
        name: of the registered model.
        version: its number in the registry.
        classifier: what was logged.
        url: the version's page where the server has one, else None.
    """

    name: str
    version: int
    classifier: FraudClassifier
    url: str | None

    @property
    def uri(self) -> str:
        """The version as MLflow names it."""
        return f"models:/{self.name}/{self.version}"


def load_champion(tracking: MlflowTracking, version: int | None = None) -> Champion:
    """Load a version of the registered model; its code is this package's, not the copy that was logged with it.

    Args:
        tracking: whose server and registered model are used.
        version: its number; None for the one with the alias `champion`.

    Raises:
        NoChampionError: there is no such version.
        MlflowException: the server doesn't answer, or refuses, or the version was logged by something else.
    """
    import mlflow

    tracking.prepare()
    # Artifacts of a registered model are looked up by MLflow's global setting.
    mlflow.set_tracking_uri(tracking.uri)
    name = tracking.registered_model
    number = _find(tracking.registry(), version)
    saved = f"models:/{name}/{number}/{_CLASSIFIER}"
    with (
        tempfile.TemporaryDirectory() as folder,
        # A progress bar for two small files, in the step's log.
        defaults_in_environment({"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}),
    ):
        classifier = FraudClassifier.load(Path(mlflow.artifacts.download_artifacts(saved, dst_path=folder)))
    return Champion(name, number, classifier, tracking.version_url(name, number))


def _find(registry: ModelRegistry, version: int | None) -> int:
    """The number of the version that is asked for."""
    if version is None:
        champion = registry.version_of(CHAMPION)
        if champion is None:
            raise NoChampionError(
                f"no version of {registry.name} bears the alias '{CHAMPION}': materialize champion_model first"
            )
        return champion
    try:
        registry.run_id(version)
    except NoSuchVersionError as error:
        raise NoChampionError(
            f"{registry.name} has no version {version}: name one that MLflow lists, or none for the champion"
        ) from error
    return version
