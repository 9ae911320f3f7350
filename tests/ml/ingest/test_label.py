import pytest

from fraud_assets.ml.ingest.label import find_positive
from fraud_assets.ml.schema import Label


@pytest.mark.parametrize(
    ("values", "positive"),
    [
        ([False, True], True),
        ([0, 1], 1),
        ([0.0, 1.0], 1.0),
        ([-1, 1], 1),
        (["0", "1"], "1"),
        (["False", "True"], "True"),
        (["no", "Yes"], "Yes"),
        (["fraud", "non-fraud"], "fraud"),
        (["Fraudulent", "legit"], "Fraudulent"),
    ],
)
def test_an_unambiguous_label_needs_no_positive_label(values: list[Label], positive: Label) -> None:
    found = find_positive(values, None)
    assert found == positive
    assert type(found) is type(positive)


@pytest.mark.parametrize("values", [[1, 2], ["1", "2"], [3, 4], ["A", "B"], ["fraud", "yes"], [0.5, 1.0]])
def test_an_ambiguous_label_asks_for_positive_label(values: list[Label]) -> None:
    with pytest.raises(ValueError, match="name it as `positive_label`") as error:
        find_positive(values, None)
    assert all(repr(value) in str(error.value) for value in values)


@pytest.mark.parametrize(
    ("values", "wanted", "positive"),
    [
        ([0, 1], "1", 1),
        ([0, 1], True, 1),
        ([0, 1], "true", 1),
        ([0, 1], 1.0, 1),
        ([1, 2], "2", 2),
        ([0.0, 1.0], 1, 1.0),
        ([0.0, 1.0], "1", 1.0),
        ([False, True], 1, True),
        ([False, True], "true", True),
        ([False, True], 0, False),
        (["0", "1"], 1, "1"),
        (["No", "Yes"], "yes", "Yes"),
        (["False", "True"], True, "True"),
        (["a", "A"], "A", "A"),
    ],
)
def test_positive_label_may_come_in_another_type(values: list[Label], wanted: Label, positive: Label) -> None:
    found = find_positive(values, wanted)
    assert found == positive
    assert type(found) is type(positive)


@pytest.mark.parametrize(
    ("values", "wanted"), [([0, 1], 2), ([0, 1], "fraud"), (["a", "b"], "c"), ([False, True], "2")]
)
def test_a_positive_label_that_does_not_occur_is_told(values: list[Label], wanted: Label) -> None:
    with pytest.raises(ValueError, match=f"positive_label {wanted!r} is none of its values"):
        find_positive(values, wanted)
