"""One configuration's fits on all folds of a study, side by side, a few boosting rounds at a time."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fraud_assets.ml.booster import booster_params, predict_matrix, rounds_of, stops_early
from fraud_assets.ml.evaluate import average_precision

if TYPE_CHECKING:
    import xgboost as xgb

    from fraud_assets.ml.study import StudyData

# Where a fit stops early: a score after every round would cost more than the round.
ROUNDS_A_SCORE = 10
# Of a curve by boosting round at most so many points are told.
MOST_POINTS = 100


class FoldRows(Protocol):
    """The rows of a study's folds in XGBoost's form: all of them (`Matrices`), or one worker's part."""

    @property
    def study(self) -> "StudyData":
        """Whose folds they are of."""

    @property
    def threads(self) -> int:
        """How many threads fit."""

    def fitting(self, fold: int, params: Mapping[str, Any]) -> "xgb.DMatrix":
        """The fold's fitting rows, resampled and in the form that `params` asks for."""

    def validating(self, fold: int, params: Mapping[str, Any]) -> "xgb.DMatrix":
        """The fold's validating rows."""

    def whole(self, fold: int, probability: np.ndarray) -> np.ndarray:
        """The probabilities of all the fold's validating rows, from those of `validating`."""


@dataclass(frozen=True)
class OutOfFold:
    """What a configuration predicts for rows that it was not fitted on.

    Attributes:
        predictions: for each fold the probabilities of its validating rows, float32.
        rounds: the boosting rounds of every fold's fit; where it stops early, those that the folds together chose.
        fit_seconds: what fitting took, without resampling and binning, which trials share.
        curve: the mean over folds of the average precision after so many rounds, as (rounds, score), where fits stop
            early and it is known anyway; at most `MOST_POINTS`, evenly spread, the last one among them.
    """

    predictions: list[np.ndarray]
    rounds: int
    fit_seconds: float
    curve: list[tuple[int, float]] = field(default_factory=list)


class FoldFits:
    """Fits of one configuration, one a fold, that go on together.

    With `early_stopping_rounds` they end when the mean over folds of the average precision was not beaten for so many
    rounds: one number of rounds for all of them, as a refit on other rows will have to do with one.

    Attributes:
        rounds: fitted so far.
        finished: whether there is nothing left to fit.
    """

    def __init__(self, params: Mapping[str, Any], rows: FoldRows) -> None:
        """Fits of `params` on `rows`, without a round yet."""
        import xgboost as xgb

        study = rows.study
        native = booster_params(params, seed=study.seed, threads=rows.threads)
        self._params, self._rows = params, rows
        self._matrices = [rows.fitting(fold, params) for fold in range(len(study.folds))]
        self._boosters = [xgb.Booster(native, [matrix]) for matrix in self._matrices]
        self._early = stops_early(params)
        most = rounds_of(params)
        self._most = max(ROUNDS_A_SCORE, most - most % ROUNDS_A_SCORE) if self._early else most
        self._means: list[float] = []
        self._seconds = 0.0
        self.rounds = 0
        self.finished = False

    @property
    def best_rounds(self) -> int:
        """The number of rounds that predicts: where fits stop early the best so far, else all."""
        return ROUNDS_A_SCORE * (1 + int(np.argmax(self._means))) if self._means else self.rounds

    @property
    def curve(self) -> list[tuple[int, float]]:
        """See `OutOfFold.curve`."""
        points = [(ROUNDS_A_SCORE * (i + 1), mean) for i, mean in enumerate(self._means)]
        every = -(-len(points) // MOST_POINTS) or 1
        return points[::-1][::every][::-1]

    def advance(self, rounds: int | None = None) -> None:
        """Fit on until there are so many rounds, or to the end if None."""
        goal = self._most if rounds is None else min(rounds, self._most)
        while not self.finished and self.rounds < goal:
            begun, until = time.perf_counter(), goal
            if self._early:
                until = min(goal, self.rounds - self.rounds % ROUNDS_A_SCORE + ROUNDS_A_SCORE)
            for booster, matrix in zip(self._boosters, self._matrices, strict=True):
                for i in range(self.rounds, until):
                    booster.update(matrix, i)
            self.rounds = until
            if self._early and until % ROUNDS_A_SCORE == 0:
                self._means.append(self._mean())
            self._seconds += time.perf_counter() - begun
            patience = int(self._params["early_stopping_rounds"]) if self._early else self._most
            self.finished = until >= self._most or until - self.best_rounds >= patience

    def _mean(self) -> float:
        """The mean over folds of the average precision after all rounds so far."""
        study = self._rows.study
        # XGBoost remembers the rows' margins: only the new trees are evaluated.
        unseen = [self._predict(fold, None) for fold in range(len(study.folds))]
        labels = [study.y[validate] for _, validate in study.folds]
        return float(np.mean([average_precision(y, p) for y, p in zip(labels, unseen, strict=True)]))

    def _predict(self, fold: int, rounds: int | None) -> np.ndarray:
        matrix = self._rows.validating(fold, self._params)
        return self._rows.whole(fold, predict_matrix(self._boosters[fold], self._params, matrix, rounds=rounds))

    def out_of_fold(self) -> OutOfFold:
        """What the fits, as far as they have come, predict for their validating rows.

        Raises:
            FloatingPointError: a fit predicts something that is not a probability.
        """
        used = self.best_rounds
        predictions = [self._predict(fold, used if self._means else None) for fold in range(len(self._boosters))]
        for fold, probability in enumerate(predictions):
            if not ((probability >= 0) & (probability <= 1)).all():
                told = dict(self._params)
                raise FloatingPointError(f"fold {fold}: the model predicts NaN, or no probabilities, for {told}")
        return OutOfFold(predictions, used, self._seconds, self.curve)
