from dataclasses import replace

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa

from fraud_assets import checks
from fraud_assets.ml.leakage import find_leakage
from fraud_assets.ml.random_split import split_at_random
from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.split import Split, SplitSettings
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
