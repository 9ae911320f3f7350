"""The example of docs/optuna.md, run as it stands there."""

import json
import os
import re
from pathlib import Path
from typing import Any

import dagster as dg
import optuna
import pyarrow as pa
import pytest

from fraud_assets.io_manager import ParquetIOManager
from fraud_assets.ml.evaluate import METRICS
from fraud_assets.ml.result_grid import grid_frame
from fraud_assets.ml.schema import with_info
from fraud_assets.ml.search_space import SEARCH_SPACES
from fraud_assets.resources.object_store import ObjectStore
from fraud_assets.resources.optuna_storage import STORAGE, OptunaStorage
from tests.servers import REPOSITORY

PAGE = (REPOSITORY / "docs" / "optuna.md").read_text()
NAME = "article-average_precision-0123abcd-1"


@pytest.fixture
def stored_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pa.Table:
    """The stored value of `tuning_results`, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FRAUD_")]:
        monkeypatch.delenv(name)
    configurations = list(SEARCH_SPACES["article"].sample(20))
    trials: list[dict[str, Any]] = [
        {
            "trial_id": str(i), "name": f"trial-{i}", "status": "finished", "params": params, "seconds": 1,
            "error": None, "mlflow_run_id": None, "metrics": dict.fromkeys(METRICS, i / 100),
        }
        for i, params in enumerate(configurations)
    ]  # fmt: skip
    info = {
        "metric": "average_precision",
        "preference": {"second": None},
        "experiment": NAME,
        "search_space": "article",
    }
    table = with_info(pa.Table.from_pandas(grid_frame(trials), preserve_index=False), info)
    manager = ParquetIOManager(store=ObjectStore())
    manager.handle_output(dg.build_output_context(asset_key=dg.AssetKey("tuning_results")), table)
    return table


def test_the_example_makes_a_study_of_the_stored_grid(stored_grid: pa.Table, tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["study"].best_value == 0.19
    assert set(names["trial"].params) >= {"resampler", "booster"}
    kept = optuna.load_study(study_name=NAME, storage=f"sqlite:///{tmp_path / 'searches.db'}")
    assert len(kept.trials) == stored_grid.num_rows
    assert kept.best_params == {
        name: value for name, value in json.loads(stored_grid["params"][19].as_py()).items() if name != "objective"
    }


def test_the_page_names_the_setting_and_the_resource() -> None:
    assert f"`{STORAGE}`, or the field `storage` of the resource `optuna`" in PAGE
    assert "storage" in OptunaStorage.model_fields
