"""Storing and loading values as Dagster would, and writers that break half way."""

import os
import signal
from collections.abc import Sequence
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
from pyarrow import fs

from fraud_assets.io_manager import JsonIOManager, ParquetIOManager
from fraud_assets.resources.object_store import ObjectStore

Manager = ParquetIOManager | JsonIOManager


def store(manager: Manager, key: Sequence[str], value: Any) -> dict[str, Any]:
    """Store `value` as the asset `key`; returns the metadata of the output."""
    context = dg.build_output_context(asset_key=list(key))
    manager.handle_output(context, value)
    return dict(context.get_logged_metadata())


def load(manager: Manager, key: Sequence[str]) -> Any:
    return manager.load_input(dg.build_input_context(asset_key=list(key)))


def names(root: ObjectStore) -> list[str]:
    """The objects of a storage, by their path below the root."""
    place = root.root
    infos = place.filesystem.get_file_info(fs.FileSelector(place.path, recursive=True))
    return sorted(info.path.removeprefix(f"{place.path}/") for info in infos if info.is_file)


def table(rows: int, seed: int = 0) -> pa.Table:
    """Numbers that don't compress: 8 bytes a row."""
    return pa.table({"amount": np.random.default_rng(seed).random(rows)})


class FailingParquet(ParquetIOManager):
    """Stores the first half of a table as a readable file, and then fails."""

    def _write(self, sink: pa.NativeFile, value: pa.Table) -> None:
        super()._write(sink, value.slice(0, value.num_rows // 2))
        raise RuntimeError("the writer broke")


class KilledParquet(ParquetIOManager):
    """Stores the first half of a table as a readable file; then its process is killed as by `kill -9`."""

    def _write(self, sink: pa.NativeFile, value: pa.Table) -> None:
        super()._write(sink, value.slice(0, value.num_rows // 2))
        sink.flush()
        os.kill(os.getpid(), signal.SIGKILL)
