"""The logged model, as somebody loads and serves it who has MLflow and XGBoost and knows nothing of this project."""

import json
import os
import shutil
import sys
import sysconfig
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow.artifacts import download_artifacts

from tests.integration.graph import holdout, materialize, python, stored_json, the_study
from tests.integration.transactions import ROLES, transactions, write_transactions
from tests.servers import REPOSITORY, free_ports, running

pytestmark = pytest.mark.integration

SPACE = """
def booster(trial):
    trial.suggest_categorical("resampler", ["passthrough", "smote"])
    trial.suggest_float("eta", 0.05, 0.3)
    return {"n_estimators": 20}


booster.defaults = {"resampler": "smote", "eta": 0.3}
"""


@dataclass(frozen=True)
class Logged:
    """A model and the elsewhere that it is loaded in."""

    folder: Path
    value: dict[str, Any]
    roc_auc: float
    elsewhere: Path

    def answer(self, code: str) -> Any:
        """What `code` prints as JSON, given `model`, in a Python that finds installed packages only."""
        script = f"""
import json, sys
import pandas as pd, mlflow
model = mlflow.pyfunc.load_model({str(self.folder)!r})
def show(value): print("ANSWER", json.dumps(value))
{code}"""
        # The package is installed in place: without the repository it is not installed.
        hidden = f"import sys; sys.path[:] = [p for p in sys.path if p != {str(REPOSITORY)!r}]\n"
        return json.loads(python(hidden + script, "-I", folder=self.elsewhere).rpartition("ANSWER")[2])


@pytest.fixture(scope="module")
def logged(local_ray: None, mlflow_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    with pytest.MonkeyPatch.context() as patch:
        work = tmp_path_factory.mktemp("served")
        patch.chdir(work)
        (work / ".fraud_assets").mkdir()
        shutil.copy(mlflow_database, work / ".fraud_assets")
        patch.syspath_prepend(work)
        (work / "our_spaces.py").write_text(SPACE)
        for name in list(os.environ):
            if name.startswith(("FRAUD_", "MLFLOW_")):
                patch.delenv(name)
        config = {
            "raw_dataset": {"uri": str(write_transactions(work, 4000)), **ROLES},
            "dataset_split": {"folds": 1},
            "tuning_results": {"trials": 2, "search_space": "our_spaces:booster", "metric": "roc_auc"},
        }
        run = materialize(config)
        assert run.success, run.messages
        value = stored_json(work / ".fraud_assets", "fraud_model")
        uri = f"sqlite:///{work / '.fraud_assets' / 'mlflow.db'}"
        folder = download_artifacts(value["model_uri"], dst_path=str(work / "model"), tracking_uri=uri)
        elsewhere = work / "elsewhere"
        elsewhere.mkdir()
        yield Logged(Path(folder), value, holdout(the_study(uri)[0])["roc_auc"], elsewhere)


def test_a_space_named_by_import_path_finds_frauds_in_numbers_booleans_categories_and_gaps(logged: Logged) -> None:
    assert logged.roc_auc > 0.75


def test_it_is_loaded_with_the_code_that_was_logged_with_it(logged: Logged) -> None:
    file = logged.answer("import fraud_assets; show(fraud_assets.__file__)")
    assert Path(file).is_relative_to(logged.folder)


def test_loading_and_predicting_import_none_of_what_trained_it(logged: Logged) -> None:
    rows = transactions(50, seed=1).to_json(orient="records", date_unit="ns")
    code = (
        f"model.predict(pd.DataFrame({json.loads(rows)!r})); show(sorted({{m.partition('.')[0] for m in sys.modules}}))"
    )
    imported = set(logged.answer(code))
    assert "xgboost" in imported
    assert imported & {"ray", "dagster", "dagster_mlflow", "imblearn", "optuna", "pandera"} == set()


def test_missing_values_unseen_categories_and_whole_numbers_are_predicted(logged: Logged) -> None:
    row = {"amount": 20.5, "visits": 3, "channel": "chip", "night": False, "abroad": False}
    changes: list[dict[str, Any]] = [
        {}, {"amount": None}, {"amount": 20}, {"visits": None}, {"visits": 3.0}, {"channel": None},
        {"channel": "pigeon"}, {"night": None}, {"abroad": None}, dict.fromkeys(row),
    ]  # fmt: skip
    code = f"""
row, changes = {row!r}, {changes!r}
one_by_one = [model.predict(pd.DataFrame([row | change])).tolist() for change in changes]
together = model.predict(pd.DataFrame([row | change for change in changes])).tolist()
nan = model.predict(pd.DataFrame([row | {{"amount": float("nan")}}])).tolist()
show([one_by_one, together, nan])"""
    one_by_one, together, nan = logged.answer(code)
    assert [answer for (answer,) in one_by_one] == together
    assert set(together) <= {0, 1}
    assert nan == one_by_one[1]


def test_probabilities_are_answered_on_request_and_the_threshold_decides(logged: Logged) -> None:
    rows = transactions(300, seed=2).drop(columns=["at", "is_fraud", "customer"])
    rows.to_parquet(logged.elsewhere / "rows.parquet")
    code = """
rows = pd.read_parquet("rows.parquet")
show([model.predict(rows).tolist(), model.predict(rows, params={"predict_method": "predict_proba"}).tolist()])"""
    labels, probabilities = logged.answer(code)
    assert labels == [int(fraud >= logged.value["threshold"]) for _, fraud in probabilities]
    assert {0, 1} == set(labels)
    assert all(abs(sum(pair) - 1) < 1e-6 for pair in probabilities)


def test_a_missing_column_is_told_by_its_name(logged: Logged) -> None:
    code = """
try: model.predict(pd.DataFrame([{"amount": 1.0}]))
except Exception as error: show(str(error))"""
    assert "channel" in logged.answer(code)


def test_nothing_in_it_is_a_pickle(logged: Logged) -> None:
    files = [file for file in logged.folder.rglob("*") if file.is_file()]
    assert any(file.suffix == ".ubj" for file in files)
    assert [file for file in files if file.suffix in (".pkl", ".pickle", ".joblib", ".cloudpickle")] == []
    # Protocols 2 to 5 begin with this opcode and the number.
    assert [file for file in files if file.read_bytes()[:1] == b"\x80"] == []


def test_it_says_what_it_needs_and_how_it_is_called(logged: Logged) -> None:
    described = (logged.folder / "MLmodel").read_text()
    for column in ("amount", "visits", "channel", "night", "abroad"):
        assert column in described
    for other in ("is_fraud", "customer"):
        assert f'"{other}"' not in described
    assert (logged.folder / "input_example.json").exists()
    needed = (logged.folder / "requirements.txt").read_text()
    assert {"mlflow", "xgboost", "pandas"} <= {line.partition("==")[0] for line in needed.split()}


def test_mlflow_serves_it_over_http(logged: Logged, tmp_path: Path) -> None:
    columns = ["amount", "visits", "channel", "night", "abroad"]
    rows = [[20.5, 3, "chip", False, False], [None, None, None, None, None], [900, 1, "online", True, True]]
    body = json.dumps({"dataframe_split": {"columns": columns, "data": rows}}).encode()
    with free_ports(1) as (port,):
        uri = f"http://127.0.0.1:{port}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def answers() -> bool:
        try:
            with opener.open(f"{uri}/ping", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(logged.folder), "--env-manager", "local"]
    # MLflow starts uvicorn by name.
    path = {"PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"}
    with running([*command, "--port", str(port), "--workers", "1"], tmp_path, path, answers, timeout_s=120):
        request = urllib.request.Request(f"{uri}/invocations", body, {"Content-Type": "application/json"})
        with opener.open(request, timeout=30) as response:
            answer = json.loads(response.read())
    assert len(answer["predictions"]) == 3
    assert answer["predictions"][0] == 0
    assert answer["predictions"][2] == 1
