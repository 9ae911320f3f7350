from dataclasses import replace

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa

from fraud_assets import checks
from fraud_assets.ml.calibration import summarize_calibration
from fraud_assets.ml.drift import DriftThresholds, find_drift
from fraud_assets.ml.fraud_metrics import MetricSettings
from fraud_assets.ml.judgement import judge
from fraud_assets.ml.leakage import find_leakage
from fraud_assets.ml.random_split import split_at_random
from fraud_assets.ml.reference import Reference
from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.scored_rows import ScoredRows
from fraud_assets.ml.split import Split, SplitSettings
from tests.ml.scored import scored
from tests.ml.tables import LABEL, dataset_of, of_cards, split_by_group, transactions


def verdicts(dataset: Dataset, split: Split) -> dict[str | None, bool]:
    return {result.check_name: result.passed for result in checks.of_split(dataset, split)}


def test_a_split_by_group_keeps_copies_and_entities_on_one_side() -> None:
    cards = of_cards()
    assert verdicts(cards, split_by_group(cards, SplitSettings())) == {
        "copies_on_one_side": True,
        "entities_on_one_side": True,
    }


def test_an_entity_in_two_roles_fails_unless_the_split_is_by_time() -> None:
    cards = of_cards()
    split = split_at_random(cards, SplitSettings(), entities_intact=False)
    by_entity = "entities_on_one_side"

    assert not verdicts(cards, split)[by_entity]
    assert verdicts(cards, replace(split, strategy="time"))[by_entity]
    result = next(r for r in checks.of_split(cards, split) if r.check_name == by_entity)
    assert "use strategy group or time" in str(result.description)


def test_a_copy_in_another_role_fails_with_the_count() -> None:
    frame = transactions(300)
    dataset = dataset_of(pd.concat([frame, frame.head(7)], ignore_index=True))
    roles = np.array(["fold_0"] * 300 + ["holdout"] * 7, dtype=object)
    split = Split.of_parts(roles, SplitSettings(), "stratified", "v1")
    copies = next(r for r in checks.of_split(dataset, split) if r.check_name == "copies_on_one_side")

    assert not copies.passed
    assert copies.description == "copies of 7 rows are in more than one role"


def test_a_leakage_suspect_is_a_warning_that_names_the_column() -> None:
    frame = transactions(1000)
    result = checks.of_leakage(find_leakage(dataset_of(frame.assign(blocked=frame[LABEL] * 1.5))))

    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert "blocked decides the label nearly alone" in str(result.description)


def of_drift(now: pd.DataFrame) -> dg.AssetCheckResult:
    reference = Reference.of(dataset_of(transactions(1000)))
    return checks.of_drift(find_drift(reference, dataset_of(now, version="v2"), DriftThresholds()))


def test_without_a_champion_nothing_has_drifted() -> None:
    result = checks.of_drift(None)
    assert result.passed
    assert result.description == "no champion to compare with"


def test_drift_is_a_warning_that_says_what_and_how_much() -> None:
    frame = transactions(1000, seed=1)
    result = of_drift(frame.assign(share=frame["share"] + 1))

    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert str(result.description).startswith("share: distributed differently (PSI ")


def test_data_as_before_passes_with_all_that_was_compared() -> None:
    result = of_drift(transactions(1000, seed=1).assign(new=1))
    shown = {name: value.value for name, value in result.metadata.items()}

    assert result.passed
    assert result.description is None
    columns = result.metadata["columns"]
    assert isinstance(columns, dg.TableMetadataValue)
    assert {record.data["column"] for record in columns.records} == {*transactions(50).columns, "new"} - {LABEL}
    assert (shown["data version"], shown["data version of the champion"]) == ("v2", "v1")
    assert (shown["prevalence"], shown["prevalence of the champion's data"]) == (0.2, 0.2)
    assert (shown["columns that are gone"], shown["columns that are new"]) == ("none", "new")
    thresholds = result.metadata["thresholds"]
    assert isinstance(thresholds, dg.TableMetadataValue)
    assert {"threshold": "psi", "value": 0.2} in [record.data for record in thresholds.records]


def test_the_check_for_drift_blocks_nothing() -> None:
    assert not checks.DRIFT.blocking
    assert checks.DRIFT.asset_key == dg.AssetKey("raw_dataset")


def test_a_failed_blocking_check_keeps_what_follows_from_starting() -> None:
    started = []

    @dg.asset(check_specs=[checks.ENTITIES])
    def dataset_split():  # type: ignore[no-untyped-def]
        cards = of_cards()
        split = split_at_random(cards, SplitSettings(), entities_intact=False)
        failed = [r for r in checks.of_split(cards, split) if r.check_name == checks.ENTITIES.name]
        return dg.MaterializeResult(value=pa.table({}), check_results=failed)

    @dg.asset
    def tuning_results(dataset_split: pa.Table) -> None:
        started.append("tuning")

    result = dg.materialize([dataset_split, tuning_results], raise_on_error=False)

    assert not result.success
    assert started == []


def verdicts_on(rows: ScoredRows, validation: float) -> dict[str | None, dg.AssetCheckResult]:
    judgement = judge(rows, 0.5, {}, MetricSettings(), resamples=200)
    calibration = summarize_calibration(rows.y, rows.probability)
    metrics = {"average_precision": validation, "average_precision_std": 0.01}
    return {r.check_name: r for r in checks.of_model(judgement, calibration, "average_precision", metrics)}


def test_a_model_that_knows_something_passes_and_one_that_guesses_has_no_signal() -> None:
    knows, guesses = scored(signal=3), scored(signal=0)

    assert verdicts_on(knows, 0.7)["signal"].passed
    verdict = verdicts_on(guesses, 0.1)["signal"]
    assert not verdict.passed
    assert "no signal" in str(verdict.description)


def test_a_holdout_far_below_the_validation_is_overfit() -> None:
    rows = scored(signal=1)
    assert not verdicts_on(rows, 0.95)["no_overfit"].passed
    assert verdicts_on(rows, 0.3)["no_overfit"].passed


def test_probabilities_worse_than_a_constant_fail_the_calibration() -> None:
    rows = scored(signal=3)
    assert verdicts_on(rows.with_probability(rows.probability * 0.3), 0.7)["calibration"].passed
    assert not verdicts_on(rows.with_probability(0.5 + rows.probability / 2), 0.7)["calibration"].passed
