import json

import numpy as np
import pandas as pd
import pytest

from fraud_assets.ml.features import FeatureEncoder
from tests.ml.tables import dataset_of, transactions

FRAME = pd.DataFrame(
    {
        "amount": [1.5, np.nan, -3.0],
        "count": [1, 2, 3],
        "night": [True, None, False],
        "is_card_present": [True, False, True],
        "channel": ["web", "app", None],
    }
)
ENCODER = FeatureEncoder.fit(FRAME, ["channel"])
MATRIX = np.array(
    [[1.5, 1, 1, 1, 1], [np.nan, 2, np.nan, 0, 0], [-3, 3, 0, 1, np.nan]],
    dtype=np.float32,
)


def test_each_kind_of_column_becomes_numbers() -> None:
    matrix = ENCODER.transform(FRAME)

    np.testing.assert_array_equal(matrix, MATRIX)
    assert matrix.dtype == np.float32
    assert ENCODER.columns == tuple(FRAME.columns)
    assert ENCODER.feature_types == ["q", "q", "q", "q", "c"]
    assert ENCODER.discrete.tolist() == [False, False, True, True, True]


@pytest.mark.parametrize(
    "spelling",
    [
        FRAME.convert_dtypes(),
        FRAME.convert_dtypes(dtype_backend="pyarrow"),
        FRAME.astype(object),
        FRAME.astype({"channel": "category", "count": "int8", "amount": "float32"}),
        FRAME.assign(unknown="x")[["unknown", *reversed(FRAME.columns)]],
    ],
    ids=["nullable", "pyarrow", "objects", "small", "reordered"],
)
def test_how_a_frame_stores_its_values_makes_no_difference(spelling: pd.DataFrame) -> None:
    np.testing.assert_array_equal(ENCODER.transform(spelling), MATRIX)
    assert set(FeatureEncoder.fit(spelling, ["channel"]).booleans) == {"night", "is_card_present"}


def test_rows_are_encoded_the_same_alone_and_together() -> None:
    dataset = dataset_of(transactions(50))
    encoder = FeatureEncoder.fit(dataset.X, dataset.roles.categorical)
    alone = np.vstack([encoder.transform(dataset.X.iloc[[row]]) for row in range(50)])
    np.testing.assert_array_equal(alone, encoder.transform(dataset.X))


def test_no_rows_are_encoded_as_no_rows() -> None:
    assert ENCODER.transform(FRAME[:0]).shape == (0, 5)


def test_a_category_never_seen_is_missing() -> None:
    column = ENCODER.transform(FRAME.assign(channel=["phone", "app", "web"]))[:, 4]
    np.testing.assert_array_equal(column, [np.nan, 0, 1])


def test_a_vocabulary_does_not_depend_on_the_order_of_rows() -> None:
    assert FeatureEncoder.fit(FRAME[::-1], ["channel"]) == ENCODER


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match=r"no column \['amount', 'night'\]; the model expects \['amount', 'count'"):
        ENCODER.transform(FRAME.drop(columns=["amount", "night"]))


@pytest.mark.parametrize("values", [["much", "2", "3"], [pd.Timestamp(2024, 1, 1)] * 3, [[1], [2], [3]]])
def test_what_is_not_a_number_is_refused_by_name(values: list[object]) -> None:
    with pytest.raises(ValueError, match="column 'count' holds something that is not a number"):
        ENCODER.transform(FRAME.assign(count=pd.Series(values)))


def test_one_hot_gives_each_category_a_column() -> None:
    hot = ENCODER.one_hot(MATRIX)

    assert ENCODER.one_hot_names == ["amount", "count", "night", "is_card_present", "channel=app", "channel=web"]
    np.testing.assert_array_equal(hot[:, :4], MATRIX[:, :4])
    # A missing category is none of them.
    np.testing.assert_array_equal(hot[:, 4:], [[0, 1], [1, 0], [0, 0]])
    assert hot.dtype == np.float32


def test_an_encoder_comes_back_from_json_as_it_was() -> None:
    assert FeatureEncoder.from_dict(json.loads(json.dumps(ENCODER.to_dict()))) == ENCODER
