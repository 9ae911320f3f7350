"""MLflow: the parent run of an experiment and the model that comes of it; built on dagster-mlflow."""

import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
from pydantic import Field

from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.uri import without_credentials
from fraud_assets.resources.interrupts import RunDiedError, ended_with_the_run
from fraud_assets.resources.mlflow_abandoned import end_abandoned, owner_tag
from fraud_assets.resources.mlflow_children import ChildRuns
from fraud_assets.resources.mlflow_errors import found_or_none
from fraud_assets.resources.model_registry import ModelRegistry
from fraud_assets.resources.object_store import DEFAULT_FOLDER
from fraud_assets.resources.owner import Owner
from fraud_assets.resources.provenance import dagster_run_url, source_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DAGSTER_RUN_ID = "dagster_run_id"  # dagster-mlflow's tag for the run that it belongs to
_EXPERIMENT_KIND = "mlflow.experimentKind"  # its UI's


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

    def describe(self, text: str, dagster_run_id: str) -> None:
        """Say on the run's page in MLflow what it came to, in Markdown, and which Dagster run said so."""
        from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

        url = dagster_run_url(dagster_run_id)
        run = f"[{dagster_run_id}]({url})" if url else dagster_run_id
        self.set_tags({MLFLOW_RUN_NOTE: f"{text}\n\nDagster run: {run}"})

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters; MLflow refuses another value for one that the run has."""
        from mlflow.entities import Param

        self.client.log_batch(self.run_id, params=[Param(name, str(value)) for name, value in params.items()])

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log metrics, now."""
        import mlflow

        mlflow.log_metrics(dict(metrics), run_id=self.run_id)

    def log_curve(self, name: str, points: Sequence[tuple[int, float]]) -> None:
        """Log the values of a metric by step, as (step, value), for MLflow to draw."""
        from mlflow.entities import Metric
        from mlflow.utils.validation import MAX_METRICS_PER_BATCH

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for step, value in points]
        for i in range(0, len(metrics), MAX_METRICS_PER_BATCH):
            self.client.log_batch(self.run_id, metrics=metrics[i : i + MAX_METRICS_PER_BATCH])

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
        from mlflow.data.dataset_source_registry import resolve_dataset_source
        from mlflow.data.meta_dataset import MetaDataset
        from mlflow.types import ColSpec, Schema

        columns = zip(dataset.table.schema, dataset.table.columns, strict=True)
        schema = Schema(
            [ColSpec(_mlflow_type(field.type), field.name, required=not values.null_count) for field, values in columns]
        )
        with warnings.catch_warnings():
            # MLflow knows two readers for a local path, and both will do.
            warnings.filterwarnings("ignore", "The specified dataset source can be interpreted in multiple ways")
            source = resolve_dataset_source(dataset.source)
        # MLflow's dataset of a DataFrame would make one of all rows.
        mlflow.log_input(MetaDataset(source, "raw_dataset", dataset.version, schema), context="training")


def _import_dagster_mlflow() -> Any:
    """Its class `MlFlow`, without the warning of its own use of a decorator that is in beta."""
    # For good, and not in `catch_warnings`, which another thread would undo: see `MlflowTracking.prepare`.
    warnings.filterwarnings("ignore", "Function `_create_mlflow_run_hook` is currently in beta", dg.BetaWarning)
    from dagster_mlflow.resources import MlFlow

    return MlFlow


def _mlflow_type(kind: pa.DataType) -> str:
    """MLflow's name for the type of a column of a data set."""
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer" if kind.bit_width < 32 or kind == pa.int32() else "long"
    if pa.types.is_floating(kind):
        return "float" if kind == pa.float32() else "double"
    return "datetime" if pa.types.is_timestamp(kind) else "string"


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

    def prepare(self) -> None:
        """Import what talks to the server; make the embedded database, if that is used and there is none yet.

        It takes seconds, and every run needs it: for whoever waits for something else meanwhile.
        """
        _import_dagster_mlflow()
        self._prepare_experiment()

    @contextmanager
    def parent_run(
        self, run_id: str | None = None, *, name: str | None = None, tags: Mapping[str, str] | None = None
    ) -> Iterator[ParentRun]:
        """Work on a parent run: RUNNING inside, then FINISHED, FAILED after an exception, or KILLED after an interrupt.

        Args:
            run_id: the run to go on with; None for a new one.
            name: of the run.
            tags: to set on it.

        Raises:
            MlflowException: the server doesn't answer, refuses, or has no such run.
        """
        import mlflow

        # MLflow looks for a commit, and warns where no git is installed.
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        # Inherited from whatever started this process, it would take the place of the run that is asked for.
        os.environ.pop("MLFLOW_RUN_ID", None)
        self._prepare_experiment()
        context = self.get_resource_context()
        if context.instance is not None:
            self.end_abandoned(context.instance)
        before = mlflow.MlflowClient(self.uri).get_run(run_id) if run_id is not None else None
        given = {**owner_tag(Owner.this_process(context.run.run_id if context.run else "")), **(tags or {})}
        if before is None:
            given = {**source_tags(), **given}
        with self._dagster_mlflow(run_id, name, given) as tracking:
            info = tracking.active_run().info
            parent = ParentRun(info.run_id, info.experiment_id, tracking.tracking_client, self._run_url(info))
            if before is not None:
                # dagster-mlflow renames a run that it goes on with after its job, and takes over its Dagster run's id.
                parent.client.update_run(parent.run_id, name=name or before.info.run_name)
                parent.set_tags({_DAGSTER_RUN_ID: before.data.tags.get(_DAGSTER_RUN_ID, ""), **given})
            yield parent

    def registry(self, name: str | None = None) -> ModelRegistry:
        """A registered model, by default ours."""
        import mlflow

        return ModelRegistry(mlflow.MlflowClient(self.uri), name or self.registered_model)

    def end_abandoned(self, instance: dg.DagsterInstance) -> list[str]:
        """End what says RUNNING though its Dagster run, or the process that worked on it, has ended.

        Args:
            instance: knows what became of Dagster runs.

        Returns:
            The ids of the MLflow runs that were ended.

        Raises:
            MlflowException: the server doesn't answer, or refuses.
        """
        import mlflow

        def ended_as(dagster_run_id: str) -> str | None:
            run = instance.get_run_by_id(dagster_run_id)
            if run is None or not run.is_finished:
                return None
            return "KILLED" if run.status == dg.DagsterRunStatus.CANCELED else "FAILED"

        client = mlflow.MlflowClient(self.uri)
        experiment = client.get_experiment_by_name(self.experiment)
        return [] if experiment is None else end_abandoned(client, experiment.experiment_id, ended_as)

    def find_run(self, run_id: str | None, tag: str, value: str) -> str | None:
        """The run with this id, else the newest of our experiment with this tag, or None if the server has neither.

        Raises:
            MlflowException: the server doesn't answer, or refuses.
        """
        import mlflow

        self._prepare_experiment()
        client = mlflow.MlflowClient(self.uri)
        if run_id is not None:
            run = found_or_none(lambda: client.get_run(run_id))
            if run is not None and run.info.lifecycle_stage == "active":
                return run_id
        experiment = client.get_experiment_by_name(self.experiment)
        if experiment is None:
            return None
        found = client.search_runs([experiment.experiment_id], f"tags.`{tag}` = '{value}'", max_results=1)
        return found[0].info.run_id if found else None

    @contextmanager
    def _dagster_mlflow(self, run_id: str | None, name: str | None, tags: Mapping[str, str]) -> Iterator[Any]:
        """dagster-mlflow's resource for the length of a block; it goes on with the run and tags it.

        A new run is started here, as it has to bear its tags from its first moment: one whose process is killed then
        would never be found again.

        Its own lifecycle marks every run FINISHED as a step's process exits, after a failure too, and lets a second
        Dagster run in the same process log into the first one's run. So the run is ended here.
        """
        import mlflow

        MlFlow = _import_dagster_mlflow()
        mlflow.set_tracking_uri(self.uri)
        experiment = mlflow.set_experiment(self.experiment)
        if _EXPERIMENT_KIND not in experiment.tags:
            # Otherwise MLflow's UI asks, or guesses that it is about language models.
            mlflow.set_experiment_tag(_EXPERIMENT_KIND, "custom_model_development")
        try:
            with ended_with_the_run():
                if run_id is None:
                    run = self.get_resource_context().run
                    tags = {_DAGSTER_RUN_ID: run.run_id if run else "", **tags}
                    run_id = mlflow.start_run(run_name=name, tags=dict(tags)).info.run_id
                config: dict[str, Any] = {
                    "experiment_name": self.experiment,
                    "mlflow_tracking_uri": self.uri,
                    "mlflow_run_id": run_id,
                    "env": {},
                }
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", dg.BetaWarning)
                    tracking = MlFlow(self.get_resource_context().replace_config(config))
                yield tracking
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            mlflow.end_run("KILLED")
            self._say_canceling()
            raise
        except RunDiedError as error:
            mlflow.end_run("FAILED")
            self._say_failed(str(error))
            raise
        except BaseException:
            mlflow.end_run("FAILED")
            raise
        mlflow.end_run("FINISHED")

    def _say_canceling(self) -> None:
        """Tell Dagster that somebody wants this run to end; a signal without such a request is a failure to it.

        Ctrl-C and SIGTERM come without one, Terminate with one.
        """
        context = self.get_resource_context()
        run = self._unfinished_run()
        if context.instance is not None and run is not None and run.status != dg.DagsterRunStatus.CANCELING:
            context.instance.report_run_canceling(run, "The run was interrupted by a signal.")

    def _say_failed(self, message: str) -> None:
        """Tell Dagster what the run's own process can't any more."""
        context = self.get_resource_context()
        run = self._unfinished_run()
        if context.instance is not None and run is not None:
            context.instance.report_run_failed(run, message)

    def _unfinished_run(self) -> dg.DagsterRun | None:
        context = self.get_resource_context()
        if context.instance is None or context.run is None:
            return None
        run = context.instance.get_run_by_id(context.run.run_id)
        return None if run is None or run.is_finished else run

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

    def version_url(self, name: str, version: int) -> str | None:
        """The page of a version of a registered model where the server has one, else None."""
        return None if self._server is None else f"{self._server}/#/models/{name}/versions/{version}"

    def _run_url(self, info: Any) -> str | None:
        return self._server and f"{self._server}/#/experiments/{info.experiment_id}/runs/{info.run_id}"

    @property
    def _server(self) -> str | None:
        """The address of the UI; a database has none."""
        return without_credentials(self.uri).rstrip("/") if self.uri.startswith("http") else None
