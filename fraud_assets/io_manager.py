"""The graph's values in the object store: tables as Parquet, small results as JSON."""

import json
import uuid
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from fraud_assets.resources.object_store import (
    Location,
    ObjectNotFoundError,
    ObjectStore,
    StorageError,
    explain_errors,
    replacing,
)

# Values that are being written, beside the folder `assets` and not in it, so that none is taken for a value.
_INCOMPLETE = ".incomplete"

# Small enough to be written piece by piece, big enough to compress and to read well.
_ROWS_PER_GROUP = 128 * 1024


@dataclass(frozen=True)
class StoredTable:
    """A table where it is stored: an asset whose input is annotated so reads the columns that it needs.

    Attributes:
        location: the Parquet object.
        schema: of all columns, with its metadata.
        num_rows: of the whole table.
    """

    location: Location
    schema: pa.Schema
    num_rows: int

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The columns in this order, or all of them, with the schema's metadata.

        Raises:
            StorageError: the storage refused it.
        """
        place = self.location
        with explain_errors(place), place.filesystem.open_input_file(place.path) as source:
            table = pq.ParquetFile(source, pre_buffer=True).read(columns)
        return table if columns is None else table.select(columns)


class _ObjectIOManager(dg.ConfigurableIOManager):
    """One object an asset: `assets/<asset key>[/<partition>].<extension>`, replaced whole or not at all."""

    store: dg.ResourceDependency[ObjectStore]

    value_type: ClassVar[type]
    extension: ClassVar[str]

    @abstractmethod
    def _write(self, sink: pa.NativeFile, value: Any) -> None:
        """Write `value` to the open stream `sink`; TypeError or ValueError if the format can't hold it."""

    @abstractmethod
    def _read(self, source: pa.NativeFile) -> Any:
        """Read a value from the open file `source`; ValueError if there is none in it."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Store the value of an asset; the old one stays until the new one is complete.

        Raises:
            TypeError: the value is none of this manager's type, or its format can't hold it.
            StorageError: the storage refused it.
        """
        asset = context.asset_key.to_user_string()
        if not isinstance(obj, self.value_type):
            raise TypeError(
                f"asset {asset} is stored as {self.extension}: it has to be {_type_name(self.value_type)}, "
                f"not {_type_name(type(obj))}"
            )
        root = self.store.root
        location = self._location(root, context.get_asset_identifier())
        incomplete = root.child(_INCOMPLETE, f"{uuid.uuid4().hex}.{self.extension}")
        try:
            with replacing(location, incomplete) as sink:
                self._write(sink, obj)
                size = sink.tell()
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise TypeError(f"asset {asset} can't be stored as {self.extension}: {error}") from error
        context.add_output_metadata({"dagster/uri": location.uri, "size (bytes)": size})

    def load_input(self, context: dg.InputContext) -> Any:
        """Read the value of an asset.

        Raises:
            ObjectNotFoundError: the asset was never materialized in this storage.
            StorageError: the storage refused it, or what is stored there can't be read.
        """
        asset = context.asset_key.to_user_string()
        location = self._location(self.store.root, context.get_asset_identifier())
        try:
            with explain_errors(location), location.filesystem.open_input_file(location.path) as source:
                return self._load(source, location, context)
        except ObjectNotFoundError as error:
            raise ObjectNotFoundError(f"asset {asset} has no value: {error}; materialize it first") from error
        except (ValueError, pa.ArrowException) as error:
            raise StorageError(f"asset {asset}: {location} is no readable {self.extension}: {error}") from error

    def _load(self, source: pa.NativeFile, location: Location, context: dg.InputContext) -> Any:
        """The value in the open file `source` as the input of `context` wants it."""
        return self._read(source)

    def stored(self, asset: str) -> Any:
        """The value that an asset without partitions has now, or None if it never had one; errors as in `load_input`.

        For an asset that looks at what a later one made of it last time, which can be no input.
        """
        try:
            return self.load_input(dg.build_input_context(asset_key=dg.AssetKey(asset)))
        except ObjectNotFoundError:
            return None

    def location(self, asset: str) -> Location:
        """Where the value of an asset without partitions is kept."""
        return self._location(self.store.root, [asset])

    def _location(self, root: Location, identifier: Sequence[str]) -> Location:
        """Where a value is kept; `identifier` is the parts of the asset's key, then its partition key, if any."""
        *folders, name = (_quote(part) for part in identifier)
        return root.child("assets", *folders, f"{name}.{self.extension}")


class ParquetIOManager(_ObjectIOManager):
    """Arrow tables as Parquet; the schema's metadata (column roles, data version) comes back with the table."""

    value_type = pa.Table
    extension = "parquet"

    def _write(self, sink: pa.NativeFile, value: pa.Table) -> None:
        # One row group at a time goes out: no second copy of the table in memory.
        with pq.ParquetWriter(sink, value.schema, compression="zstd") as writer:
            writer.write_table(value, row_group_size=_ROWS_PER_GROUP)

    def _load(self, source: pa.NativeFile, location: Location, context: dg.InputContext) -> pa.Table | StoredTable:
        if context.has_input_name and context.dagster_type.typing_type is StoredTable:
            file = pq.ParquetFile(source)
            return StoredTable(location, file.schema_arrow, file.metadata.num_rows)
        return self._read(source)

    def _read(self, source: pa.NativeFile) -> pa.Table:
        # Not read_table(path): that makes columns of folders named like "key=value".
        return pq.ParquetFile(source, pre_buffer=True).read()


class JsonIOManager(_ObjectIOManager):
    """Small results as JSON, readable by people and by any program: NaN and infinities are refused."""

    value_type = dict
    extension = "json"

    def _write(self, sink: pa.NativeFile, value: dict[str, Any]) -> None:
        sink.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).encode())

    def _read(self, source: pa.NativeFile) -> dict[str, Any]:
        value = json.loads(source.read())
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        return value


def _quote(part: str) -> str:
    """`part` as one name in every storage: slashes and odd characters percent-encoded, no dot in front."""
    quoted = quote(part, safe="")
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted


def _type_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
