"""Objects that can't be read, or not together."""

import gzip
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud_assets.ml.ingest.csv_objects import read_csv
from fraud_assets.ml.schema import DatasetSpec
from tests.ml.ingest.loading import SPEC, good, load, problem, problems, with_values


def test_an_object_without_bytes_is_told(tmp_path: Path) -> None:
    good().to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "b.csv").touch()
    (tmp_path / "c.parquet").touch()
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(b""))

    for found, name in zip(problems(tmp_path), "bcd", strict=True):
        assert found.startswith(f"s3://bank/raw/{name}.")
        assert "empty" in found.lower()


def test_an_object_with_a_header_only_is_told(tmp_path: Path) -> None:
    good().to_csv(tmp_path / "a.csv", index=False)
    good(0).to_csv(tmp_path / "b.csv", index=False)
    good(0).to_parquet(tmp_path / "c.parquet")

    assert problems(tmp_path) == [
        "s3://bank/raw/b.csv: the object has a header but no rows",
        "s3://bank/raw/c.parquet: the object has a header but no rows",
    ]


@pytest.mark.parametrize("kept", [3, 200, -10])
def test_a_truncated_parquet_is_told(tmp_path: Path, kept: int) -> None:
    good().to_parquet(tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[:kept])

    assert "not a complete Parquet file: truncated or corrupt" in problem(tmp_path / "a.parquet")


def test_corrupt_pages_inside_a_parquet_are_told(tmp_path: Path) -> None:
    good(5000).to_parquet(tmp_path / "a.parquet")
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[100:3000] = b"x" * 2900
    (tmp_path / "a.parquet").write_bytes(content)

    assert "not a complete Parquet file: truncated or corrupt" in problem(tmp_path / "a.parquet")


def test_a_truncated_gzip_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(good().to_csv(index=False).encode())[:-20])
    assert "the gzip stream is truncated or corrupt" in problem(tmp_path / "a.csv.gz")


def test_text_that_is_not_utf8_is_told_with_its_column_and_row(tmp_path: Path) -> None:
    frame = with_values(good(50_000), "channel", {40_007: 'café, "bar"', 40_009: "été"})
    frame.to_csv(tmp_path / "a.csv", index=False, encoding="latin-1")

    found = problem(tmp_path)
    assert found.startswith("s3://bank/raw/a.csv, column 'channel', row 40007: byte 0xe9 is not UTF-8")
    assert "Latin-1" in found


def test_a_character_at_the_edge_of_what_is_decoded_at_once_is_no_error(tmp_path: Path) -> None:
    for shift in range(3):
        frame = good(100).assign(note="x" * shift + "é" * 10_000)
        frame.to_csv(tmp_path / "a.csv", index=False)
        assert len(load(tmp_path, DatasetSpec("is_fraud", entity="card", time="at", exclude=("note",)))[0]) == 100


def test_a_character_that_breaks_off_at_that_edge_is_told() -> None:
    header, edge = b"a,b\n", 1 << 20
    content = header + b"1,2\n" * ((edge - len(header)) // 4)
    found = read_csv("a.csv", pa.py_buffer(content[:-2] + b"x\xc3" + b",2\n"), SPEC.text_among)

    assert isinstance(found, list)
    assert str(found[0]).startswith(f"a.csv, column 'b', row {edge // 4 - 1}: byte 0xc3 is not UTF-8")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_header_that_is_not_utf8_is_told(tmp_path: Path, encoding: str) -> None:
    good().rename(columns={"channel": "canal_é"}).to_csv(tmp_path / "a.csv", index=False, encoding=encoding)
    assert problem(tmp_path).startswith("s3://bank/raw/a.csv: byte 0x")


def test_rows_with_too_many_or_too_few_values_are_told(tmp_path: Path) -> None:
    lines = good().to_csv(index=False).splitlines()
    lines[3] += ",1"
    lines[7] += ",1"
    lines[9] = "c001"
    (tmp_path / "a.csv").write_text("\n".join([*lines[:5], "", *lines[5:]]))

    assert problems(tmp_path) == [
        "s3://bank/raw/a.csv, rows 3, 7: 7 values where the header has 6",
        "s3://bank/raw/a.csv, row 9: 1 values where the header has 6",
    ]


def test_a_separator_other_than_the_comma_is_suspected(tmp_path: Path) -> None:
    good().to_csv(tmp_path / "a.csv", index=False, sep=";")
    assert "are the values separated by ';'?" in problems(tmp_path)[0]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_two_columns_of_one_name_are_told(tmp_path: Path, suffix: str) -> None:
    table = pa.Table.from_pandas(good()).rename_columns(["card", "at", "amount", "count", "amount", "is_fraud"])
    if suffix == "csv":
        table.to_pandas().to_csv(tmp_path / "a.csv", index=False)
    else:
        pq.write_table(table, tmp_path / "a.parquet")

    assert problem(tmp_path) == (
        f"s3://bank/raw/a.{suffix}, column 'amount': 2 columns have this name; expected unique names"
    )


def test_a_column_without_a_name_is_told(tmp_path: Path) -> None:
    good().to_csv(tmp_path / "a.csv")
    assert problem(tmp_path).startswith("s3://bank/raw/a.csv: column 1 has no name")


def test_the_objects_whose_columns_differ_from_the_others_are_told(tmp_path: Path) -> None:
    good().drop(columns="count").assign(counts=1).to_csv(tmp_path / "a.csv", index=False)
    good().to_csv(tmp_path / "b.csv", index=False)
    good()[["at", "card", "is_fraud", "count", "channel", "amount"]].to_csv(tmp_path / "c.csv", index=False)
    good().assign(extra=1).to_csv(tmp_path / "d.csv", index=False)

    first, second = problems(tmp_path)
    assert first.startswith("s3://bank/raw/a.csv: its columns differ from those of s3://bank/raw/b.csv")
    assert "it lacks 'count' and has 'counts' besides" in first
    assert second.startswith("s3://bank/raw/d.csv: ")
    assert "it has 'extra' besides" in second


def test_text_in_one_object_and_numbers_in_another_are_told(tmp_path: Path) -> None:
    good().to_csv(tmp_path / "a.csv", index=False)
    good().assign(amount="cheap", channel=1).to_csv(tmp_path / "b.csv", index=False)

    amount, channel = problems(tmp_path)
    assert amount == (
        "s3://bank/raw/b.csv, column 'amount': the column is string here, but double in s3://bank/raw/a.csv; "
        "expected one type in all objects"
    )
    assert channel.startswith("s3://bank/raw/b.csv, column 'channel': the column is int64 here, but string")


def test_integers_floats_and_nothing_fit_together(tmp_path: Path) -> None:
    good(20).assign(amount=range(20)).astype({"amount": "int8"}).to_parquet(tmp_path / "a.parquet")
    good(20, 20).assign(amount=None).to_csv(tmp_path / "b.csv", index=False)
    good(20, 40).astype({"amount": "float32"}).to_parquet(tmp_path / "c.parquet")

    amounts = load(tmp_path)[0].X["amount"]

    assert amounts.tolist()[:20] == list(range(20))
    assert amounts[20:40].isna().all()
    assert amounts.tolist()[40:] == good(20, 40)["amount"].tolist()


def test_dictionaries_and_decimals_are_text_and_numbers(tmp_path: Path) -> None:
    good(20).astype({"channel": "category"}).to_parquet(tmp_path / "a.parquet")
    table = pa.Table.from_pandas(good(20, 20))
    table = table.set_column(2, "amount", table["amount"].cast(pa.decimal128(10, 2)))
    table = table.set_column(4, "channel", table["channel"].cast(pa.large_string()))
    pq.write_table(table, tmp_path / "b.parquet")

    dataset, _ = load(tmp_path)

    assert dataset.roles.categorical == ("channel",)
    pd.testing.assert_frame_equal(dataset.X, good()[["amount", "count", "channel"]])


def test_texts_among_numbers_are_told_with_rows_and_values(tmp_path: Path) -> None:
    good(40, 40).to_csv(tmp_path / "a.csv", index=False)
    with_values(good(), "amount", {3: "free", 17: "?", 20: None}).to_csv(tmp_path / "b.csv", index=False)

    assert problem(tmp_path) == (
        "s3://bank/raw/b.csv, column 'amount', rows 3, 17: 'free', '?': text among 37 numbers; "
        "expected numbers only, and nothing where a value is missing"
    )


def test_numbers_among_texts_are_categories(tmp_path: Path) -> None:
    with_values(good(), "channel", {3: "7"}).to_csv(tmp_path / "a.csv", index=False)
    assert load(tmp_path)[0].X["channel"][2] == "7"


def test_numbers_in_what_parquet_declares_to_be_text_are_codes(tmp_path: Path) -> None:
    with_values(good().assign(channel="4711"), "channel", {3: "A1"}).to_parquet(tmp_path / "a.parquet")
    assert load(tmp_path)[0].roles.categorical == ("channel",)


def test_all_objects_are_read_before_anything_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no more")
    with_values(good(), "amount", {2: "inf"}).to_csv(tmp_path / "b.csv", index=False)
    (tmp_path / "c.csv").touch()

    # Nothing is said about whole columns, since a part of them is unknown: the labels may differ in a.parquet.
    found = problems(tmp_path, DatasetSpec("is_fraud", entity="client", time="at", exclude=("count",)))
    assert [line.split(":")[1].split(",")[0] for line in found] == [
        "//bank/raw/a.parquet",
        "//bank/raw/c.csv",
        "//bank/raw/b.csv",
        "//bank/raw/b.csv",
    ]


def test_a_long_list_of_problems_is_cut(tmp_path: Path) -> None:
    for i in range(31):
        (tmp_path / f"{i:02d}.csv").touch()

    found = problems(tmp_path, SPEC)
    assert (len(found), found[-1]) == (21, "and 11 more")
