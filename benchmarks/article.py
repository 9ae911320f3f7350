"""The whole process against the script that it replaces, on the script's data, space and number of trials.

Both sides run as their users run them, one after the other, each in a process and a folder of its own, with MLflow in
SQLite: the script, and `dagster asset materialize` of all assets. Both fit every trial on one fold: the script on 80 %
of the rows, ours on 76 %, because 5 % are the holdout. Ours also compares with baselines and registers the model. What
the trials find is no part of this: the script finds copies of rows that it was fitted on, which our split keeps apart.

    python benchmarks/article.py [--baseline article_baseline.py] [--data FILE.csv] [--trials 100] [--repeats 1]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "bench"


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
    options = ["--select", "*", "-m", "fraud_assets.definitions", "-c", str(config)]
    seconds = seconds_of([dagster, "asset", "materialize", *options], folder)
    statuses = (
        pq.read_table(folder / ".fraud_assets" / "assets" / "tuning_results.parquet").column("status").to_pylist()
    )
    if statuses != ["finished"] * trials:
        raise RuntimeError(f"{trials} trials were asked for, and they ended as {statuses}")
    return seconds


def main() -> None:
    """Run both sides, and print their medians and the ratio as one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--baseline", type=Path, default=_BESIDE / "article_baseline.py")
    parser.add_argument("--data", type=Path, default=_BESIDE / "data" / "article_training_data.csv")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=1)
    args = parser.parse_args()
    data, script, graph = args.data.resolve(), list[float](), list[float]()
    for _ in range(args.repeats):
        with (
            tempfile.TemporaryDirectory(prefix="fraud-") as ours,
            tempfile.TemporaryDirectory(prefix="fraud-") as theirs,
        ):
            graph.append(run_graph(data, args.trials, Path(ours)))
            script.append(run_script(args.baseline.resolve(), data, args.trials, Path(theirs)))
    medians = {"script_s": statistics.median(script), "graph_s": statistics.median(graph)}
    report = {"trials": args.trials, **medians, "times faster": medians["script_s"] / medians["graph_s"]}
    sys.stdout.write(json.dumps({name: round(value, 1) for name, value in report.items()}) + "\n")


if __name__ == "__main__":
    main()
