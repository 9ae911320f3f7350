"""MLflow: the parent run of an experiment and the model that comes of it; built on dagster-mlflow."""

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.uri import without_credentials
from fraud_assets.resources.mlflow_children import ChildRuns
from fraud_assets.resources.object_store import DEFAULT_FOLDER

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DAGSTER_RUN_ID = "dagster_run_id"  # dagster-mlflow's tag for the run that it belongs to


@dataclass(frozen=True)
class ParentRun:
    """The MLflow run of an experiment while something works on it; it is MLflow's active run meanwhile.

    Attributes:
        run_id: travels in the assets, so that whoever comes later continues this run.
        experiment_id: of MLflow's experiment.
        client: talks to the same server.
        url: the run's page where the server has one, else None.
    """

    run_id: str
    experiment_id: str
    client: "MlflowClient"
    url: str | None

    def child_runs(self) -> ChildRuns:
        """A recorder that makes each trial a child of this run."""
        return ChildRuns(self.client, self.experiment_id, self.run_id)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Tag the run."""
        for name, value in tags.items():
            self.client.set_tag(self.run_id, name, value)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters; MLflow refuses another value for one that the run has."""
        from mlflow.entities import Param

        self.client.log_batch(self.run_id, params=[Param(name, str(value)) for name, value in params.items()])

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log metrics, now."""
        import mlflow

        mlflow.log_metrics(dict(metrics), run_id=self.run_id)

    def log_files(self, files: Mapping[str, bytes]) -> None:
        """Log files by their names, such as `plots/roc.png`, all in one go."""
        with tempfile.TemporaryDirectory() as name:
            for path, content in files.items():
                file = Path(name, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            self.client.log_artifacts(self.run_id, name)

    def log_input(self, dataset: Dataset) -> None:
        """Log which data the run learns from: schema and digest, not the rows."""
        import mlflow
        from mlflow.data import from_pandas

        with warnings.catch_warnings():
            # MLflow knows two readers for a local path, and both will do; that integer columns may have missing values
            # elsewhere is no matter of this record.
            warnings.filterwarnings("ignore", "The specified dataset source can be interpreted in multiple ways")
            warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer")
            source = from_pandas(
                dataset.table.to_pandas(),
                source=dataset.source,
                name="raw_dataset",
                targets=dataset.roles.label,
                digest=dataset.version,
            )
            mlflow.log_input(source, context="training")


class MlflowTracking(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where runs and models are recorded. Nothing is contacted before a run is opened."""

    tracking_uri: str | None = Field(
        default=None,
        description=(
            "MLflow's tracking server or database. Default: the environment variable MLFLOW_TRACKING_URI, else "
            f"SQLite in the folder {DEFAULT_FOLDER}/ in the working directory."
        ),
    )
    experiment: str = Field(default="fraud_assets", description="MLflow experiment that the runs belong to.")
    registered_model: str = Field(default="fraud_model", description="Registered model that new versions go to.")

    @property
    def uri(self) -> str:
        """The tracking URI that is used."""
        embedded = f"sqlite:///{Path.cwd() / DEFAULT_FOLDER / 'mlflow.db'}"
        return self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or embedded

    @property
    def is_default(self) -> bool:
        """Whether nobody named a server, so that it is the embedded database."""
        return not (self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"))

    @contextmanager
    def parent_run(
        self, run_id: str | None = None, *, name: str | None = None, tags: Mapping[str, str] | None = None
    ) -> Iterator[ParentRun]:
        """Work on a parent run: RUNNING inside, then FINISHED, FAILED after an exception, or KILLED after an interrupt.

        Args:
            run_id: the run to go on with; None for this Dagster run's own, which is made if there is none.
            name: of the run.
            tags: to set on it.

        Raises:
            MlflowException: the server doesn't answer, refuses, or has no such run.
        """
        import mlflow

        # Inherited from whatever started this process, it would take the place of the run that is asked for.
        os.environ.pop("MLFLOW_RUN_ID", None)
        self._prepare_experiment()
        before = mlflow.MlflowClient(self.uri).get_run(run_id) if run_id is not None else None
        with self._dagster_mlflow(run_id) as tracking:
            info = tracking.active_run().info
            parent = ParentRun(info.run_id, info.experiment_id, tracking.tracking_client, self._url(info))
            if before is not None:
                # dagster-mlflow renames a run that it goes on with after its job, and takes over its Dagster run's id.
                name = name or before.info.run_name
                tags = {_DAGSTER_RUN_ID: before.data.tags.get(_DAGSTER_RUN_ID, ""), **(tags or {})}
            if name is not None:
                parent.client.update_run(parent.run_id, name=name)
            parent.set_tags(tags or {})
            yield parent

    @contextmanager
    def _dagster_mlflow(self, run_id: str | None) -> Iterator[Any]:
        """dagster-mlflow's resource for the length of a block; it finds or starts the run and tags it.

        Its own lifecycle marks every run FINISHED as a step's process exits, after a failure too, and lets a second
        Dagster run in the same process log into the first one's run. So the run is ended here.
        """
        import mlflow

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)
            from dagster_mlflow.resources import MlFlow

            config: dict[str, Any] = {
                "experiment_name": self.experiment,
                "mlflow_tracking_uri": self.uri,
                "mlflow_run_id": run_id,
                "env": {},
            }
            tracking = MlFlow(self.get_resource_context().replace_config(config))
        try:
            yield tracking
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            mlflow.end_run("KILLED")
            raise
        except BaseException:
            mlflow.end_run("FAILED")
            raise
        mlflow.end_run("FINISHED")

    def _prepare_experiment(self) -> None:
        """Give the embedded database a folder, and its experiment a place for artifacts beside it."""
        if not self.is_default:
            return
        import mlflow

        folder = Path.cwd() / DEFAULT_FOLDER
        folder.mkdir(exist_ok=True)
        client = mlflow.MlflowClient(self.uri)
        if client.get_experiment_by_name(self.experiment) is None:
            # MLflow's own default is ./mlruns in the working directory.
            client.create_experiment(self.experiment, artifact_location=(folder / "mlartifacts").as_uri())

    def _url(self, info: Any) -> str | None:
        if not self.uri.startswith("http"):
            return None
        server = without_credentials(self.uri).rstrip("/")
        return f"{server}/#/experiments/{info.experiment_id}/runs/{info.run_id}"
