import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fraud_assets.ml.booster import predict_booster
from fraud_assets.ml.ensemble import log_odds
from fraud_assets.ml.estimator import FraudClassifier, Member
from fraud_assets.ml.features import FeatureEncoder
from tests.ml.studies import BOOSTERS
from tests.ml.tables import dataset_of, transactions

DATASET = dataset_of(transactions())
X, Y = DATASET.X, DATASET.y
ENCODER = FeatureEncoder.fit(X, DATASET.roles.categorical)
ENCODED = ENCODER.transform(X)

WEIGHTS = (0.4, 0.2, 0.1, 0.3)
MEMBERS = [Member({**params, "resampler": "smote"}, w) for params, w in zip(BOOSTERS, WEIGHTS, strict=True)]


def averaged(*members: Member, threshold: float = 0.3) -> FraudClassifier:
    return FraudClassifier.fit(X, Y, DATASET.roles.categorical, members, threshold=threshold, seed=1, threads=1)


def classifier(params: dict[str, Any], threshold: float = 0.3) -> FraudClassifier:
    return averaged(Member(params), threshold=threshold)


def never_seen() -> pd.DataFrame:
    """Rows with values that fitting didn't see."""
    rows = X.head(6).copy()
    rows["channel"] = ["phone", None, "web", "app", "", "shop"]
    rows["night"] = [None, True, False, None, True, False]
    rows["amount"] = [np.nan, 0, -1, 1e9, np.nan, 5]
    return rows


@pytest.mark.parametrize("members", [*([m] for m in MEMBERS), MEMBERS], ids=lambda m: str(len(m)))
@pytest.mark.filterwarnings("ignore:.*Empty dataset")
def test_a_saved_model_predicts_the_same_to_the_last_bit(members: list[Member], tmp_path: Path) -> None:
    fitted = averaged(*members)
    fitted.save(tmp_path)
    loaded = FraudClassifier.load(tmp_path)

    files = [*(f"booster_{i}.ubj" for i in range(len(members))), "classifier.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    for rows in (X, never_seen(), X.head(1), X.head(0)):
        assert np.array_equal(loaded.predict_proba(rows), fitted.predict_proba(rows))
        assert np.array_equal(loaded.predict(rows), fitted.predict(rows))
    assert (loaded.encoder, loaded.members, loaded.threshold) == (fitted.encoder, fitted.members, fitted.threshold)
    assert loaded.importance() == fitted.importance()


def test_members_are_averaged_in_log_odds_by_their_weights() -> None:
    alone = [log_odds(classifier(dict(member.params)).predict_proba(X)[:, 1]) for member in MEMBERS]
    together = averaged(*MEMBERS).predict_proba(X)[:, 1]
    np.testing.assert_allclose(log_odds(together), np.average(alone, axis=0, weights=WEIGHTS), atol=1e-6)


@pytest.mark.parametrize("weights", [(), (0.5, 0.0), (1.5, -0.5)])
def test_a_model_has_members_and_each_of_them_counts(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="expected members with a positive weight each"):
        averaged(*(Member({}, weight) for weight in weights))


@pytest.mark.parametrize("params", BOOSTERS, ids=lambda params: params["booster"])
def test_columns_of_every_kind_have_their_share(params: dict[str, Any]) -> None:
    importance = classifier(params).importance()
    assert {"amount", "night"} < {name.partition("=")[0] for name in importance}
    assert sum(importance.values()) == pytest.approx(1)


def test_importance_counts_members_by_their_weights() -> None:
    trees, linear = MEMBERS[0], MEMBERS[2]
    alone = [classifier(dict(member.params)).importance() for member in (trees, linear)]
    together = averaged(Member(trees.params, 0.75), Member(linear.params, 0.25)).importance()
    for name, share in together.items():
        assert share == pytest.approx(0.75 * alone[0].get(name, 0) + 0.25 * alone[1].get(name, 0))


def test_a_category_never_seen_is_judged_as_a_missing_one() -> None:
    fitted = classifier({})
    unseen, missing = X.assign(channel="phone"), X.assign(channel=None)
    assert np.array_equal(fitted.predict_proba(unseen), fitted.predict_proba(missing))


def test_probabilities_come_as_scikit_learn_orders_them() -> None:
    fitted = classifier({})
    probability = fitted.predict_proba(X)
    assert probability.shape == (len(X), 2)
    assert np.array_equal(probability[:, 1], predict_booster(fitted.boosters[0], {}, ENCODED, ENCODER, threads=1))
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
    importance = FraudClassifier.fit(rows, y, [], [Member(params)], threshold=0.5, seed=1, threads=1).importance()
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
