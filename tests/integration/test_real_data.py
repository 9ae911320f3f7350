"""A slice of the Fraud Detection Handbook's transactions, a local file named by the Launchpad's configuration alone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.bench_data import HANDBOOK, bench_file
from tests.integration.graph import Workplace, holdout, the_study, workplace

pytestmark = [pytest.mark.integration, pytest.mark.long]

CONFIG = """
ops:
  raw_dataset:
    config:
      uri: ../handbook.parquet
      label: TX_FRAUD
      entity: CUSTOMER_ID
      time: TX_DATETIME
      exclude: [TRANSACTION_ID, TERMINAL_ID, TX_TIME_DAYS]
  dataset_split:
    config: {folds: 1}
  tuning_results:
    config: {trials: 4, metric: average_precision, time_budget_s: 120}
execution:
  config: {in_process: {}}
"""
# One customer in 20 for all of the eleven weeks: whole histories, about 37,000 rows.
CUSTOMERS = 20


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    table = pq.read_table(bench_file(HANDBOOK))
    customer = table["CUSTOMER_ID"]
    whole = pc.multiply(pc.divide(customer, CUSTOMERS), CUSTOMERS)
    with workplace(tmp_path_factory.mktemp("handbook")) as place:
        pq.write_table(table.filter(pc.equal(customer, whole)), place.folder.parent / "handbook.parquet")
        (place.folder.parent / "config.yaml").write_text(CONFIG)
        done = place.run(
            "dagster", "asset", "materialize", "--select", "*", "-m", "fraud_assets.definitions", "-c", "../config.yaml"
        )
        assert done.code == 0, done.log
        yield place


def test_frauds_of_the_handbook_are_found(place: Workplace) -> None:
    parent, _ = the_study(f"sqlite:///{place.folder / '.fraud_assets' / 'mlflow.db'}")
    assert holdout(parent)["roc_auc"] > 0.75
    assert holdout(parent)["average_precision"] > 0.3


def test_what_was_excluded_is_no_feature_and_what_was_named_has_its_role(place: Workplace) -> None:
    stored = pq.read_schema(place.folder / ".fraud_assets" / "assets" / "raw_dataset.parquet")
    roles = json.loads(stored.metadata[b"fraud_assets"])["roles"]
    assert (roles["label"], roles["entity"], roles["time"]) == ("TX_FRAUD", "CUSTOMER_ID", "TX_DATETIME")
    assert len(roles["features"]) == 15
    assert not {"TRANSACTION_ID", "TERMINAL_ID", "TX_TIME_DAYS", "TX_FRAUD"} & set(roles["features"])


def test_the_users_folder_is_left_as_it_was(place: Workplace) -> None:
    around = {entry.name for entry in Path(place.folder.parent).iterdir()}
    assert around == {"handbook.parquet", "config.yaml", "home", "work"}
