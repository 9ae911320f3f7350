import numpy as np
import pytest

from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.resample import RESAMPLERS, Resampled, Resampler
from fraud_assets.ml.scaled_space import ScaledSpace
from fraud_assets.ml.schema import DataError
from tests.ml.tables import dataset_of, transactions

NOTHING_DISCRETE = np.zeros(2, dtype=bool)
MAKERS = ("smote", "borderline_smote", "smote_enn")


def resample(
    name: str, X: np.ndarray, y: np.ndarray, discrete: np.ndarray, *, seed: int, ratio: float | None = None
) -> Resampled:
    return Resampler(name, ratio)(X, y, discrete, seed=seed)


def encoded(*columns: str, rows: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels and which features are discrete, of `transactions` with these columns."""
    dataset = dataset_of(transactions(rows)[[*columns, "is_fraud"]])
    encoder = FeatureEncoder.fit(dataset.X, dataset.roles.categorical)
    return encoder.transform(dataset.X), dataset.y, encoder.discrete


def in_tenths() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mixed rows, each number as the tenth of its column that it lies in: all columns are codes."""
    X, y, discrete = encoded("amount", "night", "count", "channel", "share")
    for column in np.flatnonzero(~discrete):
        tenths = np.searchsorted(np.nanquantile(X[:, column], np.linspace(0.1, 0.9, 9)), X[:, column])
        X[:, column] = np.where(np.isnan(X[:, column]), np.nan, tenths)
    return X, y, np.ones_like(discrete)


KINDS = {
    "numbers": encoded("amount", "count", "share"),
    "mixed": encoded("amount", "night", "count", "channel", "share"),
    "discrete": in_tenths(),
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
    assert same == (name not in MAKERS)


def test_passthrough_changes_nothing() -> None:
    X, y, discrete = KINDS["mixed"]
    X_fit, y_fit = resample("passthrough", X, y, discrete, seed=1).apply(X, y)
    assert X_fit is X
    assert y_fit is y


@pytest.mark.parametrize("name", ["smote", "borderline_smote"])
def test_frauds_are_made_until_both_classes_are_equal(
    name: str, rows: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    X, y, discrete = rows
    sampled = resample(name, X, y, discrete, seed=1)

    assert np.array_equal(sampled.kept, np.arange(len(y)))
    assert sampled.made_up_labels.tolist() == [1] * int(np.sum(y == 0) - np.sum(y == 1))
    assert sampled.apply(X, y)[1].mean() == 0.5


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("kind", ["mixed", "discrete"])
def test_no_fractions_of_booleans_and_categories_are_made(kind: str, name: str) -> None:
    X, y, discrete = KINDS[kind]
    made_up = resample(name, X, y, discrete, seed=1).made_up

    assert len(made_up) > 0
    for column in np.flatnonzero(discrete):
        values = X[y == 1, column]
        assert set(made_up[~np.isnan(made_up[:, column]), column]) <= set(values[~np.isnan(values)])
    assert not np.array_equal(made_up[:, ~discrete], np.round(made_up[:, ~discrete])) or kind == "discrete"


@pytest.mark.parametrize("kind", ["mixed", "discrete"])
def test_borderline_smote_takes_all_categories_of_a_row_from_one_fraud(kind: str) -> None:
    X, y, discrete = KINDS[kind]
    made_up = resample("borderline_smote", X, y, discrete, seed=1).made_up

    # -1 for missing, as a NaN is not equal to itself.
    frauds, made = (np.nan_to_num(values[:, discrete], nan=-1) for values in (X[y == 1], made_up))
    assert set(map(tuple, made.tolist())) <= set(map(tuple, frauds.tolist()))


def test_borderline_smote_takes_the_categories_of_the_nearer_fraud() -> None:
    # The only pair of frauds: code 0 at 0, code 1 at 1, in the middle of legitimate rows of both codes.
    X = np.array([[0, 0], [1, 1]] + [[code, 0.05 * step] for step in range(1, 20) for code in (0, 1)], dtype=np.float32)
    y = np.array([1, 1] + [0] * 38, dtype=np.int8)
    # One neighbour of each fraud has to be a fraud, or they are noise: each of them twice.
    X, y = np.vstack([X, X[:2]]), np.append(y, [1, 1]).astype(np.int8)
    made_up = resample("borderline_smote", X, y, np.array([True, False]), seed=1).made_up

    assert len(made_up) == 34
    between = (made_up[:, 1] > 0) & (made_up[:, 1] < 1)
    assert between.any()
    assert np.array_equal(made_up[:, 0], made_up[:, 1] > 0.5)


@pytest.mark.parametrize("ratio", [None, 0.5])
def test_numbers_are_resampled_as_imbalanced_learn_does(ratio: float | None) -> None:
    from imblearn.combine import SMOTEENN
    from imblearn.over_sampling import BorderlineSMOTE

    X, y, discrete = KINDS["numbers"]
    present = ~np.isnan(X).any(axis=1)
    X, y = X[present], y[present]
    scale = X.std(axis=0, dtype=np.float64)
    for name, sampler in (("borderline_smote", BorderlineSMOTE), ("smote_enn", SMOTEENN)):
        expected, labels = sampler(sampling_strategy=ratio or "auto", random_state=1).fit_resample(X / scale, y)
        X_fit, y_fit = resample(name, X, y, discrete, seed=1, ratio=ratio).apply(X, y)
        assert np.bincount(y_fit).tolist() == np.bincount(labels).tolist()
        for label in (0, 1):
            np.testing.assert_allclose(X_fit[y_fit == label] / scale, expected[labels == label], rtol=1e-5, atol=1e-6)


def test_smote_enn_drops_rows_of_both_classes_and_rows_that_were_made_up(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    X, y, discrete = rows
    before, after = resample("smote", X, y, discrete, seed=1), resample("smote_enn", X, y, discrete, seed=1)

    assert (np.bincount(y[after.kept]) < np.bincount(y)).all()
    assert 0 < len(after.made_up) < len(before.made_up)
    assert after.made_up_labels.tolist() == [1] * len(after.made_up)
    survivors, made = (set(map(bytes, sampled.made_up)) for sampled in (after, before))
    assert survivors <= made


@pytest.mark.parametrize("name", MAKERS)
def test_made_up_rows_stay_between_the_frauds_there_are(name: str) -> None:
    X, y, discrete = KINDS["mixed"]
    made_up = resample(name, X, y, discrete, seed=1).made_up

    for column in range(X.shape[1]):
        frauds = np.append(X[y == 1, column], np.nanmedian(X[:, column]))
        assert np.nanmin(made_up[:, column]) >= np.nanmin(frauds) * (1 - 1e-6)
        assert np.nanmax(made_up[:, column]) <= np.nanmax(frauds) * (1 + 1e-6)


@pytest.mark.parametrize("name", ["smote", "borderline_smote"])
def test_made_up_frauds_lack_values_as_often_as_frauds_do(name: str) -> None:
    random = np.random.default_rng(0)
    y = (np.arange(2000) % 4 == 0).astype(np.int8)
    X = random.normal(size=(2000, 3)).astype(np.float32)
    X[:, 2] = random.integers(0, 2, 2000)
    X[random.random(2000) < np.where(y, 0.3, 0.6), 0] = np.nan
    for discrete in (np.zeros(3, dtype=bool), np.array([False, False, True])):
        made_up = resample(name, X, y, discrete, seed=1).made_up
        assert np.isnan(made_up).mean(axis=0) == pytest.approx([0.3, 0, 0], abs=0.1)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("value", [0.0, 0.1, 3.0, 1e6])
def test_a_value_that_all_frauds_share_comes_out_as_it_was(value: float, name: str) -> None:
    # The columns' means and deviations are far from the value, so that each rounding would show.
    random = np.random.default_rng(2)
    X = random.lognormal(12, 3, size=(500, 20)).astype(np.float32)
    y = (np.arange(500) % 5 == 0).astype(np.int8)
    X[y == 1, 1:] = value
    # A fraud is in danger when half of its neighbours are legitimate: six of those for each of the first ten.
    X[np.flatnonzero(y == 0)[:60]] = np.repeat(X[np.flatnonzero(y == 1)[:10]], 6, axis=0)

    made_up = resample(name, X, y, np.zeros(20, dtype=bool), seed=1).made_up

    assert np.unique(made_up[:, 1:]).tolist() == [np.float32(value)]


def test_allknn_measures_distance_in_each_columns_own_unit() -> None:
    random = np.random.default_rng(0)
    # Column 0 tells frauds from the others, but for the last row; column 1 is noise by the million.
    y = (np.arange(301) % 3 == 0).astype(np.int8)
    X = np.column_stack([y + 0.01 * random.normal(size=301), 1e6 * random.normal(size=301)]).astype(np.float32)
    X[300], y[300] = (1, 0), 0

    # Were the column of millions to decide, neighbours would be random rows, and most legitimate rows would go.
    assert np.array_equal(resample("allknn", X, y, NOTHING_DISCRETE, seed=1).kept, np.arange(300))


@pytest.mark.parametrize("name", MAKERS)
def test_rows_are_made_between_neighbours_in_each_columns_own_unit(name: str) -> None:
    random = np.random.default_rng(0)
    side = np.arange(400) % 2
    X = np.column_stack([10 * side, 1e6 * random.normal(size=400)]).astype(np.float32)
    y = (np.arange(400) % 8 < 2).astype(np.int8)

    made_up = resample(name, X, y, NOTHING_DISCRETE, seed=1).made_up

    # Were the column of millions to decide, half of the neighbours would be those of the other side.
    assert np.isin(made_up[:, 0], [0, 10]).mean() > 0.95


def test_allknn_never_removes_a_fraud(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    X, y, discrete = rows
    for label in (y, 1 - y):
        kept = resample("allknn", X, label, discrete, seed=1).kept
        assert np.isin(np.flatnonzero(label == 1), kept).all()
        assert len(kept) < len(y)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("frauds", [2, 3, 6])
def test_few_frauds_are_enough(frauds: int, name: str) -> None:
    # Frauds on a short line with legitimate rows around them.
    random = np.random.default_rng(0)
    X = random.normal(size=(400, 2)).astype(np.float32)
    y = (np.arange(400) < frauds).astype(np.int8)
    X[:frauds] = np.column_stack([np.arange(frauds) * 0.01, np.zeros(frauds)])

    made_up = resample(name, X, y, NOTHING_DISCRETE, seed=1).made_up

    made = 400 - 2 * frauds
    assert len(made_up) == made if name != "smote_enn" else 0 < len(made_up) <= made
    assert made_up[:, 0].min() >= 0
    assert made_up[:, 0].max() <= X[frauds - 1, 0]


@pytest.mark.parametrize("name", MAKERS)
def test_few_rows_of_either_class_are_enough(name: str) -> None:
    X = np.array([[0], [1], [2], [50], [51], [52], [53]], dtype=np.float32)
    y = np.array([1, 1, 1, 0, 0, 0, 0], dtype=np.int8)
    # All six others are neighbours, and most of them legitimate: to borderline_smote all frauds are in danger.
    _, y_fit = resample(name, X, y, NOTHING_DISCRETE[:1], seed=1).apply(X, y)
    assert np.bincount(y_fit).tolist() == [4, 4]


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("frauds", [0, 1])
def test_a_fraud_without_another_is_told_in_numbers(frauds: int, name: str) -> None:
    X, _, discrete = KINDS["mixed"]
    message = f"{name} needs at least 2 rows of each class in the fitting rows, and got {frauds}"
    for ratio in (None, 0.5):
        with pytest.raises(DataError, match=message):
            resample(name, X, (np.arange(len(X)) < frauds).astype(np.int8), discrete, seed=1, ratio=ratio)


@pytest.mark.parametrize(("frauds", "legitimate"), [(0, 100), (1, 100), (1, 1), (100, 1), (100, 0)])
def test_smote_enn_tells_rows_without_a_neighbour_of_their_class_in_numbers(frauds: int, legitimate: int) -> None:
    # There is nothing to make up, but rows to judge by their neighbours.
    y = np.array([1] * frauds + [0] * legitimate, dtype=np.int8)
    X = np.random.default_rng(0).random((len(y), 2)).astype(np.float32)
    with pytest.raises(DataError, match=f"at least 2 rows of each class .* got {min(frauds, legitimate)}"):
        resample("smote_enn", X, y, NOTHING_DISCRETE, seed=1, ratio=0.001)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("away", [0.0, 100.0])
def test_borderline_smote_makes_nothing_up_where_no_fraud_is_in_danger(away: float) -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 2)).astype(np.float32)
    # Frauds all on their own are safe; a fraud among legitimate rows alone is noise.
    y = (np.arange(300) < (30 if away else 2)).astype(np.int8)
    X[y == 1] += away
    if not away:
        X[:2] = [[-1, 0], [1, 0]]
    same, same_labels = resample("borderline_smote", X, y, NOTHING_DISCRETE, seed=1).apply(X, y)

    assert same is X
    assert same_labels is y


def test_smote_enn_tells_in_numbers_when_it_leaves_no_fraud() -> None:
    X = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    y = (np.arange(300) < 2).astype(np.int8)
    X[:2] = [[-1, 0], [1, 0]]
    with pytest.raises(
        DataError, match=r"left \d+ of 298 legitimate rows and 0 of 2 frauds \(0 rows made up\): a fit needs both"
    ):
        resample("smote_enn", X, y, NOTHING_DISCRETE, seed=1, ratio=0.001)


@pytest.mark.parametrize("ratio", [0.3, 0.777, 1.0])
@pytest.mark.parametrize("name", ["smote", "borderline_smote", "random_under"])
def test_the_ratio_is_that_of_frauds_to_legitimate_rows(
    name: str, ratio: float, rows: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    X, y, discrete = rows
    _, y_fit = resample(name, X, y, discrete, seed=1, ratio=ratio).apply(X, y)

    legitimate, frauds = np.bincount(y).tolist()
    expected = [round(frauds / ratio), frauds] if name == "random_under" else [legitimate, round(ratio * legitimate)]
    assert np.bincount(y_fit).tolist() == expected


@pytest.mark.parametrize(("name", "ratio"), [(name, 1.0) for name in MAKERS] + [("random_under", 1 / 30)])
def test_no_ratio_is_the_samplers_own(name: str, ratio: float) -> None:
    random = np.random.default_rng(0)
    y = (np.arange(2000) % 50 == 0).astype(np.int8)
    X = (random.normal(size=(2000, 2)) + 2 * y[:, None]).astype(np.float32)
    default, same = (resample(name, X, y, NOTHING_DISCRETE, seed=1, ratio=r) for r in (None, ratio))

    assert len(default.kept) != len(y) or len(default.made_up) > 0
    assert np.array_equal(default.kept, same.kept)
    assert np.array_equal(default.made_up, same.made_up)


@pytest.mark.parametrize(
    ("name", "ratio"),
    [(name, ratio) for name in ("smote", "borderline_smote") for ratio in (0.001, 0.1, 0.25)]
    + [("random_under", ratio) for ratio in (0.25, 0.2, 0.001)],
)
def test_rows_beyond_the_ratio_stay_as_they_are(
    name: str, ratio: float, rows: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    X, y, discrete = rows
    assert np.bincount(y).tolist() == [320, 80]
    same, same_labels = resample(name, X, y, discrete, seed=1, ratio=ratio).apply(X, y)

    assert same is X
    assert same_labels is y


@pytest.mark.parametrize("name", ["smote", "borderline_smote"])
@pytest.mark.parametrize("ratio", [None, 1.0])
def test_balanced_rows_stay_as_they_are(name: str, ratio: float | None) -> None:
    X, _, discrete = KINDS["mixed"]
    y = (np.arange(len(X)) % 2).astype(np.int8)
    assert resample(name, X, y, discrete, seed=1, ratio=ratio).apply(X, y)[0] is X


@pytest.mark.parametrize("ratio", [0.1, 0.25])
def test_smote_enn_only_drops_rows_where_frauds_are_enough(ratio: float) -> None:
    X, y, discrete = KINDS["mixed"]
    sampled = resample("smote_enn", X, y, discrete, seed=1, ratio=ratio)

    assert len(sampled.made_up) == 0
    assert (np.bincount(y[sampled.kept]) > 0).all()
    assert (np.bincount(y[sampled.kept]) < np.bincount(y)).all()


@pytest.mark.parametrize("name", MAKERS)
def test_a_ratio_makes_up_no_legitimate_rows(name: str) -> None:
    X, y, discrete = KINDS["mixed"]
    assert len(resample(name, X, 1 - y, discrete, seed=1, ratio=1.0).made_up) == 0
    assert set(resample(name, X, 1 - y, discrete, seed=1).made_up_labels.tolist()) == {0}


@pytest.mark.parametrize("name", [*MAKERS, "random_under"])
@pytest.mark.parametrize("ratio", [0.0, -0.5, 1.01, 30.0, float("nan")])
def test_a_ratio_out_of_range_is_told(name: str, ratio: float) -> None:
    X, y, discrete = KINDS["numbers"]
    with pytest.raises(ValueError, match=f"ratio must be over 0 and at most 1, and is {ratio}"):
        resample(name, X, y, discrete, seed=1, ratio=ratio)


@pytest.mark.parametrize("name", ["allknn", "passthrough"])
def test_a_resampler_without_a_ratio_takes_none(name: str) -> None:
    X, y, discrete = KINDS["numbers"]
    with pytest.raises(ValueError, match=f"'{name}' takes no ratio, and got 0.5: those that do are .*smote"):
        resample(name, X, y, discrete, seed=1, ratio=0.5)


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
    every = r"\['allknn', 'smote', 'borderline_smote', 'smote_enn', 'random_under', 'passthrough'\]"
    with pytest.raises(ValueError, match=f"'adasyn' is unknown: expected one of {every}"):
        resample("adasyn", X, y, discrete, seed=1)


@pytest.mark.parametrize("name", ["allknn", *MAKERS])
@pytest.mark.filterwarnings("error")
def test_columns_without_any_value_stay_without(name: str) -> None:
    X, y, discrete = KINDS["mixed"]
    X = X.copy()
    X[:, [0, 3]] = np.nan
    X_fit, _ = resample(name, X, y, discrete, seed=1).apply(X, y)
    assert np.isnan(X_fit[:, [0, 3]]).all()


@pytest.mark.parametrize("discrete", [[False, False, False], [True, False, False]], ids=["smote", "smotenc"])
def test_smote_makes_up_what_it_would_if_it_were_given_all_rows(discrete: list[bool]) -> None:
    from imblearn.over_sampling import SMOTE, SMOTENC

    random = np.random.default_rng(0)
    X = np.column_stack([random.integers(0, 6, 400), random.normal(size=(400, 2))]).astype(np.float32)
    y = (random.random(400) < 0.1).astype(np.int8)
    space = ScaledSpace(X, np.array(discrete))
    sampler = SMOTENC(categorical_features=[0], random_state=3) if any(discrete) else SMOTE(random_state=3)
    rows, labels = sampler.fit_resample(space.rows, y)

    resampled = Resampler("smote")(X, y, np.array(discrete), seed=3)

    assert np.array_equal(resampled.made_up, space.original(rows[400:]))
    assert np.array_equal(resampled.made_up_labels, labels[400:])
