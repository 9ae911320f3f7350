"""Tables are scored piece by piece; what a model can't score is told by object, column and row."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from fraud_assets.ml.batch_scoring import SCORES, score_pieces, scored_schema, text_among
from fraud_assets.ml.estimator import FraudClassifier, Member
from fraud_assets.ml.ingest.objects import ObjectTable, list_objects, open_object
from fraud_assets.ml.schema import DataError
from fraud_assets.ml.scoring_ledger import LEDGER_SCHEMA, LedgerEntry, ledger_table
from tests.ml.tables import LABEL, transactions

ROWS = transactions(300, seed=1).drop(columns=LABEL)


@pytest.fixture(scope="module")
def classifier() -> FraudClassifier:
    frame = transactions()
    params = {"booster": "gbtree", "n_estimators": 5, "resampler": "passthrough"}
    X, y = frame.drop(columns=LABEL), frame[LABEL].to_numpy()
    return FraudClassifier.fit(X, y, ["channel"], [Member(params)], threshold=0.3, seed=1, threads=1)


def of_table(table: pa.Table, cuts: Sequence[int] = ()) -> ObjectTable:
    """`table` as an object whose pieces begin at 0 and at each of `cuts`."""
    edges = [0, *cuts, table.num_rows]
    slices = [table.slice(start, end - start) for start, end in pairwise(edges)]
    return ObjectTable("s3://bank/day.parquet", table.num_rows, table.schema, lambda: iter(slices))


def of_frame(frame: pd.DataFrame, cuts: Sequence[int] = ()) -> ObjectTable:
    return of_table(pa.Table.from_pandas(frame, preserve_index=False), cuts)


def of_csv(folder: Path, text: str, classifier: FraudClassifier) -> ObjectTable:
    """A CSV object as scoring opens it."""
    (folder / "day.csv").write_text(text)
    (stored,) = list_objects(pafs.LocalFileSystem(), str(folder), "s3://bank")
    found = open_object(pafs.LocalFileSystem(), stored, lambda columns: text_among(classifier.encoder, columns))
    assert isinstance(found, ObjectTable), found
    return found


def told(o: ObjectTable, classifier: FraudClassifier) -> str:
    """The error that scoring ends in."""
    with pytest.raises(DataError) as error:
        list(score_pieces(o, classifier, 7))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_each_row_gets_probability_decision_version_and_threshold_beside_its_own_columns(
    classifier: FraudClassifier,
) -> None:
    scored = pa.concat_tables(score_pieces(of_frame(ROWS), classifier, 7))
    assert scored.schema.names == [*ROWS.columns, *SCORES.names]
    expected = classifier.predict_proba(ROWS)[:, 1]
    np.testing.assert_array_equal(scored.column("fraud_probability"), expected)
    assert scored.column("is_fraud").to_pylist() == classifier.predict(ROWS).astype(bool).tolist()
    assert set(scored.column("is_fraud").to_pylist()) == {True, False}
    assert scored.column("model_version").unique().to_pylist() == [7]
    assert scored.column("threshold").unique().to_pylist() == [0.3]
    own = pa.Table.from_pandas(ROWS, preserve_index=False).replace_schema_metadata(None)
    assert scored.select(list(ROWS.columns)).equals(own)


def test_how_rows_are_spread_over_pieces_makes_no_difference(classifier: FraudClassifier) -> None:
    pieces = list(score_pieces(of_frame(ROWS, [1, 100, 100, 299]), classifier, 7))
    assert [piece.num_rows for piece in pieces] == [1, 99, 0, 199, 1]
    assert pa.concat_tables(pieces).equals(pa.concat_tables(score_pieces(of_frame(ROWS), classifier, 7)))


def test_a_piece_is_read_when_it_is_asked_for(classifier: FraudClassifier) -> None:
    table, read = pa.Table.from_pandas(ROWS, preserve_index=False), []

    def pieces() -> Iterator[pa.Table]:
        for i in range(3):
            read.append(i)
            yield table

    first = next(score_pieces(ObjectTable("o", 900, table.schema, pieces), classifier, 7))
    assert first.num_rows == 300
    assert read == [0]


def test_columns_that_no_model_sees_pass_through_whatever_they_are(classifier: FraudClassifier) -> None:
    table = pa.Table.from_pandas(ROWS.head(3), preserve_index=False)
    table = table.append_column("id", pa.array(["01", None, "03"]).dictionary_encode())
    table = table.append_column("at", pa.array([1, 2, None], pa.timestamp("us", "Europe/Berlin")))
    table = table.append_column("tags", pa.array([[1], [], None]))
    scored = pa.concat_tables(score_pieces(of_table(table), classifier, 7))
    for column in ("id", "at", "tags"):
        assert scored.column(column).equals(table.column(column))


def test_order_and_physical_types_of_the_columns_make_no_difference(classifier: FraudClassifier) -> None:
    table = pa.Table.from_pandas(ROWS, preserve_index=False)
    other = pa.table(
        {
            "channel": table.column("channel").cast(pa.large_string()).dictionary_encode(),
            "share": table.column("share"),
            "night": table.column("night").cast(pa.int8()),
            "count": table.column("count").cast(pa.decimal128(20, 0)),
            "amount": table.column("amount"),
        }
    )
    probability = [
        pa.concat_tables(score_pieces(of_table(t), classifier, 7)).column("fraud_probability") for t in (table, other)
    ]
    assert probability[0].equals(probability[1])


def test_a_column_without_any_value_is_missing_in_each_row(classifier: FraudClassifier) -> None:
    scored = pa.concat_tables(score_pieces(of_frame(ROWS.assign(amount=None, channel=None)), classifier, 7))
    np.testing.assert_array_equal(
        scored.column("fraud_probability"), classifier.predict_proba(ROWS.assign(amount=np.nan, channel=None))[:, 1]
    )


def test_an_object_without_rows_has_a_schema_all_the_same(classifier: FraudClassifier, tmp_path: Path) -> None:
    empty = of_csv(tmp_path, ",".join(ROWS.columns) + "\n", classifier)
    assert scored_schema(empty, classifier.encoder).names == [*ROWS.columns, *SCORES.names]
    assert sum(piece.num_rows for piece in score_pieces(empty, classifier, 7)) == 0


def test_categories_and_what_no_model_sees_stay_text_in_csv(classifier: FraudClassifier, tmp_path: Path) -> None:
    text = "amount,count,share,night,channel,card\n1,2,0.5,true,01,007\n,3,0.5,false,,008\n"
    scored = pa.concat_tables(score_pieces(of_csv(tmp_path, text, classifier), classifier, 7))
    assert scored.column("channel").to_pylist() == ["01", None]
    assert scored.column("card").to_pylist() == ["007", "008"]
    assert scored.column("amount").to_pylist() == [1, None]


def test_all_columns_that_are_missing_are_told_with_those_that_are_there(classifier: FraudClassifier) -> None:
    message = told(of_frame(ROWS.rename(columns={"amount": "Amount"}).drop(columns="night")), classifier)
    assert "s3://bank/day.parquet, column 'amount': there is no such column, but the model needs it" in message
    assert "did you mean 'Amount' or " in message
    assert "s3://bank/day.parquet, column 'night': there is no such column" in message


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("amount", pa.array(["1.5"] * 300), "the column is string; the model expects numbers or booleans"),
        ("amount", pa.array([0] * 300, pa.timestamp("s")), "the column is timestamp[s]; the model expects numbers"),
        ("channel", pa.array([1.5] * 300), "the column is double; the model expects text"),
    ],
)
def test_a_column_of_another_kind_is_told(
    classifier: FraudClassifier, column: str, values: pa.Array, expected: str
) -> None:
    table = pa.Table.from_pandas(ROWS, preserve_index=False)
    table = table.set_column(table.column_names.index(column), column, values)
    assert f"s3://bank/day.parquet, column {column!r}: {expected}" in told(of_table(table), classifier)


def test_a_text_among_the_numbers_of_a_csv_is_told_with_its_row(classifier: FraudClassifier, tmp_path: Path) -> None:
    rows = ROWS.assign(count=ROWS["count"].astype(object)).copy()
    rows.loc[4, "count"] = "many"
    message = told(of_csv(tmp_path, rows.to_csv(index=False), classifier), classifier)
    assert "s3://bank/day.csv, column 'count', row 5: 'many': text among 299 numbers" in message


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
def test_a_number_beyond_what_the_model_takes_is_told_with_its_row_in_the_object(
    classifier: FraudClassifier, value: float
) -> None:
    rows = ROWS.copy()
    rows.loc[250, "amount"] = value
    message = told(of_frame(rows, [100, 200]), classifier)
    assert message.startswith("s3://bank/day.parquet, column 'amount', row 251: infinite, or too large for the model")


@pytest.mark.parametrize("name", SCORES.names)
def test_a_column_that_is_called_like_one_of_ours_is_told(classifier: FraudClassifier, name: str) -> None:
    message = told(of_frame(ROWS.assign(**{name: 0})), classifier)
    assert f"column {name!r}: the scored object gets a column of this name; rename it, or leave it out" in message


def test_two_columns_of_one_name_are_told(classifier: FraudClassifier) -> None:
    table = pa.Table.from_pandas(ROWS, preserve_index=False)
    assert "2 columns have this name" in told(of_table(table.append_column("amount", table.column(0))), classifier)


ENTRY = LedgerEntry("s3://in/a.csv", 10, 1_700_000_000_123_456_789, 5, 2, 7, 0.3, "s3://out/a.parquet", 1)


def test_an_entry_comes_back_from_a_footer_bit_by_bit(tmp_path: Path) -> None:
    with pq.ParquetWriter(tmp_path / "a.parquet", SCORES) as writer:
        writer.add_key_value_metadata(ENTRY.to_footer())
    assert LedgerEntry.from_footer(pq.read_metadata(tmp_path / "a.parquet").metadata) == ENTRY


def test_a_footer_of_something_else_has_no_entry() -> None:
    with pytest.raises(DataError, match="not written by scored_transactions"):
        LedgerEntry.from_footer({b"pandas": b"{}"})


@pytest.mark.parametrize("change", [("s3://in/b.csv", 10, ENTRY.modified), (ENTRY.source, 11, ENTRY.modified),
                                    (ENTRY.source, 10, ENTRY.modified + 1)])  # fmt: skip
def test_an_object_is_another_if_its_path_its_size_or_its_time_is(change: tuple[str, int, int]) -> None:
    assert ENTRY.is_of(ENTRY.source, ENTRY.size, ENTRY.modified)
    assert not ENTRY.is_of(*change)


def test_the_ledger_is_one_row_an_object_and_may_be_empty() -> None:
    table = ledger_table([ENTRY])
    assert table.schema == LEDGER_SCHEMA
    assert table.column("modified").cast(pa.int64()).to_pylist() == [ENTRY.modified]
    assert ledger_table([]).num_rows == 0
