"""A trial as the rest of the project sees it, whatever runs it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

TrialStatus = Literal["running", "finished", "failed", "stopped"]

# The file of a trial's checkpoint: the probabilities of all folds' validating rows, one fold after the other, float32.
OUT_OF_FOLD = "out_of_fold.npy"


@dataclass(frozen=True)
class TrialRecord:
    """What is known of one trial.

    Attributes:
        trial_id: Tune's id; the name of the trial's folder in the experiment's.
        params: the configuration that the search space suggested.
        status: `stopped` is a trial that the time budget, or a user, ended before it had a result.
        metrics: the numbers that it reported; empty unless it finished.
        seconds: wall clock of the trial, resampling and fitting together.
        error: of a failed trial: what went wrong in the first line, then the traceback.
        checkpoint: of a finished trial: path of the folder with `OUT_OF_FOLD`, in the experiment's file system.
    """

    trial_id: str
    params: dict[str, Any]
    status: TrialStatus
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    error: str | None = None
    checkpoint: str | None = None

    @property
    def name(self) -> str:
        """What people call it: resampler, booster, id."""
        parts = [str(self.params[key]) for key in ("resampler", "booster") if key in self.params]
        return "-".join([*parts, self.trial_id])


class TrialListener(Protocol):
    """Hears of each trial, in the process that drives the study, in the order in which things happen."""

    def trial_started(self, trial: TrialRecord) -> None:
        """A trial begins to run."""

    def trial_ended(self, trial: TrialRecord) -> None:
        """A trial finished, failed or was stopped."""
