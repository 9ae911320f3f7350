"""A user's search and a sensor's, of the same data at the same time: they share nothing, and spoil nothing."""

from pathlib import Path

import pytest

from tests.integration.graph import statuses, the_study, workplace
from tests.integration.transactions import ROLES, write_transactions

pytestmark = [pytest.mark.integration, pytest.mark.long]

# As long as the second run takes to start, and to see that the first one lives.
TRIALS = 250


def test_a_second_run_of_a_search_is_told_who_works_on_it_and_the_first_goes_on(tmp_path: Path) -> None:
    with workplace(tmp_path) as place:
        config = {
            "raw_dataset": {"uri": str(write_transactions(tmp_path, 3000)), **ROLES},
            "dataset_split": {"folds": 1},
            "tuning_results": {"trials": TRIALS, "max_concurrent": 1, "search_space": "article", "members": 1},
        }
        first = place.start_materialize("raw_dataset,dataset_split,tuning_results", config)
        assert first.stdout is not None
        log = ""
        for line in first.stdout:
            log += line
            if f"trial 2/{TRIALS}" in line:
                break
        second = place.materialize("tuning_results", config)
        rest, _ = first.communicate(timeout=120)
        assert first.returncode == 0, log + rest
        assert second.code != 0
        assert "works in " in second.log, second.log
        parent, children = the_study(f"sqlite:///{place.folder / '.fraud_assets' / 'mlflow.db'}")
    assert parent.info.status == "FINISHED"
    assert statuses(children) == ["FINISHED"] * TRIALS
