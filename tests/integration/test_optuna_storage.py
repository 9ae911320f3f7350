"""A search in a storage of Optuna's, read back with Optuna: at its end, after a kill, and after an outage."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import optuna
import pandas as pd
import pyarrow.parquet as pq
import pytest
from optuna.trial import TrialState

from fraud_assets.ml.optuna_study import to_study
from fraud_assets.ml.search_space import SEARCH_SPACES
from fraud_assets.resources.optuna_storage import STORAGE
from tests.integration.graph import ASSETS, Workplace, materialize, the_study, workplace
from tests.integration.transactions import ROLES, space, write_transactions
from tests.servers import postgres

pytestmark = pytest.mark.integration

TRIALS = 6
SEARCH = "raw_dataset,dataset_split,tuning_results"
_WITH_POSTGRES = pytest.mark.skipif(shutil.which("initdb") is None, reason="PostgreSQL is not installed")


def config(folder: Path, **tuning: Any) -> dict[str, Any]:
    return {
        "raw_dataset": {"uri": str(write_transactions(folder, 2000)), **ROLES},
        "dataset_split": {"folds": 1},
        "tuning_results": {"trials": TRIALS, "max_concurrent": 2, "search_space": "article", "members": 1, **tuning},
    }


def grid_of(folder: Path) -> Any:
    return pq.read_table(folder / ".fraud_assets" / "assets" / "tuning_results.parquet")


def the_only_study(url: str) -> optuna.Study:
    (name,) = optuna.get_all_study_names(url)
    return optuna.load_study(study_name=name, storage=url)


def complete(study: optuna.Study) -> dict[str, list[float]]:
    """The values of finished trials, by the id of the trial."""
    trials = study.get_trials(states=(TrialState.COMPLETE,))
    found = {trial.user_attrs["trial_id"]: trial.values for trial in trials}
    assert len(found) == len(trials), "a trial is there twice"
    return found


def scores(grid: pd.DataFrame, *metrics: str) -> dict[str, list[float]]:
    finished = grid[grid["status"] == "finished"]
    return dict(zip(finished["trial_id"], finished[list(metrics)].to_numpy().tolist(), strict=True))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=_WITH_POSTGRES)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a storage without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'study.db'}"
    else:
        with postgres() as server:
            yield server.uri


@pytest.mark.usefixtures("local_ray")
def test_the_study_in_the_storage_is_the_one_of_the_grid(
    work: Path, embedded_mlflow: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # PostgreSQL trusts whoever comes; the password is looked for below.
    monkeypatch.setenv(STORAGE, url.replace("fraud@", "fraud:s3cr3t@"))
    run = materialize(config(work, search_space="fraud"), ASSETS[:3])
    assert run.success, run.log
    table, study = grid_of(work), the_only_study(url)
    grid, same = table.to_pandas(), to_study(table, space=SEARCH_SPACES["fraud"])
    parent, _ = the_study(embedded_mlflow)

    assert study.study_name == same.study_name == parent.info.run_name
    assert study.user_attrs["mlflow_parent_run_id"] == parent.info.run_id
    assert study.user_attrs["experiment_id"] == parent.data.tags["experiment_id"]
    assert study.user_attrs["dagster_run_id"] == parent.data.tags["tuning_results.dagster_run_id"]
    assert complete(study) == scores(grid, "average_precision")
    by_name = {trial.user_attrs["name"]: trial for trial in study.trials}
    assert len(by_name) == len(study.trials) == TRIALS
    for trial in same.trials:
        stored = by_name[trial.user_attrs["name"]]
        assert (stored.state, stored.values, stored.params) == (trial.state, trial.values, trial.params)
        assert stored.distributions == trial.distributions
    assert f"Optuna study {study.study_name} in {urlsplit(url).scheme}://" in run.log
    assert "s3cr3t" not in run.log
    kept = [path for path in (work / ".fraud_assets").rglob("*") if path.is_file()]
    assert not [path for path in kept if b"s3cr3t" in path.read_bytes()]


@pytest.mark.usefixtures("local_ray", "embedded_mlflow")
def test_two_metrics_are_two_values_and_trials_that_fail_are_fail(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{work / 'study.db'}"
    failing = space(
        work,
        monkeypatch,
        'depth = trial.suggest_int("max_depth", 2, 5)\nreturn {"n_estimators": 20 if depth > 2 else "many"}',
    )
    monkeypatch.setenv(STORAGE, url)
    settings = config(work, search_space=failing, second_metric="alert_rate_at_threshold", trials=10)
    run = materialize(settings, ASSETS[:3])
    assert run.success, run.log
    grid, study = grid_of(work).to_pandas(), the_only_study(url)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert complete(study) == scores(grid, "average_precision", "alert_rate_at_threshold")
    assert set(grid["status"]) == {"finished", "failed"}
    states = {trial.user_attrs["trial_id"]: trial.state for trial in study.trials}
    expected = {"finished": TrialState.COMPLETE, "failed": TrialState.FAIL}
    assert states == {row.trial_id: expected[row.status] for row in grid.itertuples()}


@pytest.mark.usefixtures("local_ray", "embedded_mlflow")
def test_a_storage_that_is_down_is_told_before_any_trial(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORAGE, "postgresql+psycopg2://fraud:s3cr3t@127.0.0.1:1/optuna")
    run = materialize(config(work), ASSETS[:3])
    message = run.messages["tuning_results"]
    assert "the Optuna storage postgresql+psycopg2://127.0.0.1:1/optuna can't be used" in message
    assert "s3cr3t" not in run.log
    assert not (work / ".fraud_assets" / "tune").exists()


def log_of(
    place: Workplace, settings: dict[str, Any], line: str, then: Callable[[Any], object], **environment: str
) -> Any:
    """Materialize the search, do something as soon as the log has a line, and wait for the end."""
    process = place.start_materialize(SEARCH, settings, **environment)
    assert process.stdout is not None
    log = []
    for told in process.stdout:
        log.append(told)
        if line in told:
            then(process)
            line = "nothing more"
    process.wait(120)
    return process.returncode, "".join(log)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_search_that_is_interrupted_and_gone_on_with_has_each_trial_once(tmp_path: Path, number: int) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    with workplace(tmp_path, **{STORAGE: url}) as place:
        settings = config(tmp_path)

        def interrupt(process: Any) -> None:
            os.killpg(process.pid, number)

        code, log = log_of(place, settings, "trial 2/", interrupt)
        assert code != 0, log
        before = the_only_study(url).trials
        if number == signal.SIGINT:
            assert all(trial.state.is_finished() for trial in before), "nobody works on them"
        done = place.materialize(SEARCH, settings)
        assert done.code == 0, done.log
        study, grid = the_only_study(url), grid_of(place.folder).to_pandas()
    assert complete(study) == scores(grid, "average_precision")
    assert len(complete(study)) == TRIALS
    others = [trial for trial in study.trials if trial.state != TrialState.COMPLETE]
    assert {trial.state for trial in others} <= {TrialState.FAIL}
    assert all(trial.user_attrs["interrupted"] for trial in others)
    assert len(others) <= 2, "no more than were under way"


@pytest.mark.long
@_WITH_POSTGRES
def test_a_database_that_crashes_in_the_middle_costs_no_trial(tmp_path: Path) -> None:
    with postgres() as database, workplace(tmp_path, **{STORAGE: database.uri}) as place:

        def outage(process: Any) -> None:
            database.stop()
            time.sleep(3)
            database.start()

        code, log = log_of(place, config(tmp_path), "trial 2/", outage)
        assert code == 0, log
        study, grid = the_only_study(database.uri), grid_of(place.folder).to_pandas()
        assert len(grid) == TRIALS
        assert complete(study) == scores(grid, "average_precision")
        assert len(study.trials) == TRIALS


@pytest.mark.long
@_WITH_POSTGRES
def test_a_database_that_stays_away_costs_a_warning_and_nothing_else(tmp_path: Path) -> None:
    with postgres() as database, workplace(tmp_path, **{STORAGE: database.uri}) as place:
        code, log = log_of(place, config(tmp_path), "trial 2/", lambda _: database.stop())
        assert code == 0, log
        assert "is not up to date" in log
        assert len(grid_of(place.folder).to_pandas()) == TRIALS
        database.start()
