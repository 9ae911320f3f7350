"""The code location loads fast, and has what the README says."""

import subprocess
import sys
from pathlib import Path

import dagster as dg

from fraud_assets.assets.catalog import GROUPS
from fraud_assets.automation import declarative_automation
from fraud_assets.definitions import defs

HEAVY = {
    "dagster_mlflow",
    "imblearn",
    "matplotlib",
    "mlflow",
    "optuna",
    "pandera",
    "ray",
    "scipy",
    "sklearn",
    "xgboost",
}


def test_loading_the_code_location_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys, fraud_assets.definitions; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    imported = set(done.stdout.split())
    assert "dagster" in imported
    assert imported & HEAVY == set()
    assert list(tmp_path.iterdir()) == [], "loading wrote something into the working directory"


def test_it_loads_without_an_error_that_dagster_would_find_at_launch() -> None:
    dg.Definitions.validate_loadable(defs)


def test_the_assets_follow_each_other_from_data_to_model() -> None:
    graph = defs.resolve_asset_graph()
    before = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert (
        before.items()
        >= {
            "raw_dataset": set(),
            "dataset_split": {"raw_dataset"},
            "tuning_results": {"raw_dataset", "dataset_split"},
            "best_params": {"tuning_results"},
            "fraud_model": {"raw_dataset", "dataset_split", "best_params"},
            "scored_transactions": {"champion_model"},
        }.items()
    )


def test_every_asset_says_what_it_is_and_how_its_values_are_told_apart() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        assert node.description, key
        assert node.code_version, key
        assert node.owners == ["team:fraud"], key
        assert node.tags["domain"] == "fraud", key
        assert node.kinds, key


def test_the_groups_are_the_steps_of_the_work_and_declarative_automation_covers_them_all() -> None:
    graph = defs.resolve_asset_graph()
    groups: dict[str, set[str]] = {}
    for key in graph.materializable_asset_keys:
        groups.setdefault(str(graph.get(key).group_name), set()).add(key.to_user_string())
    assert groups == {
        "data": {"raw_dataset", "dataset_split"},
        "tuning": {"tuning_results", "best_params"},
        "model": {"fraud_model", "champion_model"},
        "scoring": {"scored_transactions"},
    }
    assert set(groups) == set(GROUPS)
    assert declarative_automation.asset_selection.resolve(graph) == graph.materializable_asset_keys
