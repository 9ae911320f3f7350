"""What is printed after `make materialize`."""

import subprocess
import sys
from pathlib import Path

from fraud_assets.summary import summary

BEST = {
    "best_trial": {"name": "smote-gbtree-12345678", "params": {"eta": 0.1, "max_depth": 6}, "score": 0.60004},
    "members": [{}, {}, {}],
    "metric": "f1",
    "score": 0.61234,
    "score_std": 0.01,
    "experiment": "article-f1-abc-def",
}
MODEL = {
    "registered_model": "fraud_model",
    "version": 3,
    "fitted_on": "all rows",
    "mlflow_parent_run_id": "0123456789abcdef",
    "threshold": 0.25,
    "verdict": "no_signal",
    "judgement": {
        "metrics": {
            "f1": {"value": 0.5, "low": 0.4, "high": 0.6},
            "roc_auc": {"value": 0.8765, "low": 0.8, "high": 0.9},
        },
        "level": 0.95,
        "rows": 4000,
        "frauds": 38,
        "prevalence": 0.0095,
    },
}

CHAMPION = {"champion": 2, "decision": "kept", "reason": "no sure gain"}


def test_it_names_best_trial_scores_model_run_and_places() -> None:
    text = summary(BEST, MODEL, CHAMPION, "s3://bucket/graph", "http://mlflow:5000")
    for told in (
        "smote-gbtree-12345678",
        '{"eta": 0.1, "max_depth": 6}',
        "f1 0.6000",
        "3 trials averaged",
        "f1 0.6123",
        "roc_auc 0.8765 (0.8000 to 0.9000)",
        "95% intervals",
        "no_signal",
        "threshold 0.2500",
        "models:/fraud_model/3",
        "fitted on all rows",
        "version 2; kept: no sure gain",
        "0123456789abcdef",
        "s3://bucket/graph",
        "http://mlflow:5000",
        "make dev",
    ):
        assert told in text
    assert max(len(line) for line in text.splitlines()) < 150


def test_without_a_materialization_it_says_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fraud_assets.summary"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"DAGSTER_HOME": str(tmp_path)}, check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "best_params was never materialized in the Dagster instance at" in done.stderr
    assert "Traceback" not in done.stderr
