"""Settings of runs that a sensor or a schedule starts."""

from pathlib import Path

import dagster as dg
import pytest

from fraud_assets.run_config import run_config_of

FILE = """
ops:
  tuning_results: {config: {trials: 7}}
  fraud_model: {config: {resamples: 300, tuned_on: this_data}}
resources:
  ray: {config: {num_cpus: 1}}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "retune.yaml"
    path.write_text(FILE)
    monkeypatch.setenv("FRAUD_RUN_CONFIG", str(path))
    return path


def test_without_a_file_a_job_has_what_it_sets_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRAUD_RUN_CONFIG", raising=False)
    assert run_config_of(["raw_dataset"]) == {}
    assert run_config_of(["fraud_model"], {"fraud_model": {"resamples": 200}}) == {
        "ops": {"fraud_model": {"config": {"resamples": 200}}}
    }


def test_a_job_takes_what_is_said_of_its_assets_and_its_own_settings_win(file: Path) -> None:
    assert run_config_of(["fraud_model"], {"fraud_model": {"tuned_on": "earlier_data"}}) == {
        "ops": {"fraud_model": {"config": {"resamples": 300, "tuned_on": "earlier_data"}}},
        "resources": {"ray": {"config": {"num_cpus": 1}}},
    }
    assert "ops" not in run_config_of(["raw_dataset"])


@pytest.mark.parametrize("content", [None, "[1, 2]", "ops: {", b"\xff\xfe\x00"])
def test_a_file_that_can_not_be_used_is_named(file: Path, content: str | bytes | None) -> None:
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=f"FRAUD_RUN_CONFIG names {file}"):
        run_config_of(["raw_dataset"])


def test_each_jobs_own_settings_are_valid_and_shown_by_the_launchpad() -> None:
    from fraud_assets.definitions import defs

    for name in ("retune_job", "retrain_job", "check_drift_job", "score_job"):
        job = defs.resolve_job_def(name)
        dg.validate_run_config(job, job.run_config)
    assert defs.resolve_job_def("retrain_job").run_config == {
        "ops": {"fraud_model": {"config": {"tuned_on": "earlier_data"}}}
    }
