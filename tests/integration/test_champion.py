"""The registry's aliases: who becomes champion, who stays challenger, and how that is undone."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from fraud_assets.resources.lease import Lease
from fraud_assets.resources.model_registry import CHALLENGER, CHAMPION
from fraud_assets.resources.object_store import ObjectStore
from tests.integration.graph import ASSETS, Outcome, materialize, mlflow_runs, statuses, stored_json
from tests.integration.transactions import ROLES, space, write_transactions

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("local_ray")]

NAME = "fraud_model"
WEAK = "return {'n_estimators': 1, 'max_depth': 1, 'eta': trial.suggest_float('eta', 0.1, 0.11)}"
STRONG = "return {'n_estimators': 60, 'max_depth': 3, 'eta': trial.suggest_float('eta', 0.1, 0.2)}"


def run(raw: Path, select: Any = ASSETS, search_space: str = "", **configs: dict[str, Any]) -> Outcome:
    config: dict[str, dict[str, Any]] = {
        "raw_dataset": {"uri": str(raw), **ROLES},
        "dataset_split": {"folds": 1, "holdout_fraction": 0.4},
        "tuning_results": {"trials": 2, "members": 1, "warm_start": False, "pruner": "none"},
        "fraud_model": {"resamples": 200},
        **configs,
    }
    if search_space:
        config["tuning_results"]["search_space"] = search_space
    done = materialize({name: values for name, values in config.items() if name in select}, select)
    assert done.success, done.messages
    return done


def spaces(work: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A search space of weak models, and one of strong ones."""
    path = space(work, monkeypatch, STRONG)
    module = work / f"{path.partition(':')[0]}.py"
    module.write_text(module.read_text() + f"\n\ndef weak(trial):\n    {WEAK}\n")
    return path.replace(":ours", ":weak"), path


def aliases(uri: str) -> dict[str, int]:
    found = MlflowClient(uri).get_registered_model(NAME).aliases
    return {alias: int(version) for alias, version in found.items()}


def champion(work: Path) -> Any:
    return stored_json(work / ".fraud_assets", "champion_model")


def test_only_what_is_surely_better_takes_the_alias_and_a_rollback_gives_it_back(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = write_transactions(work, 3000)
    weak, strong = spaces(work, monkeypatch)

    run(raw, search_space=weak)
    assert aliases(embedded_mlflow) == {CHAMPION: 1}
    assert (champion(work)["decision"], champion(work)["champion"]) == ("promoted", 1)
    assert champion(work)["reason"] == "the first model that passes its checks"

    run(raw, search_space=weak)
    assert aliases(embedded_mlflow) == {CHAMPION: 1, CHALLENGER: 2}
    assert champion(work)["decision"] == "kept"
    assert "average_precision" in champion(work)["reason"]

    run(raw, search_space=strong)
    value = champion(work)
    assert aliases(embedded_mlflow) == {CHAMPION: 3, CHALLENGER: 2}
    assert (value["decision"], value["champion"], value["previous"]) == ("promoted", 3, 1)
    judged = value["comparison"]["judgement"]
    assert judged["baselines"][CHAMPION]["gain"]["average_precision"]["low"] > 0
    # The same data and split: neither of the two has seen the holdout.
    assert judged["rows"] == pytest.approx(1200, abs=60)

    run(raw, ["champion_model"])
    assert champion(work)["reason"] == "version 3 is the champion already"

    run(raw, ["champion_model"], champion_model={"version": 1})
    value = champion(work)
    assert aliases(embedded_mlflow)[CHAMPION] == 1
    assert value["decision"] == "rolled_back"
    assert [(entry["previous"], entry["version"]) for entry in value["history"]] == [(None, 1), (1, 3), (3, 1)]

    MlflowClient(embedded_mlflow).set_registered_model_alias(NAME, CHAMPION, "2")
    run(raw, ["champion_model"])
    value = champion(work)
    assert value["champion"] == 3
    assert [entry["version"] for entry in value["history"]] == [1, 3, 1, 2, 3]
    assert "changed elsewhere" in value["history"][3]["reason"]
    tags = MlflowClient(embedded_mlflow).get_model_version(NAME, "3").tags
    assert tags["decision"] == "promoted"


def test_a_version_that_does_not_exist_changes_nothing(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = write_transactions(work, 3000)
    run(raw, search_space=spaces(work, monkeypatch)[0])
    done = materialize({"champion_model": {"version": 9}}, ["champion_model"])
    assert not done.success
    assert "the registry has no version 9 of fraud_model" in done.messages["champion_model"]
    assert aliases(embedded_mlflow) == {CHAMPION: 1}


def test_a_model_without_signal_is_not_promoted_even_as_the_first(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = write_transactions(work, 3000)
    frame = pd.read_parquet(raw / "transactions.parquet")
    frame["is_fraud"] = np.random.default_rng(0).permutation(frame["is_fraud"])
    frame.to_parquet(raw / "transactions.parquet", index=False)
    run(raw, search_space=spaces(work, monkeypatch)[1])
    assert aliases(embedded_mlflow) == {CHALLENGER: 1}
    assert (champion(work)["champion"], champion(work)["decision"]) == (None, "kept")
    assert champion(work)["reason"] == "checks have failed: fraud_model:signal"


@pytest.mark.long
def test_who_comes_second_is_compared_with_the_winner_of_the_first(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = write_transactions(work, 3000)
    weak, strong = spaces(work, monkeypatch)
    run(raw, search_space=weak)
    run(raw, ASSETS[2:5], search_space=strong)  # version 2, strong
    run(raw, ASSETS[2:5], search_space=strong)  # version 3, as strong
    client, entered = MlflowClient(embedded_mlflow), threading.Event()

    def other_run() -> None:
        with Lease(ObjectStore().child("models", "owners")).held("other"):
            entered.set()
            time.sleep(5)
            client.set_registered_model_alias(NAME, CHAMPION, "2")

    thread = threading.Thread(target=other_run)
    thread.start()
    assert entered.wait(30)
    run(raw, ["champion_model"])
    thread.join()
    assert (champion(work)["previous"], champion(work)["decision"]) == (2, "kept")
    assert aliases(embedded_mlflow) == {CHAMPION: 2, CHALLENGER: 3}


def test_parameters_of_earlier_data_are_fitted_and_judged_on_newer_data(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = write_transactions(work, 3000)
    run(raw, search_space=spaces(work, monkeypatch)[1])
    before = stored_json(work / ".fraud_assets", "best_params")
    more = write_transactions(work / "raw", 2000, seed=1)
    (more / "transactions.parquet").rename(raw / "more.parquet")
    more.rmdir()

    refused = materialize(
        {"raw_dataset": {"uri": str(raw), **ROLES}}, ["raw_dataset", "dataset_split", "fraud_model", "champion_model"]
    )
    assert "set tuned_on to earlier_data" in refused.messages["fraud_model"]

    run(
        raw,
        ["raw_dataset", "dataset_split", "fraud_model", "champion_model"],
        fraud_model={"resamples": 200, "tuned_on": "earlier_data"},
    )
    storage = work / ".fraud_assets"
    model = stored_json(storage, "fraud_model")
    assert stored_json(storage, "best_params") == before
    assert (model["version"], model["tuned_on"]) == (2, before["data_version"])
    assert model["data_version"] == champion(work)["data_version"] != before["data_version"]
    assert model["threshold"] != before["threshold"]
    # Half of its holdout was in the first model's: what that one was fitted on judges neither.
    assert champion(work)["comparison"]["judgement"]["rows"] < model["judgement"]["rows"]
    runs = {found.info.run_id: found for found in mlflow_runs(embedded_mlflow)}
    child = runs[model["mlflow_run_id"]]
    assert child.data.tags["mlflow.parentRunId"] == before["mlflow_parent_run_id"]
    assert child.data.tags["mlflow.runName"] == f"retrained-{model['data_version']}"
    assert "holdout_average_precision" in child.data.metrics
    assert set(statuses(list(runs.values()))) == {"FINISHED"}
