"""Ensemble selection, and the fitted ensemble."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from fraud_assets.ml.ensemble import average, log_odds, select_members
from fraud_assets.ml.ensemble_model import FraudEnsemble
from tests.ml.tables import LABEL, transactions

Fold = np.ndarray


def logistic(odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-odds)))


def library(
    noises: list[float], *, folds: int = 3, rows: int = 600, seed: int = 0
) -> tuple[list[list[Fold]], list[Fold]]:
    """Trials that see the truth through independent noise of the given sizes."""
    random = np.random.default_rng(seed)
    labels = [(random.random(rows) < 0.1).astype(int) for _ in range(folds)]
    trials = [[logistic(2 * y - 4 + noise * random.normal(size=rows)) for y in labels] for noise in noises]
    return trials, labels


def mean_score(trial: list[Fold], labels: list[Fold]) -> float:
    return float(np.mean([average_precision_score(y, fold) for y, fold in zip(labels, trial, strict=True)]))


def test_the_average_of_independent_errors_beats_every_trial_on_rows_that_chose_nothing() -> None:
    trials, labels = library([1.0] * 8, folds=4)
    chosen = select_members([t[:2] for t in trials], labels[:2], average_precision_score)
    for fold in (2, 3):
        together = average([t[fold] for t in trials], chosen.weights)
        alone = max(average_precision_score(labels[fold], t[fold]) for t in trials)
        assert average_precision_score(labels[fold], together) > alone


def test_weights_sum_to_one_and_bad_trials_get_none() -> None:
    trials, labels = library([1.0, 30.0, 1.0, 30.0, 1.0, 1.0, 1.0])
    chosen = select_members(trials, labels, average_precision_score)
    assert chosen.weights.sum() == pytest.approx(1)
    assert chosen.weights[[1, 3]].tolist() == [0, 0]
    assert set(chosen.members) == set(np.flatnonzero(chosen.weights))
    assert chosen.weights[chosen.members].tolist() == sorted(chosen.weights[chosen.members], reverse=True)


def test_the_selection_is_never_worse_on_its_folds_than_the_start() -> None:
    trials, labels = library([0.8, 1.0, 1.5, 2.0, 3.0, 4.0])
    best = max(mean_score(trial, labels) for trial in trials)
    chosen = select_members(trials, labels, average_precision_score, start=1)
    assert chosen.scores.mean() >= best
    start = select_members(trials, labels, average_precision_score, start=3, rounds=0)
    assert select_members(trials, labels, average_precision_score, start=3).scores.mean() >= start.scores.mean()


def test_the_scores_told_are_those_of_the_average() -> None:
    trials, labels = library([1.0, 1.2, 1.4, 2.0])
    chosen = select_members(trials, labels, roc_auc_score, start=2)
    together = [average([t[fold] for t in trials], chosen.weights) for fold in range(len(labels))]
    expected = [roc_auc_score(y, p) for y, p in zip(labels, together, strict=True)]
    np.testing.assert_allclose(chosen.scores, expected)


def test_a_member_may_count_more_than_once() -> None:
    trials, labels = library([0.5, 3.0])
    chosen = select_members(trials, labels, average_precision_score, start=2)
    assert chosen.weights[0] > chosen.weights[1] >= 0


def test_a_single_trial_is_the_ensemble() -> None:
    trials, labels = library([1.0])
    chosen = select_members(trials, labels, average_precision_score)
    assert chosen.weights.tolist() == [1]
    assert chosen.scores.mean() == pytest.approx(mean_score(trials[0], labels))


def test_equal_trials_are_chosen_in_their_order() -> None:
    trials, labels = library([1.0])
    chosen = select_members(trials * 4, labels, average_precision_score, start=2)
    assert chosen.weights.tolist() == [0.5, 0.5, 0, 0]


def test_a_penalty_on_the_spread_prefers_the_even_trial() -> None:
    y = np.array([0] * 18 + [1] * 2)
    perfect, middling = np.linspace(0.1, 0.9, 20), np.r_[np.linspace(0.1, 0.7, 16), 0.9, 0.85, 0.8, 0.75]
    poor = perfect[::-1]
    uneven, even = [perfect, poor], [middling, middling]
    labels = [y, y]
    one: dict[str, Any] = {"start": 1, "rounds": 0}
    assert select_members([uneven, even], labels, average_precision_score, **one).members == [0]
    assert select_members([uneven, even], labels, average_precision_score, spread_penalty=1, **one).members == [1]


def test_certainty_does_not_silence_the_other_members() -> None:
    assert np.isfinite(log_odds(np.array([0.0, 1.0, 0.5]))).all()
    together = average([np.array([0.0, 0.0]), np.array([0.2, 0.9])], [1, 1])
    assert 0 < together[0] < together[1] < 1


def test_the_average_of_one_model_is_the_model() -> None:
    probability = np.array([0.001, 0.3, 0.99])
    np.testing.assert_allclose(average([probability], [3.0]), probability)


def test_no_trial_and_folds_that_do_not_fit_are_refused() -> None:
    trials, labels = library([1.0, 1.0])
    with pytest.raises(ValueError, match="no trial"):
        select_members([], labels, average_precision_score)
    with pytest.raises(ValueError, match=r"trial 1 predicts folds of \[600, 600\] rows"):
        select_members([trials[0], trials[1][:2]], labels, average_precision_score)


CONFIGURATIONS = [
    {"booster": "gbtree", "max_depth": 2, "n_estimators": 10},
    {"booster": "gblinear", "n_estimators": 10},
    {"booster": "dart", "rate_drop": 0.2, "n_estimators": 8, "resampler": "smote"},
]


def fitted(weights: list[float]) -> FraudEnsemble:
    frame = transactions(400)
    X, y = frame.drop(columns=LABEL), frame[LABEL].to_numpy()
    return FraudEnsemble.fit(X, y, ["channel"], CONFIGURATIONS, weights, threshold=0.4, seed=0, threads=1)


def test_a_fitted_ensemble_averages_its_members() -> None:
    ensemble = fitted([2, 1, 1])
    X = transactions(50, seed=1).drop(columns=LABEL)
    fraud = ensemble.predict_proba(X)[:, 1]
    odds = [log_odds(member.predict_proba(X)[:, 1]) for member in ensemble.members]
    np.testing.assert_allclose(log_odds(fraud), (2 * odds[0] + odds[1] + odds[2]) / 4, atol=1e-9)
    assert ensemble.predict(X).tolist() == (fraud >= 0.4).astype(int).tolist()


def test_a_stored_ensemble_predicts_what_it_did(tmp_path: Path) -> None:
    ensemble = fitted([0.5, 0.3, 0.2])
    ensemble.save(tmp_path)
    X = transactions(50, seed=1).drop(columns=LABEL)
    loaded = FraudEnsemble.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(X), ensemble.predict_proba(X))
    assert json.loads((tmp_path / "ensemble.json").read_text()) == {"weights": [0.5, 0.3, 0.2], "threshold": 0.4}


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0, 1.0], [1.0, -1.0, 1.0]])
def test_each_configuration_needs_a_positive_weight(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="3 configurations need as many positive weights"):
        fitted(weights)
