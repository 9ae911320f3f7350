"""Searches as the asset `tuning_results` runs them, without Dagster around them."""

import math
import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.fs

from fraud_assets.ml.evaluate import Metric
from fraud_assets.ml.pruning import Pruning
from fraud_assets.ml.sample_data import SampleConfig, generate
from fraud_assets.ml.schema import ColumnRoles, Dataset
from fraud_assets.ml.search_space import SearchSpace
from fraud_assets.ml.split import SplitSettings, make_split
from fraud_assets.ml.study import StudyData
from fraud_assets.resources.mlflow_children import ChildRuns
from fraud_assets.resources.object_store import Location
from fraud_assets.resources.ray_tune import Experiment, RayTune
from fraud_assets.resources.trials import TrialListener, TrialRecord

SEED = 1025
# Trials of one thread each, as many at a time as the asset's default lets be under way.
_AT_ONCE = 4


def generated_study(customers: int) -> StudyData:
    """The three folds by time of the project's generated data: sixty days, about 45 rows a customer."""
    import pyarrow as pa

    frame = generate(SampleConfig(customers=customers, terminals=max(2, customers)))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    ids = {"transaction_id", "terminal_id", "tx_fraud", "customer_id", "tx_datetime"}
    features = tuple(name for name in table.column_names if name not in ids)
    categorical = tuple(name for name in features if not pa.types.is_primitive(table.schema.field(name).type))
    roles = ColumnRoles("tx_fraud", 1, "customer_id", "tx_datetime", features, categorical)
    dataset = Dataset(table.select(roles.columns), roles, f"generated-{customers}")
    return StudyData.prepare(dataset, make_split(dataset, SplitSettings()), SEED)


@dataclass(frozen=True)
class Searched:
    """What became of a search.

    Attributes:
        trials: all of them.
        cores: the CPUs that they shared.
        ends: when each trial ended, by its id, in the order in which they did; seconds since Ray's start began.
        written: when the last one was recorded, in the same seconds.
    """

    trials: list[TrialRecord]
    cores: float
    ends: dict[str, float]
    written: float

    def ended_within(self, seconds: float) -> list[TrialRecord]:
        """The trials that had ended by then: Tune looks at its time budget late, and stops trials later still."""
        return [trial for trial in self.trials if self.ends.get(trial.trial_id, math.inf) <= seconds]


class _Ends:
    """Listens to when trials end, in seconds since `begun`."""

    def __init__(self, begun: float) -> None:
        self._begun = begun
        self.times: dict[str, float] = {}

    def trial_started(self, trial: TrialRecord) -> None:
        """Nothing ends yet."""

    def trial_ended(self, trial: TrialRecord) -> None:
        """Remember when."""
        self.times[trial.trial_id] = time.perf_counter() - self._begun


def search(
    study: StudyData,
    space: SearchSpace,
    folder: Path,
    *,
    metric: Metric,
    trials: int,
    seed: int,
    start_points: bool = True,
    pruning: Pruning | None = None,
    budget_s: float | None = None,
    children: ChildRuns | None = None,
) -> Searched:
    """Start Ray, search, write what is left to write, and stop Ray.

    Args:
        study: what trials are fitted on.
        space: what they may try.
        folder: for Tune's results; each search needs one of its own.
        metric: what is improved.
        trials: how many, at most.
        seed: of the search.
        start_points: whether the space's own points are tried first.
        pruning: as in `Experiment`.
        budget_s: no trial goes on after so many seconds from the call, Ray's start among them; None for no limit.
        children: records trials in MLflow; None for no record.
    """
    begun = time.perf_counter()
    ray = RayTune()
    os.environ.pop("RAY_ADDRESS", None)  # what is measured is this machine
    with ray.connect():
        import ray as connected

        experiment = Experiment(
            name="benchmark",
            storage=Location(pyarrow.fs.LocalFileSystem(), str(folder)),
            space=space,
            study=study,
            metric=metric,
            second=None,
            points=space.first_points() if start_points else [],
            trials=trials,
            seed=seed,
            max_concurrent=_AT_ONCE,
            cpus_per_trial=1,
            gpus_per_trial=0,
            time_budget_s=None if budget_s is None else max(1.0, budget_s - (time.perf_counter() - begun)),
            pruning=pruning,
        )
        ends = _Ends(begun)
        listeners: list[TrialListener] = [ends] if children is None else [ends, children]
        with children or nullcontext():
            records = ray.run(experiment, listeners)
        written = time.perf_counter() - begun
        return Searched(records, connected.cluster_resources()["CPU"], ends.times, written)


def finished(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials that were fitted to their end.

    Raises:
        RuntimeError: a trial failed, or none finished.
    """
    failed = [record.error for record in records if record.status == "failed"]
    if failed:
        raise RuntimeError(f"{len(failed)} trials failed, the first one with:\n{failed[0]}")
    done = [record for record in records if record.status == "finished"]
    if not done:
        raise RuntimeError("no trial finished in time: give more --bench-budget")
    return done


def fitting_seconds(records: Sequence[TrialRecord]) -> float:
    """Seconds of one thread that the trials fitted; those of one that an equal one spared are counted once."""
    # An equal configuration reports the seconds of the first, and two fits never take equally long.
    return sum({record.metrics["fit_seconds"] for record in records if "fit_seconds" in record.metrics})


def best(records: Sequence[TrialRecord], metric: Metric) -> TrialRecord:
    """The finished trial with the most of `metric`."""
    return max(finished(records), key=lambda record: record.metrics[metric])


def counts(records: Sequence[TrialRecord]) -> dict[str, Any]:
    """How many trials ended how."""
    statuses = [record.status for record in records]
    return {status: statuses.count(status) for status in dict.fromkeys(statuses)}
