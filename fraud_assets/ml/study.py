"""What a trial does with its configuration: fit on each fold's fitting rows, score on its validating rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fraud_assets.ml.evaluate import Metric, direction, summarize_folds
from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.fold_fits import FoldFits, OutOfFold
from fraud_assets.ml.matrices import Matrices
from fraud_assets.ml.neighbour_limit import DEFAULT_LIMIT, NeighbourLimit
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
        limit: of the rows that a resampler searches for neighbours.
    """

    X: np.ndarray
    rows: ScoredRows
    folds: list[tuple[np.ndarray, np.ndarray]]
    encoder: FeatureEncoder
    seed: int
    scoring: Scoring
    limit: NeighbourLimit = DEFAULT_LIMIT

    @property
    def y(self) -> np.ndarray:
        """The labels, shape (rows,), int8."""
        return self.rows.y

    @classmethod
    def prepare(
        cls,
        dataset: Dataset,
        split: Split,
        seed: int,
        scoring: Scoring | None = None,
        limit: NeighbourLimit = DEFAULT_LIMIT,
    ) -> "StudyData":
        """Encode the rows outside the holdout once, for all trials; `scoring` is the default one if None."""
        scoring = scoring or Scoring()
        rows = split.tuning
        X = dataset.X.iloc[rows]
        encoder = FeatureEncoder.fit(X, dataset.roles.categorical)
        position = np.full(len(dataset), -1)
        position[rows] = np.arange(len(rows))
        folds = [(position[fit], position[validate]) for fit, validate in split.folds()]
        return cls(
            encoder.transform(X), scoring.rows(dataset, rows), folds, encoder, seed, scoring, limit.within(dataset.y)
        )

    def resample(self, fold: int, resampler: Resampler, n_jobs: int) -> Resampled:
        """Resample the fitting rows of a fold; positions in the result count from the fold's first fitting row."""
        fit, _ = self.folds[fold]
        X, y, discrete = self.X[fit], self.y[fit], self.encoder.discrete
        return resampler(X, y, discrete, seed=self.seed, n_jobs=n_jobs, limit=self.limit)

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


def out_of_fold(params: Mapping[str, Any], matrices: Matrices) -> OutOfFold:
    """Fit one configuration on every fold to the end, and predict the rows that it validates on.

    Args:
        params: the configuration, as the search space suggested it.
        matrices: of the study whose folds they are.

    Raises:
        FloatingPointError: the model predicts something that is not a probability.
    """
    fits = FoldFits(params, matrices)
    fits.advance()
    return fits.out_of_fold()


def partial_result(study: StudyData, unseen: OutOfFold, metric: Metric) -> dict[str, float]:
    """What a trial reports on its way: the mean of `metric` over folds, `rounds` and `fit_seconds`."""
    values = study.scoring.fold_scores(metric, study.validating(unseen.predictions))
    value = float(values.mean()) * (-1 if direction(metric) == "min" else 1)
    return {metric: value, "rounds": float(unseen.rounds), "fit_seconds": unseen.fit_seconds}


def run_trial(params: Mapping[str, Any], matrices: Matrices) -> tuple[dict[str, float], OutOfFold]:
    """Fit and score one configuration on every fold; arguments and errors are those of `out_of_fold`.

    Returns:
        What `trial_result` says of the predictions; and the predictions.
    """
    unseen = out_of_fold(params, matrices)
    return trial_result(matrices.study, unseen), unseen


def trial_result(study: StudyData, unseen: OutOfFold) -> dict[str, float]:
    """What a trial reports: what `StudyData.report` says of its predictions, `rounds` and `fit_seconds`."""
    extras = {"rounds": float(unseen.rounds), "fit_seconds": unseen.fit_seconds}
    return {**study.report(unseen.predictions), **extras}
