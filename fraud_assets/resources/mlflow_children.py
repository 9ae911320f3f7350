"""Each trial of a study as a child run in MLflow."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fraud_assets.resources.environment import defaults_in_environment
from fraud_assets.resources.trials import TrialRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_STATUS = {"finished": "FINISHED", "pruned": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
# Otherwise MLflow's client prints the address of each run that ends, and asks the server for the whole run to know it.
_NO_ADDRESSES = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
# A tag holds 8,000 characters in MLflow's database.
_ERROR_LENGTH = 5000
_PAGE = 1000
_ANSWERS_LOST = 5
_TRIAL_ID = "trial_id"
# A name of its own: MLflow shows the last value of a metric, and a trial is judged by its best rounds.
_BY_ROUND = "average_precision_by_round"


class ChildRuns:
    """Listens to trials and records each as a child of one parent run.

    A child is made when its trial starts, and gets parameters, metrics and final status in one batch when it ends. A
    child whose trial never ended, or could not be recorded, is KILLED when the context is left.

    Attributes:
        run_ids: the child of each trial, by the trial's id.
    """

    def __init__(self, client: "MlflowClient", experiment_id: str, parent_run_id: str) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._parent_run_id = parent_run_id
        # Of the trials under way.
        self._open: dict[str, str] = {}
        # Of trials that an earlier run did not finish, by their parameters.
        self._interrupted: defaultdict[str, list[str]] = defaultdict(list)
        self._context = ExitStack()
        self.run_ids: dict[str, str] = {}

    def __enter__(self) -> "ChildRuns":
        self._context.enter_context(defaults_in_environment(_NO_ADDRESSES))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._context:
            try:
                for run_id in self._open.values():
                    _answered(partial(self._client.set_terminated, run_id, "KILLED", _now()))
                _answered(self._delete_doubles)
            except Exception:
                # What went wrong first is what people need to hear of.
                if error is None:
                    raise

    def go_on(self, ended: Iterable[TrialRecord], interrupted: Iterable[TrialRecord]) -> None:
        """Take over the children of an earlier run of the same study.

        What it did not come to write of trials that ended is written now. The child of an interrupted trial is that of
        the trial with the same parameters, when this is started; it bears the tag `interrupted`.

        Args:
            ended: the trials that have ended.
            interrupted: those that were under way.
        """
        children = {run.data.tags.get(_TRIAL_ID): run for run in self._existing()}
        for trial in ended:
            child = children.get(trial.trial_id)
            if child is not None:
                self.run_ids[trial.trial_id] = child.info.run_id
                if child.info.status == _STATUS[trial.status] and child.data.params.keys() >= trial.params.keys():
                    continue
                self._open[trial.trial_id] = child.info.run_id
            self.trial_ended(trial)
        for trial in interrupted:
            child = children.get(trial.trial_id)
            if child is not None:
                self._client.set_tag(child.info.run_id, "interrupted", "true")
                if child.info.status == "RUNNING":
                    self._client.set_terminated(child.info.run_id, "KILLED", _now())
                self._interrupted[_key(trial.params)].append(child.info.run_id)

    def trial_started(self, trial: TrialRecord) -> None:
        """Make the child run, RUNNING, or go on with that of the interrupted trial that this one does again.

        Raises:
            RuntimeError: MLflow refused it.
        """
        with _explained(trial):
            _answered(lambda: self._start(trial))

    def trial_ended(self, trial: TrialRecord) -> None:
        """Log parameters and metrics, and end the child run.

        Raises:
            RuntimeError: MLflow refused it.
        """
        with _explained(trial):
            if trial.trial_id not in self._open:
                _answered(lambda: self._start(trial))
            _answered(lambda: self._end(trial))

    def _start(self, trial: TrialRecord) -> None:
        if trial.trial_id in self._open:
            return  # started anew, as its worker was lost
        again = self._interrupted.get(_key(trial.params))
        if again:
            run_id = again[-1]
            self._client.set_tag(run_id, _TRIAL_ID, trial.trial_id)
            self._client.update_run(run_id, status="RUNNING", name=trial.name)
            again.pop()
        else:
            tags = {"mlflow.parentRunId": self._parent_run_id, _TRIAL_ID: trial.trial_id}
            run_id = self._client.create_run(self._experiment_id, trial.at, tags, trial.name).info.run_id
        self._open[trial.trial_id] = self.run_ids[trial.trial_id] = run_id

    def _end(self, trial: TrialRecord) -> None:
        from mlflow.entities import Metric, Param, RunTag

        run_id = self._open[trial.trial_id]
        params: dict[str, Any] = trial.params
        tags = [RunTag("error", trial.error[:_ERROR_LENGTH])] if trial.error else []
        if trial.status == "pruned":
            # MLflow's statuses know no such end: without a tag the child would look like one that was fitted wholly.
            tags.append(RunTag("pruned", "true"))
        self._client.log_batch(
            run_id,
            metrics=[
                *(Metric(name, value, trial.at, 0) for name, value in trial.metrics.items()),
                *(Metric(_BY_ROUND, score, trial.at, int(rounds)) for rounds, score in trial.curve),
            ],
            params=[Param(name, str(value)) for name, value in params.items()],
            tags=tags,
        )
        self._client.set_terminated(run_id, _STATUS[trial.status], trial.at)
        del self._open[trial.trial_id]

    def _delete_doubles(self) -> None:
        """Delete runs that the server made though its answer was lost on the way, so that another was asked for."""
        known = set(self.run_ids.values())
        for run in list(self._existing("attributes.status = 'RUNNING'")):
            if run.info.run_id not in known:
                self._client.delete_run(run.info.run_id)

    def _existing(self, also: str = "") -> "Iterable[Run]":
        conditions = [f"tags.`mlflow.parentRunId` = '{self._parent_run_id}'", *([also] if also else [])]
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id],
                " and ".join(conditions),
                max_results=_PAGE,
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return


@contextmanager
def _explained(trial: TrialRecord) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise RuntimeError(f"MLflow refused the record of trial {trial.name}: {error}") from error


def _answered(action: Callable[[], None]) -> None:
    """Do it again where the connection broke in the middle of an answer.

    MLflow's client repeats a request whose connection fails before there is an answer, and raises where it fails later.
    """
    from mlflow.exceptions import MlflowException
    from requests.exceptions import ChunkedEncodingError

    for left in reversed(range(_ANSWERS_LOST)):
        try:
            action()
        except MlflowException as error:
            if not left or not isinstance(error.__context__, ChunkedEncodingError):
                raise
        else:
            return


def _key(params: dict[str, Any]) -> str:
    """Equal for equal parameters."""
    return json.dumps(params, sort_keys=True, default=str)


def _now() -> int:
    """Milliseconds since the epoch, as MLflow counts."""
    return int(time.time() * 1000)
