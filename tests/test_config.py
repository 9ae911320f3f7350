"""What a user sets on assets and resources: fields explained, wrong values refused, roles read as they are meant."""

from typing import Any

import dagster as dg
import pytest
from pydantic import ValidationError

from fraud_assets.assets.config import CONFIGS, RESOURCES, RawDatasetConfig, validate_run_config
from fraud_assets.assets.tuning_config import TuningConfig
from fraud_assets.definitions import defs
from fraud_assets.ml.schema import DataError

VARIABLES = ("URI", "LABEL", "POSITIVE_LABEL", "ENTITY", "TIME", "FEATURES", "EXCLUDE")


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"FRAUD_{name}", raising=False)
    monkeypatch.delenv("FRAUD_DATASET_URI", raising=False)


def _check(run_config: dict[str, Any]) -> None:
    """`validate_run_config` inside a step of a run with this config, of which Dagster itself has seen nothing."""

    class Context:
        run = dg.DagsterRun("job", run_config=run_config)

    validate_run_config(Context())  # type: ignore[arg-type]


def test_every_field_of_every_asset_and_resource_is_explained() -> None:
    unexplained = [
        f"{owner}.{name}"
        for owner, config in (CONFIGS | RESOURCES).items()
        for name, field in config.model_fields.items()
        if not (field.description or "").strip()
    ]
    assert unexplained == []


def test_every_config_that_an_asset_of_the_code_location_takes_is_checked() -> None:
    job = defs.resolve_implicit_global_asset_job_def()
    with_fields = {
        node.name
        for node in job.graph.nodes
        if (field := node.definition.config_field) is not None and getattr(field.config_type, "fields", None)
    }
    assert with_fields == set(CONFIGS)


@pytest.mark.parametrize(
    ("asset", "field", "value"),
    [
        ("tuning_results", "trials", 0),
        ("tuning_results", "time_budget_s", 0),
        ("tuning_results", "max_concurrent", 0),
        ("tuning_results", "cpus_per_trial", 0),
        ("tuning_results", "gpus_per_trial", -1),
        ("tuning_results", "workers_per_trial", 0),
        ("tuning_results", "metric", "f2"),
        ("tuning_results", "seed", -1),
        ("tuning_results", "search_space", "nope"),
        ("tuning_results", "search_space", "json:no_such_space"),
        ("tuning_results", "search_space", "json:__name__"),
        ("dataset_split", "holdout_fraction", 0.0),
        ("dataset_split", "holdout_fraction", 0.6),
        ("dataset_split", "folds", 0),
        ("dataset_split", "folds", 21),
        ("dataset_split", "validation_fraction", 1.0),
        ("dataset_split", "seed", -1),
        ("raw_dataset", "duplicates", "maybe"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_the_name_of_its_field(asset: str, field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        CONFIGS[asset](**{field: value})
    with pytest.raises(ValidationError, match=field):
        _check({"ops": {asset: {"config": {field: value}}}})


def test_a_resource_out_of_bounds_is_refused_with_the_run() -> None:
    with pytest.raises(ValidationError, match="num_cpus"):
        _check({"resources": {"ray": {"config": {"num_cpus": 0}}}})


def test_the_defaults_of_everything_are_in_bounds() -> None:
    _check({})
    _check({"ops": {"tuning_results": {}}, "resources": {"ray": {"config": {"address": {"env": "RAY_ADDRESS"}}}}})


def test_the_names_of_the_ready_made_spaces_are_told_with_a_wrong_one() -> None:
    with pytest.raises(ValidationError, match=r"search_space 'nope' is unknown: expected one of \['article'"):
        TuningConfig(search_space="nope")


def test_trials_of_several_workers_are_refused_what_they_cannot_fit() -> None:
    assert TuningConfig(workers_per_trial=2, search_space="fraud_distributed").workers_per_trial == 2
    with pytest.raises(ValidationError, match="set workers_per_trial to 1"):
        TuningConfig(workers_per_trial=2)
    with pytest.raises(ValidationError, match="gpus_per_trial and workers_per_trial"):
        TuningConfig(workers_per_trial=2, search_space="fraud_distributed", gpus_per_trial=1)


def test_the_config_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_DATASET_URI", "s3://bucket/theirs")
    monkeypatch.setenv("FRAUD_LABEL", "theirs")
    monkeypatch.setenv("FRAUD_FEATURES", "a,b")
    config = RawDatasetConfig(uri="/ours", label="ours", features=["c"])
    assert config.dataset_uri() == "/ours"
    assert config.spec().label == "ours"
    assert config.spec().features == ("c",)


def test_the_environment_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "DATASET_URI": "s3://bucket/raw",
        "LABEL": "fraud",
        "POSITIVE_LABEL": "yes",
        "ENTITY": "card",
        "TIME": "at",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"FRAUD_{name}", value)
    monkeypatch.setenv("FRAUD_EXCLUDE", " id, shop ,")
    spec = RawDatasetConfig().spec()
    assert RawDatasetConfig().dataset_uri() == "s3://bucket/raw"
    assert (spec.label, spec.positive_label, spec.entity, spec.time) == ("fraud", "yes", "card", "at")
    assert spec.exclude == ("id", "shop")
    assert spec.features == ()


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_DATASET_URI", "")
    monkeypatch.setenv("FRAUD_ENTITY", "")
    assert RawDatasetConfig().dataset_uri() is None
    assert RawDatasetConfig(label="fraud").spec().entity is None


def test_data_without_a_named_label_is_told_what_to_set() -> None:
    with pytest.raises(DataError, match="set `label` of raw_dataset's config, or FRAUD_LABEL"):
        RawDatasetConfig(uri="/somewhere").spec()
