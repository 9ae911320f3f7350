"""A sample of `make faults`: the faults that happen most."""

from pathlib import Path

import pytest

from tests.faults.harness import Kill, break_and_finish, search

pytestmark = pytest.mark.integration


def test_a_search_that_is_killed_twice_and_its_model_once_are_whole_in_the_end(tmp_path: Path) -> None:
    kills = [Kill("everything", "search", 2, 0.1), Kill("run", "search", 2, 0.1)]
    with search(tmp_path, None) as broken:
        hits = break_and_finish(broken, kills, Kill("everything", "model", 0, 2.0))
        assert broken.violations == []
    assert [hit for _, hit in hits] == [True, True, True]
