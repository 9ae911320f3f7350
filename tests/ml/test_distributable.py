"""What is refused before it is fitted on rows that are spread over several processes."""

from typing import Any

import pytest

from fraud_assets.ml.distributable import obstacle, require_distributable
from fraud_assets.ml.search_space import SEARCH_SPACES, SearchSpace


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"booster": "gbtree", "tree_method": "hist", "early_stopping_rounds": 20},
        {"booster": "forest", "n_estimators": 10},
        {"booster": "dart", "rate_drop": 0.0},  # gbtree to the last bit
        {"resampler": "random_under", "sampling_ratio": 0.1},
        {"resampler": "passthrough", "scale_pos_weight": 3.0},
    ],
)
def test_what_xgboost_fits_in_several_processes_is_allowed(params: dict[str, Any]) -> None:
    assert obstacle(params) is None


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"booster": "gblinear"}, "booster 'gblinear'"),
        ({"booster": "dart", "rate_drop": 0.1}, "booster 'dart'"),
        ({"tree_method": "exact"}, "tree_method 'exact'"),
        ({"tree_method": "approx"}, "tree_method 'approx'"),
        ({"resampler": "smote"}, "resampler 'smote'"),
        ({"resampler": "allknn"}, "resampler 'allknn'"),
    ],
)
def test_what_needs_all_rows_in_one_process_is_named(params: dict[str, Any], named: str) -> None:
    assert (obstacle(params) or "").startswith(named)


@pytest.mark.parametrize("name", ["fraud", "article"])
def test_a_space_that_suggests_such_a_thing_is_refused_before_any_trial(name: str) -> None:
    with pytest.raises(ValueError, match=rf"search_space '{name}' suggests .*: with workers_per_trial over 1 use"):
        require_distributable(SEARCH_SPACES[name])


def test_the_distributed_space_is_the_part_of_the_default_one_that_is_left() -> None:
    ours = SEARCH_SPACES["fraud_distributed"]
    require_distributable(ours)
    for point in ours.first_points():
        assert SEARCH_SPACES["fraud"].point(point) == point == ours.point(point)


def test_an_obstacle_among_a_spaces_constants_is_seen() -> None:
    with pytest.raises(ValueError, match="tree_method 'exact'"):
        require_distributable(SearchSpace("ours", lambda trial: {"tree_method": "exact"}))
