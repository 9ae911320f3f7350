"""The experiments in the storage: which one a search goes on with, or that it is a new one."""

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from pyarrow import fs

from fraud_assets.resources.journal import Journal
from fraud_assets.resources.lease import Lease
from fraud_assets.resources.object_store import (
    Location,
    ObjectNotFoundError,
    StorageError,
    explain_errors,
    read_object,
    replace_object,
)

_STATE = "experiment.json"

# Whether a Dagster run, by its id, is known to have ended without a result.
WasKilled = Callable[[str], bool]


@dataclass(frozen=True)
class ExperimentState:
    """What an experiment's folder says of it, beside its trials.

    Attributes:
        experiment_id: of data, split, space, settings and code; see `tuning.experiment_id`.
        token: this experiment's and no other's, in whatever storage: its MLflow run is known by it.
        mlflow_run_id: the parent run; None until there is one.
        dagster_run_id: the Dagster run that worked on it last.
        outcome: `searched` when all trials have ended; `failed` where nothing can come of them; None before.
    """

    experiment_id: str
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    mlflow_run_id: str | None = None
    dagster_run_id: str | None = None
    outcome: Literal["searched", "failed"] | None = None


class ExperimentFolder:
    """One experiment's folder in the storage: its state, its journal, its lease, and Tune's own folders.

    Attributes:
        name: of the folder.
        location: of the folder.
    """

    def __init__(self, location: Location, experiment_id: str) -> None:
        """The folder at `location`, which need not exist yet."""
        self.location = location
        self.name = location.path.rpartition("/")[2]
        self._experiment_id = experiment_id

    @property
    def lease(self) -> Lease:
        """Who works on the experiment."""
        return Lease(self.location.child("owners"))

    def journal(self) -> Journal:
        """What became of its trials, as it is in the storage now."""
        return Journal(self.location.child("trials"))

    def state(self) -> ExperimentState:
        """What is kept of it.

        Raises:
            StorageError: the storage refused it, or it is another experiment's.
        """
        place = self.location.child(_STATE)
        try:
            state = ExperimentState(**json.loads(read_object(place)))
        except ObjectNotFoundError:
            return ExperimentState(self._experiment_id)
        except (TypeError, ValueError) as error:
            raise StorageError(f"{place} is no experiment's state: {error}") from error
        if state.experiment_id != self._experiment_id:
            raise StorageError(f"{place} is of experiment {state.experiment_id}, not {self._experiment_id}")
        return state

    def update(self, **changes: str) -> ExperimentState:
        """Change its state, and return it."""
        state = replace(self.state(), **changes)  # type: ignore[arg-type]
        replace_object(self.location.child(_STATE), json.dumps(asdict(state)).encode())
        return state

    def next_attempt(self) -> int:
        """The first number, from 1 on, of which Tune has no folder yet."""
        return 1 + sum(name.startswith("attempt-") for name in _names(self.location))

    def is_over(self, result: Location, was_killed: WasKilled) -> bool:
        """Whether nothing is left to go on with: its outcome is stored as `result`, or it failed.

        A search that ended while its result could not be stored is not: `result` is older than its outcome then. Nor is
        one whose run was killed between storing the result and telling Dagster of it.
        """
        state = self.state()
        if state.outcome != "searched":
            return state.outcome == "failed"
        if state.dagster_run_id is not None and was_killed(state.dagster_run_id):
            return False
        with explain_errors(result):
            stored, told = result.filesystem.get_file_info([result.path, self.location.child(_STATE).path])
        return bool(stored.type == fs.FileType.File and stored.mtime >= told.mtime)


def open_experiment(
    storage: Location, label: str, experiment_id: str, result: Location, was_killed: WasKilled
) -> ExperimentFolder:
    """The unfinished experiment with this id, or a new one.

    Args:
        storage: of all experiments.
        label: what its name begins with.
        experiment_id: of data, split, space, settings and code.
        result: where the outcome of a search is stored in the end.
        was_killed: whether a Dagster run is known to have ended before it told of its result.

    Raises:
        StorageError: the storage refused it.
    """
    base = f"{label}-{experiment_id[:8]}"
    numbers = [int(match[1]) for name in _names(storage) if (match := re.fullmatch(rf"{re.escape(base)}-(\d+)", name))]
    last = max(numbers, default=0)
    if last:
        folder = ExperimentFolder(storage.child(f"{base}-{last}"), experiment_id)
        if not folder.is_over(result, was_killed):
            return folder
    return ExperimentFolder(storage.child(f"{base}-{last + 1}"), experiment_id)


def _names(location: Location) -> list[str]:
    with explain_errors(location):
        listed = location.filesystem.get_file_info(fs.FileSelector(location.path, allow_not_found=True))
    return [info.base_name for info in listed]
