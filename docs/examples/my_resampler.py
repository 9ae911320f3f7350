"""A resampler of your own, and a space that suggests it: `search_space: my_resampler:with_jitter`."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from optuna.trial import Trial


class Jitter:
    """Adds copies of the frauds, each moved a little in every column."""

    def __init__(self, copies: int = 1, width: float = 0.1, random_state: int | None = None) -> None:
        self.copies = copies
        self.width = width
        self.random_state = random_state

    def fit_resample(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows that came in first, then the made-up ones."""
        frauds = np.repeat(X[y == 1], self.copies, axis=0)
        noise = np.random.default_rng(self.random_state).normal(0, self.width, frauds.shape)
        return np.vstack([X, frauds + noise]), np.append(y, np.ones(len(frauds), dtype=y.dtype))


def with_jitter(trial: "Trial") -> dict[str, Any]:
    """Boosted trees, on the rows as they are or behind `Jitter`."""
    if trial.suggest_categorical("resampler", ["passthrough", "my_resampler:Jitter"]) != "passthrough":
        trial.suggest_int("resampler__copies", 1, 5)
        trial.suggest_float("resampler__width", 0.01, 0.5, log=True)
    trial.suggest_float("eta", 0.05, 0.3)
    return {"n_estimators": 200}
