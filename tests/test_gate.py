"""The exit codes that CI relies on."""

import subprocess
import sys
from pathlib import Path

import pytest

from fraud_assets.gate import PROMOTED, REFUSED, verdict


@pytest.mark.parametrize(
    ("champion", "challenger", "code", "line"),
    [
        (3, 3, PROMOTED, "passed: fraud_model version 3 is the champion: why"),
        (1, 3, REFUSED, "refused: fraud_model version 3; version 1 stays champion: why"),
        (None, 1, REFUSED, "refused: fraud_model version 1; there is no champion: why"),
    ],
)
def test_it_passes_only_where_the_newest_model_is_the_champion(
    champion: int | None, challenger: int, code: int, line: str
) -> None:
    value = {"registered_model": "fraud_model", "champion": champion, "challenger": challenger, "reason": "why"}
    assert verdict(value) == (code, line)


def test_without_a_materialization_it_is_neither_passed_nor_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fraud_assets.gate"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"DAGSTER_HOME": str(tmp_path)}, check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "champion_model was never materialized in the Dagster instance at" in done.stderr
    assert "Traceback" not in done.stderr
