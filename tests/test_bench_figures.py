"""What `make bench` tells of its figures."""

import pytest

from benchmarks.searches import Searched, best, fitting_seconds
from benchmarks.sides import FLOOR, OVERHEAD, PROCESS, SAME_SPLIT, Side, summary
from fraud_assets.resources.trials import TrialRecord


def told(figure: str, *values: tuple[str, float]) -> str:
    return "\n".join(summary(figure, [Side(figure, side, value, "s") for side, value in values]))


def trial(name: str, f1: float, seconds: float, status: str = "finished") -> TrialRecord:
    return TrialRecord(name, {}, status, {"f1": f1, "fit_seconds": seconds})  # type: ignore[arg-type]


@pytest.mark.parametrize(("script", "verdict"), [(100, "ratio 10, at least 10 is wanted: met"), (99, "NOT met")])
def test_a_ratio_is_that_of_the_medians_of_both_sides(script: float, verdict: str) -> None:
    sides = [("article_baseline.py", value) for value in (1.0, script, 999.0)]
    lines = told(PROCESS, *sides, ("dagster asset materialize", 10))
    assert verdict in lines
    assert f"article_baseline.py: {script:g} s  (median of 3: 1 to 999)" in lines


def test_an_upper_bound_is_kept_from_below() -> None:
    assert "at most 1.3 is wanted: met" in told(FLOOR, ("tuning past its first 10 s", 13), ("fitting / cores", 10))
    assert "NOT met" in told(FLOOR, ("tuning past its first 10 s", 14), ("fitting / cores", 10))


def test_differences_are_of_pairs() -> None:
    ours, theirs = [("this project", v) for v in (0.2, 0.5)], [("the script's way", v) for v in (0.1, 0.6)]
    assert "mean difference of 2 +0.0000 ± 0.1000 (standard error)" in told(SAME_SPLIT, *ours, *theirs)
    assert "NOT met" in told(SAME_SPLIT, ("this project", 0.1), ("the script's way", 0.2))


def test_both_sides_have_to_keep_a_bound_that_is_for_each() -> None:
    assert "ratio 4.083, each at most 50 is wanted: met" in told(OVERHEAD, ("MLflow over HTTP", 49), ("no MLflow", 12))
    assert "NOT met" in told(OVERHEAD, ("MLflow over HTTP", 12), ("no MLflow", 51))


def test_a_figure_without_one_side_has_no_verdict() -> None:
    lines = told(PROCESS, ("dagster asset materialize", 10))
    assert "article_baseline.py: did not run" in lines
    assert "met" not in lines


def test_a_bound_for_each_is_no_verdict_on_one_side_alone() -> None:
    lines = told(OVERHEAD, ("no MLflow", 12))
    assert "MLflow over HTTP: did not run" in lines
    assert "met" not in lines


def test_a_configuration_that_was_not_fitted_again_adds_nothing_to_the_floor() -> None:
    assert fitting_seconds([trial("a", 0.1, 2.0), trial("b", 0.1, 2.0), trial("c", 0.2, 3.0, "pruned")]) == 5


def test_a_trial_that_ends_after_the_budget_does_not_count() -> None:
    searched = Searched([trial("a", 0.1, 1), trial("b", 0.9, 1), trial("c", 0.5, 1)], 2, {"a": 9, "b": 11}, 12)
    assert [found.trial_id for found in searched.ended_within(10)] == ["a"]


def test_the_best_trial_is_one_that_finished_and_failures_are_told() -> None:
    found = [trial("a", 0.1, 1), trial("b", 0.9, 1, "pruned"), trial("c", 0.5, 1)]
    assert best(found, "f1").trial_id == "c"
    with pytest.raises(RuntimeError, match="no trial finished in time"):
        best(found[1:2], "f1")
    with pytest.raises(RuntimeError, match="1 trials failed, the first one with:\nboom"):
        best([*found, TrialRecord("d", {}, "failed", error="boom")], "f1")
