"""Figures 2 and 3: how far tuning is from its floor, and what a trial costs beyond its fitting."""

import statistics
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.conftest import Recorder
from benchmarks.searches import SEED, Searched, counts, finished, fitting_seconds, generated_study, search
from benchmarks.sides import FIGURES, FLOOR, OVERHEAD
from fraud_assets.assets.tuning_config import TuningConfig
from fraud_assets.ml.search_space import SEARCH_SPACES, SearchSpace
from fraud_assets.resources.mlflow_children import ChildRuns
from tests.servers import mlflow

if TYPE_CHECKING:
    from optuna.trial import Trial

# Start-up, which a search pays once.
STARTUP_S = 10


def test_floor(recorder: Recorder, trials: int, tmp_path_factory: Any) -> None:
    """The space `fraud`, pruned as the asset prunes, on 100,000 generated rows; resampling is no part of the floor."""
    study, space = generated_study(customers=2250), SEARCH_SPACES["fraud"]
    number = trials or 60
    found: list[Searched] = []

    def tune() -> None:
        folder = tmp_path_factory.mktemp("floor")
        options: dict[str, Any] = {"metric": "average_precision", "trials": number, "seed": SEED}
        found.append(search(study, space, folder, pruning=TuningConfig().pruning(space), **options))

    recorder.seconds(FLOOR, "whole tuning, start-up included", tune)
    for wall, searched in zip(recorder.walls, found, strict=True):
        finished(searched.trials)
        recorder.add(FLOOR, FIGURES[FLOOR].first, wall - STARTUP_S, "s")
        recorder.add(FLOOR, FIGURES[FLOOR].second, fitting_seconds(searched.trials) / searched.cores, "s")
        recorder.note(FLOOR, f"{counts(searched.trials)} on {searched.cores:g} CPUs, {len(study.X):,} rows")


def narrow(trial: "Trial") -> dict[str, Any]:
    """Boosted trees that all cost the same."""
    trial.suggest_float("eta", 0.05, 0.3, log=True)
    return {"n_estimators": 30, "max_depth": 5, "resampler": "passthrough"}


@pytest.fixture(scope="module")
def fitted_alone() -> list[float]:
    """Seconds that a trial of `narrow` fits, of each search where nothing but trials wants the CPUs."""
    return []


@pytest.mark.parametrize("side", [FIGURES[OVERHEAD].second, FIGURES[OVERHEAD].first])
def test_overhead(
    recorder: Recorder, trials: int, tmp_path: Path, tmp_path_factory: Any, fitted_alone: list[float], side: str
) -> None:
    """What a trial costs past the first tenth of them, which ends with all workers started, until all is written.

    The cost is the wall clock over the number of trials, less what a trial fits over the CPUs: what is left of figure
    2's floor. Both sides fit the same trials, and MLflow's server takes its part of the same CPUs.
    """
    study, space = generated_study(customers=560), SearchSpace("narrow", narrow)
    number = trials or 200
    found: list[Searched] = []

    def tune(uri: str | None) -> None:
        folder, children = tmp_path_factory.mktemp("overhead"), None if uri is None else _children(uri)
        options: dict[str, Any] = {"metric": "average_precision", "trials": number, "seed": SEED}
        found.append(search(study, space, folder, children=children, **options))

    with ExitStack() as stack:
        uri = stack.enter_context(mlflow(tmp_path)) if side == FIGURES[OVERHEAD].first else None
        recorder.seconds(OVERHEAD, f"whole tuning, {side}", lambda: tune(uri), repeats=3)
    fits = [fitting_seconds(finished(searched.trials)) / number for searched in found]
    fitted_alone.extend(fits if uri is None else [])
    for searched, fit in zip(found, fits, strict=True):
        warm = number // 10
        wall = (searched.written - list(searched.ends.values())[warm - 1]) / (number - warm)
        recorder.add(OVERHEAD, side, 1000 * (wall - statistics.median(fitted_alone) / searched.cores), "ms a trial")
        recorder.add(OVERHEAD, f"fitting, {side}", 1000 * fit, "ms of a CPU a trial")


def _children(uri: str) -> ChildRuns:
    """What records trials as children of a new run."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("benchmark")
    identity = client.create_experiment("benchmark") if experiment is None else experiment.experiment_id
    return ChildRuns(client, identity, client.create_run(identity).info.run_id)
