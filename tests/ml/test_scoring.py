"""How folds are scored when trials are averaged: as the trials themselves were."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from fraud_assets.ml.evaluate import METRICS, Metric, average_precision, direction, summarize_folds
from fraud_assets.ml.fraud_metrics import MetricSettings
from fraud_assets.ml.scored_rows import ScoredRows
from fraud_assets.ml.scoring import Scoring
from fraud_assets.ml.threshold import ThresholdPolicy
from tests.ml.scored import scored

SCORING = Scoring(MetricSettings(alerts_per_day=5, max_false_positive_rate=0.05), ThresholdPolicy("least_cost"))
FOLDS = [scored(seed=seed) for seed in range(3)]


@pytest.mark.parametrize("metric", METRICS)
def test_the_scores_of_folds_are_those_that_a_trial_reports_and_more_is_better(metric: Metric) -> None:
    threshold = SCORING.threshold(ScoredRows.concatenate(FOLDS)).threshold
    reported = summarize_folds([SCORING.score(rows, threshold) for rows in FOLDS])
    sign = -1 if direction(metric) == "min" else 1

    scores = SCORING.fold_scores(metric, FOLDS)

    assert scores.shape == (3,)
    assert sign * scores.mean() == pytest.approx(reported[metric])
    assert scores.std() == pytest.approx(reported[f"{metric}_std"])


@pytest.mark.parametrize("steps", [0, 3, 50], ids=["no ties", "many ties", "some ties"])
@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_that_of_scikit_learn(steps: int, seed: int) -> None:
    rows = scored(steps=steps, seed=seed)
    expected = average_precision_score(rows.y, rows.probability)
    assert average_precision(rows.y, rows.probability) == pytest.approx(expected, abs=1e-12)
    # Any scale will do.
    assert average_precision(rows.y, np.log(rows.probability + 1)) == pytest.approx(expected, abs=1e-12)
