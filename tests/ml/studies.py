"""Whole studies in memory: no Ray, no MLflow."""

from collections.abc import Mapping
from typing import Any

from fraud_assets.ml.estimator import Member
from fraud_assets.ml.final_model import FinalModel, build_final_model
from fraud_assets.ml.matrices import Matrices
from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.scoring import Scoring
from fraud_assets.ml.split import Split
from fraud_assets.ml.study import StudyData, run_trial

# A configuration of each booster.
BOOSTERS: list[dict[str, Any]] = [
    {"booster": "gbtree", "n_estimators": 20, "max_depth": 4, "grow_policy": "lossguide"},
    {"booster": "dart", "n_estimators": 20, "rate_drop": 0.5},
    {"booster": "gblinear", "n_estimators": 20, "lambda": 0.1},
    {"booster": "forest", "n_estimators": 20, "max_depth": 6, "subsample": 0.6, "colsample_bynode": 0.5},
]


def trial_of(params: Mapping[str, Any], study: StudyData) -> dict[str, float]:
    """What a trial reports; each fold is resampled for itself."""
    return run_trial(params, matrices_of(study))[0]


def matrices_of(study: StudyData) -> Matrices:
    """The study's matrices, resampled in this process."""
    return Matrices(study, lambda fold, resampler: study.resample(fold, resampler, 1), 1)


def judged_model(dataset: Dataset, split: Split, params: Mapping[str, Any], threshold: float) -> FinalModel:
    """The delivered model is the judged one, so that it can be asked about rows that it never saw."""
    settings: dict[str, Any] = {"threshold": threshold, "seed": 1, "threads": 1, "resamples": 200}
    return build_final_model(dataset, split, [Member(params)], Scoring(), refit_on_all=False, **settings)
