"""Ensemble selection."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from fraud_assets.ml.ensemble import (
    FoldScores,
    Selection,
    SelectionSettings,
    average,
    candidates,
    log_odds,
    select_members,
)

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


def by(metric: Callable[[Fold, Fold], float], labels: list[Fold]) -> FoldScores:
    """What scores the folds by `metric`."""

    def judge(folds: Sequence[Fold]) -> Fold:
        return np.array([metric(y, p) for y, p in zip(labels, folds, strict=True)])

    return judge


def select(trials: list[list[Fold]], labels: list[Fold], **settings: float) -> Selection:
    chosen = SelectionSettings(**settings)  # type: ignore[arg-type]
    return select_members(trials, by(average_precision_score, labels), chosen)


def averaged(chosen: Selection, trials: list[list[Fold]], fold: int) -> Fold:
    return average([trials[i][fold] for i in chosen.weights], list(chosen.weights.values()))


def test_the_average_of_independent_errors_beats_every_trial_on_rows_that_chose_nothing() -> None:
    trials, labels = library([1.0] * 8, folds=4)
    chosen = select([t[:2] for t in trials], labels[:2])
    for fold in (2, 3):
        alone = max(average_precision_score(labels[fold], t[fold]) for t in trials)
        assert average_precision_score(labels[fold], averaged(chosen, trials, fold)) > alone


def test_weights_sum_to_one_and_bad_trials_get_none() -> None:
    trials, labels = library([1.0, 30.0, 1.0, 30.0, 1.0, 1.0, 1.0])
    chosen = select(trials, labels)
    weights = list(chosen.weights.values())
    assert sum(weights) == pytest.approx(1)
    assert not {1, 3} & set(chosen.weights)
    assert weights == sorted(weights, reverse=True)
    assert min(weights) > 0


def test_the_selection_is_never_worse_on_its_folds_than_the_best_alone_or_the_start() -> None:
    trials, labels = library([0.8, 1.0, 1.5, 2.0, 3.0, 4.0])
    best = max(mean_score(trial, labels) for trial in trials)
    assert select(trials, labels, start=1).scores.mean() >= best
    assert select(trials, labels, start=6, rounds=0).scores.mean() >= best
    start = select(trials, labels, start=3, rounds=0)
    assert select(trials, labels, start=3).scores.mean() >= start.scores.mean()


def test_a_trial_that_no_average_improves_is_alone() -> None:
    y = np.array([0, 0, 1, 1])
    perfect, backwards = np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.9, 0.8, 0.2, 0.1])
    assert dict(select([[backwards], [perfect]], [y]).weights) == {1: 1.0}


def test_the_scores_told_are_those_of_the_average() -> None:
    trials, labels = library([1.0, 1.2, 1.4, 2.0])
    judge = by(roc_auc_score, labels)
    chosen = select_members(trials, judge, SelectionSettings(start=2))
    together = [averaged(chosen, trials, fold) for fold in range(len(labels))]
    assert len(chosen.weights) > 1
    np.testing.assert_allclose(chosen.scores, judge(together))


def test_what_depends_on_a_threshold_is_judged_on_probabilities() -> None:
    trials, labels = library([1.0] * 5)
    # At 0.5 the sum of log-odds would do as well as their mean.
    judge = by(lambda y, p: f1_score(y, p >= 0.06), labels)
    chosen = select_members(trials, judge, SelectionSettings(start=3))
    assert len(chosen.weights) > 1
    np.testing.assert_allclose(chosen.scores, judge([averaged(chosen, trials, i) for i in range(len(labels))]))


def test_a_member_may_count_more_than_once() -> None:
    trials, labels = library([0.5, 3.0])
    weights = select(trials, labels, start=2).weights
    assert weights[0] > weights.get(1, 0) >= 0


@pytest.mark.parametrize("trials", [1, 4])
def test_a_single_trial_is_the_ensemble(trials: int) -> None:
    library_of, labels = library([1.0] * trials)
    chosen = select(library_of, labels, most=1)
    best = max(range(trials), key=lambda i: mean_score(library_of[i], labels))
    assert dict(chosen.weights) == {best: 1.0}
    assert chosen.scores.mean() == pytest.approx(mean_score(library_of[best], labels))


@pytest.mark.parametrize("most", [2, 3, 5])
def test_no_more_trials_are_averaged_than_may_be(most: int) -> None:
    trials, labels = library([1.0] * 12)
    assert 1 < len(select(trials, labels, most=most).weights) <= most


def test_a_penalty_on_the_spread_prefers_the_even_trial() -> None:
    y = np.array([0] * 18 + [1] * 2)
    perfect, middling = np.linspace(0.1, 0.9, 20), np.r_[np.linspace(0.1, 0.7, 16), 0.9, 0.85, 0.8, 0.75]
    poor = perfect[::-1]
    uneven, even = [perfect, poor], [middling, middling]
    labels = [y, y]
    assert set(select([uneven, even], labels, most=1).weights) == {0}
    assert set(select([uneven, even], labels, most=1, spread_penalty=1).weights) == {1}


def test_the_best_trials_are_candidates_and_the_best_of_each_kind() -> None:
    kinds = ["gbtree"] * 6 + ["forest", "gbtree", "forest", "forest", "dart"]
    settings = SelectionSettings(library=3, start=2, of_each_kind=2)
    assert candidates(kinds, settings) == [0, 1, 2, 6, 8, 10]
    assert candidates(kinds, SelectionSettings(library=3, of_each_kind=0, start=4)) == [0, 1, 2, 3]
    assert candidates(kinds, SelectionSettings(most=1)) == [0]


@pytest.mark.parametrize(
    "wrong", [{"most": 0}, {"library": 0}, {"start": 0}, {"rounds": -1}, {"of_each_kind": -1}, {"spread_penalty": -1}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is -?[01]; expected"):
        SelectionSettings(**wrong)


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
        select([], labels)
    with pytest.raises(ValueError, match=r"trial 1 predicts folds of \[600, 600\] rows"):
        select([trials[0], trials[1][:2]], labels)
