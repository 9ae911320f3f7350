"""The model: XGBoost behind a resampler, fitted on encoded rows, used on raw ones.

What is stored is XGBoost's own format and JSON, never a pickle; what loads it needs XGBoost, pandas and this package's
`ml`, and neither imbalanced-learn nor scikit-learn.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fraud_assets.ml.calibration import Calibrator
from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.fraud_space import GATES
from fraud_assets.ml.resample import resample

if TYPE_CHECKING:
    import xgboost as xgb

Params = Mapping[str, Any]

# XGBoost's scikit-learn interface has this default; its native one has none.
DEFAULT_ROUNDS = 100
# Ours, not XGBoost's; and its own aliases of "nthread" and "seed", which would lose against these names unheard.
_NOT_BOOSTER = ("resampler", "n_estimators", *GATES, "n_jobs", "random_state")
_DROPOUT = ("rate_drop", "one_drop", "skip_drop", "sample_type", "normalize_type")


def booster_params(params: Params, *, seed: int, threads: int) -> dict[str, Any]:
    """What XGBoost's native interface gets for the configuration `params` of a trial.

    A `seed` or `random_state` among `params` wins over `seed`; the number of threads is never a parameter.
    """
    native = {name: value for name, value in params.items() if name not in _NOT_BOOSTER}
    seed = params.get("random_state", seed)
    native = {"objective": "binary:logistic", "seed": seed, **native, "nthread": threads}
    if native.get("booster") == "gblinear":
        # The default updater, shotgun, lets threads race each other: the same fit twice gives two models.
        native.setdefault("updater", "coord_descent")
    if native.get("booster") == "dart" and not native.get("rate_drop") and not native.get("one_drop"):
        # dart without dropout is gbtree to the last bit, at many times the price.
        native = {name: value for name, value in native.items() if name not in _DROPOUT} | {"booster": "gbtree"}
    return native


def train_booster(
    params: Params, X: np.ndarray, y: np.ndarray, encoder: FeatureEncoder, *, seed: int, threads: int
) -> "xgb.Booster":
    """Fit XGBoost on encoded rows that were already resampled.

    Args:
        params: a trial's configuration: XGBoost's parameters and `n_estimators` (default 100).
        X: encoded features, shape (rows, columns), float32, NaN where missing.
        y: labels, shape (rows,), 0 or 1.
        encoder: what encoded `X`.
        seed: of XGBoost's random numbers.
        threads: how many threads fit.
    """
    import xgboost as xgb

    native = booster_params(params, seed=seed, threads=threads)
    matrix = _matrix(X, encoder, native.get("booster", "gbtree"), threads, y)
    return xgb.train(native, matrix, num_boost_round=int(params.get("n_estimators", DEFAULT_ROUNDS)))


def predict_booster(
    booster: "xgb.Booster", params: Params, X: np.ndarray, encoder: FeatureEncoder, *, threads: int = 0
) -> np.ndarray:
    """The probability of fraud of encoded rows, shape (rows,); `threads` 0 means all cores."""
    return np.asarray(booster.predict(_matrix(X, encoder, params.get("booster", "gbtree"), threads)))


def _matrix(
    X: np.ndarray, encoder: FeatureEncoder, booster: str, threads: int, y: np.ndarray | None = None
) -> "xgb.DMatrix":
    import xgboost as xgb

    if booster == "gblinear":  # it has no notion of categories
        return xgb.DMatrix(encoder.one_hot(X), y, nthread=threads)
    return xgb.DMatrix(X, y, feature_types=encoder.feature_types, enable_categorical=True, nthread=threads)


@dataclass(frozen=True)
class FraudClassifier:
    """A fitted model that takes raw columns.

    Attributes:
        encoder: from raw columns to XGBoost's.
        booster: the fitted XGBoost model.
        params: the configuration it was fitted with.
        threshold: a transaction is called fraud where its probability is at least this.
        calibrator: maps the booster's probability to the classifier's; None where they are the same.
    """

    encoder: FeatureEncoder
    booster: "xgb.Booster"
    params: dict[str, Any]
    threshold: float
    calibrator: Calibrator | None = None

    @classmethod
    def fit(
        cls,
        X: pd.DataFrame,
        y: np.ndarray,
        categorical: Sequence[str],
        params: Params,
        *,
        threshold: float,
        seed: int,
        threads: int,
        calibrator: Calibrator | None = None,
    ) -> "FraudClassifier":
        """Encode, resample and fit raw rows, as a trial does with its fitting rows.

        Args:
            X: raw features.
            y: labels, shape (rows,), 0 or 1.
            categorical: the columns of `X` that are categories.
            params: a trial's configuration, `resampler` among it.
            threshold: chosen elsewhere, on rows that this fit doesn't see.
            seed: of resampling and fitting.
            threads: how many threads resample and fit.
            calibrator: fitted elsewhere, as the threshold is.
        """
        encoder = FeatureEncoder.fit(X, categorical)
        encoded = encoder.transform(X)
        sampled = resample(
            params.get("resampler", "passthrough"), encoded, y, encoder.discrete, seed=seed, n_jobs=threads
        )
        booster = train_booster(params, *sampled.apply(encoded, y), encoder, seed=seed, threads=threads)
        return cls(encoder, booster, dict(params), threshold, calibrator)

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Probabilities of legitimate and of fraud, shape (rows, 2), as scikit-learn orders them."""
        fraud = predict_booster(self.booster, self.params, self.encoder.transform(X), self.encoder)
        if self.calibrator is not None:
            fraud = self.calibrator(fraud)
        return np.column_stack([1 - fraud, fraud])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """1 where the probability of fraud is at least the threshold, else 0; shape (rows,), int64."""
        return (self.predict_proba(X)[:, 1] >= self.threshold).astype(np.int64)

    def importance(self) -> dict[str, float]:
        """Gain of each column summed over its splits; for gblinear the size of its weight. Most important first."""
        linear = self.params.get("booster") == "gblinear"
        names = self.encoder.one_hot_names if linear else list(self.encoder.columns)
        raw = self.booster.get_score(importance_type="weight" if linear else "total_gain")
        scores = {names[int(key[1:])]: abs(float(np.ravel(value)[0])) for key, value in raw.items()}
        return dict(sorted(scores.items(), key=lambda item: -item[1]))

    def save(self, folder: Path) -> None:
        """Write `booster.ubj` (XGBoost's format) and `classifier.json` into an existing folder."""
        self.booster.save_model(folder / "booster.ubj")
        value = {
            "encoder": self.encoder.to_dict(),
            "params": self.params,
            "threshold": self.threshold,
            "calibrator": None if self.calibrator is None else self.calibrator.to_dict(),
        }
        (folder / "classifier.json").write_text(json.dumps(value, indent=2))

    @classmethod
    def load(cls, folder: Path) -> "FraudClassifier":
        """The inverse of `save`."""
        import xgboost as xgb

        value = json.loads((folder / "classifier.json").read_text())
        booster = xgb.Booster(model_file=folder / "booster.ubj")
        calibrator = None if value["calibrator"] is None else Calibrator.from_dict(value["calibrator"])
        encoder = FeatureEncoder.from_dict(value["encoder"])
        return cls(encoder, booster, value["params"], value["threshold"], calibrator)
