"""Tells of the tuning as it goes on."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from fraud_assets.ml.evaluate import Metric, direction
from fraud_assets.resources.trials import TrialRecord

# An observation of the asset is an event for good, and a line in the log is one of the run.
MOST_OBSERVATIONS = 20


class ProgressLog:
    """Listens to trials and logs each one's score, the best so far, how many are left and how fast they come.

    The same is observed now and then: after the first trial, and then at even steps, `MOST_OBSERVATIONS` times at most.
    """

    def __init__(
        self,
        log: logging.Logger,
        metric: Metric,
        trials: int,
        before: Sequence[TrialRecord] = (),
        observe: Callable[[Mapping[str, float | str]], None] = lambda progress: None,
    ) -> None:
        """Log to `log` of `trials` trials, of which those of `before` ended in earlier runs."""
        self._log = log
        self._metric = metric
        self._trials = trials
        self._observe = observe
        self._every = -(-trials // MOST_OBSERVATIONS)
        self._started: float | None = None
        self._ended = self._before = len(before)
        self._best: tuple[float, str] | None = None
        for trial in before:
            self._compare(trial)

    def trial_started(self, trial: TrialRecord) -> None:
        """Start the clock: what came before, connecting to Ray among it, says nothing of the rate."""
        if self._started is None:
            self._started = time.monotonic()

    def trial_ended(self, trial: TrialRecord) -> None:
        """Log one line; a failed trial's error too."""
        self._ended += 1
        if trial.status == "finished":
            self._compare(trial)
            outcome = f"{self._metric} {trial.metrics[self._metric]:.4f}"
        elif trial.status == "pruned":
            rounds = trial.metrics["rounds"]
            outcome = f"pruned after {rounds:.0f} rounds, {self._metric} {trial.metrics[self._metric]:.4f}"
        else:
            outcome = trial.status
        best = f"best {self._best[0]:.4f} ({self._best[1]})" if self._best else "none has finished"
        seconds = time.monotonic() - (self._started or time.monotonic())
        rate = (self._ended - self._before) / max(seconds, 0.001)
        left = self._trials - self._ended
        self._log.info(
            f"trial {self._ended}/{self._trials} {trial.name}: {outcome}; {best}; "
            f"{left} left at {rate * 60:.0f} a minute, about {left / rate:.0f} s"
        )
        if trial.error:
            # The traceback is in the grid and in MLflow.
            self._log.warning(f"trial {trial.name} failed: {trial.error.splitlines()[0]}")
        # The first one counts in the place of the one that would come first.
        if self._ended == self._before + 1 or (self._ended > self._every and self._ended % self._every == 0):
            self._observe(
                {
                    "trials done": self._ended,
                    "trials left": left,
                    "trials a minute": round(rate * 60, 1),
                    "about seconds left": round(left / rate),
                    **({f"best {self._metric}": self._best[0], "best trial": self._best[1]} if self._best else {}),
                }
            )

    def _compare(self, trial: TrialRecord) -> None:
        """Remember a finished trial if it is the best so far."""
        if trial.status == "finished":
            score = trial.metrics[self._metric]
            if self._best is None or (score > self._best[0]) == (direction(self._metric) == "max"):
                self._best = score, trial.name
