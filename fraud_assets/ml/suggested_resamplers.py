"""The resamplers that a search space suggests, and whether the data is theirs to resample."""

import numpy as np

from fraud_assets.ml.neighbour_limit import NeighbourLimit
from fraud_assets.ml.resample import Resampler
from fraud_assets.ml.schema import DataError
from fraud_assets.ml.search_space import SearchSpace
from fraud_assets.ml.split import Split

_LOOKED_AT = 200


def require_resamplable(space: SearchSpace, y: np.ndarray, split: Split, limit: NeighbourLimit) -> None:
    """Look at random configurations of a space, so that what stops their resamplers is told before any trial starts.

    What is so rare that none of them has it stops the trial that has it, with the same message.

    Args:
        space: what suggests them.
        y: the labels of all rows, shape (rows,).
        split: of these rows; the study, the fit that the holdout judges, and the refit on all rows resample parts.
        limit: of the rows that are searched for neighbours.

    Raises:
        DataError: one searches too many rows.
        ValueError: a resampler isn't there, or can't be had with these parameters.
    """
    largest = max((fitting for fitting, _ in split.folds()), key=len)
    fits = {
        "the largest fold's fitting rows": y[largest],
        "those of the model that the holdout judges": y[split.judged_fit],
        "all rows, which it is refitted on": y,
    }
    problems: dict[str, str] = {}
    for resampler in dict.fromkeys(map(Resampler.of, space.sample(_LOOKED_AT))):
        resampler.check()
        problem = limit.problem(resampler.name, {rows: resampler.search(labels) for rows, labels in fits.items()})
        if problem is not None:
            problems.setdefault(resampler.name, problem)
    if problems:
        first, *others = problems
        more = f"; it is the same with {', '.join(map(repr, others))}" if others else ""
        raise DataError(
            f"search_space {space.name!r} suggests what this data is too large for: {problems[first]}{more}"
        )
