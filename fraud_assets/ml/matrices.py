"""XGBoost's own form of encoded rows, and what keeps it: rows are copied and binned once, not once a trial."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.resample import Resampled, Resampler

if TYPE_CHECKING:
    import xgboost as xgb

    from fraud_assets.ml.study import StudyData

Params = Mapping[str, Any]

# (fold, resampler) -> the fold's resampled fitting rows; may remember what it computed before.
ResampleFold = Callable[[int, Resampler], Resampled]

DEFAULT_BINS = 256
MEMORY_BYTES = 1 << 29
# A bin's number takes 1 byte where a matrix has up to 256 bins, else 2 or 4; a value of a matrix without bins takes 4.
_BYTES_A_VALUE = 4


def bins_of(params: Params) -> int | None:
    """How many bins a configuration's columns have, at most; None where it wants the values themselves.

    Only the tree method `hist`, XGBoost's default, works on bins that are made once, before the first tree: `exact` has
    none, `approx` makes them anew for each tree, and gblinear has no trees.
    """
    trees = params.get("booster") != "gblinear" and params.get("tree_method", "hist") in ("hist", "auto")
    return int(params.get("max_bin", DEFAULT_BINS)) if trees else None


def fitting_matrix(
    params: Params, X: np.ndarray, y: np.ndarray, encoder: FeatureEncoder, threads: int
) -> "xgb.DMatrix":
    """Encoded rows and their labels as the configuration `params` is fitted on them.

    Configurations with equal `bins_of`, gblinear apart, have equal matrices. A model fitted on bins made here is, to
    the last bit, the one that XGBoost fits on a plain matrix.
    """
    import xgboost as xgb

    bins = bins_of(params)
    if bins is None:
        return unseen_matrix(params, X, encoder, threads, y)
    types = encoder.feature_types
    return xgb.QuantileDMatrix(X, y, feature_types=types, enable_categorical=True, max_bin=bins, nthread=threads)


def unseen_matrix(
    params: Params, X: np.ndarray, encoder: FeatureEncoder, threads: int, y: np.ndarray | None = None
) -> "xgb.DMatrix":
    """Encoded rows as they are, for predictions, or for fits without bins."""
    import xgboost as xgb

    if params.get("booster") == "gblinear":  # it has no notion of categories
        return xgb.DMatrix(encoder.one_hot(X), y, nthread=threads)
    return xgb.DMatrix(X, y, feature_types=encoder.feature_types, enable_categorical=True, nthread=threads)


class Matrices:
    """The matrices of a study's folds, made when first asked for and kept for the trials that follow.

    What was not asked for longest goes when the bound is passed, and is made again when it is asked for again.

    Attributes:
        study: whose folds they are of.
        threads: how many threads copy and bin, and fit.
    """

    def __init__(
        self, study: "StudyData", resample_fold: ResampleFold, threads: int, *, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        """For `study`, whose resampled fitting rows `resample_fold` gives; at most `memory_bytes` are kept."""
        self.study = study
        self.threads = threads
        self._resample_fold = resample_fold
        self._memory_bytes = memory_bytes
        self._kept: OrderedDict[tuple[Any, ...], xgb.DMatrix] = OrderedDict()

    def fitting(self, fold: int, params: Params) -> "xgb.DMatrix":
        """The fold's fitting rows, resampled and in the form that `params` asks for."""
        resampler = Resampler.of(params)

        def make() -> "xgb.DMatrix":
            rows, _ = self.study.folds[fold]
            X, y = self._resample_fold(fold, resampler).apply(self.study.X[rows], self.study.y[rows])
            return fitting_matrix(params, X, y, self.study.encoder, self.threads)

        return self._remember(("fitting", fold, resampler, bins_of(params), params.get("booster") == "gblinear"), make)

    def validating(self, fold: int, params: Params) -> "xgb.DMatrix":
        """The fold's validating rows."""

        def make() -> "xgb.DMatrix":
            _, rows = self.study.folds[fold]
            return unseen_matrix(params, self.study.X[rows], self.study.encoder, self.threads)

        return self._remember(("validating", fold, params.get("booster") == "gblinear"), make)

    def whole(self, fold: int, probability: np.ndarray) -> np.ndarray:
        """The probabilities as they are: no validating row is elsewhere."""
        return probability

    def _remember(self, key: tuple[Any, ...], make: "Callable[[], xgb.DMatrix]") -> "xgb.DMatrix":
        if key not in self._kept:
            self._kept[key] = make()
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(map(_size, self._kept.values())) > self._memory_bytes:
            self._kept.popitem(last=False)
        return self._kept[key]


def _size(matrix: "xgb.DMatrix") -> int:
    """Bytes of a matrix, rather too many than too few."""
    return int(matrix.num_row() * matrix.num_col() * _BYTES_A_VALUE)
