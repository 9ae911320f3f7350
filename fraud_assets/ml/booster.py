"""XGBoost for one configuration of a trial: its parameters, one fit on encoded rows, and when to stop."""

import json
from collections.abc import Mapping
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import numpy as np

from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.fraud_space import GATES
from fraud_assets.ml.matrices import fitting_matrix, unseen_matrix
from fraud_assets.ml.resample import OWN_PARAMETER, Resampler

if TYPE_CHECKING:
    import xgboost as xgb

Params = Mapping[str, Any]

# XGBoost's scikit-learn interface has this default; its native one has none.
DEFAULT_ROUNDS = 100
# Ours, not XGBoost's; and its own aliases of "nthread" and "seed", which would lose against these names unheard.
_NOT_BOOSTER = (
    "resampler",
    "sampling_ratio",
    "n_estimators",
    "early_stopping_rounds",
    *GATES,
    "n_jobs",
    "random_state",
)
_DROPOUT = ("rate_drop", "one_drop", "skip_drop", "sample_type", "normalize_type")


def booster_params(params: Params, *, seed: int, threads: int) -> dict[str, Any]:
    """What XGBoost's native interface gets for the configuration `params` of a trial.

    A `seed` or `random_state` among `params` wins over `seed`; the number of threads is never a parameter.
    `booster="forest"` is XGBoost's random forest
    (https://xgboost.readthedocs.io/en/stable/tutorials/rf.html): one round of `n_estimators` parallel trees that aren't
    shrunk. With squared error a leaf says the share of frauds among its rows and `lambda` more that are frauds at the
    prevalence: the m-estimate (Cestnik 1990, "Estimating probabilities: a crucial task in machine learning"), which
    never is 0.
    """
    ours = (*_NOT_BOOSTER, *(name for name in params if name.startswith(OWN_PARAMETER)))
    native = {name: value for name, value in params.items() if name not in ours}
    seed = params.get("random_state", seed)
    # XGBoost has one stream of random numbers a process: seeded once, what a fit draws would depend on other fits that
    # go on at the same time.
    fixed = {"objective": "binary:logistic", "seed": seed, "seed_per_iteration": True}
    native = {**fixed, **native, "nthread": threads}
    if native.get("booster") == "forest":
        # Without a base score XGBoost starts from the mean of the labels.
        forest = {"objective": "reg:squarederror", "eta": 1.0, "booster": "gbtree"}
        return {**native, **forest, "num_parallel_tree": int(params.get("n_estimators", DEFAULT_ROUNDS))}
    if native.get("booster") == "gblinear":
        # The default updater, shotgun, lets threads race each other: the same fit twice gives two models.
        native.setdefault("updater", "coord_descent")
    if native.get("booster") == "dart" and not native.get("rate_drop") and not native.get("one_drop"):
        # dart without dropout is gbtree to the last bit, at many times the price.
        native = {name: value for name, value in native.items() if name not in _DROPOUT} | {"booster": "gbtree"}
    return native


def fit_key(params: Params) -> str:
    """Equal for two configurations of a study that are fitted alike, whatever else they say."""
    early = params["early_stopping_rounds"] if stops_early(params) else None
    # The names of ours that decide a fit, beside XGBoost's.
    ours = [astuple(Resampler.of(params)), rounds_of(params), early]
    return json.dumps([ours, booster_params(params, seed=0, threads=1)], sort_keys=True, default=str)


def rounds_of(params: Params) -> int:
    """How many boosting rounds a configuration has, at most where it stops early."""
    return 1 if params.get("booster") == "forest" else int(params.get("n_estimators", DEFAULT_ROUNDS))


def stops_early(params: Params) -> bool:
    """Whether a configuration's number of rounds is chosen by the validating rows.

    Only boosted trees can be cut: dart's trees change as later ones are dropped, gblinear has none, and those of a
    forest are no sequence.
    """
    return bool(params.get("early_stopping_rounds")) and params.get("booster", "gbtree") == "gbtree"


def with_rounds(params: Params, rounds: int) -> dict[str, Any]:
    """The configuration with the number of rounds that was chosen for it, to be fitted without validating rows."""
    if not stops_early(params):
        return dict(params)
    return {name: v for name, v in params.items() if name != "early_stopping_rounds"} | {"n_estimators": rounds}


def train_booster(
    params: Params, X: np.ndarray, y: np.ndarray, encoder: FeatureEncoder, *, seed: int, threads: int
) -> "xgb.Booster":
    """Fit XGBoost on encoded rows that were already resampled.

    Args:
        params: a trial's configuration: XGBoost's parameters and `n_estimators` (default 100), all of which are fitted.
        X: encoded features, shape (rows, columns), float32, NaN where missing.
        y: labels, shape (rows,), 0 or 1.
        encoder: what encoded `X`.
        seed: of XGBoost's random numbers.
        threads: how many threads fit.
    """
    return train_on_matrix(params, fitting_matrix(params, X, y, encoder, threads), seed=seed, threads=threads)


def train_on_matrix(params: Params, matrix: "xgb.DMatrix", *, seed: int, threads: int) -> "xgb.Booster":
    """Fit XGBoost on what `fitting_matrix` made for `params`; the other arguments are those of `train_booster`."""
    import xgboost as xgb

    native = booster_params(params, seed=seed, threads=threads)
    return xgb.train(native, matrix, num_boost_round=rounds_of(params))


def predict_booster(
    booster: "xgb.Booster",
    params: Params,
    X: np.ndarray,
    encoder: FeatureEncoder,
    *,
    threads: int = 0,
    rounds: int | None = None,
) -> np.ndarray:
    """The probability of fraud of encoded rows, shape (rows,), float32.

    Args:
        booster: what was fitted.
        params: the configuration that it was fitted with.
        X: encoded rows.
        encoder: what encoded them.
        threads: how many threads predict; 0 means all cores.
        rounds: use so many of the booster's first rounds; None for all.
    """
    return predict_matrix(booster, params, unseen_matrix(params, X, encoder, threads), rounds=rounds)


def predict_matrix(
    booster: "xgb.Booster", params: Params, matrix: "xgb.DMatrix", *, rounds: int | None = None
) -> np.ndarray:
    """The same for what `unseen_matrix` made of the rows, by the booster's own number of threads."""
    probability = np.asarray(booster.predict(matrix, iteration_range=(0, rounds or 0)))
    # The sum of a forest's leaves is a mean of shares but for the last digit.
    return np.clip(probability, 0, 1) if params.get("booster") == "forest" else probability
