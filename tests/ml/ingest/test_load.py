import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from fraud_assets.ml.ingest import load_dataset
from fraud_assets.ml.schema import DataError, Dataset, DatasetSpec
from tests.bench_data import ARTICLE, HANDBOOK, bench_file
from tests.ml.ingest.loading import SPEC, good, load, with_values


def test_the_articles_csv_loses_its_copies() -> None:
    spec = DatasetSpec("is_fraud", entity="entity_id", time="event_timestamp")
    dataset, report = load(bench_file(ARTICLE), spec)

    assert (report.rows_read, report.duplicates, report.duplicates_dropped, len(dataset)) == (
        23864,
        11932,
        11932,
        11932,
    )
    assert report.fraud_rate == pytest.approx(0.0497, abs=1e-4)
    assert report.first_time == pd.Timestamp("2025-05-12 06:36:14.116065")
    assert dataset.roles.features == (
        "has_fraud_7d",
        "num_transactions_7d",
        "credit_score",
        "account_age_days",
        "has_2fa_installed",
    )


def test_a_slice_of_the_handbooks_parquet_loads_by_config_alone(tmp_path: Path) -> None:
    whole = pq.read_table(bench_file(HANDBOOK))
    rows = whole.take(np.arange(0, len(whole), 40))
    pq.write_table(rows, tmp_path / "handbook.parquet")
    spec = DatasetSpec("TX_FRAUD", entity="CUSTOMER_ID", time="TX_DATETIME", exclude=("TRANSACTION_ID", "TERMINAL_ID"))

    dataset, report = load(tmp_path, spec)

    assert (len(dataset), report.duplicates, len(dataset.roles.features)) == (18_669, 0, 16)
    assert dataset.y.sum() == np.asarray(rows.column("TX_FRAUD")).sum()


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet", "pq", "CSV"])
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"transactions.{suffix}"
    write = good().to_parquet if suffix in {"parquet", "pq"} else good().to_csv
    write(path, index=False)

    dataset, _ = load(path)

    pd.testing.assert_frame_equal(dataset.X, good()[["amount", "count", "channel"]], check_dtype=False)
    assert dataset.time is not None
    assert dataset.entity is not None
    pd.testing.assert_series_equal(dataset.time, good()["at"], check_dtype=False)
    assert dataset.entity.tolist() == good()["card"].tolist()
    assert dataset.y.tolist() == good()["is_fraud"].tolist()
    assert dataset.roles.categorical == ("channel",)


def test_a_folder_is_read_at_any_depth_in_the_order_of_paths(tmp_path: Path) -> None:
    (tmp_path / "day=2").mkdir()
    good(30, first=30).to_csv(tmp_path / "day=2" / "part.csv", index=False)
    good(30).to_csv(tmp_path / "a.csv", index=False)

    dataset, report = load(tmp_path)

    assert report.objects == 2
    assert dataset.X["amount"].tolist() == good(60)["amount"].tolist()


def test_markers_hidden_objects_and_other_files_are_no_data(tmp_path: Path) -> None:
    good().to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "_temporary").mkdir()
    for name in ("_SUCCESS", ".b.csv.crc", ".c.csv", "_temporary/d.csv", "README.txt"):
        (tmp_path / name).write_text("no data")

    assert load(tmp_path)[1].objects == 1


def test_a_subtree_filesystem_reads_from_its_root(tmp_path: Path) -> None:
    good().to_csv(tmp_path / "a.csv", index=False)
    tree = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())

    assert len(load_dataset(tree, "", SPEC)[0]) == 40
    assert len(load_dataset(tree, "a.csv", SPEC)[0]) == 40


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("nowhere", "does not exist"),
        ("empty", "it is empty"),
        ("others", "it holds 'notes.txt'"),
        ("others/notes.txt", "neither CSV nor Parquet"),
    ],
)
def test_a_place_without_data_is_named(tmp_path: Path, path: str, told: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "notes.txt").write_text("x")

    with pytest.raises(DataError, match=r"^s3://bank/raw .*expected objects whose names end in") as error:
        load(tmp_path / path)
    assert told in str(error.value)


def test_credentials_in_the_name_reach_no_message(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        load_dataset(pafs.LocalFileSystem(), str(tmp_path / "x"), SPEC, name="s3://KEY:SECRET@bank/raw")
    assert str(error.value).startswith("s3://bank/raw does not exist")


def test_a_failing_storage_is_not_the_datas_fault(tmp_path: Path) -> None:
    good().to_csv(tmp_path / "a.csv", index=False)

    class AccessDenied:
        def get_file_info(self, path: Any) -> Any:
            return pafs.LocalFileSystem().get_file_info(path)

        def open_input_stream(self, path: str, **_: object) -> Any:
            raise OSError("ACCESS_DENIED")

    with pytest.raises(OSError, match="ACCESS_DENIED"):
        load_dataset(AccessDenied(), str(tmp_path), SPEC)


def test_copies_are_counted_and_kept_if_asked_to(tmp_path: Path) -> None:
    pd.concat([good(), good(3)]).to_csv(tmp_path / "a.csv", index=False)
    keep = DatasetSpec("is_fraud", entity="card", time="at", duplicates="keep")

    assert [load(tmp_path)[1].duplicates_dropped, len(load(tmp_path)[0])] == [3, 40]
    dataset, report = load(tmp_path, keep)
    assert (report.duplicates, report.duplicates_dropped, len(dataset)) == (3, 0, 43)


def test_of_copies_in_different_objects_the_first_is_kept(tmp_path: Path) -> None:
    # The second object's missing count makes floats of the integers: they must still equal the first's.
    good().to_parquet(tmp_path / "a.parquet")
    second = with_values(good(20, first=20), "count", {1: None})
    second.astype({"count": "Int64"}).to_parquet(tmp_path / "b.parquet")

    dataset, report = load(tmp_path)

    assert report.duplicates == 19
    assert dataset.X["amount"].tolist() == [*good()["amount"], 20.5]


@pytest.mark.parametrize(
    ("values", "copies"),
    [(list(range(80)), 0), ([[i] for i in range(80)], 0), ([{"a": i % 40} for i in range(80)], 40)],
    ids=["ids", "lists", "structs"],
)
def test_rows_that_differ_in_an_excluded_column_alone_are_no_copies(
    tmp_path: Path, values: list[object], copies: int
) -> None:
    pd.concat([good(), good()]).assign(other=pd.Series(values, dtype=object).to_numpy()).to_parquet(
        tmp_path / "a.parquet", index=False
    )

    dataset, report = load(tmp_path, DatasetSpec("is_fraud", entity="card", time="at", exclude=("other",)))

    assert report.duplicates == copies
    assert dataset.table.column_names == ["is_fraud", "card", "at", "amount", "count", "channel"]


def test_integers_that_differ_beyond_what_floats_hold_are_no_copies(tmp_path: Path) -> None:
    frame = pd.concat([good(), good(1)], ignore_index=True)
    big = pd.array([2**53] + [None] * 39 + [2**53 + 1], dtype="Int64")
    frame.assign(id=big).to_parquet(tmp_path / "a.parquet")

    assert load(tmp_path, DatasetSpec("is_fraud", entity="card", time="at", exclude=("id",)))[1].duplicates == 0


def test_the_version_does_not_depend_on_how_rows_are_spread(tmp_path: Path) -> None:
    frame = good(60).assign(
        amount=good(60)["amount"].mask(good(60)["count"] == 1), channel=pd.Series(["web", None, "shop"] * 20)
    )
    versions = set()
    for name, sizes, group in (("one", [60], 60), ("groups", [60], 7), ("objects", [1, 19, 40], 60)):
        (tmp_path / name).mkdir()
        start = 0
        for i, size in enumerate(sizes):
            part = frame.iloc[start : start + size]
            part.to_parquet(tmp_path / name / f"{i}.parquet", row_group_size=group, index=False)
            start += size
        versions.add(load(tmp_path / name)[0].version)
    assert len(versions) == 1


def test_the_version_tells_content_order_and_roles_apart(tmp_path: Path) -> None:
    frames = {
        "as it is": good(),
        "one number": good().replace({"amount": {3.5: 3.25}}),
        "one text": with_values(good(), "channel", {1: "app"}),
        "nothing for a number": with_values(good(), "amount", {4: None}).astype({"amount": float}),
        "nothing for a text": with_values(good(), "channel", {1: None}),
        "nothing, then 0": with_values(good(), "count", {1: None, 2: 0}).astype({"count": "Int64"}),
        "0, then nothing": with_values(good(), "count", {1: 0, 2: None}).astype({"count": "Int64"}),
        "big": with_values(good(), "count", {1: None, 2: 2**53}).astype({"count": "Int64"}),
        "bigger": with_values(good(), "count", {1: None, 2: 2**53 + 1}).astype({"count": "Int64"}),
        "other order": good()[::-1],
    }
    versions = []
    for name, frame in frames.items():
        frame.to_parquet(tmp_path / f"{name}.parquet", index=False)
        versions.append(load(tmp_path / f"{name}.parquet")[0].version)
    versions.append(
        load(tmp_path / "as it is.parquet", DatasetSpec("is_fraud", entity="card", exclude=("at",)))[0].version
    )
    versions.append(
        load(tmp_path / "as it is.parquet", DatasetSpec("is_fraud", 0, entity="card", time="at"))[0].version
    )

    assert len(set(versions)) == len(versions)
    assert all(len(version) == 16 and int(version, 16) >= 0 for version in versions)
    assert load(tmp_path / "as it is.parquet")[0].version == versions[0]


def test_the_table_survives_parquet(tmp_path: Path) -> None:
    good().to_csv(tmp_path / "a.csv.gz", index=False)
    dataset, _ = load(tmp_path)
    pq.write_table(dataset.to_arrow(), tmp_path / "stored.parquet")

    again = Dataset.from_arrow(pq.read_table(tmp_path / "stored.parquet"))

    assert again.roles == dataset.roles
    assert again.version == dataset.version
    assert again.table.replace_schema_metadata(None).equals(dataset.table)


def test_features_are_taken_in_the_order_they_were_named(tmp_path: Path) -> None:
    good().to_csv(tmp_path / "a.csv", index=False)
    spec = DatasetSpec("is_fraud", features=("channel", "amount"))

    dataset, report = load(tmp_path, spec)

    assert dataset.table.column_names == ["is_fraud", "channel", "amount"]
    assert (report.first_time, dataset.time, dataset.entity) == (None, None, None)


def test_what_is_no_number_by_nature_keeps_its_leading_zeros(tmp_path: Path) -> None:
    frame = good().assign(card=[f"{n % 7:04d}" for n in range(40)])
    frame.to_csv(tmp_path / "a.csv", index=False)

    assert load(tmp_path)[0].table.column("card")[1].as_py() == "0001"


def test_the_index_that_pandas_stores_is_no_feature(tmp_path: Path) -> None:
    pd.concat([good(), good()]).sort_values("amount").to_parquet(tmp_path / "a.parquet")

    dataset, report = load(tmp_path)

    assert report.duplicates == 40
    assert dataset.roles.features == ("amount", "count", "channel")


def test_a_line_break_in_quotes_does_not_end_the_row(tmp_path: Path) -> None:
    # More than a block of Arrow's, which ends somewhere within the quotes.
    text = good(100).assign(note="line\n" * 10_000).to_csv(index=False)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode(), compresslevel=1))

    assert len(load(tmp_path, DatasetSpec("is_fraud", entity="card", time="at", exclude=("note",)))[0]) == 100
