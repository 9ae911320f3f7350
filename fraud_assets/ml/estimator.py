"""The model: one or more XGBoost boosters behind a resampler, fitted on encoded rows, used on raw ones.

What is stored is XGBoost's own format and JSON, never a pickle; what loads it needs XGBoost, pandas and this package's
`ml`, and neither imbalanced-learn, scikit-learn nor a user's own resampler.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fraud_assets.ml.booster import predict_booster, train_booster
from fraud_assets.ml.calibration import Calibrator
from fraud_assets.ml.ensemble import average
from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.neighbour_limit import DEFAULT_LIMIT, NeighbourLimit
from fraud_assets.ml.resample import Resampler

if TYPE_CHECKING:
    import xgboost as xgb


@dataclass(frozen=True)
class Member:
    """A configuration and how much it counts in the model.

    Attributes:
        params: a trial's configuration, `resampler` among it; its number of rounds is what was chosen.
        weight: its share in the average of log-odds, above 0; the shares of a model sum to 1.
    """

    params: Mapping[str, Any]
    weight: float = 1.0


@dataclass(frozen=True)
class FraudClassifier:
    """A fitted model that takes raw columns: one booster, or the average of several (`ensemble.average`).

    Attributes:
        encoder: from raw columns to XGBoost's.
        boosters: the fitted XGBoost models.
        members: for each of them the configuration it was fitted with, and its share.
        threshold: a transaction is called fraud where its probability is at least this.
        calibrator: maps the boosters' probability to the classifier's; None where they are the same.
    """

    encoder: FeatureEncoder
    boosters: "tuple[xgb.Booster, ...]"
    members: tuple[Member, ...]
    threshold: float
    calibrator: Calibrator | None = None

    @classmethod
    def fit(
        cls,
        X: pd.DataFrame,
        y: np.ndarray,
        categorical: Sequence[str],
        members: Sequence[Member],
        *,
        threshold: float,
        seed: int,
        threads: int,
        calibrator: Calibrator | None = None,
        limit: NeighbourLimit = DEFAULT_LIMIT,
    ) -> "FraudClassifier":
        """Encode, resample and fit raw rows, as a trial does with its fitting rows.

        Args:
            X: raw features.
            y: labels, shape (rows,), 0 or 1.
            categorical: the columns of `X` that are categories.
            members: the configurations, one or more.
            threshold: chosen elsewhere, on rows that this fit doesn't see.
            seed: of resampling and fitting.
            threads: how many threads resample and fit.
            calibrator: fitted elsewhere, as the threshold is.
            limit: of the rows that a resampler searches for neighbours.

        Raises:
            ValueError: there is no member, or one of them has no positive weight.
        """
        if not members or min(member.weight for member in members) <= 0:
            raise ValueError(f"expected members with a positive weight each, not {[m.weight for m in members]}")
        encoder = FeatureEncoder.fit(X, categorical)
        encoded = encoder.transform(X)
        resamplers = {Resampler.of(member.params) for member in members}
        sampled = {r: r(encoded, y, encoder.discrete, seed=seed, n_jobs=threads, limit=limit) for r in resamplers}
        boosters = []
        for member in members:
            rows = sampled[Resampler.of(member.params)].apply(encoded, y)
            boosters.append(train_booster(member.params, *rows, encoder, seed=seed, threads=threads))
        return cls(encoder, tuple(boosters), tuple(members), threshold, calibrator)

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Probabilities of legitimate and of fraud, shape (rows, 2), as scikit-learn orders them."""
        encoded = self.encoder.transform(X)
        parts = [
            predict_booster(booster, member.params, encoded, self.encoder)
            for booster, member in zip(self.boosters, self.members, strict=True)
        ]
        fraud = average(parts, [member.weight for member in self.members])
        if self.calibrator is not None:
            fraud = self.calibrator(fraud)
        return np.column_stack([1 - fraud, fraud])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """1 where the probability of fraud is at least the threshold, else 0; shape (rows,), int64."""
        return (self.predict_proba(X)[:, 1] >= self.threshold).astype(np.int64)

    def importance(self) -> dict[str, float]:
        """The share of each column that some member uses, most important first; the shares sum to 1.

        For trees it is the column's share in the gain of all splits, for gblinear in the sizes of the weights; a
        member's shares count by its weight.
        """
        total: dict[str, float] = {}
        for booster, member in zip(self.boosters, self.members, strict=True):
            shares = _importance(booster, member.params, self.encoder)
            for name, share in shares.items():
                total[name] = total.get(name, 0.0) + member.weight * share
        whole = sum(total.values()) or 1.0
        return {name: value / whole for name, value in sorted(total.items(), key=lambda item: -item[1])}

    def save(self, folder: Path) -> None:
        """Write `booster_<i>.ubj` (XGBoost's format) and `classifier.json` into an existing folder."""
        for i, booster in enumerate(self.boosters):
            booster.save_model(folder / f"booster_{i}.ubj")
        value = {
            "encoder": self.encoder.to_dict(),
            "members": [asdict(member) for member in self.members],
            "threshold": self.threshold,
            "calibrator": None if self.calibrator is None else self.calibrator.to_dict(),
        }
        (folder / "classifier.json").write_text(json.dumps(value, indent=2))

    @classmethod
    def load(cls, folder: Path) -> "FraudClassifier":
        """The inverse of `save`."""
        import xgboost as xgb

        value = json.loads((folder / "classifier.json").read_text())
        members = tuple(Member(**member) for member in value["members"])
        boosters = tuple(xgb.Booster(model_file=folder / f"booster_{i}.ubj") for i in range(len(members)))
        calibrator = None if value["calibrator"] is None else Calibrator.from_dict(value["calibrator"])
        encoder = FeatureEncoder.from_dict(value["encoder"])
        return cls(encoder, boosters, members, value["threshold"], calibrator)


def _importance(booster: "xgb.Booster", params: Mapping[str, Any], encoder: FeatureEncoder) -> dict[str, float]:
    linear = params.get("booster") == "gblinear"
    names = encoder.one_hot_names if linear else list(encoder.columns)
    raw = booster.get_score(importance_type="weight" if linear else "total_gain")
    scores = {names[int(key[1:])]: abs(float(np.ravel(value)[0])) for key, value in raw.items()}
    whole = sum(scores.values()) or 1.0
    return {name: score / whole for name, score in scores.items()}
