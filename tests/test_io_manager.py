import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud_assets.io_manager import JsonIOManager, ParquetIOManager, StoredTable
from fraud_assets.resources.object_store import ObjectNotFoundError, ObjectStore, StorageError
from tests.stored_values import FailingParquet, load, names, store, table


@pytest.fixture
def folder(tmp_path: Path) -> ObjectStore:
    return ObjectStore(uri=str(tmp_path))


def test_a_table_comes_back_with_its_types_and_the_metadata_of_its_schema(folder: ObjectStore) -> None:
    manager = ParquetIOManager(store=folder)
    value = pa.table(
        {
            "time": pa.array([1, None], pa.timestamp("ns")),
            "category": pa.array(["a", None]).dictionary_encode(),
            "flag": pa.array([True, None]),
            "number": pa.array([1, None], pa.int32()),
        }
    ).replace_schema_metadata({b"fraud_assets": b'{"roles": {}}'})
    store(manager, ["raw_dataset"], value)
    loaded = load(manager, ["raw_dataset"])
    assert loaded.equals(value)
    assert loaded.schema.equals(value.schema, check_metadata=True)


def test_a_big_table_is_written_in_groups_of_rows(folder: ObjectStore) -> None:
    store(ParquetIOManager(store=folder), ["big"], table(300_000))
    assert pq.ParquetFile(folder.child("assets", "big.parquet").path).num_row_groups == 3


def test_an_asset_that_asks_for_it_reads_the_columns_that_it_needs(folder: ObjectStore) -> None:
    whole = table(5).append_column("b.c", pa.array(range(5))).replace_schema_metadata({b"fraud_assets": b"{}"})

    @dg.asset(io_manager_key="parquet")
    def stored() -> pa.Table:
        return whole

    found = []

    @dg.asset(io_manager_key="parquet")
    def reader(stored: StoredTable) -> pa.Table:
        found.append(stored)
        return stored.read(["b.c", "amount"])

    assert dg.materialize([stored, reader], resources={"parquet": ParquetIOManager(store=folder)}).success
    (handle,) = found
    assert handle.num_rows == 5
    assert handle.schema.equals(whole.schema, check_metadata=True)
    assert handle.location.path == folder.child("assets", "stored.parquet").path
    assert handle.read().equals(whole)
    assert handle.read(["b.c", "amount"]).equals(whole.select(["b.c", "amount"]))
    assert handle.read(["amount"]).schema.metadata == whole.schema.metadata
    assert load(ParquetIOManager(store=folder), ["reader"]).column_names == ["b.c", "amount"]


def test_an_empty_table_keeps_its_columns(folder: ObjectStore) -> None:
    manager = ParquetIOManager(store=folder)
    store(manager, ["empty"], table(0))
    assert load(manager, ["empty"]).equals(table(0))


def test_a_dict_comes_back_and_is_readable_text(folder: ObjectStore) -> None:
    manager = JsonIOManager(store=folder)
    value = {"params": {"eta": 0.1, "booster": "gbtree"}, "name": "Müller", "threshold": None}
    store(manager, ["best_params"], value)
    assert load(manager, ["best_params"]) == value
    assert '"name": "Müller"' in Path(folder.child("assets", "best_params.json").path).read_text("utf-8")


def test_the_page_of_the_asset_shows_where_the_value_is_and_its_size(folder: ObjectStore, tmp_path: Path) -> None:
    metadata = store(JsonIOManager(store=folder), ["model", "best"], {"a": 1})
    file = tmp_path / "assets" / "model" / "best.json"
    assert {name: entry.value for name, entry in metadata.items()} == {
        "dagster/uri": file.as_uri(),
        "size (bytes)": file.stat().st_size,
    }


@pytest.mark.parametrize("odd", ["2026-01-01T00:00", "a/b", "../up", ".", "..", ".incomplete", "é +%20#?&=", "k=v|w"])
def test_every_partition_has_an_object_of_its_own_below_its_asset(folder: ObjectStore, odd: str) -> None:
    @dg.asset(partitions_def=dg.StaticPartitionsDefinition([odd, "plain"]), io_manager_key="json")
    def value(context: dg.AssetExecutionContext) -> dict[str, Any]:
        return {"partition": context.partition_key}

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition([odd, "plain"]), io_manager_key="json")
    def after(value: dict[str, Any]) -> dict[str, Any]:
        return value

    for key in (odd, "plain"):
        resources = {"json": JsonIOManager(store=folder)}
        result = dg.materialize([value, after], partition_key=key, resources=resources)
        assert result.output_for_node("after") == {"partition": key}
    stored = [name.split("/") for name in names(folder)]
    assert len(stored) == 4
    assert all(parts[:2] in (["assets", "after"], ["assets", "value"]) and len(parts) == 3 for parts in stored)


def test_no_asset_key_leads_out_of_the_folder_of_values(folder: ObjectStore) -> None:
    store(JsonIOManager(store=folder), ["..", "..", "up"], {"a": 1})
    assert names(folder) == ["assets/%2E./%2E./up.json"]
    assert load(JsonIOManager(store=folder), ["..", "..", "up"]) == {"a": 1}


@pytest.mark.parametrize(
    ("manager_type", "value", "expected"),
    [
        (ParquetIOManager, pd.DataFrame(), "stored as parquet: it has to be pyarrow.lib.Table, not pandas.*DataFrame"),
        (JsonIOManager, [1], "stored as json: it has to be dict, not list"),
        (JsonIOManager, None, "stored as json: it has to be dict, not NoneType"),
        (JsonIOManager, {"a": object()}, "can't be stored as json: .*object is not JSON serializable"),
        (JsonIOManager, {"a": float("nan")}, "can't be stored as json: .*nan"),
        (ParquetIOManager, pa.table({"a": pa.nulls(1, pa.month_day_nano_interval())}), "can't be stored as parquet: "),
    ],
)
def test_a_value_of_the_wrong_type_names_its_asset_and_leaves_the_old_one(
    folder: ObjectStore, manager_type: type[ParquetIOManager | JsonIOManager], value: Any, expected: str
) -> None:
    manager = manager_type(store=folder)
    old = table(3) if isinstance(manager, ParquetIOManager) else {"a": 1}
    store(manager, ["model", "best"], old)
    with pytest.raises(TypeError, match=f"asset model/best .*{expected}"):
        store(manager, ["model", "best"], value)
    assert load(manager, ["model", "best"]) == old
    assert len(names(folder)) == 1


def test_a_value_that_was_never_made_is_told_by_asset_and_uri(folder: ObjectStore) -> None:
    with pytest.raises(ObjectNotFoundError, match=r"asset best_params has no value: file:///.*; materialize it first"):
        load(JsonIOManager(store=folder), ["best_params"])


@pytest.mark.parametrize("content", [b"", b"PAR1 and nothing more", b'{"a": ', b"[1]", b"\xff\xfe", b'"text"'])
@pytest.mark.parametrize("manager_type", [ParquetIOManager, JsonIOManager])
def test_a_value_that_cannot_be_read_is_told_by_asset_and_uri(
    folder: ObjectStore, manager_type: type[ParquetIOManager | JsonIOManager], content: bytes
) -> None:
    manager = manager_type(store=folder)
    file = Path(folder.child("assets", f"broken.{manager.extension}").path)
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(StorageError, match=f"asset broken: {file.as_uri()} is no readable {manager.extension}: "):
        load(manager, ["broken"])


@pytest.mark.parametrize("cut", [0.3, 0.7, 0.999])
def test_a_truncated_table_is_told_by_its_uri(folder: ObjectStore, cut: float) -> None:
    manager = ParquetIOManager(store=folder)
    store(manager, ["raw_dataset"], table(1000))
    file = Path(folder.child("assets", "raw_dataset.parquet").path)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * cut)])
    with pytest.raises(StorageError, match=file.as_uri()):
        load(manager, ["raw_dataset"])


def test_a_writer_that_fails_half_way_leaves_the_old_value_and_nothing_else(folder: ObjectStore) -> None:
    store(ParquetIOManager(store=folder), ["raw_dataset"], table(10))
    with pytest.raises(RuntimeError, match="the writer broke"):
        store(FailingParquet(store=folder), ["raw_dataset"], table(100, seed=1))
    assert load(ParquetIOManager(store=folder), ["raw_dataset"]).equals(table(10))
    assert names(folder) == ["assets/raw_dataset.parquet"]


def test_a_writer_that_is_killed_half_way_leaves_the_old_value(folder: ObjectStore, tmp_path: Path) -> None:
    store(ParquetIOManager(store=folder), ["raw_dataset"], table(10))
    script = f"""
from tests.stored_values import *
store(KilledParquet(store=ObjectStore(uri={str(tmp_path)!r})), ["raw_dataset"], table(100, seed=1))
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert load(ParquetIOManager(store=folder), ["raw_dataset"]).equals(table(10))
    leftover = [name for name in names(folder) if name != "assets/raw_dataset.parquet"]
    assert [name.split("/")[0] for name in leftover] == [".incomplete"]


def test_a_folder_that_cannot_be_written_is_told_by_its_uri(tmp_path: Path) -> None:
    (tmp_path / "assets").touch()
    with pytest.raises(StorageError, match=f"file://{tmp_path}/assets/best.json: "):
        store(JsonIOManager(store=ObjectStore(uri=str(tmp_path))), ["best"], {"a": 1})
