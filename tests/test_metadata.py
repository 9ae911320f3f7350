"""Tables of an asset's page in the Dagster UI."""

import datetime as dt

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fraud_assets.metadata import cell, column_schema, named_values, table
from fraud_assets.ml.schema import ColumnRoles


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT, np.float64("nan")])
def test_a_missing_value_is_an_empty_cell(missing: object) -> None:
    assert cell(missing) == ""


@pytest.mark.parametrize("value", [1, 1.5, True, "text", ""])
def test_numbers_booleans_and_texts_stay_as_they_are(value: object) -> None:
    assert cell(value) == value
    assert type(cell(value)) is type(value)


def test_anything_else_is_shown_as_text() -> None:
    assert cell(dt.date(2026, 1, 2)) == "2026-01-02"


def test_a_frame_with_every_type_becomes_a_table() -> None:
    frame = pd.DataFrame(
        {
            "amount": [1.5, None],
            "visits": pd.array([1, None], dtype="Int64"),
            "night": pd.array([True, None], dtype="boolean"),
            "at": [pd.Timestamp("2026-01-02 03:04"), pd.NaT],
            "channel": ["chip", None],
        }
    )
    shown = table(frame)
    assert [record.data for record in shown.records] == [
        {"amount": 1.5, "visits": 1, "night": True, "at": "2026-01-02 03:04:00", "channel": "chip"},
        {"amount": "", "visits": "", "night": "", "at": "", "channel": ""},
    ]
    assert [column.name for column in shown.schema.columns] == list(frame.columns)


def test_a_table_survives_dagsters_serialization() -> None:
    shown = table(pd.DataFrame({"n": np.arange(2, dtype=np.int64), "ok": np.array([True, False])}))
    assert dg.deserialize_value(dg.serialize_value(shown), dg.TableMetadataValue) == shown


def test_a_mapping_becomes_a_table_of_two_columns() -> None:
    shown = named_values({"f1": 0.5}, ("metric", "value"))
    assert [record.data for record in shown.records] == [{"metric": "f1", "value": 0.5}]


def test_each_column_of_the_data_is_shown_with_its_role() -> None:
    schema = pa.schema(
        [("is_fraud", pa.bool_()), ("card", pa.string()), ("at", pa.timestamp("us")), ("amount", pa.float64())]
    )
    shown = column_schema(schema, ColumnRoles("is_fraud", True, "card", "at", ("amount",)))
    assert {column.name: column.description for column in shown.columns} == {
        "is_fraud": "label, fraud is True",
        "card": "entity",
        "at": "time",
        "amount": "feature",
    }
    assert shown.columns[3].type == "double"
