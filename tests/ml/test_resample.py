import numpy as np
import pytest

from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.resample import RESAMPLERS, Resampled, resample
from fraud_assets.ml.schema import DataError
from tests.ml.tables import dataset_of, transactions

NOTHING_DISCRETE = np.zeros(2, dtype=bool)


def encoded(*columns: str, rows: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels and which features are discrete, of `transactions` with these columns."""
    dataset = dataset_of(transactions(rows)[[*columns, "is_fraud"]])
    encoder = FeatureEncoder.fit(dataset.X, dataset.roles.categorical)
    return encoder.transform(dataset.X), dataset.y, encoder.discrete


KINDS = {
    "numbers": encoded("amount", "count", "share"),
    "mixed": encoded("amount", "night", "count", "channel", "share"),
    "discrete": encoded("night", "channel"),
}


@pytest.fixture(params=KINDS)
def rows(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return KINDS[request.param]


@pytest.mark.parametrize("name", RESAMPLERS)
def test_rows_that_stay_are_rows_that_went_in(name: str, rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    X, y, discrete = rows
    before = X.copy()

    sampled = resample(name, X, y, discrete, seed=1)
    X_fit, y_fit = sampled.apply(X, y)

    assert np.array_equal(X, before, equal_nan=True)
    assert [str(a.dtype) for a in (sampled.kept, X_fit, y_fit)] == ["int64", "float32", "int8"]
    assert np.array_equal(np.unique(sampled.kept), sampled.kept)
    assert np.array_equal(X_fit[: len(sampled.kept)], X[sampled.kept], equal_nan=True)
    assert np.array_equal(y_fit[: len(sampled.kept)], y[sampled.kept])
    assert np.isnan(X_fit).any()


@pytest.mark.parametrize("name", RESAMPLERS)
def test_a_seed_means_the_same_rows(name: str, rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    def made_up(seed: int) -> Resampled:
        return resample(name, *rows, seed=seed)

    assert np.array_equal(made_up(1).kept, made_up(1).kept)
    assert np.array_equal(made_up(1).made_up, made_up(1).made_up, equal_nan=True)
    same = np.array_equal(made_up(1).made_up, made_up(2).made_up, equal_nan=True)
    assert same == (name != "smote")


def test_passthrough_changes_nothing() -> None:
    X, y, discrete = KINDS["mixed"]
    X_fit, y_fit = resample("passthrough", X, y, discrete, seed=1).apply(X, y)
    assert X_fit is X
    assert y_fit is y


def test_smote_makes_frauds_until_both_classes_are_equal(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    X, y, discrete = rows
    sampled = resample("smote", X, y, discrete, seed=1)

    assert np.array_equal(sampled.kept, np.arange(len(y)))
    assert sampled.made_up_labels.tolist() == [1] * int(np.sum(y == 0) - np.sum(y == 1))
    assert sampled.apply(X, y)[1].mean() == 0.5


@pytest.mark.parametrize("kind", ["mixed", "discrete"])
def test_smote_makes_no_fractions_of_booleans_and_categories(kind: str) -> None:
    X, y, discrete = KINDS[kind]
    made_up = resample("smote", X, y, discrete, seed=1).made_up

    for column in np.flatnonzero(discrete):
        values = X[y == 1, column]
        assert set(made_up[~np.isnan(made_up[:, column]), column]) <= set(values[~np.isnan(values)])
    assert not np.array_equal(made_up[:, ~discrete], np.round(made_up[:, ~discrete])) or kind == "discrete"


def test_smote_stays_between_the_frauds_it_has() -> None:
    X, y, discrete = KINDS["mixed"]
    made_up = resample("smote", X, y, discrete, seed=1).made_up

    for column in range(X.shape[1]):
        frauds = np.append(X[y == 1, column], np.nanmedian(X[:, column]))
        assert np.nanmin(made_up[:, column]) >= np.nanmin(frauds) * (1 - 1e-6)
        assert np.nanmax(made_up[:, column]) <= np.nanmax(frauds) * (1 + 1e-6)


def test_made_up_frauds_lack_values_as_often_as_frauds_do() -> None:
    random = np.random.default_rng(0)
    y = (np.arange(2000) % 4 == 0).astype(np.int8)
    X = random.normal(size=(2000, 3)).astype(np.float32)
    X[:, 2] = random.integers(0, 2, 2000)
    X[random.random(2000) < np.where(y, 0.3, 0.6), 0] = np.nan
    for discrete in (np.zeros(3, dtype=bool), np.array([False, False, True])):
        made_up = resample("smote", X, y, discrete, seed=1).made_up
        assert np.isnan(made_up).mean(axis=0) == pytest.approx([0.3, 0, 0], abs=0.1)


@pytest.mark.parametrize("value", [0.0, 0.1, 3.0, 1e6])
def test_a_value_that_all_frauds_share_comes_out_as_it_was(value: float) -> None:
    # The columns' means and deviations are far from the value, so that each rounding would show.
    random = np.random.default_rng(2)
    X = random.lognormal(12, 3, size=(500, 20)).astype(np.float32)
    y = (np.arange(500) % 5 == 0).astype(np.int8)
    X[y == 1, 1:] = value

    made_up = resample("smote", X, y, np.zeros(20, dtype=bool), seed=1).made_up

    assert np.unique(made_up[:, 1:]).tolist() == [np.float32(value)]


def test_allknn_measures_distance_in_each_columns_own_unit() -> None:
    random = np.random.default_rng(0)
    # Column 0 tells frauds from the others, but for the last row; column 1 is noise by the million.
    y = (np.arange(301) % 3 == 0).astype(np.int8)
    X = np.column_stack([y + 0.01 * random.normal(size=301), 1e6 * random.normal(size=301)]).astype(np.float32)
    X[300], y[300] = (1, 0), 0

    # Were the column of millions to decide, neighbours would be random rows, and most legitimate rows would go.
    assert np.array_equal(resample("allknn", X, y, NOTHING_DISCRETE, seed=1).kept, np.arange(300))


def test_smote_measures_distance_in_each_columns_own_unit() -> None:
    random = np.random.default_rng(0)
    side = np.arange(400) % 2
    X = np.column_stack([10 * side, 1e6 * random.normal(size=400)]).astype(np.float32)
    y = (np.arange(400) % 8 < 2).astype(np.int8)

    made_up = resample("smote", X, y, NOTHING_DISCRETE, seed=1).made_up

    # Were the column of millions to decide, half of the neighbours would be those of the other side.
    assert np.isin(made_up[:, 0], [0, 10]).mean() > 0.95


def test_allknn_never_removes_a_fraud(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    X, y, discrete = rows
    for label in (y, 1 - y):
        kept = resample("allknn", X, label, discrete, seed=1).kept
        assert np.isin(np.flatnonzero(label == 1), kept).all()
        assert len(kept) < len(y)


@pytest.mark.parametrize("frauds", [2, 3, 6])
def test_smote_works_with_few_frauds(frauds: int) -> None:
    X, _, discrete = KINDS["mixed"]
    y = (np.arange(len(X)) < frauds).astype(np.int8)
    assert len(resample("smote", X, y, discrete, seed=1).made_up) == len(y) - 2 * frauds


def test_smote_with_one_fraud_is_told_in_numbers() -> None:
    X, _, discrete = KINDS["mixed"]
    with pytest.raises(DataError, match="smote needs at least 2 rows of each class in the fitting rows, and got 1"):
        resample("smote", X, (np.arange(len(X)) < 1).astype(np.int8), discrete, seed=1)


def test_random_under_keeps_all_frauds_and_thirty_legitimate_rows_for_each() -> None:
    X = np.random.default_rng(0).random((2000, 2)).astype(np.float32)
    y = (np.arange(2000) % 200 == 0).astype(np.int8)
    kept, again, other = (resample("random_under", X, y, np.zeros(2, bool), seed=seed).kept for seed in (1, 1, 2))

    assert np.bincount(y[kept]).tolist() == [300, 10]
    assert np.array_equal(kept, again)
    assert not np.array_equal(kept, other)


@pytest.mark.parametrize(("frauds", "legitimate"), [(50, 60), (0, 100), (10, 0)])
def test_random_under_leaves_rows_of_enough_frauds_or_of_one_class_as_they_are(frauds: int, legitimate: int) -> None:
    y = np.array([1] * frauds + [0] * legitimate, dtype=np.int8)
    X = np.zeros((len(y), 3), dtype=np.float32)
    same, same_labels = resample("random_under", X, y, np.zeros(3, bool), seed=0).apply(X, y)

    assert same is X
    assert same_labels is y


def test_random_under_keeps_the_order_of_the_rows_and_their_values() -> None:
    y = (np.random.default_rng(0).random(3000) < 0.01).astype(np.int8)
    X = np.arange(len(y) * 2, dtype=np.float32).reshape(-1, 2)
    sampled = resample("random_under", X, y, np.zeros(2, bool), seed=0)
    kept, labels = sampled.apply(X, y)

    assert labels.sum() == y.sum()
    assert np.array_equal(kept, X[sampled.kept])
    assert (np.diff(sampled.kept) > 0).all()


def test_an_unknown_resampler_is_told_with_those_there_are() -> None:
    X, y, discrete = KINDS["numbers"]
    with pytest.raises(
        ValueError, match=r"'adasyn' is unknown: expected one of \['allknn', 'smote', 'random_under', 'passthrough'\]"
    ):
        resample("adasyn", X, y, discrete, seed=1)


@pytest.mark.parametrize("name", ["allknn", "smote"])
@pytest.mark.filterwarnings("error")
def test_columns_without_any_value_stay_without(name: str) -> None:
    X, y, discrete = KINDS["mixed"]
    X = X.copy()
    X[:, [0, 3]] = np.nan
    X_fit, _ = resample(name, X, y, discrete, seed=1).apply(X, y)
    assert np.isnan(X_fit[:, [0, 3]]).all()
