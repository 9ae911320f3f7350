"""When a trial that is under way is compared with others, so that a hopeless one need not be fitted to its end."""

from dataclasses import dataclass
from typing import Literal

Pruner = Literal["asha", "median"]

# On two of the handbook's validation blocks, 56 random configurations of boosted trees in the space `fraud`, in 400
# random orders: successive halving from 50 rounds by 3 fits 0.38 of all rounds, never loses the best configuration, and
# the best five that are left are worse by 0.002 of average precision; from 30 rounds 0.27, 0.007 and 0.007, because
# fits with small steps are late; from 100 rounds 0.60, nothing and nothing. The median rule: 0.52, nothing and 0.001.
GRACE_ROUNDS = 50
REDUCTION = 3


@dataclass(frozen=True)
class Pruning:
    """How a search prunes.

    Attributes:
        pruner: `asha`, asynchronous successive halving (Li et al. 2020, "A system for massively parallel hyperparameter
            tuning"): at each milestone the best `1 / reduction` of the trials that came so far go on. `median`, the
            median stopping rule (Golovin et al. 2017, "Google Vizier"): a trial goes on unless its best score is worse
            than the median of the others' averages up to there.
        grace: boosting rounds at the first milestone.
        reduction: by how many times each milestone is later than the one before.
    """

    pruner: Pruner
    grace: int = GRACE_ROUNDS
    reduction: int = REDUCTION

    def milestone_after(self, rounds: int) -> int:
        """The first milestone past so many boosting rounds."""
        milestone = self.grace
        while milestone <= rounds:
            milestone *= self.reduction
        return milestone
