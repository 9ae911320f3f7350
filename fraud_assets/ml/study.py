"""What a trial does with its configuration: fit on each fold's fitting rows, score on its validating rows."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fraud_assets.ml.estimator import predict_booster, train_booster
from fraud_assets.ml.evaluate import summarize_folds
from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.resample import Resampled, resample
from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.scored_rows import ScoredRows
from fraud_assets.ml.scoring import Scoring
from fraud_assets.ml.split import Split


@dataclass(frozen=True)
class StudyData:
    """What all trials of a study share; the holdout is not in it.

    Attributes:
        X: encoded features of the rows outside the holdout, shape (rows, columns), float32.
        rows: what else metrics look at, of the same rows; their probabilities mean nothing.
        folds: (fitting positions, validating positions) in `X` of each fold.
        encoder: what encoded `X`.
        seed: of resampling and fitting.
        scoring: metrics and threshold policy.
    """

    X: np.ndarray
    rows: ScoredRows
    folds: list[tuple[np.ndarray, np.ndarray]]
    encoder: FeatureEncoder
    seed: int
    scoring: Scoring

    @property
    def y(self) -> np.ndarray:
        """The labels, shape (rows,), int8."""
        return self.rows.y

    @classmethod
    def prepare(cls, dataset: Dataset, split: Split, seed: int, scoring: Scoring | None = None) -> "StudyData":
        """Encode the rows outside the holdout once, for all trials; `scoring` is the default one if None."""
        scoring = scoring or Scoring()
        rows = split.tuning
        X = dataset.X.iloc[rows]
        encoder = FeatureEncoder.fit(X, dataset.roles.categorical)
        position = np.full(len(dataset), -1)
        position[rows] = np.arange(len(rows))
        folds = [(position[fit], position[validate]) for fit, validate in split.folds()]
        return cls(encoder.transform(X), scoring.rows(dataset, rows), folds, encoder, seed, scoring)

    def resample(self, fold: int, resampler: str, n_jobs: int) -> Resampled:
        """Resample the fitting rows of a fold; positions in the result count from the fold's first fitting row."""
        fit, _ = self.folds[fold]
        return resample(resampler, self.X[fit], self.y[fit], self.encoder.discrete, seed=self.seed, n_jobs=n_jobs)


# (fold, resampler) -> the fold's resampled fitting rows; may remember what it computed before.
ResampleFold = Callable[[int, str], Resampled]


def out_of_fold(
    params: Mapping[str, Any], study: StudyData, resample_fold: ResampleFold, *, threads: int
) -> tuple[list[ScoredRows], float]:
    """Fit one configuration on every fold, and predict the rows that it validates on.

    Args:
        params: the configuration, as the search space suggested it.
        study: data and folds.
        resample_fold: where resampled fitting rows come from.
        threads: how many threads fit.

    Returns:
        The predictions of each fold, and the seconds that fitting took.

    Raises:
        FloatingPointError: the model predicts something that is not a probability.
    """
    folds, fit_seconds = [], 0.0
    for fold, (fit, validate) in enumerate(study.folds):
        sampled = resample_fold(fold, str(params.get("resampler", "passthrough")))
        X, y = sampled.apply(study.X[fit], study.y[fit])
        started = time.perf_counter()
        booster = train_booster(params, X, y, study.encoder, seed=study.seed, threads=threads)
        fit_seconds += time.perf_counter() - started
        probability = predict_booster(booster, params, study.X[validate], study.encoder, threads=threads)
        if not ((probability >= 0) & (probability <= 1)).all():
            raise FloatingPointError(f"fold {fold}: the model predicts NaN, or no probabilities, for {dict(params)}")
        folds.append(study.rows.take(validate).with_probability(probability))
    return folds, fit_seconds


def run_trial(
    params: Mapping[str, Any], study: StudyData, resample_fold: ResampleFold, *, threads: int
) -> dict[str, float]:
    """Fit and score one configuration on every fold; arguments and errors are those of `out_of_fold`.

    Returns:
        The mean over folds of each metric that the data has the columns for (`Scoring.score`), its standard deviation
        as `<metric>_std`; `threshold`, which the policy chooses on the predictions of all folds together, and what it
        reaches on these as `<name>_at_threshold`; and `fit_seconds`.
    """
    folds, fit_seconds = out_of_fold(params, study, resample_fold, threads=threads)
    choice = study.scoring.threshold(ScoredRows.concatenate(folds))
    return {
        **summarize_folds([study.scoring.score(rows, choice.threshold) for rows in folds]),
        "threshold": choice.threshold,
        **{f"{name}_at_threshold": choice.achieved[name] for name in ("precision", "recall", "f1")},
        "fit_seconds": fit_seconds,
    }
