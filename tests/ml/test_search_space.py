import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from fraud_assets.ml.resample import RESAMPLERS
from fraud_assets.ml.search_space import SEARCH_SPACES, article, resolve_search_space
from tests.ml import spaces

BASELINE = Path(__file__).parents[3] / "shared" / "bench" / "article_baseline.py"

EVERY_BOOSTER = {
    "resampler": CategoricalDistribution(["allknn", "smote", "passthrough"]),
    "booster": CategoricalDistribution(["gbtree", "gblinear", "dart"]),
    "lambda": FloatDistribution(1e-8, 1.0, log=True),
    "alpha": FloatDistribution(1e-8, 1.0, log=True),
}
TREES_ONLY = {
    "max_depth": IntDistribution(3, 10),
    "eta": FloatDistribution(1e-3, 0.3, log=True),
    "gamma": FloatDistribution(1e-8, 1.0, log=True),
    "grow_policy": CategoricalDistribution(["depthwise", "lossguide"]),
}


def suggested(
    suggest: Callable[[optuna.Trial], Mapping[str, Any] | None], trials: int
) -> list[tuple[dict[str, Any], dict[str, Any], Mapping[str, Any] | None]]:
    """Parameters, their distributions and the constants of trials of a seeded random search."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    asked = [(trial, suggest(trial)) for trial in (study.ask() for _ in range(trials))]
    return [(trial.params, dict(trial.distributions), constants) for trial, constants in asked]


def test_the_article_space_is_the_one_written_down_here() -> None:
    boosters = set()
    for params, distributions, constants in suggested(article, 40):
        boosters.add(params["booster"])
        expected = EVERY_BOOSTER | ({} if params["booster"] == "gblinear" else TREES_ONLY)
        # The order counts: a seeded sampler draws in it.
        assert list(distributions.items()) == list(expected.items())
        assert constants == {"objective": "binary:logistic"}
    assert boosters == {"gbtree", "gblinear", "dart"}


def test_the_article_space_is_the_one_published(monkeypatch: pytest.MonkeyPatch) -> None:
    if not BASELINE.exists():
        pytest.skip("the article's own script is not on this machine")
    # The script imports all that it trains with; its space needs nothing of that.
    for module in ("mlflow", "ray", "ray.tune.search", "ray.tune.search.optuna"):
        monkeypatch.setitem(sys.modules, module, MagicMock())
    spec = importlib.util.spec_from_file_location("article_baseline", BASELINE)
    assert spec is not None
    assert spec.loader is not None
    baseline = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(baseline)

    def published(trial: optuna.Trial) -> dict[str, Any]:
        constants: dict[str, Any] = baseline.suggest(trial)
        # The seed is a setting of the tuning here, not a part of the space.
        return {name: value for name, value in constants.items() if name != "random_state"}

    assert suggested(article, 40) == suggested(published, 40)


def test_the_default_point_lies_in_the_space() -> None:
    space = SEARCH_SPACES["article"]
    assert space.defaults is not None
    trial = optuna.trial.FixedTrial(dict(space.defaults))
    space.suggest(trial)

    assert trial.params == space.defaults
    # FixedTrial only warns of values out of range.
    for name, distribution in trial.distributions.items():
        assert distribution._contains(distribution.to_internal_repr(space.defaults[name])), name


def test_the_article_space_names_resamplers_that_there_are() -> None:
    assert set(EVERY_BOOSTER["resampler"].choices) == {"allknn", "smote", "passthrough"} < set(RESAMPLERS)


def test_a_space_is_found_by_its_name() -> None:
    space = resolve_search_space("article")
    assert (space.name, space.suggest) == ("article", article)


@pytest.mark.parametrize(
    ("name", "suggest", "defaults"),
    [("shallow", spaces.shallow, None), ("with_defaults", spaces.with_defaults, {"max_depth": 6})],
)
def test_a_users_own_space_is_found_by_import_path(name: str, suggest: object, defaults: object) -> None:
    space = resolve_search_space(f"tests.ml.spaces:{name}")
    assert (space.name, space.suggest, space.defaults) == (f"tests.ml.spaces:{name}", suggest, defaults)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "artcle",
            r"'artcle' is unknown: expected one of \['article', 'fraud', 'fraud_distributed'\] or an import path",
        ),
        ("", r"'' is unknown: expected one of"),
        ("tests.ml.spaces", "is unknown: expected one of"),
        ("tests.ml.nowhere:space", r"can't be imported \(ModuleNotFoundError.*nowhere.*expected one of"),
        ("tests.ml.spaces:deep", r"can't be imported \(AttributeError.*deep.*expected one of"),
        ("tests ml:space", r"can't be imported \(ValueError.*expected one of"),
        (":", r"can't be imported \(ValueError.*expected one of"),
        ("tests.ml.spaces:", "is a module, not a function of an Optuna trial"),
        ("tests.ml.spaces:NOT_A_FUNCTION", "is a dict, not a function of an Optuna trial"),
        ("tests.ml.spaces:with_bad_defaults", "defaults of search_space '.*' are a list, not a mapping"),
    ],
)
def test_a_name_that_means_no_space_is_told(name: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        resolve_search_space(name)


def test_an_error_in_a_users_module_is_told_with_the_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_spaces.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"'broken_spaces:space' can't be imported \(ZeroDivisionError") as error:
        resolve_search_space("broken_spaces:space")
    assert isinstance(error.value.__cause__, ZeroDivisionError)


def test_a_search_begins_with_the_defaults_then_with_what_is_known_to_be_good_then_with_the_spaces_own_points() -> None:
    space = SEARCH_SPACES["fraud"]
    assert space.defaults is not None
    known = {**space.start[0], "max_depth": 4, "n_estimators": 120, "resampler": "passthrough", "tree_method": "hist"}

    points = space.first_points([known, dict(space.start[1])])

    assert points[0] == space.defaults
    # What the space doesn't suggest is left out, and no point is tried twice.
    assert points[1:] == [{**space.start[0], "max_depth": 4}, space.start[1], space.start[0]]


@pytest.mark.parametrize(
    "params",
    [{}, {"max_depth": 9}, {"max_depth": "deep"}, {"eta": 0.1}],
    ids=["nothing", "out of range", "wrong type", "missing"],
)
def test_a_configuration_that_the_space_would_not_suggest_is_no_point(params: dict[str, Any]) -> None:
    space = resolve_search_space("tests.ml.spaces:with_defaults")
    assert space.point(params) is None
    assert space.first_points([params]) == [{"max_depth": 6}]
    assert space.point({"max_depth": 8, "eta": 0.1}) == {"max_depth": 8}


def test_a_choice_that_is_no_longer_offered_is_no_point() -> None:
    assert (
        SEARCH_SPACES["article"].point({"resampler": "adasyn", "booster": "gblinear", "lambda": 1, "alpha": 1}) is None
    )
