"""What a step imports: seconds that the others need not pay."""

import json
from pathlib import Path

import pytest

from tests.integration.graph import python, run_config
from tests.integration.transactions import ROLES, write_transactions

pytestmark = pytest.mark.integration

STEPS = """
import json, sys
import dagster as dg
from fraud_assets.definitions import defs
job = defs.resolve_implicit_global_asset_job_def()
assets = [dg.AssetKey(name) for name in ("raw_dataset", "dataset_split")]
result = job.execute_in_process(run_config=json.loads(sys.argv[1]), asset_selection=assets)
assert result.success
print("IMPORTED", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_reading_and_splitting_import_neither_ray_nor_mlflow_nor_xgboost(work: Path) -> None:
    config = run_config({"raw_dataset": {"uri": str(write_transactions(work)), **ROLES}})
    code = STEPS.replace("sys.argv[1]", repr(json.dumps(config)))
    imported = set(python(code, folder=work).rpartition("IMPORTED")[2].split())
    assert "pandera" in imported
    assert not imported & {"ray", "mlflow", "dagster_mlflow", "optuna", "xgboost", "imblearn", "matplotlib"}
