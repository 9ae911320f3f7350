"""The reported holdout number against the truth: how often does the interval hold what fresh data says?

A repetition generates a sample, materializes the graph on it (Dagster, Ray, MLflow) with `refit_on_all: false`, so that
the model that is logged is the one that the holdout judged, and loads that model as anybody would, from MLflow. Then it
scores other samples that nothing has seen: of the same size and the same days, but of other customers and terminals,
with other campaigns of fraud. Of each, those rows count that would be its holdout, entities that are known to be
compromised left out alike. Reported are the holdout's value and interval, the mean and the standard deviation over the
fresh samples, and whether the interval holds that mean.

The mean of ten fresh samples strays as well, by about a third of what one of them does: of intervals that hold the
truth 95 times in 100, about 94 hold it.

    python benchmarks/honesty.py [--repetitions 20] [--fresh 10] [--trials 8] [--seed 0] [--cpus 2]

One JSON line a repetition, then one with the summary. The exit code is 1 if so few intervals hold the fresh mean that
with intervals of the nominal level it would happen less than once in a hundred times.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow.fs

from fraud_assets.assets.config import DatasetSplitConfig, RawDatasetConfig
from fraud_assets.definitions import defs
from fraud_assets.ml.ingest import load_dataset
from fraud_assets.ml.sample_data import SampleConfig, generate, write_daily_objects
from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.split import SplitSettings, make_split
from fraud_assets.resources.ray_tune import RayTune

ASSETS = ("raw_dataset", "dataset_split", "tuning_results", "best_params", "fraud_model")
METRICS = ("average_precision", "roc_auc")
ROLES: dict[str, Any] = {
    "label": "tx_fraud",
    "entity": "customer_id",
    "time": "tx_datetime",
    "exclude": ["transaction_id", "terminal_id"],
}
# The exit code is 1 where something less likely happened than this.
UNLIKELY = 0.01

# What the user may have set for his own graph.
_FOREIGN = ("AWS_", "DAGSTER_", "FRAUD_", "MLFLOW_", "RAY_", "TUNE_")


def write_sample(folder: Path, seed: int) -> Path:
    """The sample of a seed, as the objects that the graph reads."""
    write_daily_objects(generate(SampleConfig(seed=seed)), pyarrow.fs.LocalFileSystem(), str(folder))
    return folder


def load_sample(folder: Path) -> Dataset:
    """A sample, read as `raw_dataset` reads it."""
    return load_dataset(pyarrow.fs.LocalFileSystem(), str(folder), RawDatasetConfig(**ROLES).spec())[0]


def materialize(sample: Path, *, trials: int) -> dict[str, Any]:
    """Materialize the graph on a sample, in this process and its working directory; the value of `fraud_model`."""
    config: dict[str, dict[str, Any]] = {
        "raw_dataset": {"uri": str(sample), **ROLES},
        "tuning_results": {"metric": "average_precision", "trials": trials},
        "fraud_model": {"refit_on_all": False},
    }
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            run_config={
                "ops": {name: {"config": values} for name, values in config.items()},
                "loggers": {"console": {"config": {"log_level": "ERROR"}}},
            },
            asset_selection=[dg.AssetKey(name) for name in ASSETS],
            instance=instance,
        )
    value: dict[str, Any] = result.output_for_node("fraud_model")
    return value


def score(model: Any, dataset: Dataset) -> dict[str, float]:
    """The metrics of a model that MLflow loaded, on the rows that play the holdout's part in `dataset`."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    holdout = make_split(dataset, SplitSettings(**DatasetSplitConfig().model_dump())).holdout
    rows, y = dataset.X.iloc[holdout].reset_index(drop=True), dataset.y[holdout]
    probability = np.asarray(model.predict(rows, params={"predict_method": "predict_proba"}))[:, 1]
    return {
        "average_precision": float(average_precision_score(y, probability)),
        "roc_auc": float(roc_auc_score(y, probability)),
    }


def repeat(folder: Path, seeds: Sequence[int], *, trials: int) -> dict[str, Any]:
    """One repetition: tune on the sample of the first seed, score the logged model on those of the others."""
    import mlflow

    started = time.perf_counter()
    own, *others = seeds
    sample = write_sample(folder / str(own), own)
    value = materialize(sample, trials=trials)
    judgement = value["judgement"]
    model = mlflow.pyfunc.load_model(value["model_uri"])
    again = score(model, load_sample(sample))
    fresh = [score(model, load_sample(write_sample(folder / str(seed), seed))) for seed in others]
    report: dict[str, Any] = {"seed": own, "frauds": judgement["frauds"], "level": judgement["level"]}
    for name in METRICS:
        held = judgement["metrics"][name]
        if not np.isclose(again[name], held["value"], atol=1e-6):
            raise AssertionError(f"the logged model is not the judged one: {name} is {again[name]}, told was {held}")
        values = [scores[name] for scores in fresh]
        mean = float(np.mean(values))
        report[name] = {
            "holdout": held["value"],
            "low": held["low"],
            "high": held["high"],
            "fresh_mean": mean,
            "fresh_sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            "covered": bool(held["low"] <= mean <= held["high"]),
        }
    return report | {"seconds": round(time.perf_counter() - started, 1)}


def summarize(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of each metric: how many intervals hold the fresh mean, how likely so few are, the bias and the mean width."""
    from scipy.stats import binom

    level = reports[0]["level"]
    summary: dict[str, Any] = {"repetitions": len(reports), "level": level}
    for name in METRICS:
        rows = [report[name] for report in reports]
        covered = sum(row["covered"] for row in rows)
        summary[name] = {
            "covered": covered,
            "probability_of_so_few": float(binom.cdf(covered, len(rows), level)),
            "fresh_mean_below": sum(row["fresh_mean"] < row["low"] for row in rows),
            "fresh_mean_above": sum(row["fresh_mean"] > row["high"] for row in rows),
            "bias": float(np.mean([row["holdout"] - row["fresh_mean"] for row in rows])),
            "width": float(np.mean([row["high"] - row["low"] for row in rows])),
            "fresh_sd": float(np.mean([row["fresh_sd"] for row in rows])) if rows[0]["fresh_sd"] is not None else None,
        }
    return summary


def tell(value: Mapping[str, Any]) -> None:
    """One JSON line to stdout."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Print one JSON line a repetition and the summary; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=20, help="how often a model is tuned and judged")
    parser.add_argument("--fresh", type=int, default=10, help="how many other samples each of them is scored on")
    parser.add_argument("--trials", type=int, default=8, help="trials of each tuning")
    parser.add_argument("--seed", type=int, default=0, help="of the first sample; each sample has the next one")
    parser.add_argument("--cpus", type=int, default=None, help="of Ray; all if not given")
    args = parser.parse_args()
    if args.repetitions < 1 or args.fresh < 1:
        parser.error("expected one repetition or more, and one fresh sample or more")

    for name in list(os.environ):
        if name.startswith(_FOREIGN):
            del os.environ[name]
    reports = []
    # Ray's sockets have paths that can't be long.
    with tempfile.TemporaryDirectory(prefix="honesty-") as work, tempfile.TemporaryDirectory(prefix="ray-") as ray:
        os.chdir(work)
        os.environ["RAY_TMPDIR"] = ray
        import mlflow

        mlflow.set_tracking_uri(f"sqlite:///{work}/.fraud_assets/mlflow.db")
        with RayTune(num_cpus=args.cpus).connect():
            for r in range(args.repetitions):
                first = args.seed + r * (args.fresh + 1)
                with tempfile.TemporaryDirectory(dir=work) as samples:
                    seeds = range(first, first + args.fresh + 1)
                    reports.append(repeat(Path(samples), seeds, trials=args.trials))
                tell(reports[-1])
        os.chdir("/")
    summary = summarize(reports)
    tell(summary)
    return int(any(summary[name]["probability_of_so_few"] < UNLIKELY for name in METRICS))


if __name__ == "__main__":
    sys.exit(main())
