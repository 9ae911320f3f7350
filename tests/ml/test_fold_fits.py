"""One configuration's fits on all folds: in steps, side by side, and until the validating rows score no better."""

from typing import Any

import numpy as np
import pytest

from fraud_assets.ml.booster import predict_booster, train_booster, with_rounds
from fraud_assets.ml.evaluate import average_precision
from fraud_assets.ml.fold_fits import ROUNDS_A_SCORE, FoldFits
from fraud_assets.ml.split import SplitSettings
from fraud_assets.ml.study import StudyData
from tests.ml.studies import BOOSTERS, matrices_of
from tests.ml.tables import dataset_of, split_by_group, transactions

# Half of what decides the label can't be seen: fits that go on learn noise.
NOISY = dataset_of(transactions(1500, signal=1))
STUDY = StudyData.prepare(NOISY, split_by_group(NOISY, SplitSettings(folds=3)), seed=1)
MATRICES = matrices_of(STUDY)
EARLY: dict[str, Any] = {"n_estimators": 300, "early_stopping_rounds": 30, "max_depth": 3, "eta": 0.3, "subsample": 0.7}
ANY = [*BOOSTERS, {"n_estimators": 25, "subsample": 0.5, "colsample_bytree": 0.5}, EARLY]


def ended(params: dict[str, Any]) -> FoldFits:
    fits = FoldFits(params, MATRICES)
    fits.advance()
    return fits


def alone(params: dict[str, Any], fold: int) -> np.ndarray:
    """What a fit of one fold predicts that nothing else goes on beside."""
    fit, validate = STUDY.folds[fold]
    booster = train_booster(params, STUDY.X[fit], STUDY.y[fit], STUDY.encoder, seed=STUDY.seed, threads=1)
    return predict_booster(booster, params, STUDY.X[validate], STUDY.encoder)


def test_fits_end_when_the_validating_rows_score_no_better() -> None:
    fits = ended(EARLY)
    assert fits.rounds < EARLY["n_estimators"]
    assert fits.rounds - fits.best_rounds >= EARLY["early_stopping_rounds"]
    assert fits.out_of_fold().rounds == fits.best_rounds


def test_fits_that_go_on_getting_better_have_all_their_rounds() -> None:
    fits = ended({**EARLY, "n_estimators": 57, "eta": 0.01, "early_stopping_rounds": 60})
    assert fits.rounds == 50, "a number of rounds that a score tells of"


@pytest.mark.parametrize("params", ANY, ids=str)
def test_fits_in_steps_are_those_in_one_go(params: dict[str, Any]) -> None:
    steps = FoldFits(params, MATRICES)
    for rounds in (3, 7, 20):
        steps.advance(rounds)
        steps.out_of_fold()
    steps.advance()
    whole = ended(params)

    assert (steps.rounds, steps.best_rounds) == (whole.rounds, whole.best_rounds)
    for ours, theirs in zip(steps.out_of_fold().predictions, whole.out_of_fold().predictions, strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("params", ANY, ids=str)
def test_fits_side_by_side_are_those_that_a_refit_makes_of_each(params: dict[str, Any]) -> None:
    # XGBoost's random numbers are one stream a process: what one fit draws must not depend on the others.
    unseen = ended(params).out_of_fold()
    for fold, probability in enumerate(unseen.predictions):
        assert np.array_equal(probability, alone(with_rounds(params, unseen.rounds), fold))


def test_fits_that_were_interrupted_are_fits_of_so_many_rounds() -> None:
    fits = FoldFits({"n_estimators": 50}, MATRICES)
    fits.advance(15)
    unseen = fits.out_of_fold()

    assert (fits.rounds, fits.finished, unseen.rounds) == (15, False, 15)
    assert np.array_equal(unseen.predictions[1], alone({"n_estimators": 15}, 1))


def test_nothing_is_fitted_past_the_end() -> None:
    fits = ended({"n_estimators": 12})
    before = fits.out_of_fold()
    fits.advance(40)

    assert (fits.rounds, fits.finished) == (12, True)
    assert fits.out_of_fold().fit_seconds == before.fit_seconds


def test_early_stopping_scores_whole_tens_wherever_steps_end() -> None:
    fits = FoldFits(EARLY, MATRICES)
    fits.advance(13)
    assert (fits.rounds, fits.best_rounds) == (13, ROUNDS_A_SCORE)


def test_the_curve_is_the_mean_average_precision_by_round_and_its_best_point_is_what_predicts() -> None:
    unseen = ended(EARLY).out_of_fold()
    rounds, scores = zip(*unseen.curve, strict=True)
    assert rounds == tuple(range(ROUNDS_A_SCORE, rounds[-1] + 1, ROUNDS_A_SCORE))
    assert rounds[int(np.argmax(scores))] == unseen.rounds
    folds = zip(MATRICES.study.folds, unseen.predictions, strict=True)
    assert max(scores) == pytest.approx(
        np.mean([average_precision(MATRICES.study.y[validate], p) for (_, validate), p in folds])
    )


def test_there_is_no_curve_where_nothing_is_scored_on_the_way() -> None:
    assert ended({"n_estimators": 30}).out_of_fold().curve == []


def test_a_long_curve_is_thinned_and_keeps_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ended(EARLY).curve
    monkeypatch.setattr("fraud_assets.ml.fold_fits.MOST_POINTS", 3)
    thinned = ended(EARLY).curve
    assert len(thinned) <= 3 < len(whole)
    assert thinned[-1] == whole[-1]
    assert set(thinned) <= set(whole)
