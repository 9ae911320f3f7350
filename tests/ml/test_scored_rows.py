from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fraud_assets.ml.schema import ColumnRoles, DataError, Dataset
from fraud_assets.ml.scored_rows import ScoredRows
from tests.ml.scored import scored

FRAME = pd.DataFrame(
    {
        "is_fraud": [0, 1, 0, 0],
        "card": ["b", "a", None, None],
        "booked_at": pd.to_datetime(["2026-03-01T23:59", "2026-03-02T00:00", "2026-03-02T12:00", "2026-03-03T12:00"]),
        "amount": [10.0, 20.0, np.nan, 40.0],
        "channel": ["web", "shop", "web", "web"],
    }
)
ROLES = ColumnRoles("is_fraud", 1, "card", "booked_at", ("amount", "channel"), ("channel",))
DATASET = Dataset(pa.Table.from_pandas(FRAME, preserve_index=False), ROLES, "v1")
P = np.array([0.1, 0.2, 0.3, 0.4])


def test_rows_know_the_day_card_and_amount_of_each_prediction() -> None:
    rows = ScoredRows.from_dataset(DATASET, np.array([1, 0]), P[:2], "amount")

    assert rows.y.tolist() == [1, 0]
    assert rows.probability.tolist() == [0.1, 0.2]
    assert rows.day is not None
    assert rows.day.astype(str).tolist() == ["2026-03-02", "2026-03-01"]
    assert rows.entity is not None
    assert rows.entity.tolist() == [0, 1]
    assert rows.amount is not None
    assert rows.amount.tolist() == [20.0, 10.0]


def test_rows_without_a_card_are_nobodys_and_each_stands_alone() -> None:
    entity = ScoredRows.from_dataset(DATASET, np.arange(4), P).entity

    assert entity is not None
    assert len(set(entity.tolist())) == 4


def test_what_the_data_lacks_is_none() -> None:
    plain = replace(DATASET, roles=replace(ROLES, entity=None, time=None))

    rows = ScoredRows.from_dataset(plain, np.arange(4), P)

    assert (rows.day, rows.entity, rows.amount) == (None, None, None)


@pytest.mark.parametrize(("column", "told"), [("price", "'price' is not in the data"), ("channel", "expected numbers")])
def test_an_amount_column_that_is_none_is_refused(column: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        ScoredRows.from_dataset(DATASET, np.arange(4), P, column)


def test_folds_taken_apart_and_put_together_are_the_rows() -> None:
    rows = scored()

    together = ScoredRows.concatenate([rows.take(np.arange(100)), rows.take(np.arange(len(rows)) >= 100)])

    for name in ("y", "probability", "day", "entity", "amount"):
        np.testing.assert_array_equal(getattr(together, name), getattr(rows, name))


def test_parts_with_different_columns_are_no_rows() -> None:
    with pytest.raises(ValueError, match="all with the same columns"):
        ScoredRows.concatenate([scored(), replace(scored(), amount=None)])


def test_predictions_of_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        scored().with_probability(P)


def test_a_prediction_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 4 probabilities"):
        ScoredRows(np.zeros(4, np.int8), np.array([0.1, np.nan, 0.2, 0.3]))
