"""When a search has to stop because nothing comes of its trials."""

from fraud_assets.resources.trials import TrialRecord


class TooManyFailedTrialsError(Exception):
    """So many trials have failed one after the other; the message has the first one's error."""


class FailureLimit:
    """Listens to trials, and raises when more than so many have failed with none that came to a result in between."""

    def __init__(self, most: int | None) -> None:
        """At most `most` of them; None for no limit."""
        self._most = most
        self._failed: list[TrialRecord] = []

    def trial_started(self, trial: TrialRecord) -> None:
        """Nothing has failed yet."""

    def trial_ended(self, trial: TrialRecord) -> None:
        """Count.

        Raises:
            TooManyFailedTrialsError: it was one too many.
        """
        if trial.status in ("finished", "pruned"):
            self._failed.clear()
        elif trial.status == "failed":
            self._failed.append(trial)
        if self._most is not None and len(self._failed) > self._most:
            first = self._failed[0]
            raise TooManyFailedTrialsError(
                f"{len(self._failed)} trials have failed one after the other, which is more than max_failed_trials "
                f"({self._most}); the first one, {first.name}, with:\n{first.error}"
            )
