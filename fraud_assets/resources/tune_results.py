"""What Tune leaves of an experiment, as the rest of the project sees it."""

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fraud_assets.resources.object_store import Location, explain_errors
from fraud_assets.resources.trials import CURVE, ERROR, OUT_OF_FOLD, TrialRecord

if TYPE_CHECKING:
    from ray.tune import ResultGrid


class Suggested:
    """Remembers what each trial was started with: Tune's results know it only of trials that reported something."""

    def __init__(self) -> None:
        self.params: dict[str, dict[str, Any]] = {}

    def trial_started(self, trial: TrialRecord) -> None:
        """Remember the configuration."""
        self.params[trial.trial_id] = trial.params

    def trial_ended(self, trial: TrialRecord) -> None:
        """Nothing is left to remember."""


def records(grid: "ResultGrid", suggested: Suggested) -> list[TrialRecord]:
    """All trials of an experiment, whatever became of them, in the order in which they were suggested."""
    from fraud_assets.resources.telling_trial import describe
    from fraud_assets.resources.tune_callbacks import reported, status_of

    found = []
    for result in grid:
        values = result.metrics or {}
        error = describe(result.error) if result.error is not None else values.get(ERROR)
        # The time budget may end a trial between its result and its checkpoint, too.
        status = "failed" if error else status_of(values)
        if status == "finished" and result.checkpoint is None:
            status = "stopped"
        metrics = reported(values) if status in ("finished", "pruned") else {}
        # Tune's result has no id of a trial that failed or was stopped; the name of its folder is the id.
        trial_id = Path(result.path).name
        params = result.config if result.config is not None else suggested.params.get(trial_id, {})
        checkpoint = result.checkpoint.path if status == "finished" else None
        seconds = values.get("time_total_s")
        curve = values.get(CURVE, []) if metrics else []
        found.append(TrialRecord(trial_id, dict(params), status, metrics, seconds, error, checkpoint, curve))
    return found


def read_predictions(storage: Location, checkpoint: str) -> np.ndarray:
    """What a finished trial of an experiment in `storage` predicted for validating rows: see `trials.OUT_OF_FOLD`.

    Raises:
        StorageError: the storage refused it.
    """
    place = replace(storage, path=f"{checkpoint}/{OUT_OF_FOLD}")
    with explain_errors(place), storage.filesystem.open_input_stream(place.path) as source:
        predictions: np.ndarray = np.load(io.BytesIO(source.read()), allow_pickle=False)
    return predictions
