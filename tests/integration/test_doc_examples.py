"""The examples of docs/tuning.md, given as the page says, on a whole graph."""

from pathlib import Path

import pytest

from tests.integration.graph import stored_json, the_study, workplace
from tests.integration.transactions import ROLES, write_transactions
from tests.servers import REPOSITORY

pytestmark = [pytest.mark.integration, pytest.mark.long]


@pytest.mark.parametrize("space", ["my_space:shallow_trees", "my_resampler:with_jitter"])
def test_a_search_with_the_example_makes_a_model(space: str, tmp_path: Path) -> None:
    with workplace(tmp_path) as place:
        config = {
            "raw_dataset": {"uri": str(write_transactions(tmp_path)), **ROLES},
            "dataset_split": {"folds": 2},
            "tuning_results": {"trials": 3, "max_concurrent": 2, "search_space": space},
            "fraud_model": {"resamples": 200},
        }
        run = place.materialize(config=config, PYTHONPATH=f"{REPOSITORY}:{REPOSITORY / 'docs' / 'examples'}")
        assert run.code == 0, run.log
        parent, children = the_study(f"sqlite:///{place.folder / '.fraud_assets' / 'mlflow.db'}")
        assert parent.info.status == "FINISHED"
        assert [child.info.status for child in children] == ["FINISHED"] * 3
        assert stored_json(place.folder / ".fraud_assets", "best_params")["search_space"] == space
