"""A user's own resampler, in a module beside his search space, from the command line to the model."""

from pathlib import Path

import pytest

from fraud_assets.ml.estimator import FraudClassifier
from tests.integration.graph import mlflow_runs, stored_json, the_study, workplace
from tests.integration.transactions import ROLES, transactions, write_transactions

pytestmark = pytest.mark.integration

MODULE = """
import numpy as np


class Thin:
    def __init__(self, every):
        self.every = every

    def fit_resample(self, X, y):
        legitimate = np.flatnonzero(y == 0)
        self.sample_indices_ = np.append(legitimate[:: self.every], np.flatnonzero(y == 1))
        return X[self.sample_indices_], y[self.sample_indices_]


def space(trial):
    trial.suggest_int("resampler__every", 2, 4)
    trial.suggest_int("max_depth", 2, 4)
    return {"resampler": "thinning:Thin", "n_estimators": 20}
"""


@pytest.mark.long
def test_workers_find_a_users_resampler_and_a_limit_stops_it_before_any_run(tmp_path: Path) -> None:
    with workplace(tmp_path) as place:
        (place.folder / "thinning.py").write_text(MODULE)
        tuning = {"trials": 3, "max_concurrent": 2, "search_space": "thinning:space", "neighbour_limit": 1200}
        config = {
            "raw_dataset": {"uri": str(write_transactions(tmp_path)), **ROLES},
            "dataset_split": {"folds": 2},
            "tuning_results": tuning,
        }
        path = str(place.folder)
        run = place.materialize(config=config, PYTHONPATH=path)
        assert run.code == 0, run.log
        uri, storage = f"sqlite:///{place.folder / '.fraud_assets' / 'mlflow.db'}", place.folder / ".fraud_assets"
        parent, children = the_study(uri)
        assert [child.info.status for child in children] == ["FINISHED"] * 3
        best = stored_json(storage, "best_params")
        assert best["neighbour_limit"] == {"rows": 1200, "past": "fail"}
        for params in [child.data.params for child in children] + [parent.data.params]:
            assert params["resampler"] == "thinning:Thin"
            assert params["resampler__every"] in "234"

        # Here nobody finds the module.
        (saved,) = (storage / "mlartifacts").rglob("classifier.json")
        classifier = FraudClassifier.load(saved.parent)
        assert [member.params for member in classifier.members] == [member["params"] for member in best["members"]]
        assert all(2 <= member.params["resampler__every"] <= 4 for member in classifier.members)
        known = transactions()
        # It was fitted on a half of the legitimate rows, or fewer.
        assert classifier.predict_proba(known)[:, 1].mean() > 1.5 * known["is_fraud"].mean()

        config["tuning_results"] = tuning | {"neighbour_limit": 1199}
        run = place.materialize("tuning_results", config, PYTHONPATH=path)
        assert run.code != 0
        assert "resampler 'thinning:Thin' looks for neighbours among 1,200 in all rows" in run.log
        assert "neighbour_limit is 1,199 rows" in run.log
        assert len(mlflow_runs(uri)) == 4, "neither a parent nor a child was added"
