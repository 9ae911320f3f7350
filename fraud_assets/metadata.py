"""Small builders of what an asset's page in the Dagster UI shows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd
import pyarrow as pa

from fraud_assets.ml.schema import ColumnRoles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELL = int | float | bool | str


def cell(value: object) -> _CELL:
    """A value as a table of the UI can hold it."""
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return value if isinstance(value, _CELL) else str(value)


def table(frame: pd.DataFrame) -> dg.TableMetadataValue:
    """A DataFrame as a table."""
    columns = [str(column) for column in frame.columns]
    rows = [
        dg.TableRecord(dict(zip(columns, map(cell, row), strict=True)))
        for row in frame.astype(object).itertuples(index=False)
    ]
    return dg.MetadataValue.table(rows, dg.TableSchema([dg.TableColumn(column) for column in columns]))


def named_values(values: Mapping[Any, float], columns: Sequence[str]) -> dg.TableMetadataValue:
    """A mapping as a table of two columns."""
    return table(pd.DataFrame([[name, value] for name, value in values.items()], columns=list(columns)))


def pictures(files: Mapping[str, bytes], names: Sequence[str]) -> dict[str, dg.MarkdownMetadataValue]:
    """Those plots of `png_files` that are named, each as a picture inside Markdown."""
    from fraud_assets.ml.plot_style import to_markdown

    titles = {name.replace("_", " "): file for name in names if (file := _file(name)) in files}
    return {title: dg.MetadataValue.md(to_markdown(files[file], title)) for title, file in titles.items()}


def png_files(plots: "Mapping[str, Figure]") -> dict[str, bytes]:
    """All of `plots` as files in a folder of their own."""
    from fraud_assets.ml.plot_style import to_png

    return {_file(name): to_png(plot) for name, plot in plots.items()}


def _file(name: str) -> str:
    return f"plots/{name}.png"


def column_schema(schema: pa.Schema, roles: ColumnRoles) -> dg.TableSchema:
    """The columns of a data set with type and role."""
    role = {roles.label: f"label, fraud is {roles.positive_label!r}", roles.entity: "entity", roles.time: "time"}
    return table_schema(schema, {name: role.get(name, "feature") for name in schema.names})


def table_schema(schema: pa.Schema, descriptions: Mapping[str, str]) -> dg.TableSchema:
    """The columns of an Arrow table, each with its description; a dictionary is shown as what it is made of."""

    def shown(kind: pa.DataType) -> str:
        return str(kind.value_type if pa.types.is_dictionary(kind) else kind)

    return dg.TableSchema(
        [dg.TableColumn(field.name, shown(field.type), description=descriptions[field.name]) for field in schema]
    )


def link(url: str | None, text: str) -> dg.UrlMetadataValue | dg.TextMetadataValue:
    """The page where there is one, else a text that says what is to be looked up."""
    return dg.MetadataValue.text(text) if url is None else dg.MetadataValue.url(url)
