"""Figure 4: what is found on the handbook's validation blocks in equal wall clock; its test blocks stay unread."""

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.conftest import Recorder, data_file
from benchmarks.handbook import VALIDATION_END, blocks
from benchmarks.rivals import flaml, plain_optuna, refitted
from benchmarks.searches import SEED, best, counts, search
from benchmarks.sides import FIGURES, FLAML, OPTUNA
from fraud_assets.assets.tuning_config import TuningConfig
from fraud_assets.ml.evaluate import Metric
from fraud_assets.ml.matrices import Matrices
from fraud_assets.ml.search_space import SEARCH_SPACES
from fraud_assets.ml.study import StudyData, out_of_fold

DATA = "data/handbook_2018-06-20_2018-09-05.parquet"
METRIC: Metric = "average_precision"
# More than anybody fits in the budget.
MANY = 10_000
_THREADS = 2


@pytest.fixture(scope="module")
def study(request: pytest.FixtureRequest) -> StudyData:
    """The four validation blocks; reading and encoding them is on no side's clock."""
    return blocks(data_file(request, DATA), VALIDATION_END, SEED)


def test_equal_clock_this_project(recorder: Recorder, study: StudyData, budget: float, tmp_path_factory: Any) -> None:
    """The space `fraud`, pruned as the asset prunes, from Ray's start on.

    Without the space's start points: they were found on these blocks, and the other sides have none. The best trial
    alone counts, not the average of several that the asset would choose.
    """
    space = SEARCH_SPACES["fraud"]

    def run(seed: int) -> tuple[Any, str]:
        options: dict[str, Any] = {"metric": METRIC, "trials": MANY, "seed": seed, "budget_s": budget}
        folder = tmp_path_factory.mktemp("search")
        found = search(study, space, folder, start_points=False, pruning=TuningConfig().pruning(space), **options)
        in_time = found.ended_within(budget)
        return best(in_time, METRIC).params, f"{counts(in_time)} in time"

    _measure(recorder, study, FIGURES[OPTUNA].first, run, (OPTUNA, FLAML), _of_space)


def test_equal_clock_plain_optuna(recorder: Recorder, study: StudyData, budget: float) -> None:
    """The same space, without any of this project's engine: see `rivals`."""

    def run(seed: int) -> tuple[Any, str]:
        params, number = plain_optuna(study, SEARCH_SPACES["fraud"], seed=seed, budget_s=budget)
        return params, f"{number} scored"

    _measure(recorder, study, FIGURES[OPTUNA].second, run, (OPTUNA,), _of_space)


def test_equal_clock_flaml(recorder: Recorder, study: StudyData, budget: float) -> None:
    """FLAML with its own space: see `rivals`."""

    def run(seed: int) -> tuple[Any, str]:
        params, number = flaml(study, seed=seed, budget_s=budget)
        return params, f"{number} improvements"

    _measure(recorder, study, FIGURES[FLAML].second, run, (FLAML,), lambda s, p: s.report(refitted(s, p))[METRIC])


def _of_space(study: StudyData, params: Any) -> float:
    """A configuration of a search space, fitted again on all blocks, one number of rounds for all of them."""
    matrices = Matrices(study, lambda fold, resampler: study.resample(fold, resampler, _THREADS), _THREADS)
    return study.report(out_of_fold(params, matrices).predictions)[METRIC]


def _measure(
    recorder: Recorder,
    study: StudyData,
    side: str,
    run: Callable[[int], tuple[Any, str]],
    figures: tuple[str, ...],
    rescore: Callable[[StudyData, Any], float],
) -> None:
    """Time a side, each repeat with another seed, then score what it found on the same blocks, off its clock."""
    found: list[tuple[Any, str]] = []
    recorder.seconds(figures[0], f"{side}, wall clock", lambda: found.append(run(SEED + len(found))))
    for params, told in found:
        score = rescore(study, params)
        for figure in figures:
            recorder.add(figure, side, score, "")
            recorder.note(figure, f"{side}: {told}")
