"""A search as an Optuna study in a storage: what is read back with `optuna.load_study`, and what can go wrong."""

import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from fraud_assets.ml.search_space import SearchSpace
from fraud_assets.resources import optuna_view
from fraud_assets.resources.optuna_storage import STORAGE, OptunaStorage, OptunaStorageError
from fraud_assets.resources.optuna_view import Watched, watched_study
from fraud_assets.resources.trials import TrialListener, TrialRecord

NAME = "fraud-f1-0123abcd-1"
LOG = logging.getLogger("test")


def suggest(trial: optuna.trial.Trial) -> dict[str, Any]:
    trial.suggest_float("eta", 0.01, 0.3, log=True)
    if trial.suggest_categorical("booster", ["gbtree", "gblinear"]) == "gbtree":
        trial.suggest_int("max_depth", 2, 8)
    return {"n_estimators": 200}


SPACE = SearchSpace("ours", suggest)
TREES = {"eta": 0.1, "booster": "gbtree", "max_depth": 4, "n_estimators": 200}
LINEAR = {"eta": 0.2, "booster": "gblinear", "n_estimators": 200}


def watched(*objectives: Any, token: str = "token-of-ours", space: SearchSpace = SPACE) -> Watched:
    attributes = {"experiment_id": "0123abcd", "mlflow_parent_run_id": "m", "dagster_run_id": "d"}
    return Watched(NAME, token, attributes, objectives or ("f1",), space)


def running(trial_id: str, params: dict[str, Any] = TREES) -> TrialRecord:
    return TrialRecord(trial_id, params, "running")


def finished(trial_id: str, params: dict[str, Any] = TREES, **metrics: float) -> TrialRecord:
    return TrialRecord(trial_id, params, "finished", metrics or {"f1": 0.5}, seconds=2)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite storage without a study; to make one takes half a second."""
    file = tmp_path_factory.mktemp("tables") / "study.db"
    with OptunaStorage(storage=f"sqlite:///{file}").opened():
        return file


@pytest.fixture
def database(tables: Path, tmp_path: Path) -> str:
    """URL of an empty SQLite storage that doesn't wait long for a lock."""
    return f"sqlite:///{shutil.copy(tables, tmp_path)}?timeout=0.05"


@pytest.fixture(params=["sqlite", "journal"])
def url(request: pytest.FixtureRequest, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty storage."""
    monkeypatch.delenv(STORAGE, raising=False)
    if request.param == "sqlite":
        return f"sqlite:///{shutil.copy(tables, tmp_path)}"
    return f"journal://{tmp_path / 'study.log'}"


def load(url: str, name: str = NAME) -> optuna.Study:
    if url.startswith("journal"):
        return optuna.load_study(
            study_name=name, storage=JournalStorage(JournalFileBackend(url.removeprefix("journal://")))
        )
    return optuna.load_study(study_name=name, storage=url)


def tell(url: str, events: Sequence[TrialRecord], ended: Sequence[TrialRecord] = (), **more: Any) -> optuna.Study:
    """The study that comes of these events, one after the other."""
    with OptunaStorage(storage=url).opened() as opened, watched_study(opened, watched(**more), ended, LOG) as views:
        hear(views, events)
    return load(url)


def hear(views: Sequence[TrialListener], events: Sequence[TrialRecord]) -> None:
    for trial in events:
        for view in views:
            (view.trial_started if trial.status == "running" else view.trial_ended)(trial)


def states(study: optuna.Study) -> list[tuple[str, str]]:
    return [(trial.user_attrs["trial_id"], trial.state.name) for trial in study.trials]


def test_each_trial_has_the_state_values_parameters_and_ranges_of_the_search(url: str) -> None:
    study = tell(
        url,
        [
            *(running(trial_id) for trial_id in "abc"),
            running("d", LINEAR),
            finished("a", f1=0.5, rounds=80),
            TrialRecord("b", TREES, "pruned", {"f1": 0.25, "rounds": 50}),
            TrialRecord("c", TREES, "failed", error="ValueError: no\n\ntraceback"),
            finished("d", LINEAR, f1=float("nan")),
        ],
    )
    a, b, c, d = study.trials
    assert states(study) == [("a", "COMPLETE"), ("b", "PRUNED"), ("c", "FAIL"), ("d", "FAIL")]
    assert [trial.value for trial in study.trials] == [0.5, 0.25, None, None]
    assert b.intermediate_values == {50: 0.25}
    assert a.params == {"eta": 0.1, "booster": "gbtree", "max_depth": 4}
    assert a.distributions == {
        "eta": FloatDistribution(0.01, 0.3, log=True),
        "booster": CategoricalDistribution(("gbtree", "gblinear")),
        "max_depth": IntDistribution(2, 8),
    }
    assert d.params == {"eta": 0.2, "booster": "gblinear"}
    assert a.user_attrs["constants"] == {"n_estimators": 200}
    assert a.user_attrs["metrics"] == {"f1": 0.5, "rounds": 80}
    assert a.user_attrs["name"] == "gbtree-a"
    assert c.user_attrs["error"] == "ValueError: no"


def test_the_study_says_which_search_it_is(url: str) -> None:
    study = tell(url, [])
    assert study.study_name == NAME
    assert study.direction.name == "MAXIMIZE"
    assert study.metric_names == ["f1"]
    expected = {"experiment_id": "0123abcd", "mlflow_parent_run_id": "m", "dagster_run_id": "d"}
    assert study.user_attrs.items() >= expected.items()


def test_with_two_objectives_a_trial_has_both_values(url: str) -> None:
    with OptunaStorage(storage=url).opened() as opened, watched_study(opened, watched("f1", "log_loss"), [], LOG) as v:
        hear(v, [running("a"), finished("a", f1=0.5, log_loss=0.1)])
    study = load(url)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.trials[0].values == [0.5, 0.1]


def test_a_trial_is_running_as_long_as_it_runs_and_is_seen_meanwhile(url: str) -> None:
    with OptunaStorage(storage=url).opened() as opened, watched_study(opened, watched(), [], LOG) as views:
        hear(views, [running("a"), running("b"), running("a"), finished("a")])
        wait_for(lambda: states(load(url)) == [("a", "COMPLETE"), ("b", "RUNNING")])
    study = load(url)
    assert states(study) == [("a", "COMPLETE"), ("b", "FAIL")], "nobody works on it any more"
    assert study.trials[1].user_attrs["interrupted"] is True


def test_a_search_that_goes_on_doubles_nothing_and_ends_what_its_crash_left_running(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The crash came before the storage heard of the end of b, and of c at all."""
    with monkeypatch.context() as patch, OptunaStorage(storage=url).opened() as opened:
        patch.setattr(optuna_view._StudyView, "close", lambda *_: None)
        with watched_study(opened, watched(), [], LOG) as views:
            hear(views, [running("a"), finished("a"), running("b"), running("d", LINEAR)])
            wait_for(lambda: len(load(url).trials) == 3)
    ended = [finished("a"), finished("b", f1=0.75), finished("c", f1=0.25)]
    study = tell(url, [running("e", LINEAR), finished("e", LINEAR)], ended)
    assert states(study) == [
        ("a", "COMPLETE"), ("b", "COMPLETE"), ("d", "FAIL"), ("c", "COMPLETE"), ("e", "COMPLETE"),
    ]  # fmt: skip
    assert [trial.value for trial in study.trials] == [0.5, 0.75, None, 0.25, 0.5]
    assert study.trials[2].user_attrs["interrupted"] is True
    assert study.trials[3].duration is not None
    assert study.trials[3].duration.total_seconds() == 2


def test_a_study_of_another_experiment_with_the_same_name_is_left_alone(url: str) -> None:
    tell(url, [running("a"), finished("a")])
    for _ in range(2):
        with (
            OptunaStorage(storage=url).opened() as opened,
            watched_study(opened, watched(token="another"), [finished("b")], LOG),
        ):
            assert opened is not None
            assert opened.study_name == f"{NAME}-another"
    assert states(load(url)) == [("a", "COMPLETE")]
    assert states(load(url, f"{NAME}-another")) == [("b", "COMPLETE")]


def test_a_point_to_start_from_that_is_out_of_range_is_kept_with_a_range_that_reaches_it(url: str) -> None:
    with pytest.warns(UserWarning, match="out of"):
        study = tell(url, [], [finished("a", {**TREES, "eta": 0.9, "max_depth": 1})])
    (trial,) = study.trials
    assert (trial.params["eta"], trial.params["max_depth"]) == (0.9, 1)
    assert trial.distributions["eta"] == FloatDistribution(0.01, 0.9, log=True)
    assert trial.distributions["max_depth"] == IntDistribution(1, 8)


def test_trials_of_a_space_that_has_changed_since_are_kept_with_their_configuration(url: str) -> None:
    def other(trial: optuna.trial.Trial) -> None:
        trial.suggest_categorical("booster", ["gbtree", "dart"])

    tell(url, [], [finished("a")])
    with (
        OptunaStorage(storage=url).opened() as opened,
        watched_study(
            opened,
            watched(space=SearchSpace("ours", other)),
            [finished("a"), finished("b"), finished("c", LINEAR)],
            LOG,
        ),
    ):
        pass
    study = load(url)
    assert states(study) == [("a", "COMPLETE"), ("b", "COMPLETE"), ("c", "COMPLETE")]
    for trial, params in zip(study.trials, (TREES, TREES, LINEAR), strict=True):
        assert {**trial.params, **trial.user_attrs["constants"]} == params


@pytest.fixture
def away(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """A connection to the SQLite storage whose lock keeps everybody else out for a while."""
    monkeypatch.setattr(optuna_view, "_RETRY_AFTER_S", 0.05)
    tell(database, [])
    with sqlite3.connect(tmp_path / "study.db", isolation_level=None, check_same_thread=False) as connection:
        yield connection
    connection.close()


def test_a_storage_that_is_away_for_a_while_misses_nothing(database: str, away: sqlite3.Connection) -> None:
    with OptunaStorage(storage=database).opened() as opened, watched_study(opened, watched(), [], LOG) as views:
        hear(views, [running("a"), running("b")])
        wait_for(lambda: len(load(database).trials) == 2)
        away.execute("BEGIN EXCLUSIVE")
        hear(views, [finished("a"), running("c"), finished("c")])
        threading.Timer(0.5, lambda: away.execute("ROLLBACK")).start()
    assert states(load(database)) == [("a", "COMPLETE"), ("b", "FAIL"), ("c", "COMPLETE")]


def test_a_storage_that_stays_away_costs_the_search_nothing_but_a_warning(
    database: str, away: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(optuna_view, "_WAIT_AT_THE_END_S", 0.2)
    with OptunaStorage(storage=database).opened() as opened, watched_study(opened, watched(), [], LOG) as views:
        hear(views, [running("a")])
        wait_for(lambda: len(load(database).trials) == 1)
        away.execute("BEGIN EXCLUSIVE")
        hear(views, [finished("a")])
    away.execute("ROLLBACK")
    assert "is not up to date (OperationalError: database is locked)" in caplog.messages[-1]
    assert states(tell(database, [], [finished("a")])) == [("a", "COMPLETE")], "the run that goes on completes it"


def test_a_trial_whose_making_was_answered_by_nobody_is_not_made_twice(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_view, "_RETRY_AFTER_S", 0.05)
    with OptunaStorage(storage=url).opened() as opened, watched_study(opened, watched(), [], LOG) as views:
        assert opened is not None
        make = opened.storage.create_new_trial
        lost = iter([True])

        def make_and_lose_the_answer(*arguments: Any) -> Any:
            made = make(*arguments)
            if next(lost, False):
                raise ConnectionError("reset by peer")
            return made

        monkeypatch.setattr(opened.storage, "create_new_trial", make_and_lose_the_answer)
        hear(views, [running("a"), finished("a"), running("b"), finished("b")])
    assert states(load(url)) == [("a", "COMPLETE"), ("b", "COMPLETE")]


def test_a_storage_that_hangs_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(optuna_view, "_LEAVE_AFTER_S", 0.1)
    answered = threading.Event()
    url = f"journal://{tmp_path / 'study.log'}"
    with OptunaStorage(storage=url).opened() as opened, watched_study(opened, watched(), [], LOG) as views:
        assert opened is not None
        monkeypatch.setattr(opened.storage, "create_new_trial", lambda *_: answered.wait(60))
        hear(views, [running("a")])
    assert "no answer within" in caplog.messages[-1]
    answered.set()


def test_an_interrupt_of_the_search_is_not_hidden_and_waits_for_no_storage(
    database: str, away: sqlite3.Connection
) -> None:
    own = pytest.raises(KeyboardInterrupt)
    with own, OptunaStorage(storage=database).opened() as opened, watched_study(opened, watched(), [], LOG) as views:
        hear(views, [running("a")])
        wait_for(lambda: len(load(database).trials) == 1)
        away.execute("BEGIN EXCLUSIVE")
        raise KeyboardInterrupt
    away.execute("ROLLBACK")


def test_without_a_storage_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STORAGE, raising=False)
    with OptunaStorage().opened() as opened, watched_study(opened, watched(), [], LOG) as views:
        assert opened is None
        assert views == []


def test_the_environment_names_the_storage_and_configuration_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORAGE, f"sqlite:///{tmp_path / 'environment.db'}")
    for storage, file in ((OptunaStorage(), "environment.db"), (OptunaStorage(storage=f"journal://{tmp_path}/a"), "a")):
        with storage.opened() as opened:
            assert opened is not None
            assert opened.place.endswith(f"/{file}")
        assert (tmp_path / file).exists()


SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            f"postgresql+psycopg2://fraud:{SECRET}@127.0.0.1:1/x",
            "storage postgresql+psycopg2://127.0.0.1:1/x can't be used (OperationalError",
        ),
        (f"postgresql+psycopg2://127.0.0.1:1/x?user=fraud&password={SECRET}", "127.0.0.1:1/x can't be used"),
        (f"postgresql+psycopg2://fraud:p{{x}}{SECRET}@127.0.0.1:1/x", "can't be used (OperationalError"),
        # Not percent-encoded: a piece of the password would be a host, a port or a database.
        (f"postgresql+psycopg2://fraud:p@{SECRET}@127.0.0.1:1/x", "is no Optuna storage"),
        (f"postgresql+psycopg2://fraud:p@h:{SECRET}@127.0.0.1:1/x", "is no Optuna storage"),
        (f"postgresql+psycopg2://fraud:p@h/{SECRET}@127.0.0.1:1/x", "is no Optuna storage"),
        (f"{SECRET}", "is no Optuna storage"),
        (f"nosuch://fraud:{SECRET}@127.0.0.1/x", "can't be used"),
        ("sqlite://", "in memory"),
        ("sqlite:////no/such/folder/study.db", "unable to open database file"),
        ("journal://study.log", "names no journal file"),
        ("journal:///no/such/folder/study.log", "No such file or directory"),
    ],
)
def test_a_storage_that_cannot_be_used_is_told_in_a_sentence_without_its_password(
    url: str, message: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(STORAGE, url)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(OptunaStorageError) as raised, OptunaStorage().opened():
        pass
    assert message in str(raised.value)
    assert SECRET not in str(raised.value) + caplog.text
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None, "SQLAlchemy's own error goes along into Dagster's event"


@pytest.mark.parametrize("url", [f"postgresql://u:{SECRET}@h/x", f"postgresql+psycopg2://h/x?password={SECRET}"])
def test_a_password_in_configuration_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STORAGE, raising=False)
    refused = pytest.raises(OptunaStorageError, match=f"set {STORAGE} in the environment instead")
    with refused as raised, OptunaStorage(storage=url).opened():
        pass
    assert SECRET not in str(raised.value)


def wait_for(holds: Any, within_s: float = 20) -> None:
    give_up = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.02)
