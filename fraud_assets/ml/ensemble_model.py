"""A fitted ensemble: the chosen trials refitted, and averaged as `ensemble.select_members` averaged them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fraud_assets.ml.ensemble import average
from fraud_assets.ml.estimator import FraudClassifier, Params


@dataclass(frozen=True)
class FraudEnsemble:
    """Several fitted models that take raw columns, used as one; it has `FraudClassifier`'s interface.

    Attributes:
        members: the models; their own thresholds mean nothing here.
        weights: of each member in the average, in log-odds; of any positive sum.
        threshold: a transaction is called fraud where its averaged probability is at least this.
    """

    members: tuple[FraudClassifier, ...]
    weights: tuple[float, ...]
    threshold: float

    @classmethod
    def fit(
        cls,
        X: pd.DataFrame,
        y: np.ndarray,
        categorical: Sequence[str],
        configurations: Sequence[Params],
        weights: Sequence[float] | np.ndarray,
        *,
        threshold: float,
        seed: int,
        threads: int,
    ) -> "FraudEnsemble":
        """Fit each configuration on the same raw rows; see `FraudClassifier.fit`.

        Raises:
            ValueError: there is no configuration, or not one positive weight for each.
        """
        if len(configurations) != len(weights) or not len(weights) or min(weights) <= 0:
            raise ValueError(f"{len(configurations)} configurations need as many positive weights, not {list(weights)}")
        members = tuple(
            FraudClassifier.fit(X, y, categorical, params, threshold=threshold, seed=seed, threads=threads)
            for params in configurations
        )
        return cls(members, tuple(float(weight) for weight in weights), threshold)

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Probabilities of legitimate and of fraud, shape (rows, 2), as scikit-learn orders them."""
        fraud = average([member.predict_proba(X)[:, 1] for member in self.members], self.weights)
        return np.column_stack([1 - fraud, fraud])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """1 where the probability of fraud is at least the threshold, else 0; shape (rows,), int64."""
        return (self.predict_proba(X)[:, 1] >= self.threshold).astype(np.int64)

    def save(self, folder: Path) -> None:
        """Write `ensemble.json` and a folder a member, `member_0` and so on, into an existing folder."""
        for position, member in enumerate(self.members):
            (folder / f"member_{position}").mkdir()
            member.save(folder / f"member_{position}")
        value = {"weights": self.weights, "threshold": self.threshold}
        (folder / "ensemble.json").write_text(json.dumps(value, indent=2))

    @classmethod
    def load(cls, folder: Path) -> "FraudEnsemble":
        """The inverse of `save`."""
        value = json.loads((folder / "ensemble.json").read_text())
        weights = tuple(value["weights"])
        members = tuple(FraudClassifier.load(folder / f"member_{i}") for i in range(len(weights)))
        return cls(members, weights, value["threshold"])
