"""What trials are scored by, read without what they are fitted on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud_assets.assets.spread_data import stored_features, without_features
from fraud_assets.io_manager import StoredTable
from fraud_assets.ml.fraud_metrics import MetricSettings
from fraud_assets.ml.schema import DataError, Dataset
from fraud_assets.ml.scoring import Scoring
from fraud_assets.ml.split import SplitSettings
from fraud_assets.ml.study import StudyData
from fraud_assets.ml.threshold import ThresholdPolicy
from fraud_assets.resources.object_store import locate
from tests.ml.tables import of_cards, split_by_group


def scoring(amount_column: str | None) -> Scoring:
    return Scoring(MetricSettings(), ThresholdPolicy(), amount_column)


def stored(dataset: Dataset, folder: Path) -> StoredTable:
    table = dataset.to_arrow()
    pq.write_table(table, folder / "raw.parquet")
    return StoredTable(locate(str(folder / "raw.parquet")), table.schema, table.num_rows)


@pytest.mark.parametrize("amount_column", [None, "amount"])
def test_a_study_without_features_scores_as_the_whole_one(tmp_path: Path, amount_column: str | None) -> None:
    dataset = of_cards()
    split = split_by_group(dataset, SplitSettings(folds=2))
    light = without_features(stored(dataset, tmp_path), scoring(amount_column))
    assert set(light.table.column_names) == {"is_fraud", "card", *([amount_column] if amount_column else [])}
    ours = StudyData.prepare(light, split, 1, scoring(amount_column))
    whole = StudyData.prepare(dataset, split, 1, scoring(amount_column))
    assert ours.X.shape == (len(whole.y), 0)
    random = np.random.default_rng(0)
    predictions = [random.random(len(validate)) for _, validate in whole.folds]
    assert ours.report(predictions) == whole.report(predictions)


def test_features_are_those_of_the_rows_outside_the_holdout(tmp_path: Path) -> None:
    dataset = of_cards()
    split = split_by_group(dataset, SplitSettings(folds=2))
    features = stored_features(stored(dataset, tmp_path), split)
    assert features.columns == ("amount",)
    np.testing.assert_array_equal(features.rows, split.tuning)


def test_an_amount_column_that_is_missing_or_no_number_is_told_with_the_names_of_all_columns(tmp_path: Path) -> None:
    dataset = of_cards()
    with pytest.raises(DataError, match="'price' is not in the data, which has card, amount, is_fraud"):
        without_features(stored(dataset, tmp_path), scoring("price"))
    words = replace(dataset, table=dataset.table.append_column("word", pa.array(["a"] * len(dataset))))
    with pytest.raises(DataError, match="'word' holds object; expected numbers"):
        without_features(stored(words, tmp_path), scoring("word"))
