"""What a user can set on each asset, as the Launchpad shows it: the one place of every default."""

import os
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from fraud_assets.assets.tuning_config import TuningConfig
from fraud_assets.ml.drift import DriftThresholds
from fraud_assets.ml.evaluate import Metric
from fraud_assets.ml.schema import DataError, DatasetSpec
from fraud_assets.resources.mlflow_tracking import MlflowTracking
from fraud_assets.resources.object_store import Location, ObjectStore, locate
from fraud_assets.resources.optuna_storage import OptunaStorage
from fraud_assets.resources.ray_tune import RayTune


def _from_environment(variable: str, what: str) -> str:
    return f"{what} Default: the environment variable {variable}."


class DriftConfig(dg.Config):
    """When the data counts as drifted away from what the champion was trained on; see `ml.drift`."""

    days: float | None = Field(
        default=7,
        gt=0,
        description="The rows of the last so many days are compared: whole weeks, as days differ. None, and data "
        "without a time: all rows.",
    )
    psi: float = Field(default=DriftThresholds.psi, gt=0, description="Population stability index of a column.")
    ks: float = Field(default=DriftThresholds.ks, gt=0, lt=1, description="Kolmogorov-Smirnov statistic of a column.")
    missing_rate: float = Field(
        default=DriftThresholds.missing_rate, gt=0, lt=1, description="Change of a column's share of missing values."
    )
    prevalence: float = Field(
        default=DriftThresholds.prevalence, gt=0, description="Relative change of the share of frauds."
    )
    new_categories: float = Field(
        default=DriftThresholds.new_categories, gt=0, lt=1, description="Share of rows with a category that is new."
    )
    level: float = Field(
        default=DriftThresholds.level, gt=0, lt=1, description="How often anything is told by chance alone."
    )

    def thresholds(self) -> DriftThresholds:
        """From where on a change counts."""
        return DriftThresholds(**self.model_dump(exclude={"days"}))


class RawDatasetConfig(dg.Config):
    """Where the transactions are and what their columns mean."""

    uri: str | None = Field(
        default=None,
        description=_from_environment(
            "FRAUD_DATASET_URI",
            "A folder of CSV or Parquet objects, or one object: s3://bucket/prefix, file:///folder or a path.",
        )
        + " With neither, and no storage named, sample data is generated.",
    )
    label: str | None = Field(
        default=None, description=_from_environment("FRAUD_LABEL", "The column with the binary outcome.")
    )
    positive_label: str | None = Field(
        default=None,
        description=_from_environment(
            "FRAUD_POSITIVE_LABEL", "The value of the label that means fraud, where 1, true or yes doesn't."
        ),
    )
    entity: str | None = Field(
        default=None, description=_from_environment("FRAUD_ENTITY", "The column that names card, customer or account.")
    )
    time: str | None = Field(
        default=None, description=_from_environment("FRAUD_TIME", "The column with the time of the transaction.")
    )
    features: list[str] | None = Field(
        default=None,
        description=_from_environment("FRAUD_FEATURES", "The columns that a model sees (in the variable: a,b,c).")
        + " With neither: every column that has no other role and is not excluded.",
    )
    exclude: list[str] | None = Field(
        default=None,
        description=_from_environment("FRAUD_EXCLUDE", "Columns that no model sees (in the variable: a,b,c)."),
    )
    duplicates: Literal["drop", "keep"] = Field(
        default="drop", description="Whether exact copies of a row are dropped, or kept on one side of every split."
    )
    drift: DriftConfig = Field(
        default_factory=DriftConfig, description="When the check no_drift fails: what changed, and by how much."
    )

    def dataset_uri(self) -> str | None:
        """The location that the user named, if any."""
        return self.uri or os.environ.get("FRAUD_DATASET_URI") or None

    def spec(self) -> DatasetSpec:
        """The roles that the user gave to the columns.

        Raises:
            DataError: no label column is named.
        """

        def value(given: str | None, variable: str) -> str | None:
            return given or os.environ.get(variable) or None

        def names(given: list[str] | None, variable: str) -> tuple[str, ...]:
            listed = os.environ.get(variable, "").split(",") if given is None else given
            return tuple(name.strip() for name in listed if name.strip())

        label = value(self.label, "FRAUD_LABEL")
        if label is None:
            raise DataError("no label column is named: set `label` of raw_dataset's config, or FRAUD_LABEL")
        return DatasetSpec(
            label=label,
            positive_label=value(self.positive_label, "FRAUD_POSITIVE_LABEL"),
            entity=value(self.entity, "FRAUD_ENTITY"),
            time=value(self.time, "FRAUD_TIME"),
            features=names(self.features, "FRAUD_FEATURES"),
            exclude=names(self.exclude, "FRAUD_EXCLUDE"),
            duplicates=self.duplicates,
        )


class DatasetSplitConfig(dg.Config):
    """Which rows fit, choose and judge."""

    strategy: Literal["auto", "time", "group", "stratified"] = Field(
        default="auto",
        description=(
            "time: the latest rows judge, and folds are prequential blocks; group: at random, all rows of an entity on "
            "one side; stratified: at random. auto: the first of them that the data allows."
        ),
    )
    holdout_fraction: float = Field(
        default=0.2, ge=0.05, le=0.5, description="Share of the rows that only judge the finished model."
    )
    folds: int = Field(
        default=3,
        ge=1,
        le=20,
        description="Validation folds, so fits a trial; with 1, and not by time, one part of the rows validates.",
    )
    validation_fraction: float = Field(
        default=0.2,
        ge=0.05,
        le=0.5,
        description="Share of the other rows that validates with 1 fold; not by time.",
    )
    seed: int = Field(default=1025, ge=0, description="Seed of the shuffling; not by time.")
    test_days: float = Field(default=7, ge=1, description="By time: days of a block's validating window.")
    delay_days: float = Field(
        default=7, ge=0, description="By time: days until labels are known, between fitting and validating rows."
    )
    train_days: float | None = Field(
        default=None, ge=1, description="By time: days of the fitting window. Default: everything before."
    )
    leave_out_known: bool = Field(
        default=True,
        description="By time: leave out of scoring the entities that are known to be compromised on that day.",
    )


class FraudModelConfig(dg.Config):
    """The final fit."""

    tuned_on: Literal["this_data", "earlier_data"] = Field(
        default="this_data",
        description="Whether the best parameters have to come from this very data, or stand for newer data too; the "
        "threshold is chosen anew then, on its validation folds.",
    )
    refit_on_all: bool = Field(
        default=True,
        description="Whether the logged model is fitted on all rows, the holdout included, after it was judged.",
    )
    calibration: Literal["none", "isotonic", "sigmoid"] = Field(
        default="none",
        description="Whether, and how, probabilities are calibrated, on out-of-fold predictions.",
    )
    resamples: int = Field(
        default=1000, ge=200, le=100_000, description="Resamples of the bootstrap behind the holdout's intervals."
    )


class ChampionModelConfig(dg.Config):
    """When the new model takes the champion's place."""

    metric: Literal["tuned", Metric] = Field(
        default="tuned", description="The metric that decides; tuned: the one that the parameters were tuned for."
    )
    min_gain: float = Field(
        default=0.0,
        ge=0,
        description="The new model has to be better by more than this, in the metric's unit, and surely: the paired "
        "bootstrap interval of its gain lies above zero.",
    )
    resamples: int = Field(default=1000, ge=200, le=100_000, description="Resamples of that bootstrap.")
    version: int | None = Field(
        default=None,
        ge=1,
        description="Give the alias to this version of the registered model instead, whatever a comparison would say: "
        "a rollback.",
    )


class ScoredTransactionsConfig(dg.Config):
    """What is scored, by which model, and where the scores go."""

    uri: str | None = Field(
        default=None,
        description=_from_environment(
            "FRAUD_SCORING_URI",
            "A folder of unlabelled CSV or Parquet objects, or one object: s3://bucket/prefix, file:///folder or a "
            "path.",
        ),
    )
    output_uri: str | None = Field(
        default=None,
        description=_from_environment("FRAUD_SCORED_URI", "Where the scored objects go, as Parquet.")
        + " With neither: scored/ below the storage.",
    )
    version: int | None = Field(
        default=None,
        ge=1,
        description="Version of the registered model that scores. Default: the one with the alias champion.",
    )
    rescore: bool = Field(
        default=False,
        description="Whether objects that were scored, and have not changed, are scored anew, by a new champion say.",
    )

    def source_uri(self) -> str | None:
        """The location of the unlabelled objects, if one is named."""
        return self.uri or os.environ.get("FRAUD_SCORING_URI") or None

    def output_location(self, object_store: ObjectStore) -> Location:
        """Where the scored objects go."""
        uri = self.output_uri or os.environ.get("FRAUD_SCORED_URI")
        return locate(uri) if uri else object_store.child("scored")


# Asset name -> its config, resource name -> its own.
CONFIGS: dict[str, type[dg.Config]] = {
    "raw_dataset": RawDatasetConfig,
    "dataset_split": DatasetSplitConfig,
    "tuning_results": TuningConfig,
    "fraud_model": FraudModelConfig,
    "champion_model": ChampionModelConfig,
    "scored_transactions": ScoredTransactionsConfig,
}
RESOURCES: dict[str, type[dg.ConfigurableResource[Any]]] = {
    "object_store": ObjectStore,
    "ray": RayTune,
    "mlflow": MlflowTracking,
    "optuna": OptunaStorage,
}


def validate_run_config(context: dg.AssetExecutionContext) -> None:
    """Check the whole run's config, not only this asset's: a typo is told before hours of work.

    Dagster itself checks names and types at launch, but bounds only as each step starts.

    Raises:
        ValueError: a value is out of bounds; pydantic's message names the field.
    """
    run_config: Any = context.run.run_config
    for section, classes in (("ops", CONFIGS), ("resources", RESOURCES)):
        for name, config in classes.items():
            values = run_config.get(section, {}).get(name, {}).get("config", {})
            # {"env": NAME} is looked up by Dagster as the step starts.
            config(**{field: value for field, value in values.items() if not _is_variable(value)})


def _is_variable(value: object) -> bool:
    return isinstance(value, dict) and set(value) == {"env"}
