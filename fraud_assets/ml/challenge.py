"""Whether a challenger is better than the champion: both predict the same rows, which neither has seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fraud_assets.ml.estimator import FraudClassifier
from fraud_assets.ml.evaluate import Metric
from fraud_assets.ml.judgement import FEW_FRAUDS, Judgement, judge
from fraud_assets.ml.schema import DataError, Dataset
from fraud_assets.ml.scoring import Scoring
from fraud_assets.ml.seen_rows import SeenRows

CHAMPION = "champion"


@dataclass(frozen=True)
class Contender:
    """A model as it can be judged.

    Attributes:
        classifier: fitted without the holdout of its own data; what is delivered has seen all of it.
        seen: the rows that it was fitted on, or that its parameters and threshold were chosen on.
    """

    classifier: FraudClassifier
    seen: SeenRows


@dataclass(frozen=True)
class Challenge:
    """The outcome of a comparison.

    Attributes:
        won: whether the challenger is better, surely and by enough.
        reason: in one sentence, why or why not.
        judgement: the challenger's, with the champion as its only baseline; None where they can't be compared.
    """

    won: bool
    reason: str
    judgement: Judgement | None = None

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON types."""
        judgement = None if self.judgement is None else self.judgement.to_dict()
        return {"won": self.won, "reason": self.reason, "judgement": judgement}


@dataclass(frozen=True)
class Rule:
    """When a challenger wins.

    Attributes:
        metric: the one that decides.
        min_gain: by how much it has to be better, in the metric's own unit; the gain is positive where it is better,
            also of metrics of which less is better.
        resamples: of the paired bootstrap, whose interval of the gain has to lie above zero.
    """

    metric: Metric
    min_gain: float = 0.0
    resamples: int = 1000


def challenge(
    dataset: Dataset, holdout: np.ndarray, challenger: Contender, champion: Contender, scoring: Scoring, rule: Rule
) -> Challenge:
    """Compare two models on those rows of a holdout that neither has seen.

    Both are the fits that were made without their own holdouts, so that both have seen as much less than what is
    delivered, and there are rows enough: a champion that was refitted on everything has seen all but the newest.

    Args:
        dataset: the challenger's.
        holdout: row ids of its holdout.
        challenger: the newer model.
        champion: the one to beat.
        scoring: the challenger's.
        rule: when it wins.
    """
    try:
        rows = challenger.seen.unseen(dataset, champion.seen.unseen(dataset, holdout))
    except DataError as error:
        return Challenge(False, f"not comparable: {error}")
    scored = scoring.rows(dataset, rows)
    frauds = int(scored.y.sum())
    if frauds < FEW_FRAUDS or frauds == len(rows):
        return Challenge(
            False,
            f"not comparable: of the holdout's {len(holdout)} rows neither model has seen {len(rows)}, with {frauds} "
            f"frauds; {FEW_FRAUDS} frauds at least are needed, and a legitimate row",
        )
    X = dataset.X.iloc[rows]
    try:
        theirs = champion.classifier.predict_proba(X)[:, 1]
    except ValueError as error:
        return Challenge(False, f"not comparable: the champion can't score this data: {error}")
    judgement = judge(
        scored.with_probability(challenger.classifier.predict_proba(X)[:, 1]),
        challenger.classifier.threshold,
        {CHAMPION: theirs},
        scoring.settings,
        baseline_thresholds={CHAMPION: champion.classifier.threshold},
        resamples=rule.resamples,
    )
    return _decided(judgement, rule)


def _decided(judgement: Judgement, rule: Rule) -> Challenge:
    """The rule applied to a comparison."""
    gains: Mapping[str, Any] = judgement.baselines[CHAMPION].gain
    if rule.metric not in gains:
        return Challenge(False, f"not comparable: {rule.metric} can't be computed from this data", judgement)
    gain = gains[rule.metric]
    told = (
        f"{rule.metric} {judgement.metrics[rule.metric].value:.4f} against the champion's "
        f"{judgement.baselines[CHAMPION].metrics[rule.metric].value:.4f} on {judgement.rows} rows with "
        f"{judgement.frauds} frauds: gain {gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
    )
    if gain.value <= rule.min_gain:
        return Challenge(False, f"no gain above min_gain ({rule.min_gain:g}): {told}", judgement)
    if gain.low <= 0:
        return Challenge(False, f"no sure gain, its interval holds zero: {told}", judgement)
    return Challenge(True, told, judgement)
