"""Parquet objects: what is requested of the storage, and whose fault it is where that fails."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from fraud_assets.ml.ingest.parquet_objects import ParquetObject, UnreadableError

GROUPS, ROWS, COLUMNS = 8, 40_000, 5


class Watched:
    """A local file that counts what is read from it, and fails from the n-th time on."""

    def __init__(self, path: str, fails_at: int | None = None) -> None:
        self.file, self.sizes, self.fails_at = BytesIO(Path(path).read_bytes()), list[int](), fails_at

    def read(self, size: int = -1) -> bytes:
        if self.fails_at is not None and len(self.sizes) >= self.fails_at:
            raise OSError("CONNECTION_RESET")
        content = self.file.read(size)
        self.sizes.append(len(content))
        return content

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()


class Storage:
    def __init__(self, fails_at: int | None = None) -> None:
        self.fails_at = fails_at

    def open_input_file(self, path: str) -> Watched:
        self.opened = Watched(path, self.fails_at)
        return self.opened

    def open_input_stream(self, path: str, compression: str | None) -> Watched:
        return self.open_input_file(path)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(0)
    table = pa.table({f"c{i}": random.random(GROUPS * ROWS) for i in range(COLUMNS)})
    file = tmp_path_factory.mktemp("large") / "a.parquet"
    pq.write_table(table, file, row_group_size=ROWS)
    return file


def open_object(file: Path, storage: Any = None) -> ParquetObject:
    return ParquetObject.open(storage or pafs.LocalFileSystem(), str(file), "a", file.stat().st_size)


def test_a_large_object_is_read_a_row_group_at_a_time(large: Path) -> None:
    storage = Storage()
    pieces = list(open_object(large, storage).pieces())
    assert pa.concat_tables(pieces).equals(pq.read_table(large))
    group = large.stat().st_size / GROUPS
    assert max(storage.opened.sizes) < 1.1 * group
    # The columns of a group come together.
    assert len(storage.opened.sizes) < 3 * GROUPS


def test_the_rows_of_a_small_object_are_one_request(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2, 3]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1)
    storage = Storage()
    pieces = list(open_object(tmp_path / "a.parquet", storage).pieces())
    assert pa.concat_tables(pieces).equals(table)
    assert len(storage.opened.sizes) == 1


@pytest.mark.parametrize("reads", [0, 1, 4])
def test_a_storage_that_fails_on_the_way_is_not_the_datas_fault(large: Path, reads: int) -> None:
    storage = Storage(reads)
    with pytest.raises(OSError, match="CONNECTION_RESET"):
        list(open_object(large, storage).pieces())


def test_a_large_object_that_is_corrupt_is_told(large: Path, tmp_path: Path) -> None:
    content = bytearray(large.read_bytes())
    content[200_000:900_000] = b"x" * 700_000
    (tmp_path / "a.parquet").write_bytes(content)
    opened = open_object(tmp_path / "a.parquet")
    with pytest.raises(UnreadableError, match="truncated or corrupt"):
        list(opened.pieces())


def test_an_object_without_a_row_group_has_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([], pa.int8())}), tmp_path / "a.parquet")
    opened = open_object(tmp_path / "a.parquet")
    assert opened.schema.names == ["a"]
    assert list(opened.pieces()) == []
