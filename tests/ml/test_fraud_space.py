"""The search space `fraud`."""

import warnings
from typing import Any

import numpy as np
import pytest

from fraud_assets.ml.booster import train_booster, with_rounds
from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.fraud_space import FRAUD_DEFAULTS, FRAUD_START, RESAMPLERS, SAMPLING_RATIOS, fraud


def suggest(seed: int) -> dict[str, Any]:
    """A random configuration, as Ray Tune hands it to a trial."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    constants = fraud(trial)
    assert not set(constants) & set(trial.params), "a parameter is either suggested or constant"
    return {**trial.params, **constants}


@pytest.fixture(scope="module")
def configurations() -> list[dict[str, Any]]:
    return [suggest(seed) for seed in range(300)]


def boosted(configurations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [params for params in configurations if params["booster"] in ("gbtree", "dart")]


@pytest.mark.parametrize("point", [FRAUD_DEFAULTS, *FRAUD_START], ids=["defaults", "trees", "forest"])
def test_the_points_to_begin_with_are_points_of_the_space(point: dict[str, Any]) -> None:
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(point)
    trial = study.ask()
    constants = fraud(trial)
    assert trial.params == point
    assert constants["resampler"] == "passthrough"
    # Optuna takes a value that is out of range with no more than a warning.
    assert all(
        trial.distributions[name]._contains(trial.distributions[name].to_internal_repr(v)) for name, v in point.items()
    )


def test_the_default_point_fits_what_xgboost_fits_when_told_nothing() -> None:
    import optuna
    import xgboost as xgb

    random = np.random.default_rng(0)
    X = random.normal(size=(3000, 4)).astype(np.float32)
    y = (random.random(3000) < 0.02 + 0.3 * (X[:, 0] > 1.5)).astype(np.int8)
    trial = optuna.trial.FixedTrial(FRAUD_DEFAULTS)
    params = with_rounds({**FRAUD_DEFAULTS, **fraud(trial)}, 100)
    ours = train_booster(params, X, y, FeatureEncoder(("a", "b", "c", "d"), (), {}), seed=0, threads=1)
    plain = xgb.train({"objective": "binary:logistic", "nthread": 1}, xgb.DMatrix(X, y), num_boost_round=100)
    # The lower ends of alpha and gamma are not quite 0.
    np.testing.assert_allclose(ours.predict(xgb.DMatrix(X)), plain.predict(xgb.DMatrix(X)), atol=0.02)


def test_every_configuration_names_booster_objective_rounds_and_what_is_done_about_imbalance(
    configurations: list[dict[str, Any]],
) -> None:
    for params in configurations:
        assert params["booster"] in {"gbtree", "forest", "dart", "gblinear"}
        assert params["objective"] == "binary:logistic"
        assert params["n_estimators"] >= 10
        assert ("early_stopping_rounds" in params) == (params["booster"] == "gbtree")
        assert params["imbalance"] in {"none", "weight", "resample"}


def test_imbalance_is_corrected_once_at_most(configurations: list[dict[str, Any]]) -> None:
    for params in configurations:
        weighted, resampled = "scale_pos_weight" in params, params.get("resampler", "passthrough") != "passthrough"
        assert weighted == (params["imbalance"] == "weight")
        assert resampled == ("sampling_ratio" in params) == (params["imbalance"] == "resample")
    tried = {params["resampler"] for params in configurations if "resampler" in params}
    assert tried == {"passthrough", *RESAMPLERS}
    assert {params["sampling_ratio"] for params in configurations if "sampling_ratio" in params} == {*SAMPLING_RATIOS}


def test_a_linear_model_is_not_asked_about_trees(configurations: list[dict[str, Any]]) -> None:
    linear = [params for params in configurations if params["booster"] == "gblinear"]
    assert linear
    trees = {"max_depth", "eta", "subsample", "max_bin", "tree_method", "max_delta_step"}
    assert not any(trees & set(params) for params in linear)


def test_dart_really_drops_trees_and_is_spared_many_rounds(configurations: list[dict[str, Any]]) -> None:
    dart = [params for params in configurations if params["booster"] == "dart"]
    assert dart
    assert all(params["rate_drop"] > 0 and params["n_estimators"] <= 50 for params in dart)
    assert not any("rate_drop" in params for params in configurations if params["booster"] != "dart")


def test_leaves_are_bounded_where_depth_is_not(configurations: list[dict[str, Any]]) -> None:
    trees = boosted(configurations)
    assert all(("max_leaves" in params) == (params["grow_policy"] == "lossguide") for params in trees)
    assert all((params["max_depth"] == 0) == (params["grow_policy"] == "lossguide") for params in trees)


def test_a_forest_is_not_asked_about_boosting(configurations: list[dict[str, Any]]) -> None:
    forests = [params for params in configurations if params["booster"] == "forest"]
    assert forests
    assert not any({"eta", "alpha", "gamma", "base_score", "max_delta_step"} & set(p) for p in forests)


def test_a_base_score_is_set_only_where_it_is_not_estimated(configurations: list[dict[str, Any]]) -> None:
    trees = boosted(configurations)
    assert all(("base_score" in params) == (params["intercept"] == "base_score") for params in trees)


def test_a_linear_model_never_starts_from_an_estimated_prevalence(configurations: list[dict[str, Any]]) -> None:
    linear = [params for params in configurations if params["booster"] == "gblinear"]
    assert {params["base_score"] for params in linear} == {0.5}


@pytest.mark.parametrize("seed", range(40))
def test_xgboost_knows_every_parameter_that_it_gets(seed: int, capfd: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(seed)
    X = random.normal(size=(200, 3)).astype(np.float32)
    y = (np.arange(200) % 10 == 0).astype(np.int8)
    params = suggest(seed) | {"n_estimators": 2}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train_booster(params, X, y, FeatureEncoder(("a", "b", "c"), (), {}), seed=0, threads=1)
    assert not [str(w.message) for w in caught if "not used" in str(w.message)]
    assert "not used" not in "".join(capfd.readouterr())
