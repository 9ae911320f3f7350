import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb

from fraud_assets.ml.estimator import FraudClassifier, booster_params, predict_booster, train_booster
from fraud_assets.ml.features import FeatureEncoder
from tests.ml.tables import dataset_of, transactions

DATASET = dataset_of(transactions())
X, Y = DATASET.X, DATASET.y
ENCODER = FeatureEncoder.fit(X, DATASET.roles.categorical)
ENCODED = ENCODER.transform(X)

BOOSTERS: list[dict[str, Any]] = [
    {"booster": "gbtree", "n_estimators": 20, "max_depth": 4, "grow_policy": "lossguide"},
    {"booster": "dart", "n_estimators": 20, "rate_drop": 0.5},
    {"booster": "gblinear", "n_estimators": 20, "lambda": 0.1},
]


def predictions(params: dict[str, Any], *, seed: int = 1, threads: int = 1) -> np.ndarray:
    """Predictions of a booster for the rows that it was fitted on."""
    params = {"n_estimators": 20, **params}
    booster = train_booster(params, ENCODED, Y, ENCODER, seed=seed, threads=threads)
    return predict_booster(booster, params, ENCODED, ENCODER, threads=threads)


def classifier(params: dict[str, Any], threshold: float = 0.3) -> FraudClassifier:
    return FraudClassifier.fit(X, Y, DATASET.roles.categorical, params, threshold=threshold, seed=1, threads=1)


def never_seen() -> pd.DataFrame:
    """Rows with values that fitting didn't see."""
    rows = X.head(6).copy()
    rows["channel"] = ["phone", None, "web", "app", "", "shop"]
    rows["night"] = [None, True, False, None, True, False]
    rows["amount"] = [np.nan, 0, -1, 1e9, np.nan, 5]
    return rows


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
    assert {"amount", "night"} < {name.partition("=")[0] for name in classifier(params).importance()}


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
        "nthread": 2,
    }


def test_our_own_parameters_do_not_reach_xgboost() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # XGBoost warns of parameters that it doesn't know.
        predictions({"resampler": "smote", "n_estimators": 3, "n_jobs": 2, "random_state": 3})


@pytest.mark.parametrize(("params", "rounds"), [({}, 100), ({"n_estimators": 7}, 7), ({"n_estimators": 7.0}, 7)])
def test_n_estimators_is_the_number_of_rounds(params: dict[str, Any], rounds: int) -> None:
    assert classifier(params).booster.num_boosted_rounds() == rounds


@pytest.mark.parametrize("params", BOOSTERS, ids=lambda params: params["booster"])
@pytest.mark.filterwarnings("ignore:.*Empty dataset")
def test_a_saved_model_predicts_the_same_to_the_last_bit(params: dict[str, Any], tmp_path: Path) -> None:
    fitted = classifier({**params, "resampler": "smote"})
    fitted.save(tmp_path)
    loaded = FraudClassifier.load(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["booster.ubj", "classifier.json"]
    for rows in (X, never_seen(), X.head(1), X.head(0)):
        assert np.array_equal(loaded.predict_proba(rows), fitted.predict_proba(rows))
        assert np.array_equal(loaded.predict(rows), fitted.predict(rows))
    assert (loaded.encoder, loaded.params, loaded.threshold) == (fitted.encoder, fitted.params, fitted.threshold)
    assert loaded.importance() == fitted.importance()


def test_a_category_never_seen_is_judged_as_a_missing_one() -> None:
    fitted = classifier({})
    unseen, missing = X.assign(channel="phone"), X.assign(channel=None)
    assert np.array_equal(fitted.predict_proba(unseen), fitted.predict_proba(missing))


def test_probabilities_come_as_scikit_learn_orders_them() -> None:
    fitted = classifier({})
    probability = fitted.predict_proba(X)
    assert probability.shape == (len(X), 2)
    assert np.array_equal(probability[:, 1], predict_booster(fitted.booster, {}, ENCODED, ENCODER, threads=1))
    assert np.allclose(probability.sum(axis=1), 1)


def test_a_row_is_called_fraud_from_the_threshold_on() -> None:
    fraud = classifier({}).predict_proba(X)[:, 1]
    threshold = float(np.sort(fraud)[-20])
    called = classifier({}, threshold).predict(X)
    assert called.dtype == np.int64
    assert np.array_equal(called == 1, fraud >= threshold)
    assert called.sum() >= 20


def test_resampling_is_part_of_the_fit() -> None:
    plain, resampled = (classifier({"resampler": name}).predict_proba(X)[:, 1] for name in ("passthrough", "smote"))
    assert resampled.mean() > plain.mean()


@pytest.mark.parametrize("booster", ["gbtree", "gblinear"])
def test_the_most_important_column_comes_first(booster: str) -> None:
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"noise": random.normal(size=500), "signal": random.normal(size=500)})
    params = {"booster": booster, "n_estimators": 20}
    y = (rows["signal"] > 0).to_numpy().astype(np.int8)
    importance = FraudClassifier.fit(rows, y, [], params, threshold=0.5, seed=1, threads=1).importance()
    assert list(importance) == ["signal", "noise"]
    assert importance["signal"] > 10 * importance["noise"] >= 0


def test_serving_imports_nothing_of_tuning(tmp_path: Path) -> None:
    classifier({"resampler": "allknn"}).save(tmp_path)
    X.to_parquet(tmp_path / "rows.parquet")
    code = f"""
import sys
from pathlib import Path
import pandas, xgboost
before = set(sys.modules)
from fraud_assets.ml.estimator import FraudClassifier
FraudClassifier.load(Path({str(tmp_path)!r})).predict(pandas.read_parquet({str(tmp_path / "rows.parquet")!r}))
heavy = {{"imblearn", "sklearn", "ray", "dagster", "mlflow", "optuna", "pandera", "scipy"}}
print(sorted(heavy & {{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
