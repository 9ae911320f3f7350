"""XGBoost for one configuration: parameters, fits, and forests."""

import warnings
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from fraud_assets.ml.booster import (
    booster_params,
    fit_key,
    predict_booster,
    rounds_of,
    stops_early,
    train_booster,
    with_rounds,
)
from fraud_assets.ml.features import FeatureEncoder
from tests.ml.studies import BOOSTERS
from tests.ml.tables import dataset_of, transactions

DATASET = dataset_of(transactions())
X, Y = DATASET.X, DATASET.y
ENCODER = FeatureEncoder.fit(X, DATASET.roles.categorical)
ENCODED = ENCODER.transform(X)

EARLY = {"n_estimators": 200, "early_stopping_rounds": 30, "max_depth": 3, "eta": 0.3}


def predictions(params: dict[str, Any], *, seed: int = 1, threads: int = 1) -> np.ndarray:
    """Predictions of a booster for the rows that it was fitted on."""
    params = {"n_estimators": 20, **params}
    booster = train_booster(params, ENCODED, Y, ENCODER, seed=seed, threads=threads)
    return predict_booster(booster, params, ENCODED, ENCODER, threads=threads)


@pytest.mark.filterwarnings("error")
def test_dart_without_dropout_is_fitted_as_the_gbtree_that_it_is() -> None:
    params = {"booster": "dart", "rate_drop": 0.0, "sample_type": "weighted", "max_depth": 4}
    matrix = xgb.DMatrix(ENCODED, Y, feature_types=ENCODER.feature_types, enable_categorical=True)
    dart = xgb.train({**params, "objective": "binary:logistic"}, matrix, 20)

    assert booster_params(params, seed=1, threads=2)["booster"] == "gbtree"
    assert np.array_equal(predictions(params), dart.predict(matrix))


@pytest.mark.parametrize("dropout", [{"rate_drop": 0.5}, {"one_drop": 1}])
def test_dart_with_dropout_stays_dart(dropout: dict[str, float]) -> None:
    assert booster_params({"booster": "dart", **dropout}, seed=1, threads=2)["booster"] == "dart"
    assert not np.array_equal(predictions({"booster": "dart", **dropout}), predictions({"booster": "gbtree"}))


@pytest.mark.parametrize("params", BOOSTERS, ids=lambda params: params["booster"])
def test_the_same_fit_twice_is_the_same_model(params: dict[str, Any]) -> None:
    first = predictions(params, threads=2)
    assert all(np.array_equal(first, predictions(params, threads=2)) for _ in range(3))


@pytest.mark.parametrize("params", BOOSTERS, ids=lambda params: params["booster"])
def test_each_booster_learns_from_numbers_booleans_and_categories(params: dict[str, Any]) -> None:
    probability = predictions(params)
    assert probability.shape == Y.shape
    assert probability[Y == 1].mean() > probability[Y == 0].mean() + 0.1


@pytest.mark.parametrize(
    ("name", "alias", "value"),
    [
        ("eta", "learning_rate", 0.01),
        ("lambda", "reg_lambda", 50.0),
        ("alpha", "reg_alpha", 5.0),
        ("gamma", "min_split_loss", 5.0),
    ],
)
def test_parameters_reach_xgboost_under_both_their_names(name: str, alias: str, value: float) -> None:
    ours = predictions({name: value})
    assert np.array_equal(ours, predictions({alias: value}))
    assert not np.array_equal(ours, predictions({}))


@pytest.mark.parametrize("name", ["seed", "random_state"])
def test_a_seed_in_the_space_wins_over_that_of_the_study(name: str) -> None:
    params = {"subsample": 0.5}
    assert np.array_equal(predictions({**params, name: 7}, seed=1), predictions(params, seed=7))
    assert not np.array_equal(predictions({**params, name: 7}, seed=1), predictions(params, seed=1))


@pytest.mark.parametrize("name", ["nthread", "n_jobs"])
def test_a_trial_takes_the_threads_that_it_was_granted(name: str) -> None:
    assert booster_params({name: 64}, seed=1, threads=2) == {
        "objective": "binary:logistic",
        "seed": 1,
        "seed_per_iteration": True,
        "nthread": 2,
    }


def test_our_own_parameters_do_not_reach_xgboost() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # XGBoost warns of parameters that it doesn't know.
        predictions({"resampler": "smote", "n_estimators": 3, "n_jobs": 2, "random_state": 3})


@pytest.mark.parametrize(("params", "rounds"), [({}, 100), ({"n_estimators": 7}, 7), ({"n_estimators": 7.0}, 7)])
def test_n_estimators_is_the_number_of_rounds(params: dict[str, Any], rounds: int) -> None:
    booster = train_booster(params, ENCODED, Y, ENCODER, seed=1, threads=1)
    assert booster.num_boosted_rounds() == rounds_of(params) == rounds


def test_a_forest_is_one_round_of_parallel_trees_that_vote() -> None:
    params = {"booster": "forest", "n_estimators": 30, "max_depth": 8, "subsample": 0.6, "colsample_bynode": 0.5}
    booster = train_booster(params, ENCODED, Y, ENCODER, seed=1, threads=1)
    each = [booster.get_dump()[i].count("leaf=") for i in range(30)]

    assert (booster.num_boosted_rounds(), rounds_of(params), len(booster.get_dump())) == (1, 1, 30)
    assert len(set(each)) > 1, "every tree sees other rows and columns"
    probability = predict_booster(booster, params, ENCODED, ENCODER)
    assert probability.min() >= 0
    assert probability.max() <= 1
    # A leaf is the share of frauds among its rows, so that the mean of all is about theirs.
    assert probability.mean() == pytest.approx(Y.mean(), abs=0.02)


def test_a_tree_of_a_forest_predicts_the_share_of_frauds_in_a_leaf_and_one_row_of_the_prevalence() -> None:
    params = {"booster": "forest", "n_estimators": 1, "max_depth": 2, "min_child_weight": 5}
    booster = train_booster(params, ENCODED, Y, ENCODER, seed=1, threads=1)
    probability = predict_booster(booster, params, ENCODED, ENCODER)
    leaf = booster.predict(
        xgb.DMatrix(ENCODED, feature_types=ENCODER.feature_types, enable_categorical=True), pred_leaf=True
    )
    assert len(np.unique(leaf)) > 2
    for number in np.unique(leaf):
        inside = leaf.ravel() == number
        share = (Y[inside].sum() + Y.mean()) / (inside.sum() + 1)
        assert probability[inside] == pytest.approx(np.full(inside.sum(), share), abs=1e-5)
        assert inside.sum() >= 5


@pytest.mark.parametrize("booster", ["dart", "gblinear", "forest"])
def test_only_boosted_trees_can_be_cut(booster: str) -> None:
    params = {"booster": booster, "n_estimators": 50, "early_stopping_rounds": 10}
    assert stops_early({**params, "booster": "gbtree"})
    assert stops_early({**params, "booster": "gbtree", "early_stopping_rounds": 0}) is False
    assert not stops_early(params)
    assert with_rounds(params, 7) == params


def test_the_chosen_rounds_take_the_place_of_early_stopping() -> None:
    assert with_rounds({"eta": 0.1, **EARLY}, 40) == {"eta": 0.3, "max_depth": 3, "n_estimators": 40}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"booster": "dart", "eta": 0.1}, {"eta": 0.1, "booster": "gbtree"}),
        ({"booster": "dart", "rate_drop": 0.0, "skip_drop": 0.4}, {"booster": "gbtree"}),
        ({"imbalance": "none", "resampler": "passthrough"}, {}),
        ({"n_estimators": 100, "n_jobs": 7}, {}),
        ({"booster": "dart", "rate_drop": 0.1, "early_stopping_rounds": 5}, {"booster": "dart", "rate_drop": 0.1}),
    ],
)
def test_configurations_that_are_fitted_alike_have_one_key(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert fit_key(ours) == fit_key(theirs)


@pytest.mark.parametrize(
    "other",
    [
        {"resampler": "smote"},
        {"resampler": "smote", "sampling_ratio": 0.5},
        {"n_estimators": 99},
        {"eta": 0.1},
        {"booster": "forest"},
        {"booster": "dart", "rate_drop": 0.1},
        {"early_stopping_rounds": 5},
        {"early_stopping_rounds": 6},
        {"random_state": 3},
        {"max_bin": 16},
    ],
    ids=str,
)
def test_what_changes_a_fit_changes_its_key(other: dict[str, Any]) -> None:
    alone = {"resampler": "smote"} if "sampling_ratio" in other else {}
    assert len({fit_key({}), fit_key(alone), fit_key(other), fit_key({"early_stopping_rounds": 7})}) == 3 + bool(alone)
