"""Model versions in the storage, as they can be compared: the registry's model has seen its holdout."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pyarrow import fs

from fraud_assets.ml.challenge import Contender
from fraud_assets.ml.estimator import FraudClassifier
from fraud_assets.ml.reference import Reference
from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.seen_rows import SeenRows
from fraud_assets.ml.split import Split
from fraud_assets.resources.object_store import (
    Location,
    ObjectNotFoundError,
    ObjectStore,
    explain_errors,
    read_object,
    read_table,
    replace_object,
    replace_table,
)

_ABOUT = "contender.json"
_SEEN = "seen_rows.parquet"
_REFERENCE = "reference.parquet"
_CLASSIFIER = "classifier"


class NoContenderError(Exception):
    """The storage has nothing by which a model version could be compared; the message says what is missing."""


@dataclass(frozen=True)
class ContenderFolder:
    """What is kept of one version of a registered model: `models/<name>/v<version>/` in the storage."""

    location: Location

    @classmethod
    def of(cls, store: ObjectStore, registered_model: str, version: int) -> "ContenderFolder":
        """The folder of a version, which need not exist yet."""
        return cls(store.child("models", quote(registered_model, safe=""), f"v{version}"))

    def save(self, judged: FraudClassifier, dataset: Dataset, split: Split, run_id: str) -> None:
        """Keep the fit that the holdout judged, which rows it has seen, and what later data is compared with.

        Args:
            judged: fitted without the holdout.
            dataset: what it comes from.
            split: of it.
            run_id: the MLflow run that logged the version: another server's version has the same number.

        Raises:
            StorageError: the storage refused it.
        """
        seen = SeenRows.of(dataset, split.seen, by_time=split.strategy == "time")
        with tempfile.TemporaryDirectory() as name:
            judged.save(Path(name))
            for file in Path(name).iterdir():
                replace_object(self.location.child(_CLASSIFIER, file.name), file.read_bytes())
        replace_table(self.location.child(_SEEN), seen.to_arrow(), compression="none")  # hashes don't get smaller
        replace_table(self.location.child(_REFERENCE), Reference.of(dataset).to_arrow())
        # Last: where it is, all is.
        about = {"mlflow_run_id": run_id, "data_version": dataset.version}
        replace_object(self.location.child(_ABOUT), json.dumps(about).encode())

    def load(self, run_id: str) -> Contender:
        """The version that this MLflow run has logged.

        Raises:
            NoContenderError: the version was not made by this graph, or not in this storage.
            StorageError: the storage refused it.
        """
        try:
            about = json.loads(read_object(self.location.child(_ABOUT)))
        except ObjectNotFoundError:
            raise NoContenderError(
                f"{self.location} holds no judged fit: the version was not made by this graph, or in another storage"
            ) from None
        if about["mlflow_run_id"] != run_id:
            raise NoContenderError(
                f"{self.location} belongs to MLflow run {about['mlflow_run_id']}, and the version to {run_id}: storage "
                "and registry don't belong together"
            )
        with tempfile.TemporaryDirectory() as name:
            place = self.location.child(_CLASSIFIER)
            with explain_errors(place):
                fs.copy_files(place.path, name, place.filesystem, fs.LocalFileSystem())
            classifier = FraudClassifier.load(Path(name))
        return Contender(classifier, SeenRows.from_arrow(read_table(self.location.child(_SEEN))))

    def reference(self) -> Reference | None:
        """What is kept of the data that the version comes from; None where nothing is.

        Raises:
            StorageError: the storage refused it.
        """
        try:
            return Reference.from_arrow(read_table(self.location.child(_REFERENCE)))
        except ObjectNotFoundError:
            return None
