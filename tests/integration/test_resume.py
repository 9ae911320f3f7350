"""When a materialization goes on with a search, and when it is a new one; `tests/faults` breaks searches."""

from pathlib import Path

import pytest

from tests.integration.graph import workplace
from tests.integration.transactions import ROLES, write_transactions

pytestmark = [pytest.mark.integration, pytest.mark.long]


def test_after_the_end_the_same_command_is_another_search(tmp_path: Path) -> None:
    with workplace(tmp_path) as place:
        config = {
            "raw_dataset": {"uri": str(write_transactions(tmp_path, 1000)), **ROLES},
            "dataset_split": {"folds": 1},
            "tuning_results": {"trials": 2, "search_space": "article", "warm_start": False},
        }
        select = "raw_dataset,dataset_split,tuning_results"
        for _ in range(2):
            done = place.materialize(select, config)
            assert done.code == 0, done.log
            assert ", 0 of them ended in earlier runs" in done.log
        names = sorted(file.name for file in (place.folder / ".fraud_assets" / "tune").iterdir())
        assert [name.rpartition("-")[2] for name in names] == ["1", "2"]
