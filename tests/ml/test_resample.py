import numpy as np
import pytest

from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.resample import RESAMPLERS, Resampled, resample
from fraud_assets.ml.schema import DataError
from tests.ml.tables import dataset_of, transactions

NOTHING_DISCRETE = np.zeros(2, dtype=bool)
OVER = ("smote", "borderline_smote", "smote_enn")


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

# Where a few combinations are all there is, every fraud has legitimate neighbours, and smote_enn leaves none.
PAIRS = [(name, kind) for name in RESAMPLERS for kind in KINDS if (name, kind) != ("smote_enn", "discrete")]


@pytest.fixture(params=KINDS)
def rows(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return KINDS[request.param]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_rows_that_stay_are_rows_that_went_in(name: str, kind: str) -> None:
    X, y, discrete = KINDS[kind]
    before = X.copy()

    sampled = resample(name, X, y, discrete, seed=1)
    X_fit, y_fit = sampled.apply(X, y)

    assert np.array_equal(X, before, equal_nan=True)
    assert [str(a.dtype) for a in (sampled.kept, X_fit, y_fit)] == ["int64", "float32", "int8"]
    assert np.array_equal(np.unique(sampled.kept), sampled.kept)
    assert np.array_equal(X_fit[: len(sampled.kept)], X[sampled.kept], equal_nan=True)
    assert np.array_equal(y_fit[: len(sampled.kept)], y[sampled.kept])
    assert np.isnan(X_fit).any()


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_seed_means_the_same_rows(name: str, kind: str) -> None:
    def made_up(seed: int) -> Resampled:
        return resample(name, *KINDS[kind], seed=seed)

    assert np.array_equal(made_up(1).kept, made_up(1).kept)
    assert np.array_equal(made_up(1).made_up, made_up(1).made_up, equal_nan=True)
    same = np.array_equal(made_up(1).made_up, made_up(2).made_up, equal_nan=True)
    # random_under has frauds enough here to leave all rows as they are.
    assert same == (name not in OVER)


def test_passthrough_changes_nothing() -> None:
    X, y, discrete = KINDS["mixed"]
    X_fit, y_fit = resample("passthrough", X, y, discrete, seed=1).apply(X, y)
    assert X_fit is X
    assert y_fit is y


@pytest.mark.parametrize("name", ["smote", "borderline_smote"])
def test_frauds_are_made_up_until_both_classes_are_equal(
    name: str, rows: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    X, y, discrete = rows
    sampled = resample(name, X, y, discrete, seed=1)

    assert np.array_equal(sampled.kept, np.arange(len(y)))
    assert sampled.made_up_labels.tolist() == [1] * int(np.sum(y == 0) - np.sum(y == 1))
    assert sampled.apply(X, y)[1].mean() == 0.5


@pytest.mark.parametrize(("name", "kind"), [pair for pair in PAIRS if pair[0] in OVER and pair[1] != "numbers"])
def test_no_fractions_of_booleans_and_categories_are_made_up(name: str, kind: str) -> None:
    X, y, discrete = KINDS[kind]
    made_up = resample(name, X, y, discrete, seed=1).made_up

    assert len(made_up)
    for column in np.flatnonzero(discrete):
        values = X[y == 1, column]
        assert set(made_up[~np.isnan(made_up[:, column]), column]) <= set(values[~np.isnan(values)])
    assert not np.array_equal(made_up[:, ~discrete], np.round(made_up[:, ~discrete])) or kind == "discrete"


@pytest.mark.parametrize("name", OVER)
def test_what_is_made_up_lies_between_the_frauds_that_there_are(name: str) -> None:
    X, y, discrete = KINDS["mixed"]
    made_up = resample(name, X, y, discrete, seed=1).made_up

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
@pytest.mark.parametrize("name", ["smote", "borderline_smote"])
def test_few_frauds_are_enough(name: str, frauds: int) -> None:
    X, _, discrete = KINDS["mixed"]
    y = (np.arange(len(X)) < frauds).astype(np.int8)
    made = len(y) - 2 * frauds
    # Borderline-SMOTE starts from frauds most of whose neighbours are legitimate, but not all of them: with 2 of 10
    # such neighbours there are none.
    assert len(resample(name, X, y, discrete, seed=1).made_up) in ({made} if name == "smote" else {0, made})


@pytest.mark.parametrize("name", OVER)
def test_one_fraud_is_too_few_and_told_in_numbers(name: str) -> None:
    X, _, discrete = KINDS["mixed"]
    with pytest.raises(DataError, match=f"{name} needs at least 2 rows of each class in the fitting rows, and got 1"):
        resample(name, X, (np.arange(len(X)) < 1).astype(np.int8), discrete, seed=1)


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
        ValueError, match=r"'adasyn' is unknown: expected one of \['allknn', 'smote', .*'passthrough'\]"
    ):
        resample("adasyn", X, y, discrete, seed=1)


@pytest.mark.parametrize("name", ["allknn", *OVER])
@pytest.mark.filterwarnings("error")
def test_columns_without_any_value_stay_without(name: str) -> None:
    X, y, discrete = KINDS["mixed"]
    X = X.copy()
    X[:, [0, 3]] = np.nan
    X_fit, _ = resample(name, X, y, discrete, seed=1).apply(X, y)
    assert np.isnan(X_fit[:, [0, 3]]).all()


def rare(rows: int = 3000, *, apart: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One row in a hundred is a fraud, `apart` standard deviations from the others."""
    random = np.random.default_rng(seed)
    y = (np.arange(rows) % 100 == 0).astype(np.int8)
    return (random.normal(size=(rows, 2)) + apart * y[:, None]).astype(np.float32), y


@pytest.mark.parametrize("ratio", [0.03, 0.1, 1.0])
@pytest.mark.parametrize("name", ["smote", "borderline_smote", "random_under"])
def test_a_ratio_is_that_of_frauds_to_legitimate_rows(name: str, ratio: float) -> None:
    X, y = rare()
    labels = resample(name, X, y, NOTHING_DISCRETE, seed=1, ratio=ratio).apply(X, y)[1]
    legitimate, frauds = np.bincount(labels)
    assert frauds / legitimate == pytest.approx(ratio, rel=0.02)
    assert (frauds == 30) == (name == "random_under")


@pytest.mark.parametrize("name", OVER[:2])
def test_nothing_is_made_up_where_there_are_frauds_enough(name: str) -> None:
    X, y, discrete = KINDS["mixed"]
    for labels, ratio in ((y, 0.1), ((np.arange(len(X)) % 2).astype(np.int8), 1.0), (y, 0.25)):
        same, same_labels = resample(name, X, labels, discrete, seed=1, ratio=ratio).apply(X, labels)
        assert same is X
        assert same_labels is labels


def test_random_under_drops_nothing_where_there_are_frauds_enough() -> None:
    X, y, discrete = KINDS["mixed"]
    assert len(resample("random_under", X, y, discrete, seed=1, ratio=0.2).kept) == len(y)


@pytest.mark.parametrize("name", ["allknn", "passthrough"])
def test_a_resampler_without_a_ratio_refuses_one(name: str) -> None:
    with pytest.raises(ValueError, match=f"resampler '{name}' takes no sampling_ratio, but 0.1 was given"):
        resample(name, *rare(300), NOTHING_DISCRETE, seed=1, ratio=0.1)


@pytest.mark.parametrize("ratio", [-0.1, 0.0, 1.5, float("nan")])
def test_a_ratio_out_of_range_is_told(ratio: float) -> None:
    with pytest.raises(ValueError, match=f"sampling_ratio is {ratio}; expected"):
        resample("smote", *rare(300), NOTHING_DISCRETE, seed=1, ratio=ratio)


def test_borderline_smote_makes_frauds_up_near_the_legitimate_rows() -> None:
    X, y = rare(apart=2.5)
    plain, borderline = (resample(name, X, y, NOTHING_DISCRETE, seed=1).made_up for name in OVER[:2])
    assert np.linalg.norm(borderline, axis=1).mean() < np.linalg.norm(plain, axis=1).mean() - 0.3


def test_borderline_smote_makes_nothing_up_where_no_fraud_is_near_a_legitimate_row() -> None:
    X, y = rare(apart=100)
    same, same_labels = resample("borderline_smote", X, y, NOTHING_DISCRETE, seed=1).apply(X, y)
    assert np.array_equal(same, X)
    assert np.array_equal(same_labels, y)


def test_smote_enn_removes_rows_of_both_classes_whose_neighbours_disagree() -> None:
    X, y = rare(apart=1.5)
    plain, edited = (resample(name, X, y, NOTHING_DISCRETE, seed=1, ratio=0.5) for name in ("smote", "smote_enn"))
    assert 0 < len(edited.made_up) < len(plain.made_up)
    assert (y[edited.kept] == 0).sum() < (y == 0).sum()
    # Among those that are left, classes overlap less.
    before, after = (sampled.apply(X, y) for sampled in (plain, edited))
    distance = [rows[labels == 1].mean() - rows[labels == 0].mean() for rows, labels in (before, after)]
    assert distance[1] > distance[0] + 0.1
    assert {tuple(row) for row in edited.made_up} <= {tuple(row) for row in plain.made_up}


def test_smote_enn_that_would_leave_one_class_is_told() -> None:
    y = (np.arange(600) % 100 == 0).astype(np.int8)
    with pytest.raises(DataError, match=r"smote_enn leaves \d+ of \d+ rows, and of one class only"):
        resample("smote_enn", np.zeros((600, 2), dtype=np.float32), y, NOTHING_DISCRETE, seed=1, ratio=0.05)
