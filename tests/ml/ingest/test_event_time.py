from datetime import date, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from fraud_assets.ml.ingest.event_time import STORED_TIME, to_event_time
from fraud_assets.ml.ingest.problems import Problem
from tests.ml.ingest.loading import good, load, problem, with_values

NOON = datetime(2024, 1, 31, 12)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        *[([NOON], pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")],
        ([NOON], pa.timestamp("us", "Europe/Berlin")),
        (["2024-01-31T12:00:00"], pa.string()),
        (["2024-01-31 12:00:00.000000"], pa.string()),
        (["2024-01-31T13:00:00+01:00"], pa.string()),
        (["2024-01-31T12:00:00Z"], pa.string()),
    ],
)
def test_every_kind_of_time_is_stored_alike(values: list[object], kind: pa.DataType) -> None:
    result = to_event_time("a.csv", "at", pa.chunked_array([[*values, None]], type=kind))

    assert not isinstance(result, Problem)
    times, has_zone = result
    assert times.type == STORED_TIME
    assert times.to_pandas().tolist() == [pd.Timestamp(NOON), pd.NaT]
    assert has_zone == ("+" in str(values[0]) or "Z" in str(values[0]) or "Berlin" in str(kind))


@pytest.mark.parametrize(
    "column", [pa.chunked_array([[date(2024, 1, 31)]]), pa.chunked_array([["2024-01-31"]])], ids=["date", "text"]
)
def test_a_date_is_its_midnight(column: pa.ChunkedArray) -> None:
    result = to_event_time("a.csv", "at", column)
    assert not isinstance(result, Problem)
    assert result[0].to_pandas()[0] == pd.Timestamp(2024, 1, 31)


def test_times_that_do_not_parse_are_told_with_rows_and_values(tmp_path: Path) -> None:
    bad = with_values(good(), "at", {2: "31.01.2024", 5: "yesterday"})
    bad.to_csv(tmp_path / "a.csv", index=False)

    assert problem(tmp_path).startswith(
        "s3://bank/raw/a.csv, column 'at', rows 2, 5: '31.01.2024', 'yesterday': not a time; expected timestamps, dates"
    )


def test_a_time_in_numbers_is_told(tmp_path: Path) -> None:
    good().assign(at=range(1_700_000_000, 1_700_000_040)).to_parquet(tmp_path / "a.parquet")
    assert "column 'at': the time column is int64; expected timestamps" in problem(tmp_path)


def test_a_time_outside_what_can_be_stored_is_told() -> None:
    result = to_event_time("a.parquet", "at", pa.chunked_array([[date(2024, 1, 1), None, date(9999, 12, 31)]]))
    assert isinstance(result, Problem)
    assert str(result).startswith("a.parquet, column 'at', row 3: '9999-12-31': outside the years 1678 to 2261")


def test_times_with_and_without_a_zone_do_not_mix(tmp_path: Path) -> None:
    result = to_event_time("a.csv", "at", pa.chunked_array([["2024-01-31T12:00:00Z", "2024-01-31T12:00:00"]]))
    assert isinstance(result, Problem)
    assert str(result).startswith("a.csv, column 'at', row 2: '2024-01-31T12:00:00': no time zone")

    good().to_csv(tmp_path / "a.csv", index=False)
    good(40, 40).assign(at=good()["at"].dt.tz_localize("UTC")).to_csv(tmp_path / "b.csv", index=False)
    assert problem(tmp_path) == (
        "s3://bank/raw/b.csv, column 'at': times have a zone here, and none in s3://bank/raw/a.csv; expected one kind"
    )


def test_objects_may_spell_their_times_differently(tmp_path: Path) -> None:
    good().to_csv(tmp_path / "a.csv", index=False)
    good(40, 40).to_parquet(tmp_path / "b.parquet")
    good(40, 80).assign(at=good(40, 80)["at"].dt.strftime("%Y-%m-%dT%H:%M:%S.%f")).to_parquet(tmp_path / "c.parquet")

    time = load(tmp_path)[0].time
    assert time is not None
    assert time.tolist() == good(120)["at"].tolist()
