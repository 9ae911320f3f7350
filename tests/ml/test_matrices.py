"""What is made once for all trials of a worker, and whether trials notice."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from fraud_assets.ml.booster import booster_params, rounds_of, train_booster
from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.matrices import Matrices, fitting_matrix, unseen_matrix
from fraud_assets.ml.resample import Resampled, Resampler
from fraud_assets.ml.split import SplitSettings
from fraud_assets.ml.study import StudyData, out_of_fold
from tests.ml.studies import BOOSTERS, matrices_of
from tests.ml.tables import dataset_of, split_by_group, transactions

DATASET = dataset_of(transactions())
STUDY = StudyData.prepare(DATASET, split_by_group(DATASET, SplitSettings(folds=2)), seed=1)
TREES = {"n_estimators": 5, "max_depth": 3}


@pytest.mark.parametrize(
    "params",
    [
        *BOOSTERS,
        *({**TREES, "max_bin": bins} for bins in (16, 256, 5000)),
        *({**TREES, "tree_method": method, "max_bin": 64} for method in ("hist", "approx")),
    ],
    ids=str,
)
def test_binning_ahead_changes_no_prediction(params: dict[str, Any]) -> None:
    fit, validate = STUDY.folds[0]
    native = booster_params(params, seed=1, threads=1)
    unseen = unseen_matrix(params, STUDY.X[validate], STUDY.encoder, 1)
    plain = unseen_matrix(params, STUDY.X[fit], STUDY.encoder, 1, STUDY.y[fit])
    ahead = fitting_matrix(params, STUDY.X[fit], STUDY.y[fit], STUDY.encoder, 1)
    expected, found = (xgb.train(native, m, num_boost_round=rounds_of(params)).predict(unseen) for m in (plain, ahead))
    assert np.array_equal(found, expected)
    assert len(np.unique(found)) > 1


def test_exact_splits_see_the_values_themselves() -> None:
    # XGBoost's exact method has no categories.
    X, y = STUDY.X[:, ~STUDY.encoder.discrete], STUDY.y
    encoder = FeatureEncoder(tuple(f"c{i}" for i in range(X.shape[1])), (), {})
    params = {**TREES, "tree_method": "exact", "max_bin": 4}
    exact, binned = (train_booster(p, X, y, encoder, seed=1, threads=1) for p in (params, {**TREES, "max_bin": 4}))
    plain = xgb.train(booster_params(params, seed=1, threads=1), xgb.DMatrix(X, y), num_boost_round=5)
    assert exact.get_dump() == plain.get_dump() != binned.get_dump()


def test_trials_that_share_matrices_predict_what_each_predicts_alone() -> None:
    configurations = [
        *BOOSTERS,
        {**TREES, "max_bin": 16},
        {**TREES, "resampler": "smote"},
        {**TREES, "tree_method": "approx"},
        {"n_estimators": 60, "early_stopping_rounds": 20, "max_depth": 2},
    ]
    shared = matrices_of(STUDY)
    for params in configurations * 2:
        together, alone = out_of_fold(params, shared), out_of_fold(params, matrices_of(STUDY))
        assert together.rounds == alone.rounds
        for ours, theirs in zip(together.predictions, alone.predictions, strict=True):
            assert np.array_equal(ours, theirs), params


def test_rows_are_resampled_and_binned_once_for_all_trials_that_want_the_same() -> None:
    asked = Counter[tuple[int, Resampler]]()

    def remember(fold: int, resampler: Resampler) -> Resampled:
        asked[fold, resampler] += 1
        return STUDY.resample(fold, resampler, 1)

    matrices = Matrices(STUDY, remember, 1)
    for depth in (2, 3, 4):
        out_of_fold({**TREES, "max_depth": depth, "resampler": "smote"}, matrices)
    assert asked == {(fold, Resampler("smote")): 1 for fold in range(2)}

    first = matrices.fitting(0, TREES)
    assert matrices.fitting(0, {**TREES, "booster": "dart", "rate_drop": 0.1}) is first
    for other in ({"max_bin": 16}, {"tree_method": "exact"}, {"booster": "gblinear"}, {"resampler": "random_under"}):
        assert matrices.fitting(0, {**TREES, **other}) is not first
    assert matrices.fitting(1, TREES) is not first
    assert matrices.fitting(0, TREES) is first


def test_what_does_not_fit_into_memory_goes_oldest_first_and_is_made_again_alike() -> None:
    one = len(STUDY.folds[0][0]) * STUDY.X.shape[1] * 4
    matrices = Matrices(STUDY, lambda fold, r: STUDY.resample(fold, r, 1), 1, memory_bytes=int(2.5 * one))
    small, large = {**TREES, "max_bin": 16}, {**TREES, "max_bin": 64}
    first, second = matrices.fitting(0, TREES), matrices.fitting(0, small)
    assert matrices.fitting(0, TREES) is first
    matrices.fitting(0, large)
    assert matrices.fitting(0, TREES) is first, "the one that was asked for last stays"
    again = matrices.fitting(0, small)
    assert again is not second, "the one that was not asked for longest has gone"
    expected, found = (xgb.train({"max_bin": 16, "nthread": 1}, m, 3).get_dump() for m in (second, again))
    assert found == expected

    tiny = Matrices(STUDY, lambda fold, r: STUDY.resample(fold, r, 1), 1, memory_bytes=1)
    for ours, theirs in zip(
        out_of_fold(TREES, tiny).predictions, out_of_fold(TREES, matrices_of(STUDY)).predictions, strict=True
    ):
        assert np.array_equal(ours, theirs)
