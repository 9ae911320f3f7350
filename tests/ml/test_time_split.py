import itertools
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fraud_assets.ml.schema import ColumnRoles, DataError, Dataset
from fraud_assets.ml.split import HOLDOUT, LEFT_OUT, UNUSED, Split, SplitSettings, make_split
from fraud_assets.ml.time_split import PrequentialSplit, known_compromised
from tests.bench_data import HANDBOOK, bench_file, handbook_protocol
from tests.ml.tables import LABEL

DAY = pd.Timedelta(days=1)
START = pd.Timestamp("2026-01-01")


def dataset_over(days: float, rows: int = 6000, *, cards: int = 400, seed: int = 0) -> Dataset:
    """Transactions spread over `days`, in no order; 5 % of them frauds, often of the same cards."""
    random = np.random.default_rng(seed)
    card = random.integers(0, cards, rows)
    fraud = random.random(rows) < np.where(card < cards // 10, 0.3, 0.02)
    time = START + pd.to_timedelta(random.random(rows) * days, unit="D")
    frame = pd.DataFrame({LABEL: fraud.astype(int), "card": card, "time": time, "amount": random.random(rows)})
    roles = ColumnRoles(LABEL, 1, "card", "time", ("amount",))
    return Dataset(pa.Table.from_pandas(frame[roles.columns], preserve_index=False), roles, "v1")


def time_of(dataset: Dataset) -> pd.Series:
    assert dataset.time is not None
    return dataset.time


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return dataset_over(90)


@pytest.fixture(
    scope="module", params=[{}, {"train_days": 20, "folds": 4}, {"leave_out_known": False, "delay_days": 0}]
)
def split(request: pytest.FixtureRequest, dataset: Dataset) -> Split:
    return make_split(dataset, SplitSettings(strategy="time", **request.param))


def test_every_fold_fits_on_rows_whose_labels_have_arrived_when_it_is_scored(dataset: Dataset, split: Split) -> None:
    time, delay = time_of(dataset), split.settings.delay_days * DAY
    for fit, scored in [*split.folds(), (split.judged_fit, split.holdout)]:
        # The window ends at midnight: whole days count.
        assert time[fit].max().ceil("D") + delay <= time[scored].min().floor("D")


def test_all_that_tuning_sees_is_labelled_when_the_holdout_begins(dataset: Dataset, split: Split) -> None:
    time = time_of(dataset)
    assert time[split.tuning].max() + split.settings.delay_days * DAY < time[split.holdout].min()
    assert not set(split.tuning) & set(split.holdout)


def test_the_holdout_is_the_latest_part(dataset: Dataset, split: Split) -> None:
    after = split.roles[time_of(dataset) >= time_of(dataset)[split.holdout].min()]
    assert set(after) <= {HOLDOUT, LEFT_OUT}
    assert len(after) / len(dataset) == pytest.approx(0.2, abs=0.02)


def test_blocks_are_of_the_configured_length_and_follow_each_other(dataset: Dataset, split: Split) -> None:
    starts = [time_of(dataset)[scored].min().floor("D") for _, scored in split.folds()]
    assert len(starts) == split.settings.folds
    assert {after - before for before, after in itertools.pairwise(starts)} == {7 * DAY}
    if split.settings.train_days is not None:
        spans = [time_of(dataset)[fit].max() - time_of(dataset)[fit].min() for fit, _ in split.folds()]
        assert all(19 * DAY < span <= 20 * DAY for span in spans)


def test_a_card_is_left_out_from_the_day_after_its_label_arrived(dataset: Dataset) -> None:
    split = make_split(dataset, SplitSettings(strategy="time"))
    time, card, fraud = time_of(dataset), dataset.table.column("card").to_pandas(), dataset.y == 1
    begin = time[split.holdout].min().floor("D")
    late = np.flatnonzero(time >= begin)
    for row in late[:300]:
        known = fraud & (card == card[row]) & (time < time[row].floor("D") - 7 * DAY)
        assert (split.roles[row] == LEFT_OUT) == known.any()
    assert (split.roles[late] == LEFT_OUT).any()


def test_nothing_is_left_out_where_that_is_not_wanted(dataset: Dataset) -> None:
    assert LEFT_OUT not in make_split(dataset, SplitSettings(strategy="time", leave_out_known=False)).roles


def test_the_rows_between_tuning_and_holdout_wait_for_their_labels(dataset: Dataset) -> None:
    split = make_split(dataset, SplitSettings(strategy="time"))
    waiting = time_of(dataset)[split.roles == UNUSED]
    assert waiting.max().ceil("D") - waiting.min().floor("D") == 7 * DAY


def test_auto_splits_by_time_where_there_is_enough_of_it_and_says_why_not_elsewhere(dataset: Dataset) -> None:
    assert make_split(dataset, SplitSettings()).strategy == "time"
    short = make_split(dataset_over(2), SplitSettings())
    assert short.strategy == "group"
    assert "spans 2.0 days" in short.reason


@pytest.mark.parametrize(
    ("days", "settings", "told"),
    [
        (2, {}, "spans 2.0 days .* 3 blocks of 7 days"),
        (90, {"folds": 20}, "20 blocks of 7 days"),
        (90, {"train_days": 80}, "too little"),
    ],
)
def test_windows_outside_the_data_are_told_in_numbers(days: float, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        make_split(dataset_over(days), SplitSettings(strategy="time", **settings))


def test_a_block_without_a_fraud_is_told_by_its_window() -> None:
    dataset = dataset_over(90)
    time = time_of(dataset)
    quiet = (time >= START + 51 * DAY) & (time < START + 58 * DAY)
    labels = pa.array(np.where(quiet, 0, dataset.y))
    calm = Dataset(dataset.table.set_column(0, LABEL, labels), dataset.roles, "v1")
    with pytest.raises(DataError, match=r"scoring window of 'fold_1' has 0 frauds among \d+ rows.*2026-02-21"):
        make_split(calm, SplitSettings(strategy="time"))


def test_the_splitter_works_with_scikit_learn(dataset: Dataset) -> None:
    from sklearn.dummy import DummyClassifier
    from sklearn.model_selection import cross_val_score

    splitter = PrequentialSplit(time_of(dataset), 3, test=7 * DAY, delay=7 * DAY)
    scores = cross_val_score(DummyClassifier(), np.zeros((len(dataset), 1)), dataset.y, cv=splitter)
    assert len(scores) == splitter.get_n_splits() == 3


def test_the_blocks_are_those_of_the_handbook() -> None:
    path = bench_file(HANDBOOK)
    protocol = handbook_protocol()
    frame = pd.read_parquet(path)
    roles = ColumnRoles(protocol.LABEL, 1, protocol.ENTITY, protocol.TIME, (protocol.FEATURES[0],))
    dataset = Dataset(pa.Table.from_pandas(frame[roles.columns], preserve_index=False), roles, "v1")
    end = max(protocol.VALIDATION) + 21 * DAY
    splitter = PrequentialSplit(time_of(dataset), 4, test=7 * DAY, delay=7 * DAY, train=7 * DAY, end=end)

    blocks = zip(sorted(protocol.VALIDATION), splitter.windows, splitter.split(), strict=True)
    for start, window, (fit, scored) in blocks:
        theirs_fit, theirs_scored = protocol.block(frame, start)
        ours = scored[~known_compromised(dataset, window, 7 * DAY)[scored]]
        assert np.array_equal(np.sort(theirs_fit.index), fit)
        assert np.array_equal(np.sort(theirs_scored.index), ours)
