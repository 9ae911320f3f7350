"""Resamplers of a user's own: named by import path, with parameters that a space suggests."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fraud_assets.ml.booster import booster_params, fit_key
from fraud_assets.ml.estimator import FraudClassifier, Member
from fraud_assets.ml.resample import Resampled, Resampler
from fraud_assets.ml.schema import DataError
from fraud_assets.ml.split import SplitSettings
from fraud_assets.ml.study import StudyData
from tests.ml.resamplers import Records
from tests.ml.studies import judged_model, matrices_of, trial_of
from tests.ml.tables import dataset_of, split_by_group, transactions

DATASET = dataset_of(transactions())
SPLIT = split_by_group(DATASET, SplitSettings(folds=2))
STUDY = StudyData.prepare(DATASET, SPLIT, seed=1)
X, Y, DISCRETE = STUDY.X, STUDY.y, STUDY.encoder.discrete
FAST = {"n_estimators": 10, "max_depth": 3}


def own(name: str, **parameters: Any) -> dict[str, Any]:
    """A configuration with a resampler of `tests.ml.resamplers`."""
    prefixed = {f"resampler__{key}": value for key, value in parameters.items()}
    return {**FAST, "resampler": f"tests.ml.resamplers:{name}", **prefixed}


def resampled(params: Mapping[str, Any], n_jobs: int = 1) -> Resampled:
    return Resampler.of(params)(X, Y, DISCRETE, seed=1, n_jobs=n_jobs)


@pytest.fixture
def records() -> type[Records]:
    Records.made.clear()
    Records.got.clear()
    return Records


def test_rows_that_it_says_it_keeps_are_kept_as_positions_in_their_order() -> None:
    from imblearn.under_sampling import TomekLinks

    from fraud_assets.ml.scaled_space import ScaledSpace

    space = ScaledSpace(X, DISCRETE)
    theirs = TomekLinks()
    theirs.fit_resample(space.distances(space.rows), Y)
    ours = resampled(own("Cleaner"))
    assert len(ours.made_up) == 0
    assert 0 < len(ours.kept) < len(Y)
    assert ours.kept.tolist() == sorted(theirs.sample_indices_)
    assert np.isnan(ours.apply(X, Y)[0]).any()


def test_a_row_that_is_kept_more_than_once_counts_more_than_once() -> None:
    params = FAST | {"resampler": "imblearn.over_sampling:RandomOverSampler"}
    ours = resampled(params)
    X_fit, y_fit = ours.apply(X, Y)
    assert len(ours.made_up) == 0
    assert np.bincount(y_fit).tolist() == [int(np.sum(Y == 0))] * 2
    assert np.array_equal(np.unique(ours.kept), np.arange(len(Y)))
    np.testing.assert_array_equal(X_fit, X[ours.kept])


def test_as_many_rows_as_went_in_are_not_taken_for_the_same_rows() -> None:
    kept = np.sort(np.append(np.arange(len(Y) - 1), 0))
    X_fit, _ = Resampled(kept, np.empty((0, X.shape[1])), np.empty(0, dtype=np.int8)).apply(X, Y)
    np.testing.assert_array_equal(X_fit, X[kept])


def test_rows_that_it_moved_are_made_up_whatever_it_says_of_them() -> None:
    # The smoothed bootstrap says which rows it drew, and gives others.
    ours = resampled(FAST | {"resampler": "imblearn.over_sampling:RandomOverSampler", "resampler__shrinkage": 1.0})
    assert np.array_equal(ours.kept, np.arange(len(Y)))
    assert len(ours.made_up) == int(np.sum(Y == 0) - np.sum(Y == 1))
    known = set(map(bytes, np.nan_to_num(X)))
    assert not any(bytes(row) in known for row in np.nan_to_num(ours.made_up))


def test_only_what_comes_after_the_rows_that_went_in_is_made_up() -> None:
    ours = resampled(own("Shifts"))
    assert np.array_equal(ours.kept, np.arange(len(Y)))
    assert ours.made_up_labels.tolist() == [1] * int(Y.sum())
    # A third isn't enough for another code, nor for a value to be missing; numbers move by a third of their deviation.
    frauds = X[Y == 1]
    np.testing.assert_array_equal(ours.made_up[:, DISCRETE], frauds[:, DISCRETE])
    np.testing.assert_array_equal(np.isnan(ours.made_up), np.isnan(frauds))
    column = 1  # no value is missing there
    assert not DISCRETE[column]
    moved = ours.made_up[:, column] - frauds[:, column]
    np.testing.assert_allclose(moved, X[:, column].std() / 3, rtol=1e-4)


def test_rows_in_another_order_are_all_made_up_and_come_back_to_the_last_bit() -> None:
    ours = resampled(own("KeepsSome", every=2))
    expected = np.append(np.flatnonzero(Y == 0)[::2], np.flatnonzero(Y == 1))[::-1]
    assert len(ours.kept) == 0
    np.testing.assert_array_equal(ours.made_up, X[expected])
    np.testing.assert_array_equal(ours.made_up_labels, Y[expected])
    assert ours.made_up.dtype == np.float32
    assert ours.made_up_labels.dtype == np.int8


def test_what_it_does_in_place_is_not_taken_for_what_went_in() -> None:
    ours = resampled(own("InPlace"))
    assert len(ours.kept) == 0
    assert len(np.unique(ours.made_up, axis=0)) == 1
    assert not np.array_equal(X, ours.made_up)


def test_it_gets_scaled_rows_without_gaps_and_a_column_for_each_category(records: type[Records]) -> None:
    resampled(own("Records"))
    ((points, labels),) = records.got
    np.testing.assert_array_equal(labels, Y)
    assert np.isfinite(points).all()
    codes = sum(len(np.unique(X[:, column])) for column in np.flatnonzero(DISCRETE))
    assert set(np.unique(points[:, :codes])) == {0.0, 1.0}
    assert (points[:, :codes].sum(axis=1) == DISCRETE.sum()).all()
    numbers = points[:, codes : codes + int((~DISCRETE).sum())]
    np.testing.assert_allclose(numbers.std(axis=0), 1)


def test_it_is_made_with_what_the_space_suggests_and_with_our_seed_and_threads(records: type[Records]) -> None:
    resampled(own("Records", n_neighbors=7), n_jobs=2)
    assert records.made[-1] == {"n_neighbors": 7, "random_state": 1, "n_jobs": 2}
    resampled(own("Records", random_state=9, n_jobs=3))
    assert records.made[-1] == {"n_neighbors": 5, "random_state": 9, "n_jobs": 3}


def test_a_function_that_makes_one_will_do() -> None:
    np.testing.assert_array_equal(resampled(own("makes", every=2)).made_up, resampled(own("KeepsSome")).made_up)


def test_parameters_are_part_of_what_makes_two_resamplings_the_same() -> None:
    two, three, again = (Resampler.of(own("KeepsSome", every=every)) for every in (2, 3, 2))
    assert two == again
    assert hash(two) == hash(again)
    assert two != three
    several = own("Records", random_state=1, n_neighbors=2)
    assert Resampler.of(several) == Resampler.of(dict(reversed(several.items())))
    assert fit_key(own("KeepsSome", every=2)) != fit_key(own("KeepsSome", every=3))
    matrices = matrices_of(STUDY)
    sizes = [matrices.fitting(0, own("KeepsSome", every=every)).num_row() for every in (2, 3, 2)]
    assert sizes[0] == sizes[2] > sizes[1]


def test_parameters_of_a_resampler_are_none_of_xgboosts() -> None:
    assert booster_params(own("Records", n_neighbors=7), seed=1, threads=1) == booster_params(FAST, seed=1, threads=1)


def test_a_trial_and_a_refit_resample_with_the_parameters() -> None:
    by_hand = [len(np.flatnonzero(Y[fit] == 0)[::5]) + int(Y[fit].sum()) for fit, _ in STUDY.folds]
    matrices = matrices_of(STUDY)
    assert [matrices.fitting(fold, own("KeepsSome", every=5)).num_row() for fold in range(2)] == by_hand
    plain, fewer = trial_of(own("KeepsSome", every=1), STUDY), trial_of(own("KeepsSome", every=20), STUDY)
    assert plain["log_loss"] != fewer["log_loss"]

    some, all_rows = (
        judged_model(DATASET, SPLIT, own("KeepsSome", every=every), 0.5).holdout.probability.mean() for every in (20, 1)
    )
    # Of the legitimate rows the refit saw one in twenty.
    assert some > 2 * all_rows


def test_a_stored_model_needs_no_resampler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = own("KeepsSome", every=3)
    arguments: dict[str, Any] = {"threshold": 0.5, "seed": 1, "threads": 1}
    fitted = FraudClassifier.fit(DATASET.X, DATASET.y, DATASET.roles.categorical, [Member(params)], **arguments)
    fitted.save(tmp_path)
    monkeypatch.setitem(sys.modules, "tests.ml.resamplers", None)
    monkeypatch.setitem(sys.modules, "imblearn", None)
    loaded = FraudClassifier.load(tmp_path)
    assert loaded.members[0].params == params
    np.testing.assert_array_equal(loaded.predict_proba(DATASET.X), fitted.predict_proba(DATASET.X))


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"resampler": "tests.ml.nowhere:Cleaner"}, r"'tests.ml.nowhere:Cleaner' can't be imported \(ModuleNotFound"),
        (own("Clener"), r"resampler 'tests.ml.resamplers:Clener' can't be imported \(AttributeError.*expected a class"),
        (own("NOT_CALLABLE"), r"is a TomekLinks, which can't be called: expected a class with fit_resample"),
        ({"resampler": "builtins:dict"}, r"'builtins:dict' doesn't say which parameters it takes \(no signature"),
        (own("Wrong"), "makes a Wrong without fit_resample: expected a class"),
        (own("KeepsSome", eery=2), r"'tests.ml.resamplers:KeepsSome' takes no parameter 'eery': expected .*'every'"),
        (own("Returns", what="refused"), r"can't be made with {'what': 'refused'}: ValueError\('no such thing'\)"),
        (own("KeepsSome", every=[2]), r"resampler__every is \[2\]: expected a number, a string"),
        ({"resampler": "smote", "resampler__k": 3}, "'smote' takes no parameters, and got resampler__k: they are for"),
        ({"resampler__k": 3}, "'passthrough' takes no parameters, and got resampler__k"),
        (own("KeepsSome") | {"sampling_ratio": 0.5}, "takes no ratio, and got 0.5"),
    ],
)
def test_what_is_no_resampler_is_told(params: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Resampler.of(params).check()
    with pytest.raises(ValueError, match=told):
        resampled(params)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("error", r"with {'what': 'error'} fails on \d+ fitting rows, \d+ frauds: RuntimeError\('no neighbours today'"),
        ("one class", r"returned 0 frauds among \d+ rows: expected both classes"),
        ("nan", r"returned 3 of \d+ rows with NaN or infinite values"),
        (
            "columns",
            r"returned rows of shape \(\d+, \d+\) .* expected \(rows, labels\): an array of \d+ numeric columns",
        ),
        ("lengths", r"returned rows of shape .* and labels of shape"),
        ("flat", r"returned rows of shape \(\d+,\) and labels"),
        ("labels", r"returned labels \[1, 2\]: expected"),
        ("no pair", r"returned a ndarray that is no such pair: expected"),
        ("words", r"returned a tuple that is no such pair: expected"),
    ],
)
def test_what_cannot_be_fitted_on_is_told_with_the_resampler(what: str, told: str) -> None:
    params = own("Returns", what=what)
    Resampler.of(params).check()
    with pytest.raises(DataError, match=rf"resampler 'tests.ml.resamplers:Returns' .*{told}"):
        resampled(params)
