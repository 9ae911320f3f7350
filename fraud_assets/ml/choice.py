"""What a study's trials come to: the members of the model, and what they are worth together on the validating rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fraud_assets.ml.ensemble import SelectionSettings, average, candidates, select_members
from fraud_assets.ml.result_grid import Preference, kind, rank
from fraud_assets.ml.study import StudyData


@dataclass(frozen=True)
class Choice:
    """The members that a study's trials come to.

    Attributes:
        weights: the share of each chosen trial by its `trial_id`, the heaviest first; they sum to 1.
        report: what `StudyData.report` says of their averaged predictions; of a single one what its trial reported.
    """

    weights: dict[str, float]
    report: dict[str, float]


def choose_members(
    grid: pd.DataFrame,
    preference: Preference,
    study: StudyData,
    read_predictions: Callable[[str], np.ndarray],
    most: int,
) -> Choice:
    """Select an ensemble among the finished trials of a grid; see `ensemble.select_members`.

    Args:
        grid: what `result_grid.grid_frame` made, with a finished trial at least.
        preference: what is better; with a second objective the best trial is alone, as the trade-off is its own.
        study: what the trials were scored on.
        read_predictions: from a trial's id to the probabilities of all folds' validating rows, one fold after another.
        most: how many trials may be averaged.
    """
    settings = SelectionSettings(most=1 if preference.second else most, spread_penalty=preference.spread_penalty)
    ranked = rank(grid, preference)
    chosen = candidates([kind(params) for params in ranked["params"]], settings)
    trials = [str(trial) for trial in ranked["trial_id"].to_numpy()[chosen]]
    ends = np.cumsum([len(validate) for _, validate in study.folds])[:-1]
    predictions = [np.split(read_predictions(trial), ends) for trial in trials]

    def judge(folds: Sequence[np.ndarray]) -> np.ndarray:
        return study.scoring.fold_scores(preference.metric, study.validating(folds))

    selection = select_members(predictions, judge, settings)
    members, weights = list(selection.weights), list(selection.weights.values())
    averaged = [average([predictions[i][fold] for i in members], weights) for fold in range(len(study.folds))]
    return Choice({trials[i]: weight for i, weight in selection.weights.items()}, study.report(averaged))
