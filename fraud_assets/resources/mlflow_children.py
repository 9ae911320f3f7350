"""Each trial of a study as a child run in MLflow, written beside the study and not in its way."""

import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fraud_assets.resources.trials import TrialRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient

_STATUS = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
# A tag holds 8,000 characters in MLflow's database.
_ERROR_LENGTH = 5000


class ChildRuns:
    """Listens to trials and records each as a child of one parent run.

    A child is made when its trial starts, and gets parameters, metrics and final status in one batch when it ends. One
    thread writes, in order, so that neither Tune's loop nor a worker waits for MLflow. Leaving the context waits until
    everything is written; a child whose trial never ended, or could not be recorded, is KILLED then.
    """

    def __init__(self, client: "MlflowClient", experiment_id: str, parent_run_id: str) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._parent_run_id = parent_run_id
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="mlflow-children", daemon=True)
        self._error: Exception | None = None
        # Of the trials under way; touched by the writing thread only.
        self._open: dict[str, str] = {}
        self.run_ids: dict[str, str] = {}

    def __enter__(self) -> "ChildRuns":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._jobs.put(self._kill_open)
        self._jobs.put(None)
        self._thread.join()
        if self._error is not None and error is None:
            raise RuntimeError(f"MLflow refused the record of a trial: {self._error}") from self._error

    def trial_started(self, trial: TrialRecord) -> None:
        """Make the child run, RUNNING."""
        started = _now()
        self._jobs.put(lambda: self._start(trial, started))

    def trial_ended(self, trial: TrialRecord) -> None:
        """Log parameters and metrics, and end the child run."""
        ended = _now()
        self._jobs.put(lambda: self._end(trial, ended))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._error is None or job == self._kill_open:
                try:
                    job()
                except Exception as error:  # noqa: BLE001 - raised where the study is left
                    self._error = self._error or error

    def _start(self, trial: TrialRecord, started: int) -> None:
        tags = {"mlflow.parentRunId": self._parent_run_id, "trial_id": trial.trial_id}
        run = self._client.create_run(self._experiment_id, started, tags, trial.name)
        self._open[trial.trial_id] = self.run_ids[trial.trial_id] = run.info.run_id

    def _end(self, trial: TrialRecord, ended: int) -> None:
        from mlflow.entities import Metric, Param, RunTag

        if trial.trial_id not in self._open:
            self._start(trial, ended)
        run_id = self._open[trial.trial_id]
        params: dict[str, Any] = trial.params
        self._client.log_batch(
            run_id,
            metrics=[Metric(name, value, ended, 0) for name, value in trial.metrics.items()],
            params=[Param(name, str(value)) for name, value in params.items()],
            tags=[RunTag("error", trial.error[:_ERROR_LENGTH])] if trial.error else [],
        )
        self._client.set_terminated(run_id, _STATUS[trial.status], ended)
        del self._open[trial.trial_id]

    def _kill_open(self) -> None:
        for run_id in self._open.values():
            self._client.set_terminated(run_id, "KILLED", _now())


def _now() -> int:
    """Milliseconds since the epoch, as MLflow counts."""
    return int(time.time() * 1000)
