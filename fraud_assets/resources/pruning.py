"""Pruning by Tune, and what Optuna is told of it. Imported only where Ray is, as `trial_worker` is."""

import math
from collections.abc import Sequence
from typing import Any

from ray.tune.result import TRAINING_ITERATION
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from fraud_assets.ml.pruning import Pruning
from fraud_assets.resources.trials import COMPLETE, ERROR, ROUNDS_TRAINED, TrialRecord

# More rounds than any trial has: a trial's own end is no matter of the scheduler.
_NO_END = 10**6
# As many as Optuna's own median pruner wants before it prunes.
_MEDIAN_OF = 5


def scheduler(pruning: Pruning | None, metric: str, mode: str) -> TrialScheduler:
    """Tune's scheduler for it; one that never stops a trial where there is no pruning."""
    if pruning is None:
        return FIFOScheduler()
    common: dict[str, Any] = {
        "time_attr": ROUNDS_TRAINED,
        "metric": metric,
        "mode": mode,
        "grace_period": pruning.grace,
    }
    if pruning.pruner == "asha":
        return AsyncHyperBandScheduler(max_t=_NO_END, reduction_factor=pruning.reduction, **common)
    # Without the time slice it pauses trials until there are enough to compare with, and a paused fit is lost.
    return MedianStoppingRule(min_samples_required=_MEDIAN_OF, min_time_slice=math.inf, **common)


class PrunedSearch(OptunaSearch):
    """Tells Optuna of a trial that did not come to its end as pruned, with what it scored on the way.

    Tune's own search tells of the last score on the way as the trial's result, as if it were one after all rounds.
    """

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if result and result.get(ERROR):
            result, error = None, True
        if result and not error and not result.get(COMPLETE):
            # Tune tells a search of each result but the one at which the scheduler stops the trial.
            self.on_trial_result(trial_id, result)
            result = None
        super().on_trial_complete(trial_id, result, error)

    def tell(self, trials: Sequence[TrialRecord]) -> None:
        """Tell Optuna of trials that ended in an earlier run; their points have to be the first of the search's."""
        for trial in trials:
            self.suggest(trial.trial_id)
            result = {**trial.metrics, TRAINING_ITERATION: 1, COMPLETE: trial.status == "finished"}
            known = trial.status in ("finished", "pruned")
            self.on_trial_complete(trial.trial_id, result if known else None, error=trial.status == "failed")
