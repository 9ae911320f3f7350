"""Resamplers that would search too many rows for neighbours fail, or work on a sample."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fraud_assets.ml.estimator import Member
from fraud_assets.ml.final_model import build_final_model
from fraud_assets.ml.neighbour_limit import NeighbourLimit
from fraud_assets.ml.resample import RESAMPLERS, Resampled, Resampler
from fraud_assets.ml.schema import DataError
from fraud_assets.ml.scoring import Scoring
from fraud_assets.ml.search_space import SEARCH_SPACES, SearchSpace
from fraud_assets.ml.split import SplitSettings
from fraud_assets.ml.study import StudyData
from fraud_assets.ml.suggested_resamplers import require_resamplable
from tests.ml.resamplers import Records
from tests.ml.studies import matrices_of
from tests.ml.tables import dataset_of, split_by_group, transactions

DATASET = dataset_of(transactions(2000))
SPLIT = split_by_group(DATASET, SplitSettings(folds=3))
STUDY = StudyData.prepare(DATASET, SPLIT, seed=1)
X, Y, DISCRETE = STUDY.X, STUDY.y, STUDY.encoder.discrete
ROWS, FRAUDS = len(Y), int(Y.sum())
OWN = "tests.ml.resamplers:Records"
OF_ALL = ("allknn", "borderline_smote", "smote_enn", OWN)


def resampled(name: str, limit: NeighbourLimit, seed: int = 1, ratio: float | None = None) -> Resampled:
    return Resampler(name, ratio)(X, Y, DISCRETE, seed=seed, limit=limit)


def assert_equal(ours: Resampled, theirs: Resampled) -> None:
    for name in ("kept", "made_up", "made_up_labels"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), name)


@pytest.mark.parametrize("name", OF_ALL)
def test_what_looks_at_all_rows_fails_past_the_limit_and_says_what_to_do(name: str) -> None:
    assert_equal(resampled(name, NeighbourLimit(ROWS)), resampled(name, NeighbourLimit()))
    told = (
        f"resampler '{name}' looks for neighbours among {ROWS:,} in the fitting rows; neighbour_limit is {ROWS - 1:,} "
        r"rows: raise it .*, set past_neighbour_limit to sample, or use a search space without"
    )
    with pytest.raises(DataError, match=told):
        resampled(name, NeighbourLimit(ROWS - 1))


def test_smote_looks_at_the_frauds_alone() -> None:
    assert_equal(resampled("smote", NeighbourLimit(FRAUDS)), resampled("smote", NeighbourLimit()))
    with pytest.raises(DataError, match=rf"'smote' looks for neighbours among {FRAUDS} in the fitting rows"):
        resampled("smote", NeighbourLimit(FRAUDS - 1))


@pytest.mark.parametrize(
    ("name", "ratio"), [("passthrough", None), ("random_under", None), ("smote", 0.1), ("borderline_smote", 0.1)]
)
def test_what_searches_nothing_has_no_limit(name: str, ratio: float | None) -> None:
    assert FRAUDS / (ROWS - FRAUDS) > 0.1, "there is nothing to make up"
    for past in ("fail", "sample"):
        limit = NeighbourLimit(900, past).within(DATASET.y)
        assert_equal(resampled(name, limit, ratio=ratio), resampled(name, NeighbourLimit(), ratio=ratio))


@pytest.mark.parametrize("name", OF_ALL)
def test_a_sample_has_all_frauds_and_as_many_legitimate_rows_as_the_limit_leaves(name: str) -> None:
    Records.got.clear()
    limit = NeighbourLimit(900, "sample")
    seen = limit.sample(Resampler(name).search(Y), Y, seed=1)
    assert len(seen) == 900
    assert (np.diff(seen) > 0).all()
    assert np.isin(np.flatnonzero(Y == 1), seen).all()
    # From everywhere, not the first ones.
    assert abs(seen[Y[seen] == 0].mean() - np.flatnonzero(Y == 0).mean()) < 0.05 * ROWS

    ours = resampled(name, limit)
    alone = Resampler(name)(X[seen], Y[seen], DISCRETE, seed=1)
    assert_equal(ours, replace(alone, kept=seen[alone.kept]))
    if name == OWN:
        assert {len(labels) for _, labels in Records.got} == {900}


@pytest.mark.parametrize("name", ["allknn", "smote"])
def test_a_seed_means_the_same_sample(name: str) -> None:
    limit = NeighbourLimit(300 if name == "smote" else 900, "sample")
    first, again, other = (resampled(name, limit, seed) for seed in (1, 1, 2))
    assert_equal(first, again)
    assert not np.array_equal(first.kept, other.kept) or not np.array_equal(first.made_up, other.made_up)


@pytest.mark.parametrize("columns", [[1, 2], [0, 1, 2, 3, 4]])
def test_smote_keeps_all_rows_and_makes_rows_up_between_sampled_frauds(columns: list[int]) -> None:
    limit = NeighbourLimit(20, "sample")
    X_some, discrete = X[:, columns], DISCRETE[columns]
    smote = Resampler("smote", 0.5)
    ours = smote(X_some, Y, discrete, seed=1, limit=limit)
    seen = limit.sample(smote.search(Y), Y, seed=1)
    sampled = seen[Y[seen] == 1]
    assert len(sampled) == 20
    assert np.bincount(Y[seen]).tolist() == [ROWS - FRAUDS, 20]
    assert np.array_equal(ours.kept, np.arange(ROWS))
    assert ours.made_up_labels.tolist() == [1] * (round(0.5 * (ROWS - FRAUDS)) - FRAUDS)
    # The extremes of all frauds are not among so few.
    share = columns.index(2)
    assert ours.made_up[:, share].min() >= X_some[sampled, share].min() > X_some[Y == 1, share].min()
    assert ours.made_up[:, share].max() <= X_some[sampled, share].max() < X_some[Y == 1, share].max()


def test_a_sample_that_cannot_have_all_frauds_and_as_many_others_is_refused() -> None:
    limit = NeighbourLimit(2 * FRAUDS - 1, "sample")
    assert len(resampled("allknn", replace(limit, rows=2 * FRAUDS)).kept) > FRAUDS
    with pytest.raises(DataError, match=f"can't have all {FRAUDS} rows of the smaller class and as many of the other"):
        resampled("allknn", limit)


@pytest.mark.parametrize("label", [0, 1])
def test_the_smaller_class_is_whole_whichever_it_is(label: int) -> None:
    y = np.equal(Y, label).astype(np.int8)
    seen = NeighbourLimit(900, "sample").sample(Resampler("allknn").search(y), y, seed=1)
    assert np.bincount(y[seen]).min() == FRAUDS


def sampled_size(labels: np.ndarray, limit: int) -> int:
    """How many rows of a part of the data a sample has: of all of the data it has `limit`."""
    legitimate, frauds = map(int, np.bincount(DATASET.y))
    return int(labels.sum()) + round((limit - frauds) / legitimate * int(np.sum(labels == 0)))


def test_all_fits_have_the_share_of_legitimate_rows_that_the_fit_on_all_rows_may_have() -> None:
    limit = NeighbourLimit(1000, "sample")
    study = StudyData.prepare(DATASET, SPLIT, seed=1, limit=limit)
    largest = max(len(fit) for fit, _ in study.folds)
    for rows, sampled in ((1000, True), (largest, True), (len(DATASET), False)):
        matrices = matrices_of(StudyData.prepare(DATASET, SPLIT, seed=1, limit=NeighbourLimit(rows, "sample")))
        for fold, (fit, _) in enumerate(study.folds):
            expected = sampled_size(Y[fit], rows) if sampled else len(fit)
            assert matrices.fitting(fold, {"resampler": OWN}).num_row() == expected
            assert not sampled or expected < len(fit)


def test_folds_of_a_study_fail_past_its_limit_and_are_whole_within_it() -> None:
    within = StudyData.prepare(DATASET, SPLIT, seed=1, limit=NeighbourLimit(max(len(fit) for fit, _ in STUDY.folds)))
    for fold, (fit, _) in enumerate(STUDY.folds):
        assert matrices_of(within).fitting(fold, {"resampler": OWN}).num_row() == len(fit)
    study = StudyData.prepare(DATASET, SPLIT, seed=1, limit=NeighbourLimit(100))
    with pytest.raises(DataError, match="neighbour_limit is 100 rows"):
        matrices_of(study).fitting(0, {"resampler": "allknn"})


@pytest.mark.parametrize("calibration", ["none", "isotonic"])
def test_the_refit_samples_as_the_tuning_did(calibration: Any) -> None:
    # What the user's resampler gets: the fit that is judged, and all rows; with calibration each fold, too.
    def sizes(limit: NeighbourLimit) -> list[int]:
        Records.got.clear()
        build_final_model(
            DATASET, SPLIT, [Member({"resampler": OWN, "n_estimators": 2})], Scoring(), threshold=0.5, seed=1,
            threads=1, resamples=200, calibration=calibration, limit=limit,
        )  # fmt: skip
        return sorted(len(labels) for _, labels in Records.got)

    fits = [DATASET.y, DATASET.y[SPLIT.judged_fit]]
    fits += [Y[fit] for fit, _ in STUDY.folds] if calibration != "none" else []
    assert sizes(NeighbourLimit()) == sorted(map(len, fits))
    assert sizes(NeighbourLimit(900, "sample")) == sorted(sampled_size(labels, 900) for labels in fits)
    with pytest.raises(DataError, match="neighbour_limit is 900 rows"):
        sizes(NeighbourLimit(900))


def space_of(*resamplers: str, **constants: Any) -> SearchSpace:
    def suggest(trial: Any) -> dict[str, Any]:
        trial.suggest_categorical("resampler", resamplers)
        return constants

    return SearchSpace("ours", suggest)


def test_what_passes_the_limit_somewhere_is_told_before_any_trial_with_all_rows_it_is_for() -> None:
    largest = max(len(fit) for fit, _ in SPLIT.folds())
    judged = len(SPLIT.judged_fit)
    told = (
        "search_space 'ours' suggests what this data is too large for: resampler 'allknn' looks for neighbours among "
        f"{largest:,} in the largest fold's fitting rows, {judged:,} in those of the model that the holdout judges, "
        f"2,000 in all rows, which it is refitted on; neighbour_limit is 500 rows: raise it"
    )
    with pytest.raises(DataError, match=told):
        require_resamplable(space_of("passthrough", "allknn"), DATASET.y, SPLIT, NeighbourLimit(500))
    # The refit alone is enough.
    with pytest.raises(DataError, match="among 2,000 in all rows, which it is refitted on; neighbour_limit is 1,999"):
        require_resamplable(space_of("allknn"), DATASET.y, SPLIT, NeighbourLimit(1999))
    require_resamplable(space_of("allknn"), DATASET.y, SPLIT, NeighbourLimit(2000))
    require_resamplable(space_of("allknn"), DATASET.y, SPLIT, NeighbourLimit(900, "sample"))
    require_resamplable(space_of("passthrough", "random_under", "smote"), DATASET.y, SPLIT, NeighbourLimit(500))


def test_every_resampler_that_passes_the_limit_is_told_at_once() -> None:
    with pytest.raises(DataError, match=r"resampler '(.*)' looks .*; it is the same with '(.*)'") as error:
        require_resamplable(SEARCH_SPACES["fraud"], DATASET.y, SPLIT, NeighbourLimit(500))
    assert all(repr(name) in str(error.value) for name in ("borderline_smote", "smote_enn"))
    assert not any(repr(name) in str(error.value) for name in RESAMPLERS if name.startswith(("random", "pass", "allk")))


def test_a_resampler_that_is_not_there_is_told_before_any_trial() -> None:
    for space, told in (
        (space_of("passthrough", "nowhere:Cleaner"), "'nowhere:Cleaner' can't be imported"),
        (space_of("tests.ml.resamplers:KeepsSome", resampler__eery=1), "takes no parameter 'eery'"),
        (space_of("adasyn"), "'adasyn' is unknown"),
    ):
        with pytest.raises(ValueError, match=told):
            require_resamplable(space, DATASET.y, SPLIT, NeighbourLimit())
    require_resamplable(
        space_of("tests.ml.resamplers:KeepsSome", resampler__every=1), DATASET.y, SPLIT, NeighbourLimit()
    )
