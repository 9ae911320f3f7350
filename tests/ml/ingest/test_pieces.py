"""Parquet objects are read piece by piece, and the result is as if they were read as a whole."""

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud_assets.ml.ingest import merge, parquet_objects, row_hashes
from fraud_assets.ml.schema import DatasetSpec
from tests.ml.ingest.loading import good, load, problem, problems, with_values

WITH_NOTE = DatasetSpec("is_fraud", entity="card", time="at", exclude=("note",))


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_objects, "_ROWS_AT_ONCE", 7)


def test_no_more_than_a_row_group_is_in_memory_besides_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, groups = 200_000, 20
    note = pa.py_buffer(np.random.default_rng(0).bytes(200 * rows))
    notes = pa.FixedSizeBinaryArray.from_buffers(pa.binary(200), rows, [None, note])
    table = pa.Table.from_pandas(good(rows)).append_column("note", notes)
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=rows // groups)
    held = list[int]()

    def joined(*hashes: np.ndarray) -> np.ndarray:
        # Arrow's own memory, and Python's, in which the bytes are that were read.
        held.append(pa.total_allocated_bytes() + tracemalloc.get_traced_memory()[0])
        return row_hashes.joined(*hashes)

    monkeypatch.setattr(merge, "joined", joined)
    tracemalloc.start()
    try:
        before = pa.total_allocated_bytes()
        dataset, _ = load(tmp_path, WITH_NOTE)
    finally:
        tracemalloc.stop()

    assert len(dataset) == rows
    assert len(held) > groups
    kept, a_group = dataset.table.nbytes + 8 * rows, table.nbytes / groups
    # The group as it is stored, and as it is decoded, and as it is converted.
    assert max(held) - before < 1.2 * kept + 3 * a_group < table.nbytes / 2


@pytest.mark.usefixtures("small_pieces")
def test_rows_come_in_their_order_whatever_the_pieces_are(tmp_path: Path) -> None:
    frame = good(100).assign(at=good(100)["at"].astype(str))
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=33)

    dataset, _ = load(tmp_path)

    assert dataset.X["amount"].tolist() == frame["amount"].tolist()
    assert dataset.time is not None
    assert dataset.time.tolist() == good(100)["at"].tolist()


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    "values",
    [
        [True, False] * 20,
        [0, 1] * 20,
        ["a", "b"] * 20,
        [pd.Timestamp("2024-01-01").date(), pd.Timestamp("2024-01-02").date()] * 20,
        [pd.Timedelta("1h"), pd.Timedelta("2h")] * 20,
        [b"a", b"b"] * 20,
        [[1], [2]] * 20,
    ],
    ids=["booleans", "integers", "texts", "dates", "durations", "bytes", "lists"],
)
def test_copies_are_found_across_pieces_also_where_only_one_of_these_lacks_a_value(
    tmp_path: Path, values: list[object]
) -> None:
    frame = good().assign(note=pd.Series([None, *values[1:]], dtype=object))
    pd.concat([frame, frame]).to_parquet(tmp_path / "a.parquet", index=False)

    assert load(tmp_path, WITH_NOTE)[1].duplicates == 40


@pytest.mark.parametrize("nothing", [0, False, "", "nan"])
def test_nothing_is_no_copy_of_a_value_that_is_not_kept(tmp_path: Path, nothing: object) -> None:
    other = pd.Series([nothing] * 40 + [None], dtype=object)
    pd.concat([good(), good(1)]).assign(note=other.to_numpy()).to_parquet(tmp_path / "a.parquet", index=False)

    assert load(tmp_path, WITH_NOTE)[1].duplicates == 0


@pytest.mark.usefixtures("small_pieces")
def test_rows_of_later_pieces_are_told_by_their_number_in_the_object(tmp_path: Path) -> None:
    at = good(30)["at"].astype(str)
    at[[12, 28]] = "soon"
    good(30).assign(at=at).to_parquet(tmp_path / "a.parquet", row_group_size=10)
    assert problem(tmp_path).startswith("s3://bank/raw/a.parquet, column 'at', rows 13, 29: 'soon', 'soon': not a time")

    with_values(good(30), "amount", {25: np.inf}).astype({"amount": float}).to_parquet(tmp_path / "a.parquet")
    assert problem(tmp_path).startswith("s3://bank/raw/a.parquet, column 'amount', row 25: infinite")


@pytest.mark.usefixtures("small_pieces")
def test_a_value_that_does_not_fit_is_told_once_an_object(tmp_path: Path) -> None:
    good().astype({"count": "int64"}).to_parquet(tmp_path / "a.parquet")
    good().astype({"count": "int64"}).to_parquet(tmp_path / "b.parquet")
    good().assign(count=np.uint64(2**63)).to_parquet(tmp_path / "c.parquet")

    (found,) = problems(tmp_path)
    assert found.startswith("s3://bank/raw/c.parquet, column 'count': uint64 doesn't fit into the other objects' int64")


def test_an_object_that_breaks_off_in_a_later_piece_is_told_with_what_is_wrong_elsewhere(tmp_path: Path) -> None:
    good(5000).to_parquet(tmp_path / "a.parquet", row_group_size=1000)
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    middle = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(3).column(0)
    start = middle.dictionary_page_offset or middle.data_page_offset
    content[start : start + 200] = b"x" * 200
    (tmp_path / "a.parquet").write_bytes(content)
    good().assign(amount=np.inf).to_parquet(tmp_path / "b.parquet")

    broken, infinite = problems(tmp_path)

    assert broken.startswith("s3://bank/raw/a.parquet: the object is not a complete Parquet file")
    assert infinite.startswith("s3://bank/raw/b.parquet, column 'amount', rows 1, 2, 3, 4, 5 and 35 more: infinite")
