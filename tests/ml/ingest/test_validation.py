"""Content that a model can't be trained on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fraud_assets.ml.ingest.validation import MAX_CATEGORIES, MIN_ROWS
from fraud_assets.ml.schema import DatasetSpec
from tests.ml.ingest.loading import SPEC, good, load, problem, problems, with_values


@pytest.fixture(params=["csv", "parquet"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Stores a frame as one object, in either format, and gives its path."""

    def store(frame: pd.DataFrame, name: str = "a") -> Path:
        if request.param == "csv":
            frame.to_csv(tmp_path / f"{name}.csv", index=False)
        else:
            frame.to_parquet(tmp_path / f"{name}.parquet", index=False)
        return tmp_path

    return store


def columns_of(spec: Mapping[str, Any]) -> DatasetSpec:
    return DatasetSpec(**{"label": "is_fraud", "entity": "card", "time": "at", **spec})


@pytest.mark.parametrize(
    ("spec", "column", "role", "meant"),
    [
        ({"label": "IsFraud"}, "IsFraud", "label", "did you mean 'is_fraud'?"),
        ({"entity": "cart"}, "cart", "entity", "did you mean 'card'"),
        ({"time": "when"}, "when", "time", ""),
        ({"features": ("amount", "chanel")}, "chanel", "features", "did you mean 'channel'"),
        ({"exclude": ("counts",)}, "counts", "exclude", "did you mean 'count'"),
    ],
)
def test_a_missing_column_is_told_with_those_that_exist(
    stored: Any, spec: dict[str, Any], column: str, role: str, meant: str
) -> None:
    # Where a role's column is not found, the real one counts as a feature, and may be told as such too.
    found = next(line for line in problems(stored(good()), columns_of(spec)) if "no such column" in line)
    assert f"column '{column}': there is no such column, but '{role}' names it" in found
    assert "the columns are 'card', 'at', 'amount', 'count', 'channel', 'is_fraud'" in found
    assert meant in found


@pytest.mark.parametrize(
    ("labels", "positive"),
    [
        ({0: False, 1: True}, True),
        ({0: 0, 1: 1}, 1),
        ({0: 0.0, 1: 1.0}, 1.0),
        ({0: "genuine", 1: "fraud"}, "fraud"),
        ({0: "no", 1: "yes"}, "yes"),
    ],
)
def test_labels_of_every_type_work(stored: Any, labels: dict[int, object], positive: object) -> None:
    dataset, report = load(stored(good().assign(is_fraud=good()["is_fraud"].map(labels))))

    assert dataset.roles.positive_label == positive
    assert dataset.y.tolist() == good()["is_fraud"].tolist()
    assert report.fraud_rate == pytest.approx(0.1)


def test_positive_label_decides_which_value_is_fraud(stored: Any) -> None:
    path = stored(good().assign(is_fraud=good()["is_fraud"] + 1))

    assert "name it as `positive_label`" in problem(path)
    assert load(path, columns_of({"positive_label": "2"}))[0].y.sum() == 4
    assert load(path, columns_of({"positive_label": 1}))[0].y.sum() == 36
    assert "positive_label 'fraud' is none of its values 1, 2" in problem(path, columns_of({"positive_label": "fraud"}))


def test_a_label_with_a_third_value_is_told(stored: Any) -> None:
    found = problem(stored(with_values(good(), "is_fraud", {5: 2, 8: 3}).astype({"is_fraud": int})))
    assert "column 'is_fraud', rows 5, 8: not binary, its 4 values are 0, 1, 2, 3; expected two" in found


def test_a_label_of_one_class_is_told(stored: Any) -> None:
    found = problem(stored(good().assign(is_fraud=0)))
    assert "column 'is_fraud': one class only, all labels are 0; expected two values" in found


def test_a_label_that_is_a_list_or_a_time_is_told(tmp_path: Path) -> None:
    lists = good().assign(is_fraud=pd.Series([[0], [1]] * 20, dtype=object))
    for frame, kind in ((lists, "list<"), (good().assign(is_fraud=good()["at"]), "timestamp[")):
        frame.to_parquet(tmp_path / "a.parquet")
        found = problem(tmp_path)
        assert f"column 'is_fraud': the label is {kind}" in found
        assert "expected booleans, numbers or text with two values" in found


def test_missing_labels_are_told(stored: Any) -> None:
    found = problem(stored(good().assign(is_fraud=good()["is_fraud"].where(good()["count"] != 1))))
    assert "column 'is_fraud', rows 2, 7, 12, 17, 22 and 3 more: the label is missing" in found


@pytest.mark.parametrize("column", ["card", "at"])
def test_a_missing_entity_or_time_is_told(stored: Any, column: str) -> None:
    found = problem(stored(with_values(good(), column, {2: None})))
    assert f"column '{column}', row 2: the {'entity' if column == 'card' else 'time'} is missing" in found


@pytest.mark.parametrize(("column", "value"), [("amount", 1.5), ("count", 0), ("channel", "web")])
def test_a_constant_column_is_told(stored: Any, column: str, value: object) -> None:
    path = stored(with_values(good(), column, dict.fromkeys(range(1, 41), value)).infer_objects())

    found = problem(path)
    assert f"column '{column}': constant, all values are {value!r}; expected" in found
    assert "name it in `exclude`" in found
    assert column not in load(path, columns_of({"exclude": (column,)}))[0].roles.features


def test_one_value_beside_missing_ones_is_not_constant(stored: Any) -> None:
    assert len(load(stored(good().assign(count=np.where(good()["count"] > 2, 1.0, np.nan))))[0]) == 40


def test_a_column_without_values_is_told(stored: Any) -> None:
    assert "column 'amount': all values are missing" in problem(stored(good().assign(amount=np.nan)))


def test_infinities_are_told_with_their_rows(stored: Any) -> None:
    found = problem(stored(good().assign(amount=good()["amount"].replace({3.5: np.inf, 6.5: -np.inf}))))
    assert "column 'amount', rows 4, 7: infinite; expected finite numbers" in found


def test_rows_are_those_of_their_own_object(stored: Any) -> None:
    stored(good(30), "a")
    stored(good(30, 30).assign(amount=good(30)["amount"].replace({3.5: np.inf})), "b")
    found = problem(stored(good(30, 60).assign(amount=np.inf), "c"))

    assert found.startswith("s3://bank/raw/b.")
    assert ", row 4: infinite" in found
    assert found.endswith("(and 30 more rows in other objects, 1 of them)")


def test_a_text_with_too_many_values_is_told(stored: Any) -> None:
    frame = good(MAX_CATEGORIES * 2)
    enough = frame.assign(channel=[f"x{i % MAX_CATEGORIES}" for i in range(len(frame))])
    too_many = frame.assign(channel=[f"x{i % (MAX_CATEGORIES + 1)}" for i in range(len(frame))])

    assert load(stored(enough))[0].roles.categorical == ("channel",)
    assert "more than 100 different values, rather an id than a category; name it in `exclude`" in problem(
        stored(too_many)
    )


def test_a_time_without_the_role_is_told(stored: Any) -> None:
    found = problem(stored(good()), DatasetSpec("is_fraud", entity="card"))
    assert "column 'at': a model can't use timestamp" in found
    assert "name it in `exclude`, or as `time`" in found


def test_a_nested_column_is_told(tmp_path: Path) -> None:
    good().assign(basket=pd.Series([[1, 2]] * 40, dtype=object)).to_parquet(tmp_path / "a.parquet")
    assert "column 'basket': a model can't use list<" in problem(tmp_path)


def test_an_entity_that_is_neither_integer_nor_text_is_told(tmp_path: Path) -> None:
    good().assign(card=0.5).to_parquet(tmp_path / "a.parquet")
    assert "column 'card': the entity is double; expected integers or text" in problem(tmp_path)


def test_too_few_rows_are_told_copies_counted_once(stored: Any) -> None:
    few = good(MIN_ROWS - 1)
    assert f"{MIN_ROWS - 1} rows, exact copies counted once; expected {MIN_ROWS} at least" in problem(
        stored(pd.concat([few, few]))
    )
    assert len(load(stored(good(MIN_ROWS)))[0]) == MIN_ROWS


def test_no_feature_left_is_told(stored: Any) -> None:
    spec = columns_of({"exclude": ("amount", "count", "channel")})
    assert "no column is left for the features" in problem(stored(good()), spec)


def test_booleans_and_missing_values_are_data(stored: Any) -> None:
    frame = good().assign(chip=good()["count"] > 2, channel=good()["channel"].where(good()["count"] > 0))
    dataset, _ = load(stored(with_values(frame, "chip", {3: None})))

    assert dataset.roles.categorical == ("channel",)
    assert dataset.X["chip"].isna().sum() == 1
    assert dataset.X["channel"].isna().sum() == 8


def test_all_problems_are_told_at_once(stored: Any) -> None:
    frame = good().assign(
        amount=good()["amount"].replace({3.5: np.inf}), count=1, is_fraud=good()["is_fraud"].where(good()["count"] != 1)
    )
    found = problems(stored(frame), columns_of({"entity": "client"}))

    assert len(found) == 4
    for column, line in zip(("client", "amount", "count", "is_fraud"), found, strict=True):
        assert f"column '{column}'" in line


@pytest.mark.parametrize(
    "spec",
    [
        {"features": ("amount",), "exclude": ("count",)},
        {"exclude": ("is_fraud",)},
        {"features": ("at",)},
        {"entity": "is_fraud"},
        {"features": ("amount", "amount")},
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"features and exclude|more than once"):
        columns_of(spec)


def test_the_message_says_how_rows_are_counted(tmp_path: Path) -> None:
    from fraud_assets.ml.schema import DataError

    with_values(good(), "amount", {3: "free"}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match="a CSV's row 1 is the line under its header"):
        load(tmp_path, SPEC)
