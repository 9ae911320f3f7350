"""What can't be worked with ends in one readable message before anything depends on it, and spoils nothing."""

from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.conftest import UseS3
from tests.integration.graph import ASSETS, Outcome, materialize, mlflow_runs
from tests.integration.transactions import ROLES, transactions, write_transactions
from tests.servers import S3Server

pytestmark = pytest.mark.integration


def files(folder: Path) -> dict[str, bytes]:
    """What stands in a folder, at any depth."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def dataset(uri: object, **more: Any) -> dict[str, Any]:
    return {"uri": str(uri), **ROLES, **more}


def nothing_was_made(run: Outcome, work: Path) -> bool:
    return not run.success and run.materialized == [] and not (work / ".fraud_assets").exists()


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"tuning_results": {"trials": 0}}, "trials"),
        ({"tuning_results": {"max_concurrent": 0}}, "max_concurrent"),
        ({"tuning_results": {"search_space": "nope"}}, "search_space 'nope' is unknown: expected one of"),
        ({"tuning_results": {"search_space": "no_such_module:space"}}, "'no_such_module:space' can't be imported"),
        ({"dataset_split": {"holdout_fraction": 0.9}}, "holdout_fraction"),
    ],
)
def test_a_value_out_of_bounds_anywhere_stops_the_first_step(work: Path, config: dict[str, Any], told: str) -> None:
    run = materialize({"raw_dataset": dataset(write_transactions(work)), **config})
    assert told in run.messages["raw_dataset"]
    assert list(run.messages) == ["raw_dataset"]
    assert nothing_was_made(run, work)


@pytest.mark.parametrize(
    "config", [{"metric": "f2"}, {"trials": "many"}, {"trails": 10}], ids=["unknown metric", "wrong type", "misspelt"]
)
def test_a_value_that_is_none_of_the_choices_starts_no_run(work: Path, config: dict[str, Any]) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match=next(iter(config))):
        materialize({"raw_dataset": dataset(write_transactions(work)), "tuning_results": config})
    assert not (work / ".fraud_assets").exists()


def test_a_value_out_of_bounds_of_a_resource_stops_the_first_step(work: Path) -> None:
    resources = {"ray": {"config": {"num_cpus": 0}}}
    run = materialize({"raw_dataset": dataset(write_transactions(work)), "resources": resources})
    assert "num_cpus" in run.log
    assert nothing_was_made(run, work)


@pytest.fixture
def made(work: Path) -> Path:
    """A working directory in which the data set and its split were made once."""
    run = materialize({"raw_dataset": dataset(write_transactions(work))}, ASSETS[:2])
    assert run.success, run.messages
    return work


def truncated(raw: Path) -> None:
    content = (raw / "transactions.parquet").read_bytes()
    (raw / "truncated.parquet").write_bytes(content[: len(content) // 2])


def no_label(raw: Path) -> None:
    transactions().drop(columns="is_fraud").to_parquet(raw / "transactions.parquet")


def one_class(raw: Path) -> None:
    transactions().assign(is_fraud=False).to_parquet(raw / "transactions.parquet")


def no_rows(raw: Path) -> None:
    transactions().head(0).to_parquet(raw / "empty.parquet")


def no_objects(raw: Path) -> None:
    (raw / "transactions.parquet").rename(raw / "transactions.txt")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (truncated, ["truncated.parquet: the object is not a complete Parquet file"]),
        (no_label, ["column 'is_fraud'", "there is no such column, but 'label' names it"]),
        (one_class, ["column 'is_fraud'", "one class only"]),
        (no_rows, ["empty.parquet: the object has a header but no rows"]),
        (no_objects, ["holds no data: expected objects whose names end in .csv"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_bad_data_stops_the_graph_and_the_last_good_values_stay(made: Path, spoil: Any, told: list[str]) -> None:
    before = files(made / ".fraud_assets")
    spoil(made / "raw")
    run = materialize({"raw_dataset": dataset(made / "raw")})
    assert list(run.messages) == ["raw_dataset"]
    for text in told:
        assert text in run.messages["raw_dataset"]
    assert "Traceback" not in run.messages["raw_dataset"]
    assert run.materialized == []
    assert files(made / ".fraud_assets") == before


def test_a_split_of_older_data_is_told_and_no_trial_starts(made: Path) -> None:
    write_transactions(made, seed=1)
    run = materialize({"raw_dataset": dataset(made / "raw")}, ["raw_dataset"])
    assert run.success
    run = materialize({}, ["tuning_results"])
    told = run.messages["tuning_results"]
    assert "dataset_split was made for data version" in told
    assert "materialize dataset_split, and what follows it, again" in told
    assert not (made / ".fraud_assets" / "mlflow.db").exists()


@pytest.mark.usefixtures("local_ray")
def test_parameters_tuned_on_older_data_are_told_and_no_model_is_logged(made: Path) -> None:
    tuning = {"tuning_results": {"trials": 1}}
    assert materialize(tuning, ["tuning_results", "best_params"]).success
    write_transactions(made, seed=1)
    assert materialize({"raw_dataset": dataset(made / "raw")}, ASSETS[:2]).success
    run = materialize({}, ["fraud_model"])
    told = run.messages["fraud_model"]
    assert "best_params was tuned on data version" in told
    assert "materialize tuning_results and best_params again" in told
    uri = f"sqlite:///{made / '.fraud_assets' / 'mlflow.db'}"
    assert list(MlflowClient(uri).search_model_versions()) == []
    assert {run.info.status for run in mlflow_runs(uri)} == {"FINISHED"}


def test_an_asset_whose_input_was_never_made_says_which(work: Path) -> None:
    run = materialize({}, ["best_params"])
    told = run.messages["best_params"]
    assert "asset tuning_results has no value" in told
    assert "materialize it first" in told


def test_a_trial_that_no_machine_can_hold_is_told_and_not_waited_for(made: Path, local_ray: None) -> None:
    run = materialize({"tuning_results": {"cpus_per_trial": 64}}, ["tuning_results"])
    assert (
        "a trial asks for 64 CPUs, but no machine of the Ray cluster has more than 2" in run.messages["tuning_results"]
    )


def test_a_named_storage_without_a_data_set_gets_no_sample_data(
    work: Path, seaweedfs: S3Server, use_s3: UseS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_s3(seaweedfs)
    bucket = seaweedfs.make_bucket()
    monkeypatch.setenv("FRAUD_STORAGE_URI", f"s3://{bucket}/graph")
    run = materialize()
    assert (
        "no data set is named: set `uri` of raw_dataset's config, or FRAUD_DATASET_URI" in run.messages["raw_dataset"]
    )
    assert nothing_was_made(run, work)
    assert "Contents" not in seaweedfs.client().list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", "access denied; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("FRAUD_STORAGE_URI", "s3://no-such-bucket/graph", "the bucket 'no-such-bucket' doesn't exist there"),
        ("FRAUD_DATASET_URI", "s3://no-such-bucket/raw", "the bucket 'no-such-bucket' doesn't exist there"),
        ("FRAUD_DATASET_URI", "s3://{bucket}/nowhere", "nowhere does not exist: expected objects"),
    ],
)
def test_a_storage_that_does_not_let_us_in_is_told_first(
    work: Path,
    seaweedfs: S3Server,
    use_s3: UseS3,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    told: str,
) -> None:
    use_s3(seaweedfs)
    bucket = seaweedfs.make_bucket()
    monkeypatch.setenv("FRAUD_STORAGE_URI", f"s3://{bucket}/graph")
    monkeypatch.setenv("FRAUD_DATASET_URI", f"s3://{bucket}/raw")
    monkeypatch.setenv("FRAUD_LABEL", "is_fraud")
    monkeypatch.setenv(variable, value.format(bucket=bucket))
    run = materialize()
    assert told in run.messages["raw_dataset"]
    assert seaweedfs.secret_key not in run.log
    assert nothing_was_made(run, work)
    assert "Contents" not in seaweedfs.client().list_objects_v2(Bucket=bucket)


def test_a_csv_of_another_separator_is_told_by_object_and_column(work: Path) -> None:
    (work / "raw").mkdir()
    pd.DataFrame({"amount": [1.5], "is_fraud": [0]}).to_csv(work / "raw" / "a.csv", sep=";", index=False)
    run = materialize({"raw_dataset": {"uri": str(work / "raw"), "label": "is_fraud"}})
    assert "a.csv" in run.messages["raw_dataset"]
    assert nothing_was_made(run, work)
