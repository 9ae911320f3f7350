"""What a user can set on the search, as the Launchpad shows it."""

from typing import Any, Literal, get_args

import dagster as dg
from pydantic import Field, field_validator, model_validator

from fraud_assets.ml.distributable import require_distributable
from fraud_assets.ml.evaluate import Metric, Objective
from fraud_assets.ml.fraud_metrics import MetricSettings
from fraud_assets.ml.neighbour_limit import DEFAULT_LIMIT, NeighbourLimit, PastLimit
from fraud_assets.ml.pruning import GRACE_ROUNDS, Pruner, Pruning
from fraud_assets.ml.result_grid import Preference
from fraud_assets.ml.scoring import Scoring
from fraud_assets.ml.search_space import SearchSpace, resolve_search_space
from fraud_assets.ml.threshold import ThresholdPolicy, ThresholdTarget

# Random configurations of a space, where it matters what it may suggest.
_LOOKED_AT = 50


_HOW_TRIALS_RUN = (
    "time_budget_s",
    "max_concurrent",
    "cpus_per_trial",
    "gpus_per_trial",
    "max_failed_trials",
    "trial_retries",
)


class TuningConfig(dg.Config):
    """The search: how many trials, towards what, with which resources."""

    trials: int = Field(default=100, ge=1, description="How many configurations are tried.")
    time_budget_s: float | None = Field(
        default=None, gt=0, description="Seconds after which no trial goes on, however many are left. Default: none."
    )
    max_concurrent: int = Field(default=4, ge=1, description="Trials under way at a time, at most.")
    cpus_per_trial: float = Field(default=1, gt=0, description="CPUs, and so threads, of one trial.")
    gpus_per_trial: float = Field(default=0, ge=0, description="GPUs of one trial.")
    max_failed_trials: int | None = Field(
        default=10,
        ge=0,
        description=(
            "The search stops when more trials than this have failed one after the other, with none in between that "
            "came to a result. Null: never."
        ),
    )
    trial_retries: int = Field(
        default=2,
        ge=0,
        description=(
            "How often a trial is started anew after its worker was lost: killed, out of memory, or with its machine. "
            "A trial that raises an error is not."
        ),
    )
    workers_per_trial: int = Field(
        default=1,
        ge=1,
        description=(
            "1: the search's data fit in one machine's memory. More: they are spread over the cluster, and so many "
            "workers, with cpus_per_trial each, fit a trial with XGBoost's distributed trainer; the search space "
            "fraud_distributed is for that. fraud_model is fitted by one process all the same."
        ),
    )
    pruner: Literal["auto", "none", Pruner] = Field(
        default="auto",
        description=(
            f"What ends trials that are worse than others after {GRACE_ROUNDS} boosting rounds, or at milestones: "
            "asha (successive halving), median (stopping rule), none. auto: asha where the search space sets "
            "n_estimators and there is no second metric, else none."
        ),
    )
    metric: Metric = Field(
        default="average_precision",
        description="What the search improves, as its mean over folds; with expected_cost, set least_cost below.",
    )
    spread_penalty: float = Field(
        default=0,
        ge=0,
        description="How many standard deviations over folds are taken off the mean when trials are compared.",
    )
    second_metric: Literal["none", Objective] = Field(
        default="none",
        description=(
            "What is weighed against the metric: another one, alert_rate_at_threshold or fit_seconds. The search then "
            "looks for the Pareto front, and the best trial within second_limit is the model."
        ),
    )
    second_limit: float | None = Field(
        default=None,
        description="What second_metric may be at most, or at least where more of it is better. Default: no limit.",
    )
    members: int = Field(
        default=10,
        ge=1,
        le=50,
        description=(
            "At most how many trials the model averages, by ensemble selection on the validation folds; fewer, or the "
            "best alone, where more don't help. 1: the best trial alone, as with a second metric."
        ),
    )
    warm_start: bool = Field(
        default=True,
        description="Whether the search first tries what best_params had last time, if the space still allows it.",
    )
    threshold_target: ThresholdTarget = Field(
        default="best_f1",
        description=(
            "What the decision threshold is for: best_f1; precision, the most frauds with at least the precision "
            "threshold_value; alerts_per_day, at most threshold_value alerts a day; least_cost."
        ),
    )
    threshold_value: float | None = Field(
        default=None, gt=0, description="The precision, or the alerts a day, that threshold_target asks for."
    )
    alerts_per_day: int = Field(
        default=100, ge=1, description="What investigators look at a day: the k of precision_at_k, card_precision_at_k."
    )
    max_false_positive_rate: float = Field(
        default=0.01, gt=0, lt=1, description="Share of the legitimate transactions that recall_at_fpr lets be alerted."
    )
    cost_false_positive: float = Field(default=1, ge=0, description="What a false alert costs, for expected_cost.")
    cost_false_negative: float | None = Field(
        default=None, ge=0, description="What a missed fraud costs, for expected_cost. Default: its amount."
    )
    amount_column: str | None = Field(
        default=None, description="The column with the amounts, for expected_cost. Default: none."
    )
    seed: int = Field(default=1025, ge=0, description="Seed of the search, of resampling and of fitting.")
    search_space: str = Field(
        default="fraud",
        description=(
            "The space: fraud, fraud_distributed (what workers_per_trial over 1 can fit), article, or the import path "
            "of your own, my_package.spaces:my_space."
        ),
    )

    neighbour_limit: int = Field(
        default=DEFAULT_LIMIT.rows,
        ge=100,
        description=(
            "Among how many rows a resampler may look for neighbours: the fitting rows for allknn, borderline_smote, "
            "smote_enn and one of your own, the frauds for smote. The time grows with almost the square of them."
        ),
    )
    past_neighbour_limit: PastLimit = Field(
        default=DEFAULT_LIMIT.past,
        description=(
            "What happens past neighbour_limit: fail, before any trial starts; or sample: fits have all frauds and a "
            "share of the legitimate rows, drawn at random, with which that on all rows is within it, and no others. "
            "Frauds are then more frequent than in the data, and probabilities too high; not with smote, which "
            "samples the frauds alone and keeps all rows."
        ),
    )

    @field_validator("search_space")
    @classmethod
    def _resolvable(cls, value: str) -> str:
        resolve_search_space(value)
        return value

    @model_validator(mode="after")
    def _complete(self) -> "TuningConfig":
        self.scoring()
        if self.second_limit is not None and self.second is None:
            raise ValueError(f"second_limit is {self.second_limit:g}, but there is no second_metric for it to bound")
        if self.workers_per_trial > 1:
            if self.gpus_per_trial:
                raise ValueError("gpus_per_trial and workers_per_trial over 1 can't be had together: take CPUs, or 1")
            require_distributable(resolve_search_space(self.search_space))
            if self.pruner in get_args(Pruner):
                raise ValueError("a trial of several workers tells its score once, at its end: set pruner to none")
        if self.second is not None and self.pruner in get_args(Pruner):
            raise ValueError("trials that are weighed by two metrics can't be pruned by one: set pruner to none")
        if self.second_metric == self.metric:
            raise ValueError(f"second_metric is {self.metric}, as metric is: there is nothing to weigh")
        return self

    @property
    def second(self) -> Objective | None:
        """What is weighed against the metric, if anything."""
        return None if self.second_metric == "none" else self.second_metric

    def pruning(self, space: SearchSpace) -> Pruning | None:
        """How trials of `space` are pruned; None for not at all."""
        if self.pruner != "auto":
            return None if self.pruner == "none" else Pruning(self.pruner)
        if self.second is not None or self.workers_per_trial > 1:
            return None
        return Pruning("asha") if any("n_estimators" in params for params in space.sample(_LOOKED_AT)) else None

    def identity(self) -> dict[str, Any]:
        """What of it decides the results, and so which experiment it is: not how trials are run."""
        return self.model_dump(exclude=set(_HOW_TRIALS_RUN))

    def limit(self) -> NeighbourLimit:
        """Of the rows that a resampler searches for neighbours, in trials and refits."""
        return NeighbourLimit(self.neighbour_limit, self.past_neighbour_limit)

    def preference(self) -> Preference:
        """What makes a trial better than another."""
        return Preference(self.metric, self.spread_penalty, self.second, self.second_limit)

    def scoring(self) -> Scoring:
        """How trials, threshold and holdout are scored.

        Raises:
            ValueError: `threshold_value` is missing, or given where nothing asks for it.
        """
        settings = MetricSettings(
            self.alerts_per_day, self.max_false_positive_rate, self.cost_false_positive, self.cost_false_negative
        )
        return Scoring(settings, ThresholdPolicy(self.threshold_target, self.threshold_value), self.amount_column)
