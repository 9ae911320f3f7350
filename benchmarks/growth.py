"""What a row costs as the data grows: seconds and memory of the whole graph on 50,000 to 1,750,000 rows.

    python -m benchmarks.growth [--rows 50000 200000 800000 1750000] [--resamplers passthrough smote] [--trials 4]

The data is the project's own sample data with more customers: the same sixty days, one Parquet object a day, with a
label, an entity, a time and 15 features. It is made once for each size and kept in `--cache`. Each run is `dagster
asset materialize` of all assets, MLflow in SQLite, in a folder of its own; each trial is fitted to its end. Prints a
line of JSON a run: seconds, and the largest memory of all processes together (see `memory.py`), in all and in each
step.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.fs

from benchmarks import memory
from fraud_assets.ml.sample_data import SampleConfig, generate, write_daily_objects

if TYPE_CHECKING:
    from optuna.trial import Trial

_SIZES = (50_000, 200_000, 800_000, 1_750_000)
_DEFAULT = SampleConfig()
# What the defaults of the generator make.
_ROWS_A_CUSTOMER = 0.75 * _DEFAULT.days
_TERMINALS_A_CUSTOMER = _DEFAULT.terminals / _DEFAULT.customers
# So many days are in memory at a time, besides those before them that their features look back on.
_DAYS_AT_ONCE = 6
_RAW = {
    "label": "tx_fraud",
    "entity": "customer_id",
    "time": "tx_datetime",
    # One of the 16 features is left out.
    "exclude": ["transaction_id", "terminal_id", "is_weekend"],
}
# Dagster's line for a step's begin or end: moment, process, step, which of the two.
_STEP = re.compile(r"^(\S+ \S+) [+-]\d{4} - dagster - \w+ - \S+ - \S+ - (\d+) - (\w+) - (STEP_START|STEP_SUCCESS) ")


def passthrough(trial: "Trial") -> dict[str, Any]:
    """The search space of boosted trees on the rows as they are."""
    return {"resampler": "passthrough", **_trees(trial)}


def smote(trial: "Trial") -> dict[str, Any]:
    """The same behind SMOTE to balance."""
    return {"resampler": "smote", **_trees(trial)}


def _trees(trial: "Trial") -> dict[str, Any]:
    trial.suggest_int("max_depth", 3, 8)
    trial.suggest_float("eta", 0.05, 0.3, log=True)
    return {"n_estimators": 100}


def data_of(rows: int, cache: Path) -> Path:
    """The folder in `cache` with about so many rows; made if it is not there."""
    folder = cache / f"{rows}"
    if folder.exists():
        return folder
    customers = round(rows / _ROWS_A_CUSTOMER)
    config = replace(_DEFAULT, customers=customers, terminals=max(2, round(customers * _TERMINALS_A_CUSTOMER)))
    unfinished = cache / f".{rows}"
    for first in range(0, config.days, _DAYS_AT_ONCE):
        days = min(_DAYS_AT_ONCE, config.days - first)
        part = generate(replace(config, start=config.start + timedelta(days=first), days=days))
        write_daily_objects(part, pyarrow.fs.LocalFileSystem(), str(unfinished))
    return unfinished.rename(folder)


def run(data: Path, resampler: str, trials: int, folder: Path) -> dict[str, object]:
    """Materialize all assets in `folder`, and say what it took.

    Raises:
        RuntimeError: it failed.
    """
    ops = {
        "raw_dataset": {"uri": str(data), **_RAW},
        "tuning_results": {"trials": trials, "search_space": f"benchmarks.growth:{resampler}", "pruner": "none"},
    }
    config, output = folder / "run.json", folder / "output.txt"
    config.write_text(json.dumps({"ops": {asset: {"config": values} for asset, values in ops.items()}}))
    dagster = str(Path(sys.executable).parent / "dagster")
    command = [dagster, "asset", "materialize", "--select", "*", "-m", "fraud_assets.definitions", "-c", str(config)]
    configured = ("FRAUD_", "DAGSTER_", "MLFLOW_", "RAY_", "AWS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(configured)}
    environment |= {"DAGSTER_HOME": str(folder), "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    with output.open("w") as stream:
        usage = memory.measure(command, folder=folder, environment=environment, output=stream)
    text = output.read_text()
    if usage.returncode:
        raise RuntimeError(f"the graph failed:\n{text[-3000:]}")
    rows = int(next(iter(re.findall(r"(\d+) transactions, ", text))))
    peak = usage.peak()
    return {
        "rows": rows,
        "resampler": resampler,
        "seconds": round(usage.seconds, 1),
        "microseconds_a_row": round(usage.seconds / rows * 1e6, 1),
        "peak_gib": memory.gib(peak.total),
        "bytes_a_row": round(peak.total / rows),
        "steps": {step: _step(usage, process, since, until) for step, process, since, until in _steps(text)},
    }


def _step(usage: memory.Usage, process: int, since: float, until: float) -> dict[str, object]:
    own = max((sample.of(process) for sample in usage.samples), default=0)
    whole = memory.shown(usage.peak(since, until))
    return {"seconds": round(until - since), "own_process_gib": memory.gib(own), "all_processes": whole}


def _steps(text: str) -> Iterator[tuple[str, int, float, float]]:
    """Each step's process, and its begin and end in seconds since 1970, from the output of Dagster."""
    begun: dict[str, float] = {}
    for line in text.splitlines():
        if found := _STEP.match(line):
            moment, process, step, event = found.groups()
            at = datetime.fromisoformat(moment).timestamp()
            if event == "STEP_START":
                begun[step] = at
            else:
                # Moments are whole seconds.
                yield step, int(process), begun[step], at + 1


@contextmanager
def _work_in(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="fraud-") as folder:
        yield Path(folder)


def main() -> None:
    """Run every size with every resampler, and print a line of JSON each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=_SIZES)
    parser.add_argument("--resamplers", nargs="+", default=["passthrough", "smote"])
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "fraud_assets" / "growth")
    parser.add_argument("--keep", type=Path, help="a folder for the runs' own folders, which stay")
    args = parser.parse_args()
    for rows in args.rows:
        data = data_of(rows, args.cache.resolve())
        for resampler in args.resamplers:
            kept = None if args.keep is None else args.keep / f"{rows}-{resampler}"
            with _work_in(kept) as folder:
                report = run(data, resampler, args.trials, folder)
            sys.stdout.write(json.dumps(report) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
