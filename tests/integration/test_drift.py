"""New data against the champion's, and what follows from it."""

from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from fraud_assets.automation import drift_sensor
from fraud_assets.definitions import defs
from tests.integration.graph import ASSETS, materialize, run_config
from tests.integration.transactions import ROLES, space, write_transactions

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("local_ray")]

WEAK = "return {'n_estimators': 2, 'max_depth': 2, 'eta': trial.suggest_float('eta', 0.1, 0.11)}"


def look(raw: Path, home: Path) -> tuple[dg.AssetCheckEvaluation, Any]:
    """Run check_drift_job; what the check says, and what the sensor makes of it."""
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        job = defs.resolve_job_def("check_drift_job")
        result = job.execute_in_process(
            run_config=run_config({"raw_dataset": {"uri": str(raw), **ROLES}}), instance=instance, tags={"why": "test"}
        )
        (check,) = (told for told in result.get_asset_check_evaluations() if told.check_name == "no_drift")
        context = dg.build_run_status_sensor_context(
            "drift_sensor", result.get_run_success_event(), instance, result.dagster_run
        )
        return check, drift_sensor(context)


def test_drift_is_told_by_column_and_asks_for_a_retune_and_no_drift_does_not(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    raw = write_transactions(work, 3000)
    check, asked = look(raw, tmp_path)
    assert (check.passed, check.description) == (True, "no champion to compare with")
    assert isinstance(asked, dg.RunRequest), "the first model has to come from somewhere"

    tuning = {"trials": 1, "members": 1, "search_space": space(work, monkeypatch, WEAK), "pruner": "none"}
    config = {"raw_dataset": {"uri": str(raw), **ROLES}, "dataset_split": {"folds": 1}, "tuning_results": tuning}
    done = materialize({**config, "fraud_model": {"resamples": 200}}, ASSETS)
    assert done.success, done.messages

    check, asked = look(write_transactions(work, 3000, seed=1), tmp_path)
    assert check.passed, check.description
    assert isinstance(asked, dg.SkipReason)
    assert check.metadata["rows of the champion's data"].value == 3000

    frame = pd.read_parquet(raw / "transactions.parquet")
    frame.assign(amount=frame["amount"] * 3).to_parquet(raw / "transactions.parquet", index=False)
    check, asked = look(raw, tmp_path)
    assert not check.passed
    assert (check.description or "").startswith("amount: ")
    assert isinstance(asked, dg.RunRequest)
    assert asked.job_name == "retune_job"
    assert asked.tags["why"] == "test", "what asked for the look is told of the retune as well"
    assert asked.tags["drift"].startswith("amount: ")
