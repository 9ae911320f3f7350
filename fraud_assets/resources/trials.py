"""A trial as the rest of the project sees it, whatever runs it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

TrialStatus = Literal["running", "finished", "pruned", "failed", "stopped"]

# The file of a trial's checkpoint: the probabilities of all folds' validating rows, one fold after the other, float32.
OUT_OF_FOLD = "out_of_fold.npy"

# What a trial reports of itself: whether it came to its end, and of how many boosting rounds its numbers tell.
COMPLETE = "complete"
ROUNDS_TRAINED = "rounds_trained"
# Average precision by boosting round; see `ml.fold_fits.OutOfFold`.
CURVE = "curve"
# What went wrong, as text: the result of a trial that raised something.
ERROR = "error"


@dataclass(frozen=True)
class TrialRecord:
    """What is known of one trial.

    Attributes:
        trial_id: Tune's id; the name of the trial's folder in the experiment's.
        params: the configuration that the search space suggested.
        status: `pruned` is a trial that was worse than others on the way, and not fitted to its end; `stopped` one that
            the time budget, or a user, ended before it had a result.
        metrics: the numbers that it reported; of a pruned trial the searched metric where it was pruned, and the rounds
            until there; else empty unless it finished.
        seconds: wall clock of the trial, resampling and fitting together.
        error: of a failed trial: what went wrong in the first line, then the traceback.
        checkpoint: of a finished trial: path of the folder with `OUT_OF_FOLD`, in the experiment's file system.
        curve: average precision over folds after so many boosting rounds, as (rounds, score), where the trial knows it.
        at: when it got this status, as far as the driver heard of it; milliseconds since the epoch, as MLflow counts.
    """

    trial_id: str
    params: dict[str, Any]
    status: TrialStatus
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    error: str | None = None
    checkpoint: str | None = None
    curve: Sequence[Sequence[float]] = field(default_factory=list)
    at: int = field(default_factory=lambda: int(time.time() * 1000), compare=False)

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
