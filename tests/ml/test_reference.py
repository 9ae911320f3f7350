"""What is kept of a data set to compare later ones with."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud_assets.ml import reference as module
from fraud_assets.ml.reference import MAX_SAMPLE, Reference
from fraud_assets.ml.schema import DataError
from tests.ml.tables import LABEL, dataset_of, of_cards, transactions


def test_counts_are_those_of_all_rows_and_the_sample_is_a_part_of_them() -> None:
    frame = transactions(MAX_SAMPLE + 5000)
    kept = Reference.of(dataset_of(frame))

    assert kept.sample.num_rows == MAX_SAMPLE
    assert kept.features == ("amount", "count", "share", "night", "channel")
    assert (kept.rows, kept.frauds, kept.prevalence) == (len(frame), frame[LABEL].sum(), 0.2)
    assert kept.missing == frame.drop(columns=LABEL).isna().sum().to_dict()
    assert kept.missing_rate("night") == pytest.approx(frame["night"].isna().mean())
    assert kept.categories == {"channel": frame["channel"].value_counts().to_dict()}
    assert set(kept.numbers("share")) <= set(frame["share"].astype(np.float32))


def test_the_sample_is_drawn_over_all_rows_without_repetition() -> None:
    position = np.arange(3 * MAX_SAMPLE)
    drawn = Reference.of(dataset_of(pd.DataFrame({"position": position, LABEL: position % 2}))).numbers("position")

    assert len(np.unique(drawn)) == MAX_SAMPLE
    assert drawn.mean() == pytest.approx(position.mean(), rel=0.02)


def test_equal_seeds_draw_equal_rows_and_others_do_not() -> None:
    dataset = dataset_of(transactions(MAX_SAMPLE + 5000))
    assert Reference.of(dataset, seed=3) == Reference.of(dataset, seed=3)
    assert Reference.of(dataset, seed=3).sample != Reference.of(dataset, seed=4).sample


def test_few_rows_are_all_kept() -> None:
    dataset = dataset_of(transactions(50))
    assert Reference.of(dataset).sample.equals(dataset.table.select(list(dataset.roles.features)))


def test_one_parquet_object_gives_it_back() -> None:
    kept = Reference.of(replace(of_cards(), source="s3://bucket/raw"))
    kept = replace(kept, categories={"channel": {"app": 2, "é": 1}}, truncated=("channel",))
    sink = pa.BufferOutputStream()
    pq.write_table(kept.to_arrow(), sink)

    assert Reference.from_arrow(pq.read_table(pa.BufferReader(sink.getvalue()))) == kept
    assert (kept.version, kept.source) == ("v1", "s3://bucket/raw")


def test_of_many_categories_the_most_frequent_are_kept_and_the_others_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CATEGORIES", 2)
    frame = pd.DataFrame({"many": list("aaabbccccd"), "few": list("xyxyxyxyxy"), LABEL: [0, 1] * 5})
    kept = Reference.of(dataset_of(frame))

    assert kept.categories == {"many": {"c": 4, "a": 3}, "few": {"x": 5, "y": 5}}
    assert kept.truncated == ("many",)


def test_a_column_has_the_kind_of_its_values_and_none_without_any() -> None:
    frame = transactions(50).assign(nothing=None, nan=np.nan)
    kept = Reference.of(dataset_of(frame))
    kinds = {column: kept.kind(column) for column in kept.features}
    assert kinds == {
        "amount": "number",
        "count": "number",
        "share": "number",
        "night": "boolean",
        "channel": "category",
        "nothing": "empty",
        "nan": "empty",
    }


def test_an_infinite_value_is_not_missing() -> None:
    frame = pd.DataFrame({"amount": [1.0, np.inf, -np.inf, np.nan], LABEL: [0, 1, 0, 1]})
    assert Reference.of(dataset_of(frame)).missing == {"amount": 1}


def test_frauds_of_one_card_come_as_one_burst() -> None:
    frame = pd.DataFrame({"card": list("aaaabc"), "amount": range(6), LABEL: [1, 1, 1, 0, 1, 0]})
    # Three frauds have three on their card, one is alone.
    assert Reference.of(dataset_of(frame, entity="card")).burst == pytest.approx((3 * 3 + 1) / 4)
    assert Reference.of(dataset_of(frame)).burst == 1
    assert Reference.of(dataset_of(frame.assign(**{LABEL: 0}), entity="card")).burst == 1


def test_a_data_set_without_rows_is_refused() -> None:
    with pytest.raises(DataError, match="v1 has no rows"):
        Reference.of(dataset_of(transactions(50).head(0)))
