"""What a search comes to: the trials that are averaged, the Pareto front, and where the next search begins."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from fraud_assets.io_manager import ParquetIOManager
from fraud_assets.ml.ensemble import average
from fraud_assets.ml.estimator import FraudClassifier
from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.search_space import SEARCH_SPACES
from fraud_assets.ml.split import Split
from fraud_assets.ml.study import StudyData
from tests.integration.graph import ASSETS, materialize, stored_json, the_study
from tests.integration.transactions import ROLES, space, write_transactions

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("local_ray")]

SEED = 1025


def config(work: Path, **tuning: Any) -> dict[str, Any]:
    return {
        "raw_dataset": {"uri": str(write_transactions(work)), **ROLES},
        "dataset_split": {"folds": 2},
        "tuning_results": {"seed": SEED, **tuning},
    }


def stored(work: Path, asset: str) -> Any:
    return pq.read_table(work / ".fraud_assets" / "assets" / f"{asset}.parquet")


def grid_of(work: Path) -> pd.DataFrame:
    frame: pd.DataFrame = stored(work, "tuning_results").to_pandas()
    return frame


def test_the_model_averages_the_trials_that_the_grid_says_it_does(
    work: Path, embedded_mlflow: str, tmp_path: Path
) -> None:
    run = materialize(config(work, trials=8, members=3))
    assert run.success, run.log
    storage = work / ".fraud_assets"
    best, grid = stored_json(storage, "best_params"), grid_of(work)

    weights = dict(zip(grid["trial_id"], grid["weight"], strict=True))
    members = {member["trial_id"]: member["weight"] for member in best["members"]}
    assert members == {trial: weight for trial, weight in weights.items() if weight > 0}
    assert 1 < len(members) <= 3, "the default start points are trees and a forest, which err differently"
    assert sum(members.values()) == pytest.approx(1)

    # What is told of the average is what the trials' checkpoints say.
    dataset = Dataset.from_arrow(stored(work, "raw_dataset"))
    study = StudyData.prepare(dataset, Split.from_arrow(stored(work, "dataset_split"), dataset), SEED)
    folder = storage / "tune" / best["experiment"]
    files = {trial: next(folder.glob(f"attempt-1/{trial}/checkpoint_*/out_of_fold.npy")) for trial in members}
    ends = np.cumsum([len(validate) for _, validate in study.folds])[:-1]
    parts = [np.split(np.load(file), ends) for file in files.values()]
    averaged = [average(fold, list(members.values())) for fold in zip(*parts, strict=True)]
    assert study.report(averaged) == best["metrics"]
    assert best["score"] >= best["best_trial"]["score"]

    model = stored_json(storage, "fraud_model")
    client = MlflowClient(embedded_mlflow)
    downloaded = client.download_artifacts(the_study(embedded_mlflow)[0].info.run_id, "", str(tmp_path))
    assert (Path(downloaded) / "model_card.md").exists()
    (saved,) = (storage / "mlartifacts").rglob("classifier.json")
    classifier = FraudClassifier.load(saved.parent)
    assert [member.params for member in classifier.members] == [member["params"] for member in best["members"]]
    assert [member.weight for member in classifier.members] == list(members.values())
    assert classifier.threshold == best["threshold"] == model["threshold"]


def test_a_search_first_tries_what_the_last_one_found(work: Path, embedded_mlflow: str) -> None:
    first = config(work, trials=6, members=2)
    assert materialize(first, ASSETS[:4]).success
    known = stored_json(work / ".fraud_assets", "best_params")["members"]
    assert materialize({**first, "tuning_results": {"seed": 7, "trials": 6}}, ASSETS[2:3]).success
    tried = [json.loads(params) for params in grid_of(work)["params"]]
    space = SEARCH_SPACES["fraud"]
    assert tried[0].items() >= dict(space.defaults or {}).items()
    for member in known:
        point = space.point(member["params"])
        assert point is not None
        assert any(params.items() >= point.items() for params in tried[: 1 + len(known)])

    assert materialize({**first, "tuning_results": {"seed": 7, "trials": 6, "warm_start": False}}, ASSETS[2:3]).success
    cold = [json.loads(params) for params in grid_of(work)["params"]]
    assert [params["booster"] for params in cold[:3]] == ["gbtree", "gbtree", "forest"]
    assert cold[1].items() >= dict(space.start[0]).items()


def test_a_result_that_was_stored_but_never_told_to_dagster_is_made_of_the_same_trials(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stored_only = ParquetIOManager.handle_output

    def killed_after_storing(self: ParquetIOManager, context: dg.OutputContext, value: Any) -> None:
        stored_only(self, context, value)
        if context.asset_key == dg.AssetKey("tuning_results"):
            raise RuntimeError("killed")

    wanted = config(work, trials=4)
    with monkeypatch.context() as patch:
        patch.setattr(ParquetIOManager, "handle_output", killed_after_storing)
        assert not materialize(wanted, ASSETS[:3], dg.DagsterInstance.local_temp(str(tmp_path))).success
    trials = set(grid_of(work)["trial_id"])
    assert materialize(wanted, ASSETS[2:3], dg.DagsterInstance.local_temp(str(tmp_path))).success
    assert set(grid_of(work)["trial_id"]) == trials
    assert materialize(wanted, ASSETS[2:3], dg.DagsterInstance.local_temp(str(tmp_path))).success
    assert not set(grid_of(work)["trial_id"]) & trials, "a materialization that is asked for again is another search"


def test_a_second_objective_leaves_a_pareto_front_and_a_limit_chooses_on_it(work: Path, embedded_mlflow: str) -> None:
    weighed = {"second_metric": "alert_rate_at_threshold", "second_limit": 1.0}
    run = materialize(config(work, trials=8, **weighed), ASSETS[:4])
    assert run.success, run.log
    grid, best = grid_of(work), stored_json(work / ".fraud_assets", "best_params")

    scores = grid[["average_precision", "alert_rate_at_threshold"]].to_numpy()
    beaten = [
        any((o[0] >= s[0]) and (o[1] <= s[1]) and ((o[0] > s[0]) or (o[1] < s[1])) for o in scores) for s in scores
    ]
    assert grid["pareto_front"].tolist() == [not lost for lost in beaten]
    assert grid["pareto_front"].any()
    assert len(best["members"]) == 1
    assert best["score"] == grid["average_precision"].max()
    parent, children = the_study(embedded_mlflow)
    plots = {file.path for file in MlflowClient(embedded_mlflow).list_artifacts(parent.info.run_id, "plots")}
    assert "plots/pareto_front.png" in plots
    assert all("alert_rate_at_threshold" in child.data.metrics for child in children)

    least = float(grid["alert_rate_at_threshold"].min())
    strict = {**weighed, "second_limit": least / 2, "trials": 3}
    run = materialize(config(work, **strict), ASSETS[2:3])
    assert not run.success
    assert "has alert_rate_at_threshold of at most" in run.messages["tuning_results"]
    assert "set second_limit to what can be reached" in run.messages["tuning_results"]


@pytest.mark.long
def test_trials_that_the_time_budget_ends_are_told_with_their_configuration_and_cost_no_other(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first trial ends at once, the others never would.
    body = "eta = trial.suggest_float('eta', 0.1, 0.3)\nreturn {'n_estimators': 10 if trial.number == 0 else 10**7}"
    endless = space(work, monkeypatch, body)
    run = materialize(config(work, search_space=endless, trials=6, max_concurrent=2, time_budget_s=30), ASSETS[:4])
    assert run.success, run.log
    grid = grid_of(work)
    stopped = grid[grid["status"] == "stopped"]
    assert (grid["status"] == "finished").sum() == 1
    assert len(stopped) >= 1
    assert stopped["average_precision"].isna().all()
    assert stopped["params/eta"].notna().any(), "those that had begun say with what"
    parent, children = the_study(embedded_mlflow)
    assert parent.info.status == "FINISHED"
    assert {child.info.status for child in children} == {"FINISHED", "KILLED"}


def test_a_configuration_that_was_scored_is_not_fitted_again(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "return {'n_estimators': 20, 'booster': ('gbtree', 'dart')[trial.number % 2]}"
    run = materialize(config(work, trials=6, search_space=space(work, monkeypatch, body), max_concurrent=1), ASSETS[:4])
    assert run.success, run.log
    grid = grid_of(work)
    assert grid["status"].tolist() == ["finished"] * 6
    # dart without dropout is gbtree, too; two fits never take equally long.
    assert {json.loads(params)["booster"] for params in grid["params"]} == {"gbtree", "dart"}
    assert grid["fit_seconds"].nunique() == 1
    assert grid["average_precision"].nunique() == 1
    folder = work / ".fraud_assets" / "tune"
    assert len({np.load(file).tobytes() for file in folder.rglob("out_of_fold.npy")}) == 1
    assert len(list(folder.rglob("out_of_fold.npy"))) == 6


def test_a_trial_that_is_worse_than_others_on_the_way_is_not_fitted_to_its_end(
    work: Path, embedded_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every second trial can't split anything: each row has the same probability.
    body = "return {'n_estimators': 200, 'max_depth': 3, 'gamma': 1e9 * (trial.number % 2)}"
    wanted = config(work, trials=6, search_space=space(work, monkeypatch, body), max_concurrent=1, members=4)
    run = materialize(wanted, ASSETS[:4])
    assert run.success, run.log
    grid, best = grid_of(work), stored_json(work / ".fraud_assets", "best_params")

    assert grid["status"].tolist() == ["finished", "pruned"] * 3
    pruned = grid[grid["status"] == "pruned"]
    assert (pruned["rounds"] == 50).all()
    assert pruned["average_precision"].max() < grid["average_precision"].max()
    assert {m["trial_id"] for m in best["members"]}.isdisjoint(pruned["trial_id"])
    _, children = the_study(embedded_mlflow)
    assert {child.info.status for child in children} == {"FINISHED"}
    tagged = {child.info.run_id for child in children if child.data.tags.get("pruned") == "true"}
    assert tagged == set(pruned["mlflow_run_id"])
    assert all(child.data.metrics["rounds"] == 50 for child in children if child.info.run_id in tagged)

    run = materialize({**wanted, "tuning_results": {**wanted["tuning_results"], "pruner": "none"}}, ASSETS[2:3])
    assert run.success, run.log
    assert (grid_of(work)["status"] == "finished").all()
