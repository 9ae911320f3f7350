"""Ray: connects to a cluster or starts one, and runs one Tune experiment on it."""

import math
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg
from pydantic import Field

from fraud_assets.ml.evaluate import Metric, Objective, direction
from fraud_assets.ml.pruning import Pruning
from fraud_assets.ml.search_space import SearchSpace
from fraud_assets.ml.study import StudyData
from fraud_assets.resources.environment import defaults_in_environment
from fraud_assets.resources.interrupts import kept_handlers, plain_interrupts, remembered_interrupts
from fraud_assets.resources.object_store import Location
from fraud_assets.resources.stored_features import StoredFeatures
from fraud_assets.resources.trials import TrialListener, TrialRecord
from fraud_assets.resources.tune_results import Suggested, records

_ANSWER_WITHIN_S = 20
# Of Ray's object store, what resampled folds may fill.
_RESAMPLED_SHARE = 0.25
# What the predictions of configurations that were scored may fill.
_SCORED_BYTES = 1 << 28
_QUESTIONS_AT_ONCE = 64
_SHARED_WORK_RESTARTS = 5

# Settings that Ray reads from the environment of the process that drives it.
_RAY_ENVIRONMENT = {
    # Tune's own handler swallows Dagster's Terminate: fit() returns early, and the step succeeds with fewer trials.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Each failed trial is told by the listeners.
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # Trials read nothing from the working directory; a search space's module has to be found from there, though.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Tune's newer console output draws its tables even at verbosity 0; the step's log has the progress.
    "RAY_AIR_NEW_OUTPUT": "0",
    # Otherwise each start warns that a later version will not hide GPUs from tasks that asked for none.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Otherwise Tune writes each result three times: as JSON, which it reads again, as CSV and for TensorBoard.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Otherwise tune warns of interfaces of ray.train that we don't use.
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
}


@dataclass(frozen=True)
class Experiment:
    """One Tune experiment.

    Attributes:
        name: of its folder below `storage`.
        storage: where Tune keeps results and its own state.
        space: what a trial may try.
        study: what a trial is fitted and scored on.
        metric: what the search improves.
        second: what it weighs against the metric, if anything.
        points: configurations that are tried before the search suggests any.
        trials: how many configurations are tried.
        seed: of the search.
        max_concurrent: how many trials are under way at a time, at most.
        cpus_per_trial: CPUs, and so threads, of one trial.
        gpus_per_trial: GPUs of one trial.
        workers_per_trial: how many workers, with `cpus_per_trial` each, fit a trial that is spread over the cluster.
        features: of such trials, as `study` has none then; None where each trial is fitted by one worker.
        time_budget_s: no trial goes on after so many seconds; None for no limit.
        pruning: how hopeless trials are found before their end; None where each is fitted to its end.
        retries: how often a trial is started anew after its worker was lost.
        told: trials of the same search that ended in an earlier run, each with the point that it tried; `trials` is how
            many are left.
    """

    name: str
    storage: Location
    space: SearchSpace
    study: StudyData
    metric: Metric
    second: Objective | None
    points: Sequence[Mapping[str, Any]]
    trials: int
    seed: int
    max_concurrent: int
    cpus_per_trial: float
    gpus_per_trial: float
    time_budget_s: float | None
    workers_per_trial: int = 1
    features: StoredFeatures | None = None
    pruning: Pruning | None = None
    retries: int = 0
    told: Sequence[tuple[Mapping[str, Any], TrialRecord]] = ()


class RayTune(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Ray, and Tune on it. Nothing is started or connected before an experiment is run."""

    address: str | None = Field(
        default=None,
        description=(
            "Address of a running Ray cluster, as ray.init takes it. Default: the environment variable RAY_ADDRESS, "
            "else Ray is started on this machine for the duration of the tuning."
        ),
    )
    num_cpus: int | None = Field(
        default=None, ge=1, description="CPUs of the Ray that is started on this machine. Default: all of them."
    )
    dashboard: bool = Field(default=False, description="Start Ray's dashboard with the Ray on this machine.")
    runtime_env: dict[str, Any] = Field(
        default_factory=dict,
        description="Ray's runtime environment for a cluster whose machines lack this package: pip, py_modules, …",
    )

    @contextmanager
    def connect(self, meanwhile: Callable[[], object] | None = None) -> Iterator[str | None]:
        """Be connected to Ray; what was started here is shut down at the end, what was found is left as it was.

        Yields the address of Ray's dashboard, None where none runs.

        Args:
            meanwhile: imports, or the like, that a thread does while Ray starts: that is seconds of waiting for other
                processes. Whoever needs its outcome does it again: it is not called where nothing is started.

        Raises:
            ConnectionError: the cluster of `address` doesn't answer.
        """
        with defaults_in_environment(_RAY_ENVIRONMENT), plain_interrupts():
            import ray

            if ray.is_initialized():
                yield None
                return
            address = self.address or os.environ.get("RAY_ADDRESS")
            if address:
                _require_answer(address)
            # Without an address, ray.init would join any cluster that somebody else runs on this machine.
            local: dict[str, Any] = {"num_cpus": self.num_cpus, "include_dashboard": self.dashboard}
            try:
                with kept_handlers(), _in_a_thread(None if address else meanwhile):
                    ray_context = ray.init(
                        address or "local",
                        runtime_env=self.runtime_env or None,
                        log_to_driver=False,
                        configure_logging=False,
                        **({} if address else local),
                    )
            except ConnectionError as error:
                raise ConnectionError(f"Ray at {address} can't be reached ({error}): check RAY_ADDRESS") from error
            dashboard = ray_context.dashboard_url
            try:
                yield f"http://{dashboard}" if dashboard and "://" not in dashboard else dashboard or None
            finally:
                ray.shutdown()

    def run(self, experiment: Experiment, listeners: Sequence[TrialListener] = ()) -> list[TrialRecord]:
        """Run an experiment to its end; `connect` has to be entered.

        Returns:
            All trials, whatever became of them, in the order in which they were suggested.

        Raises:
            ValueError: a trial asks for more than any machine of the cluster has, or for more workers than find place.
        """
        import optuna
        import ray
        from ray import tune
        from ray.tune.logger import JsonLoggerCallback
        from ray.tune.search import ConcurrencyLimiter

        from fraud_assets.resources import lost_workers, shared_work, trial_worker, tune_callbacks
        from fraud_assets.resources.pruning import PrunedSearch, scheduler

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        _require_resources(experiment)
        threads = trial_worker.thread_count(experiment.cpus_per_trial)
        study = ray.put(experiment.study)
        metrics = [experiment.metric, *([experiment.second] if experiment.second else [])]
        at_once, shared = experiment.max_concurrent, None
        if experiment.features is None:
            memory = _RESAMPLED_SHARE * ray.cluster_resources().get("object_store_memory", math.inf)
            # A thread a question: those that wait for a fold hold up no other.
            actor = ray.remote(shared_work.SharedWork).options(
                num_cpus=0,
                max_concurrency=_QUESTIONS_AT_ONCE,
                # What it knew is made again.
                max_restarts=_SHARED_WORK_RESTARTS,
                max_task_retries=_SHARED_WORK_RESTARTS,
            )
            shared = actor.remote(study, memory, _SCORED_BYTES)
            parameters = {
                "study": study,
                "shared": shared,
                "metric": experiment.metric,
                "objectives": metrics,
                "pruning": experiment.pruning,
                "threads": threads,
            }
            trainable = tune.with_resources(
                tune.with_parameters(trial_worker.FraudTrial, **parameters),
                {"cpu": experiment.cpus_per_trial, "gpu": experiment.gpus_per_trial},
            )
        else:
            from fraud_assets.resources import distributed_trial

            at_once = min(
                at_once, distributed_trial.most_at_once(experiment.workers_per_trial, experiment.cpus_per_trial)
            )
            trainable = distributed_trial.trainable(
                [study],
                experiment.features,
                metrics,
                workers=experiment.workers_per_trial,
                cpus=experiment.cpus_per_trial,
                threads=threads,
            )
        modes = [direction(metric) for metric in metrics]
        points = [dict(point) for point in (*(point for point, _ in experiment.told), *experiment.points)]
        search = PrunedSearch(
            space=experiment.space.suggest,
            metric=metrics if experiment.second else metrics[0],
            mode=modes if experiment.second else modes[0],
            seed=experiment.seed,
            points_to_evaluate=points or None,
        )
        search.tell([trial for _, trial in experiment.told])
        suggested, stop = Suggested(), tune_callbacks.StopAtError()
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=ConcurrencyLimiter(search, max_concurrent=at_once),
                scheduler=scheduler(experiment.pruning, metrics[0], modes[0]),
                num_samples=experiment.trials,
                time_budget_s=experiment.time_budget_s,
                reuse_actors=True,
                trial_name_creator=lambda trial: TrialRecord(trial.trial_id, trial.config, "running").name,
                # Tune's own names carry every parameter, longer than a file system allows.
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name=experiment.name,
                storage_path=experiment.storage.path,
                storage_filesystem=experiment.storage.filesystem,
                # What a trial predicted for validating rows is what ensembles are selected by.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=True),
                # Of workers that were lost: what a trial raises is its result.
                failure_config=tune.FailureConfig(max_failures=experiment.retries),
                callbacks=[stop, JsonLoggerCallback(), tune_callbacks.ListenerCallback([suggested, *listeners], stop)],
                verbose=0,
            ),
        )
        try:
            # Here, too: whoever calls this tells an interrupt from an error, and is inside of `connect`.
            with (
                plain_interrupts(),
                trial_worker.no_keys_in_runtime_environments(),
                lost_workers.retried_before_their_start(),
                remembered_interrupts() as interrupts,
            ):
                stop.interrupts = interrupts
                grid = tuner.fit()
                stop.check()
        finally:
            if shared is not None:
                ray.kill(shared)
        return records(grid, suggested)


def _require_answer(address: str) -> None:
    """Raise ConnectionError unless something listens there; Ray itself tries for minutes before it gives up."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():  # "auto", for one
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_WITHIN_S).close()
    except OSError as error:
        raise ConnectionError(f"Ray at {address} can't be reached ({error}): check RAY_ADDRESS") from error


def _require_resources(experiment: Experiment) -> None:
    import ray

    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for name, wanted in (("CPU", experiment.cpus_per_trial), ("GPU", experiment.gpus_per_trial)):
        largest = max((machine.get(name, 0) for machine in machines), default=0)
        if wanted > largest:
            raise ValueError(
                f"a trial asks for {wanted:g} {name}s, but no machine of the Ray cluster has more than {largest:g}: it "
                f"would wait for ever; lower {name.lower()}s_per_trial"
            )


@contextmanager
def _in_a_thread(work: Callable[[], object] | None) -> Iterator[None]:
    """Do something beside the block, which ends when both have ended."""
    if work is None:
        yield
        return
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()
