from dataclasses import fields, replace
from typing import Any

import pytest

from fraud_assets.ml.markdown import shortened, table
from fraud_assets.ml.model_card import ModelCard, Part

CARD = ModelCard(
    name="fraud_model",
    version=3,
    model_uri="models:/fraud_model/3",
    created="2026-01-02",
    run="run-17",
    source="s3://transactions/2026",
    data_version="data-ab12",
    rows=25_000,
    frauds=200,
    time_span=("2025-03-01", "2025-04-30"),
    roles={"label": "is_fraud", "entity": "card_id", "time": "booked_at"},
    features=["amount", "channel"],
    categorical=["channel"],
    sampled="Every tenth card of March.",
    split="By time: the latest 20% judge.",
    parts=[Part("holdout", 5_000, 40, "2025-04-20", "2025-04-30"), Part("fold_0", 6_667, 53)],
    search_space="article",
    trials={"finished": 48, "failed": 2},
    metric="average_precision",
    members=[("passthrough-dart-1", 0.75, {"booster": "dart", "eta": 0.123456789}), ("x-2", 0.25, {"booster": "f"})],
    validation={"average_precision": 0.61, "average_precision_std": 0.02, "f1": 0.55},
    holdout={"average_precision": 0.58, "recall": 0.45, "precision": 0.54},
    intervals={"average_precision": (0.49, 0.66)},
    baselines={"XGBoost's defaults": {"average_precision": 0.52}},
    gains={"XGBoost's defaults": (0.06, 0.01, 0.11)},
    has_signal=True,
    threshold=0.204,
    threshold_rule="Best F1 on the validation rows.",
    refit_on_all=True,
    limits=["Nothing abroad."],
)


def row(rendered: str, name: str) -> list[str]:
    """The cells of the table row that begins with `name`."""
    (line,) = [line for line in rendered.splitlines() if line.startswith(f"| {name} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(
    "said",
    [
        "# fraud_model, version 3",
        "Created: 2026-01-02",
        "MLflow run: run-17",
        "Source: s3://transactions/2026",
        "Data version: data-ab12",
        "Rows: 25,000",
        "Frauds: 200 (0.800%)",
        "Time span: 2025-03-01 to 2025-04-30",
        "Entity: card_id",
        "Features (2): amount, channel",
        "Every tenth card of March.",
        "By time: the latest 20% judge.",
        "Trials: 48 finished, 2 failed",
        "over XGBoost's defaults: +0.0600 (95% interval +0.0100 to +0.1100)",
        "at least **0.204**",
        "of 100 frauds about 45 are found, of 100 alarms about 54 are fraud",
        "Best F1 on the validation rows.",
        "the final fit itself has not been judged",
        "Nothing abroad.",
        'load_model("models:/fraud_model/3")',
    ],
)
def test_the_card_says_what_it_was_given(said: str) -> None:
    assert said in CARD.render()


def test_the_tables_have_split_parameters_and_metrics() -> None:
    card = CARD.render()
    assert row(card, "holdout") == ["holdout", "5,000", "40", "0.800%", "2025-04-20", "2025-04-30"]
    # All digits of a parameter, so that the model can be fitted again.
    assert row(card, "passthrough-dart-1") == ["passthrough-dart-1", "75%", "booster = dart, eta = 0.123456789"]
    assert row(card, "average precision")[1:] == ["0.6100 ± 0.0200", "0.5800", "0.4900 to 0.6600", "0.5200"]
    assert row(card, "F1")[1:] == ["0.5500", "", "", ""]


def test_a_model_without_signal_is_refused_before_anything_else() -> None:
    warned = replace(CARD, has_signal=False).render()
    assert warned.index("**No signal.**") < warned.index("## ")
    assert "better than guessing." not in warned.split("## Metrics")[1]
    assert "No signal" not in CARD.render()
    assert "was not tested" in replace(CARD, has_signal=None).render()


def test_what_is_missing_is_said_to_be_missing() -> None:
    card = ModelCard("m", holdout={"f1": 0.5}).render()
    assert "How sure the holdout's numbers are was not computed." in card
    assert "No baselines were computed." in card
    assert "Whether the model was fitted once more on all rows is not known." in card
    assert "None" not in card.replace("None is known.", "")


@pytest.mark.parametrize("name", [field.name for field in fields(ModelCard) if field.name != "name"])
def test_every_field_may_be_missing(name: str) -> None:
    default: dict[str, Any] = {name: getattr(ModelCard("m"), name)}
    assert replace(CARD, **default).render().startswith("# fraud_model")


def test_no_credential_gets_through() -> None:
    card = replace(CARD, source="s3://key:secret@bucket/x", run="https://me:secret@mlflow.example.org/#/1").render()
    assert "secret" not in card
    assert "mlflow.example.org" in card


def test_names_that_look_like_markup_stay_as_they_are() -> None:
    lines = table(("a|b", "n"), [("<b>*x*", 1_000)]).splitlines()
    assert lines == [r"| a\|b      |     n |", "| --------- | ----: |", r"| \<b>\*x\* | 1,000 |"]


def test_a_card_that_is_too_long_ends_with_a_whole_section_and_says_where_the_rest_is() -> None:
    card, rest = CARD.render(), "The rest is elsewhere."
    sections = card.split("\n\n## ")
    most = len("\n\n## ".join(sections[:3])) + len(rest) + 3
    assert shortened(card, most, rest) == "\n\n## ".join(sections[:3]) + f"\n\n{rest}\n"
    assert len(shortened(card, most - 1, rest)) < len(shortened(card, most, rest)) == most
    assert shortened(card, len(card), rest) == card


def test_a_first_section_that_is_too_long_is_cut() -> None:
    assert shortened("# " + "long " * 100, 50, "More.").endswith("\n\nMore.\n")
    assert len(shortened("# " + "long " * 100, 50, "More.")) == 50
