"""What a trial does with its configuration: fit on each fold's fitting rows, score on its validating rows."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fraud_assets.ml.estimator import predict_booster, train_booster
from fraud_assets.ml.evaluate import best_f1_threshold, score, summarize_folds
from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.resample import Resampled, resample
from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.split import Split


@dataclass(frozen=True)
class StudyData:
    """What all trials of a study share; the holdout is not in it.

    Attributes:
        X: encoded features of the rows outside the holdout, shape (rows, columns), float32.
        y: their labels, shape (rows,), int8.
        folds: (fitting positions, validating positions) in `X` of each fold.
        encoder: what encoded `X`.
        seed: of resampling and fitting.
    """

    X: np.ndarray
    y: np.ndarray
    folds: list[tuple[np.ndarray, np.ndarray]]
    encoder: FeatureEncoder
    seed: int

    @classmethod
    def prepare(cls, dataset: Dataset, split: Split, seed: int) -> "StudyData":
        """Encode the rows outside the holdout once, for all trials."""
        rows = split.tuning
        X = dataset.X.iloc[rows]
        encoder = FeatureEncoder.fit(X, dataset.roles.categorical)
        position = np.full(len(dataset), -1)
        position[rows] = np.arange(len(rows))
        folds = [(position[fit], position[validate]) for fit, validate in split.folds()]
        return cls(encoder.transform(X), dataset.y[rows], folds, encoder, seed)

    def resample(self, fold: int, resampler: str, n_jobs: int) -> Resampled:
        """Resample the fitting rows of a fold; positions in the result count from the fold's first fitting row."""
        fit, _ = self.folds[fold]
        return resample(resampler, self.X[fit], self.y[fit], self.encoder.discrete, seed=self.seed, n_jobs=n_jobs)


# (fold, resampler) -> the fold's resampled fitting rows; may remember what it computed before.
ResampleFold = Callable[[int, str], Resampled]


def run_trial(
    params: Mapping[str, Any], study: StudyData, resample_fold: ResampleFold, *, threads: int
) -> dict[str, float]:
    """Fit and score one configuration on every fold.

    Args:
        params: the configuration, as the search space suggested it.
        study: data and folds.
        resample_fold: where resampled fitting rows come from.
        threads: how many threads fit.

    Returns:
        The mean over folds of each metric at a threshold of 0.5, its standard deviation as `<metric>_std`, `threshold`:
        the one with the best F1 on the predictions of all folds together, `f1_at_threshold` on these same
        predictions, and `fit_seconds`.

    Raises:
        FloatingPointError: the model predicts something that is not a probability.
    """
    scores, labels, probabilities = [], [], []
    fit_seconds = 0.0
    for fold, (fit, validate) in enumerate(study.folds):
        sampled = resample_fold(fold, str(params.get("resampler", "passthrough")))
        X, y = sampled.apply(study.X[fit], study.y[fit])
        started = time.perf_counter()
        booster = train_booster(params, X, y, study.encoder, seed=study.seed, threads=threads)
        fit_seconds += time.perf_counter() - started
        probability = predict_booster(booster, params, study.X[validate], study.encoder, threads=threads)
        if not ((probability >= 0) & (probability <= 1)).all():
            raise FloatingPointError(f"fold {fold}: the model predicts NaN, or no probabilities, for {dict(params)}")
        scores.append(score(study.y[validate], probability))
        labels.append(study.y[validate])
        probabilities.append(probability)
    y, probability = np.concatenate(labels), np.concatenate(probabilities)
    threshold = best_f1_threshold(y, probability)
    return {
        **summarize_folds(scores),
        "threshold": threshold,
        "f1_at_threshold": score(y, probability, threshold)["f1"],
        "fit_seconds": fit_seconds,
    }
