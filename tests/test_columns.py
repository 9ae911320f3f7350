"""What Dagster's catalogue says of the columns of the assets' tables."""

from collections.abc import Mapping

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fraud_assets.assets.columns import LEDGER_COLUMNS, split_lineage, split_schema, trials_schema
from fraud_assets.ml.evaluate import METRICS
from fraud_assets.ml.result_grid import grid_frame
from fraud_assets.ml.schema import ColumnRoles
from fraud_assets.ml.scoring_ledger import LEDGER_SCHEMA
from fraud_assets.ml.split import Split, SplitSettings

ROLES = ColumnRoles("is_fraud", 1, "card", "at", ("amount", "channel"))


def split(strategy: str, settings: Mapping[str, bool] | None = None) -> Split:
    roles = np.array(["fold_0", "train", "holdout"], dtype=object)
    fits = np.array([[False, True], [True, True], [False, False]])
    return Split(roles, fits, SplitSettings(**(settings or {})), strategy, "v1")  # type: ignore[arg-type]


def lineage(made: Split) -> dict[str, set[str]]:
    found = split_lineage(ROLES, made)
    assert {dep.asset_key for deps in found.deps_by_column.values() for dep in deps} == {dg.AssetKey("raw_dataset")}
    return {name: {dep.column_name for dep in deps} for name, deps in found.deps_by_column.items()}


def test_every_column_of_the_trials_is_described() -> None:
    numbers = {name: 0.5 for metric in METRICS for name in (metric, f"{metric}_std")}
    trial = {"trial_id": "t", "name": "n", "status": "finished", "params": {"eta": 0.1}, "metrics": numbers}
    grid = grid_frame([trial]).assign(weight=1.0, pareto_front=True)
    columns = trials_schema(pa.Table.from_pandas(grid).schema).columns
    assert {column.name for column in columns} >= {"trial_id", "average_precision", "params/eta", "weight"}
    assert [column.name for column in columns if not column.description] == []


def test_every_column_of_the_ledger_is_described() -> None:
    assert list(LEDGER_COLUMNS) == LEDGER_SCHEMA.names


def test_every_column_of_the_split_is_described_whatever_the_folds() -> None:
    columns = split_schema(split("group").to_arrow().schema).columns
    assert [column.name for column in columns] == ["row_id", "role", "fits_fold_0", "fits_holdout"]
    assert all(column.description for column in columns)


@pytest.mark.parametrize(
    ("made", "role", "fits"),
    [
        (split("time", {"leave_out_known": True}), {"at", "card", "is_fraud"}, {"at"}),
        (split("time", {"leave_out_known": False}), {"at"}, {"at"}),
        (split("group"), {"card", "is_fraud"}, {"card", "is_fraud"}),
        # Exact copies stay together, and which rows are copies every column decides.
        (split("stratified"), set(ROLES.columns), set(ROLES.columns)),
    ],
    ids=["time", "time, known ones judged", "group", "stratified"],
)
def test_a_role_comes_of_the_columns_that_decide_it(made: Split, role: set[str], fits: set[str]) -> None:
    assert lineage(made) == {"role": role, "fits_fold_0": fits, "fits_holdout": fits}


def test_roles_are_decided_by_no_column_that_the_data_lacks() -> None:
    roles = ColumnRoles("is_fraud", 1, None, "at", ("amount",))
    deps = split_lineage(roles, split("time")).deps_by_column["role"]
    assert [dep.column_name for dep in deps] == ["at"]


def test_columns_of_the_lineage_are_columns_of_the_value() -> None:
    made = split("group")
    assert set(lineage(made)) == set(made.to_arrow().schema.names) - {"row_id"}
    assert pd.Series(made.fit_names).is_unique
