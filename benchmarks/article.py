"""The whole process against the script that it replaces, on the script's data, space and number of trials.

Both sides run as their users run them, one after the other, each in a process and a folder of its own, with MLflow in
SQLite: the script, and `dagster asset materialize` of all assets. Both fit every trial on one fold: the script on 80 %
of the rows, ours on 76 %, because 5 % are the holdout. Ours also compares with baselines and registers the model. What
the trials find is no part of this: the script finds copies of rows that it was fitted on, which our split keeps apart.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq


def seconds_of(command: list[str], folder: Path) -> float:
    """Wall seconds of a command in `folder`, nothing configured by the environment; its output stays in a file there.

    Raises:
        RuntimeError: it failed.
    """
    configured = ("FRAUD_", "DAGSTER_", "MLFLOW_", "RAY_", "AWS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(configured)}
    started = time.perf_counter()
    with (folder / "output.txt").open("w") as output:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment | {"DAGSTER_HOME": str(folder)},
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{(folder / 'output.txt').read_text()[-3000:]}")
    return time.perf_counter() - started


def run_script(script: Path, data: Path, trials: int, folder: Path) -> float:
    """Seconds of the script."""
    database, storage = f"sqlite:///{folder / 'mlflow.db'}", str(folder / "ray")
    options = ["--data", str(data), "--trials", str(trials), "--tracking-uri", database, "--storage", storage]
    return seconds_of([sys.executable, str(script), *options], folder)


def run_graph(data: Path, trials: int, folder: Path) -> float:
    """Seconds of the graph; each of its trials was fitted to the end.

    Raises:
        RuntimeError: it failed, or a trial did not finish.
    """
    ops = {
        "raw_dataset": {
            "uri": str(data),
            "label": "is_fraud",
            "exclude": ["entity_id", "event_timestamp"],
            "duplicates": "keep",
        },
        "dataset_split": {"strategy": "stratified", "folds": 1, "holdout_fraction": 0.05},
        "tuning_results": {"trials": trials, "metric": "f1", "search_space": "article", "members": 1},
    }
    config = folder / "run.json"
    config.write_text(json.dumps({"ops": {asset: {"config": values} for asset, values in ops.items()}}))
    dagster = str(Path(sys.executable).parent / "dagster")
    # The script stops at the model, too.
    options = ["--select", "+fraud_model", "-m", "fraud_assets.definitions", "-c", str(config)]
    seconds = seconds_of([dagster, "asset", "materialize", *options], folder)
    statuses = (
        pq.read_table(folder / ".fraud_assets" / "assets" / "tuning_results.parquet").column("status").to_pylist()
    )
    if statuses != ["finished"] * trials:
        raise RuntimeError(f"{trials} trials were asked for, and they ended as {statuses}")
    return seconds
