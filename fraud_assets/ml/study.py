"""What a trial does with its configuration: fit on each fold's fitting rows, score on its validating rows."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fraud_assets.ml.booster import (
    ROUNDS_A_SCORE,
    predict_matrix,
    rounds_of,
    stops_early,
    train_on_matrix,
    train_until_no_better,
)
from fraud_assets.ml.evaluate import average_precision, summarize_folds
from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.matrices import Matrices
from fraud_assets.ml.resample import Resampled, Resampler
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

    def resample(self, fold: int, resampler: Resampler, n_jobs: int) -> Resampled:
        """Resample the fitting rows of a fold; positions in the result count from the fold's first fitting row."""
        fit, _ = self.folds[fold]
        return resampler(self.X[fit], self.y[fit], self.encoder.discrete, seed=self.seed, n_jobs=n_jobs)

    def validating(self, predictions: Sequence[np.ndarray]) -> list[ScoredRows]:
        """The rows that each fold validates on, with the probabilities that are predicted for them."""
        return [
            self.rows.take(validate).with_probability(probability)
            for (_, validate), probability in zip(self.folds, predictions, strict=True)
        ]

    def report(self, predictions: Sequence[np.ndarray]) -> dict[str, float]:
        """What out-of-fold predictions are worth.

        Args:
            predictions: for each fold the probabilities of its validating rows.

        Returns:
            The mean over folds of each metric that the data has the columns for (`Scoring.score`), its standard
            deviation as `<metric>_std`; `threshold`, which the policy chooses on the predictions of all folds together,
            and what it reaches on these as `<name>_at_threshold`, the share of rows that it alerts among it.
        """
        folds = self.validating(predictions)
        choice = self.scoring.threshold(ScoredRows.concatenate(folds))
        return {
            **summarize_folds([self.scoring.score(rows, choice.threshold) for rows in folds]),
            "threshold": choice.threshold,
            **{f"{name}_at_threshold": choice.achieved[name] for name in ("precision", "recall", "f1")},
            "alert_rate_at_threshold": choice.achieved["alerts"] / sum(len(rows) for rows in folds),
        }


@dataclass(frozen=True)
class OutOfFold:
    """What a configuration predicts for rows that it was not fitted on.

    Attributes:
        predictions: for each fold the probabilities of its validating rows, float32.
        rounds: the boosting rounds of every fold's fit; where it stops early, those that the folds together chose.
        fit_seconds: what fitting took, without resampling and binning, which trials share.
    """

    predictions: list[np.ndarray]
    rounds: int
    fit_seconds: float


def out_of_fold(params: Mapping[str, Any], matrices: Matrices) -> OutOfFold:
    """Fit one configuration on every fold, and predict the rows that it validates on.

    With `early_stopping_rounds` each fold's fit goes on until its average precision gets no better; then one number of
    rounds, the best on the mean over folds, is used for all of them, as a refit on other rows will have to.

    Args:
        params: the configuration, as the search space suggested it.
        matrices: of the study whose folds they are.

    Raises:
        FloatingPointError: the model predicts something that is not a probability.
    """
    study, threads = matrices.study, matrices.threads
    boosters, scores, fit_seconds = [], [], 0.0
    for fold, (_, validate) in enumerate(study.folds):
        matrix, unseen = matrices.fitting(fold, params), matrices.validating(fold, params)
        started = time.perf_counter()
        if stops_early(params):
            labels = study.y[validate]
            booster, reached = train_until_no_better(
                params,
                matrix,
                unseen,
                lambda probability, labels=labels: average_precision(labels, probability),  # type: ignore[misc]
                seed=study.seed,
                threads=threads,
            )
            scores.append(reached)
        else:
            booster = train_on_matrix(params, matrix, seed=study.seed, threads=threads)
        fit_seconds += time.perf_counter() - started
        boosters.append(booster)
    rounds = best_rounds(scores) if scores else rounds_of(params)
    predictions = []
    for fold, booster in enumerate(boosters):
        used = rounds if scores else None
        probability = predict_matrix(booster, params, matrices.validating(fold, params), rounds=used)
        if not ((probability >= 0) & (probability <= 1)).all():
            raise FloatingPointError(f"fold {fold}: the model predicts NaN, or no probabilities, for {dict(params)}")
        predictions.append(probability)
    return OutOfFold(predictions, rounds, fit_seconds)


def best_rounds(scores: Sequence[Sequence[float]]) -> int:
    """The number of rounds whose mean score over folds is best, among those that every fold has."""
    shortest = min(len(fold) for fold in scores)
    means = np.mean([fold[:shortest] for fold in scores], axis=0)
    return ROUNDS_A_SCORE * (1 + int(np.argmax(means)))


def run_trial(params: Mapping[str, Any], matrices: Matrices) -> tuple[dict[str, float], OutOfFold]:
    """Fit and score one configuration on every fold; arguments and errors are those of `out_of_fold`.

    Returns:
        What `StudyData.report` says of the predictions, with `rounds` and `fit_seconds`; and the predictions.
    """
    unseen = out_of_fold(params, matrices)
    extras = {"rounds": float(unseen.rounds), "fit_seconds": unseen.fit_seconds}
    return {**matrices.study.report(unseen.predictions), **extras}, unseen
