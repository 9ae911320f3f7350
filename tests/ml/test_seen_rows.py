"""Rows that a model has seen are known again in later data, whatever their order and their label."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fraud_assets.ml.schema import DataError
from fraud_assets.ml.seen_rows import SeenRows
from tests.ml.tables import LABEL, dataset_of, transactions

FRAME = transactions(100)
TIMED = FRAME.assign(at=pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(100), unit="h"))


def unseen(seen: SeenRows, frame: pd.DataFrame, time: str | None = None) -> list[int]:
    dataset = dataset_of(frame, time=time)
    return list(seen.unseen(dataset, np.arange(len(dataset))))


def test_rows_are_known_again_in_another_order_and_among_others() -> None:
    seen = SeenRows.of(dataset_of(FRAME), np.arange(40), by_time=False)
    later = pd.concat([transactions(20, seed=1), FRAME[::-1]], ignore_index=True)
    assert unseen(seen, later) == list(range(80))


def test_a_row_whose_label_was_corrected_has_been_seen() -> None:
    seen = SeenRows.of(dataset_of(FRAME), np.arange(100), by_time=False)
    assert unseen(seen, FRAME.assign(**{LABEL: 1 - FRAME[LABEL]})) == []


def test_a_row_with_another_value_has_not() -> None:
    seen = SeenRows.of(dataset_of(FRAME), np.arange(100), by_time=False)
    assert unseen(seen, FRAME.assign(share=FRAME["share"].where(FRAME.index != 7, 2.0))) == [7]


def test_by_time_only_later_rows_are_unseen() -> None:
    seen = SeenRows.of(dataset_of(TIMED, time="at"), np.arange(60), by_time=True)
    others = TIMED.assign(share=2.0)
    assert unseen(seen, others, "at") == list(range(60, 100))


def test_other_columns_are_refused_because_nothing_would_be_known_again() -> None:
    seen = SeenRows.of(dataset_of(FRAME), np.arange(100), by_time=False)
    with pytest.raises(DataError, match=r"columns or their types have changed: share \(double\)"):
        unseen(seen, FRAME.drop(columns="share"))


def test_by_time_other_columns_make_no_difference() -> None:
    seen = SeenRows.of(dataset_of(TIMED, time="at"), np.arange(60), by_time=True)
    assert unseen(seen, TIMED.drop(columns="share"), "at") == list(range(60, 100))


@pytest.mark.parametrize("by_time", [False, True])
def test_they_come_back_from_parquet_as_they_were(by_time: bool, tmp_path: str) -> None:
    seen = SeenRows.of(dataset_of(TIMED, time="at"), np.arange(60), by_time=by_time)
    pq.write_table(seen.to_arrow(), f"{tmp_path}/seen.parquet")
    back = SeenRows.from_arrow(pq.read_table(f"{tmp_path}/seen.parquet"))
    assert np.array_equal(back.digests, seen.digests)
    assert (back.columns, back.until) == (seen.columns, seen.until)
