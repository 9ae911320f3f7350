import time

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from fraud_assets.ml.schema import DataError, Dataset
from fraud_assets.ml.split import HOLDOUT, TRAIN, SplitSettings
from tests.ml.tables import LABEL, dataset_of, of_cards, split_by_group, transactions

SETTINGS = [
    SplitSettings(),
    SplitSettings(folds=1),
    SplitSettings(folds=1, holdout_fraction=0.35, validation_fraction=0.12),
    SplitSettings(folds=5, holdout_fraction=0.05, seed=7),
    SplitSettings(folds=2, holdout_fraction=0.5),
]


def of_copies(rows: int = 1000) -> Dataset:
    """Every third row stands in the data three times."""
    frame = transactions(rows)
    return dataset_of(pd.concat([frame, frame[::3], frame[::3]], ignore_index=True))


DATASETS = {"plain": dataset_of(transactions(2000)), "cards": of_cards(), "copies": of_copies()}


@pytest.fixture(params=DATASETS)
def dataset(request: pytest.FixtureRequest) -> Dataset:
    return DATASETS[request.param]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_each_part_has_its_share_of_the_rows_and_the_fraud_rate(dataset: Dataset, settings: SplitSettings) -> None:
    roles = split_by_group(dataset, settings).roles

    rest = 1 - settings.holdout_fraction
    expected = {HOLDOUT: settings.holdout_fraction}
    if settings.folds == 1:
        expected |= {"fold_0": rest * settings.validation_fraction, TRAIN: rest * (1 - settings.validation_fraction)}
    else:
        expected |= {f"fold_{i}": rest / settings.folds for i in range(settings.folds)}
    assert set(roles) == set(expected)
    for role, share in expected.items():
        assert (roles == role).mean() == pytest.approx(share, abs=0.01)
        assert dataset.y[roles == role].sum() == pytest.approx(share * dataset.y.sum(), rel=0.1, abs=2)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_rows_that_belong_together_never_straddle(dataset: Dataset, settings: SplitSettings) -> None:
    rows = dataset.table.to_pandas()
    together = rows.groupby("card" if dataset.roles.entity else list(rows), dropna=False).ngroup()
    assert together.duplicated().any() or dataset is DATASETS["plain"]

    roles = pd.Series(split_by_group(dataset, settings).roles)

    assert (roles.groupby(together).nunique() == 1).all()


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_folds_partition_the_rows_outside_the_holdout(dataset: Dataset, settings: SplitSettings) -> None:
    split = split_by_group(dataset, settings)

    folds = split.folds()
    validated = np.concatenate([validate for _, validate in folds])

    assert len(folds) == settings.folds
    assert len(np.unique(validated)) == len(validated)
    for fit, validate in folds:
        assert np.array_equal(np.sort(np.concatenate([fit, validate])), split.tuning)
    if settings.folds > 1:
        assert np.array_equal(np.sort(validated), split.tuning)
    assert np.array_equal(np.sort(np.concatenate([split.holdout, split.tuning])), np.arange(len(dataset)))


def test_folds_are_as_even_as_those_of_scikit_learn() -> None:
    dataset, settings = DATASETS["cards"], SplitSettings(folds=5)
    split = split_by_group(dataset, settings)
    y, groups = dataset.y[split.tuning], np.asarray(dataset.entity)[split.tuning]

    def unevenness(parts: list[np.ndarray]) -> float:
        return max(float(np.std([np.sum(label[rows]) / label.sum() for rows in parts])) for label in (y, 1 - y))

    theirs = StratifiedGroupKFold(5, shuffle=True, random_state=settings.seed).split(y, y, groups)
    ours = [np.searchsorted(split.tuning, validate) for _, validate in split.folds()]
    assert unevenness(ours) <= max(0.005, unevenness([rows for _, rows in theirs]))


def test_rows_without_an_entity_belong_to_nobody() -> None:
    frame = transactions(600).assign(card=None)
    frame.loc[:99, "card"] = [f"c{i % 10}" for i in range(100)]
    doubled = pd.concat([frame, frame], ignore_index=True)

    roles = split_by_group(dataset_of(doubled, entity="card"), SplitSettings()).roles

    assert np.array_equal(roles[:600], roles[600:])
    unowned = roles[100:600]
    assert (unowned == HOLDOUT).mean() == pytest.approx(0.2, abs=0.05)
    assert pd.Series(roles[:100]).groupby(frame["card"][:100]).nunique().eq(1).all()


def test_only_the_seed_decides_among_equal_rows() -> None:
    dataset = DATASETS["plain"]
    first, again, other = (split_by_group(dataset, SplitSettings(seed=seed)) for seed in (1, 1, 2))

    assert np.array_equal(first.roles, again.roles)
    # Two independent draws of a fifth of the rows share a fifth of that fifth.
    assert np.isin(other.holdout, first.holdout).mean() == pytest.approx(0.2, abs=0.1)


def test_another_number_of_folds_leaves_the_holdout_as_it_was() -> None:
    holdouts = [split_by_group(DATASETS["cards"], SplitSettings(folds=folds)).holdout for folds in (1, 3, 10)]
    assert all(np.array_equal(holdout, holdouts[0]) for holdout in holdouts)


def few_frauds(frauds: int) -> Dataset:
    return dataset_of(transactions(100).assign(**{LABEL: np.arange(100) < frauds}).astype({LABEL: int}))


def frauds_of_one_card() -> Dataset:
    frame = transactions(100).assign(card=np.arange(100) // 2)
    return dataset_of(frame.assign(**{LABEL: (frame["card"] == 7).astype(int)}), entity="card")


def six_cards() -> Dataset:
    return dataset_of(transactions(300).assign(card=np.arange(300) % 6), entity="card")


@pytest.mark.parametrize(
    ("dataset", "settings", "told"),
    [
        (few_frauds(2), SplitSettings(), ["'holdout' of the split has 0 frauds", "2 frauds among 100 rows"]),
        (few_frauds(8), SplitSettings(folds=7), ["'fold_6' of the split has 0 frauds", "8 frauds among 100 rows"]),
        (few_frauds(98), SplitSettings(), ["'holdout' of the split has 20 frauds among 20 rows"]),
        (frauds_of_one_card(), SplitSettings(), ["2 frauds among 100 rows, in 50 groups of rows that belong together"]),
        (six_cards(), SplitSettings(folds=10), ["has 0 frauds among 0 rows", "60 frauds among 300 rows, in 6 groups"]),
    ],
)
def test_a_split_that_cannot_be_made_is_told_in_numbers(
    dataset: Dataset, settings: SplitSettings, told: list[str]
) -> None:
    with pytest.raises(DataError, match="needs both classes") as error:
        split_by_group(dataset, settings)
    assert all(part in str(error.value) for part in told), str(error.value)


@pytest.mark.parametrize("folds", [1, 2, 5, 8])
def test_as_many_frauds_as_parts_are_enough(folds: int) -> None:
    parts = 1 + max(folds, 2)
    settings = SplitSettings(folds=folds, holdout_fraction=1 / parts, validation_fraction=0.5)

    roles = split_by_group(few_frauds(parts), settings).roles

    assert sorted(np.unique(roles[:parts])) == sorted(np.unique(roles))


@pytest.mark.parametrize(
    "field", [{"holdout_fraction": 0.0}, {"holdout_fraction": 1.0}, {"validation_fraction": -0.1}, {"folds": 0}]
)
def test_settings_out_of_range_are_refused(field: dict[str, float]) -> None:
    (name,) = field
    with pytest.raises(ValueError, match=f"{name} is {field[name]}; expected"):
        SplitSettings(**field)  # type: ignore[arg-type]


def test_many_small_entities_take_no_minutes() -> None:
    random = np.random.default_rng(0)
    rows, cards = 200_000, 100_000
    frame = {"card": random.integers(0, cards, rows), LABEL: (random.random(rows) < 0.01).astype(int)}
    dataset = dataset_of(pd.DataFrame(frame | {"amount": random.random(rows)}), entity="card")

    started = time.perf_counter()
    split = split_by_group(dataset, SplitSettings())

    # Measured: 0.3 s here, 72 s with StratifiedGroupKFold.
    assert time.perf_counter() - started < 15
    assert len(split.holdout) == pytest.approx(40_000, abs=20)
