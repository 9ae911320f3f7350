"""Asset checks: what has to hold of a value, told beside the asset with its numbers.

They are evaluated by the asset's own step, which has the value in memory: a step of its own would take longer to start
than all of them to run. Such an asset's function can't name the type that it returns: Dagster refuses
MaterializeResult[T] for an asset with checks, and takes a bare MaterializeResult to mean that there is no value.
"""

from collections.abc import Mapping
from dataclasses import asdict

import dagster as dg
import numpy as np
import pandas as pd

from fraud_assets.metadata import named_values, table
from fraud_assets.ml.calibration import CalibrationSummary
from fraud_assets.ml.drift import DriftReport
from fraud_assets.ml.evaluate import Metric, direction
from fraud_assets.ml.judgement import Judgement
from fraud_assets.ml.leakage import LeakageReport
from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.split import UNUSED, Split

LEAKAGE = dg.AssetCheckSpec(
    "no_leakage_suspects",
    asset="raw_dataset",
    description="No column decides the label nearly alone, and none knows old labels but not the newest ones.",
)
DRIFT = dg.AssetCheckSpec(
    "no_drift",
    asset="raw_dataset",
    description="Columns and prevalence are distributed as in the data that the champion was trained on.",
)
COPIES = dg.AssetCheckSpec(
    "copies_on_one_side",
    asset="dataset_split",
    blocking=True,
    description="No two exact copies of a row are in different roles: one would tell what the other is.",
)
ENTITIES = dg.AssetCheckSpec(
    "entities_on_one_side",
    asset="dataset_split",
    blocking=True,
    description="No entity has rows in different roles, unless the split is by time.",
)
SIGNAL = dg.AssetCheckSpec(
    "signal",
    asset="fraud_model",
    description="The holdout's average precision is more than the prevalence, and than chance.",
)
OVERFIT = dg.AssetCheckSpec(
    "no_overfit",
    asset="fraud_model",
    description="The metric that was tuned is not much worse on the holdout than on the validation folds.",
)
CHALLENGER_WON = dg.AssetCheckSpec(
    "challenger_won",
    asset="champion_model",
    description="The newest model is the champion: it was the first, or surely better than the one before.",
)
CALIBRATION = dg.AssetCheckSpec(
    "calibration",
    asset="fraud_model",
    description="Predicted probabilities are better than the prevalence as everybody's probability (Brier score).",
)

# What has not passed these is not promoted.
GATES = (COPIES, ENTITIES, SIGNAL)


def of_leakage(report: LeakageReport) -> dg.AssetCheckResult:
    """Whether some column is a suspect; a warning, because a person has to judge it."""
    return dg.AssetCheckResult(
        check_name=LEAKAGE.name,
        passed=not report.suspects,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"{column} {what}" for column, what in report.suspects.items()) or None,
        metadata={"each column alone (ROC AUC)": table(report.columns)},
    )


def of_drift(report: DriftReport | None) -> dg.AssetCheckResult:
    """Whether the data has drifted away from the champion's; a warning: that is what training anew is for.

    Args:
        report: None where there is no champion.
    """
    if report is None:
        return dg.AssetCheckResult(check_name=DRIFT.name, passed=True, description="no champion to compare with")
    return dg.AssetCheckResult(
        check_name=DRIFT.name,
        passed=not report.has_drifted,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"{what}: {phrase}" for what, phrase in report.drifted.items()) or None,
        metadata={
            "columns": table(report.columns),
            "columns that are gone": ", ".join(report.absent) or "none",
            "columns that are new": ", ".join(report.added) or "none",
            "prevalence": report.prevalence_now,
            "prevalence of the champion's data": report.prevalence_before,
            "rows": report.rows_now,
            "rows of the champion's data": report.rows_before,
            "data version": report.version_now,
            "data version of the champion": report.version_before,
            "thresholds": named_values(asdict(report.thresholds), ("threshold", "value")),
        },
    )


def of_split(dataset: Dataset, split: Split) -> list[dg.AssetCheckResult]:
    """Whether copies of a row, or rows of an entity, are in different roles."""
    rows = pd.util.hash_pandas_object(dataset.table.to_pandas(), index=False)
    copies = _straddling(rows, split.roles)
    entities = 0 if dataset.entity is None else _straddling(dataset.entity, split.roles)
    return [
        dg.AssetCheckResult(
            check_name=COPIES.name,
            passed=copies == 0,
            description=f"copies of {copies} rows are in more than one role" if copies else None,
            metadata={"rows with copies": int(rows.duplicated(keep=False).sum()), "in more than one role": copies},
        ),
        dg.AssetCheckResult(
            check_name=ENTITIES.name,
            passed=entities == 0 or split.strategy == "time",
            description=(
                f"{entities} entities have rows in more than one role"
                + (", as they do in a split by time" if split.strategy == "time" else ": use strategy group or time")
                if entities
                else None
            ),
            metadata={"entities in more than one role": entities, "strategy": split.strategy},
        ),
    ]


def _straddling(belonging: pd.Series, roles: np.ndarray) -> int:
    """How many values of `belonging` have rows in more than one role."""
    used = ~np.isin(roles, [UNUSED])
    return int((pd.Series(roles)[used].groupby(belonging[used]).nunique() > 1).sum())


def of_model(
    judgement: Judgement, calibration: CalibrationSummary, metric: Metric, validation: Mapping[str, float]
) -> list[dg.AssetCheckResult]:
    """Whether the holdout shows a signal, as much of it as the tuning promised, and honest probabilities.

    None of them blocks: the model stands, and bears its verdict. Without a signal it is not promoted.
    """
    precision = judgement.metrics["average_precision"]
    worse, spread = _lost(judgement, metric, validation)
    no_signal = None if judgement.has_signal else "no signal: the model is no better than guessing"
    return [
        dg.AssetCheckResult(
            check_name=SIGNAL.name,
            passed=judgement.has_signal,
            description="; ".join(told for told in (no_signal, judgement.caution) if told) or None,
            metadata={
                "average precision": precision.value,
                "interval": f"{precision.low:.4f} to {precision.high:.4f} ({judgement.level:.0%})",
                "prevalence": judgement.prevalence,
                "chance (mean of permutations)": judgement.chance.average_precision,
                "p value": judgement.chance.p_value,
                "frauds": judgement.frauds,
            },
        ),
        dg.AssetCheckResult(
            check_name=OVERFIT.name,
            passed=worse <= spread,
            severity=dg.AssetCheckSeverity.WARN,
            description=(
                None if worse <= spread else f"{metric} is worse by {worse:.4f} on the holdout, more than {spread:.4f}"
            ),
            metadata={
                "validation": validation[metric],
                "holdout": judgement.metrics[metric].value,
                "worse by": worse,
                "tolerated (3 standard deviations over folds, or half the interval)": spread,
            },
        ),
        dg.AssetCheckResult(
            check_name=CALIBRATION.name,
            passed=calibration.brier_skill > 0,
            severity=dg.AssetCheckSeverity.WARN,
            description=(
                None if calibration.brier_skill > 0 else "probabilities are worse than a constant: set `calibration`"
            ),
            metadata={
                "Brier score": calibration.brier,
                "Brier skill": calibration.brier_skill,
                "expected calibration error": calibration.expected_calibration_error,
                "mean predicted": calibration.mean_predicted,
                "prevalence": calibration.prevalence,
                "reliability": table(pd.DataFrame(calibration.curve)),
            },
        ),
    ]


def of_challenge(won: bool, reason: str) -> dg.AssetCheckResult:
    """Whether the newest model is the champion; that it is not is no fault, but the reason is worth reading."""
    return dg.AssetCheckResult(
        check_name=CHALLENGER_WON.name, passed=won, severity=dg.AssetCheckSeverity.WARN, description=reason
    )


def _lost(judgement: Judgement, metric: Metric, validation: Mapping[str, float]) -> tuple[float, float]:
    """By how much the metric is worse on the holdout, and how much of that chance explains."""
    held = judgement.metrics[metric]
    sign = 1 if direction(metric) == "max" else -1
    spread = max(3 * validation[f"{metric}_std"], (held.high - held.low) / 2)
    return sign * (validation[metric] - held.value), spread
