"""Probabilities that mean what they say: calibration, and how well predictions are calibrated.

A resampler or a weight on the frauds shifts what a model calls probability; the ranking stands. A calibrator maps it
back, never reverses the ranking, and is stored as a few numbers: what serves it needs NumPy only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from fraud_assets.ml.ensemble import log_odds

CalibrationMethod = Literal["isotonic", "sigmoid"]


@dataclass(frozen=True)
class Calibrator:
    """A map from a model's probability to a calibrated one that never decreases.

    Attributes:
        method: `isotonic` interpolates between (`x`, `y`), which are probabilities, and is constant beyond them;
            `sigmoid` is the logistic function of `y[0] + y[1] * log-odds`, with nothing in `x`.
        x: shape (knots,).
        y: shape (knots,), or the two coefficients.
    """

    method: CalibrationMethod
    x: tuple[float, ...]
    y: tuple[float, ...]

    @classmethod
    def fit(cls, y: np.ndarray, probability: np.ndarray, method: CalibrationMethod) -> "Calibrator":
        """A calibrator for predictions of rows that the model was not fitted on.

        `sigmoid` is Platt's method (1999, "Probabilistic outputs for support vector machines", with the targets of its
        section 2.2, which keep few frauds from being believed too much) on log-odds instead of margins, so that
        calibrated probabilities stay as they are. It keeps every difference in the ranking. `isotonic` takes any shape,
        makes ties, and needs a thousand frauds or more not to overfit (Niculescu-Mizil and Caruana 2005, "Predicting
        good probabilities with supervised learning").

        Args:
            y: labels, shape (rows,), 0 or 1; both must occur.
            probability: out-of-fold probability of fraud, shape (rows,).
            method: which.
        """
        if method not in get_args(CalibrationMethod):
            raise ValueError(f"the calibration method is {method!r}; expected one of {get_args(CalibrationMethod)}")
        if method == "isotonic":
            from sklearn.isotonic import IsotonicRegression

            # float64, as `__call__` looks the knots up.
            fitted = IsotonicRegression(out_of_bounds="clip").fit(probability.astype(np.float64), y)
            return cls(method, tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist()))
        return cls(method, (), _fit_sigmoid(y, probability))

    def __call__(self, probability: np.ndarray) -> np.ndarray:
        """The calibrated probabilities, shape (rows,), float64."""
        if self.method == "isotonic":
            return np.asarray(np.interp(probability, self.x, self.y))
        intercept, slope = self.y
        return np.asarray(1 / (1 + np.exp(-(intercept + slope * log_odds(probability)))))

    def to_dict(self) -> dict[str, Any]:
        """The calibrator as JSON types."""
        return {"method": self.method, "x": list(self.x), "y": list(self.y)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Calibrator":
        """The inverse of `to_dict`."""
        return cls(value["method"], tuple(value["x"]), tuple(value["y"]))


@dataclass(frozen=True)
class CalibrationSummary:
    """How well predicted probabilities are calibrated.

    Attributes:
        brier: mean squared difference of probability and outcome; less is better.
        brier_skill: 1 minus `brier` over that of the prevalence as everybody's probability: 0 knows nothing, 1 is
            perfect, below 0 is worse than the constant.
        expected_calibration_error: mean difference of predicted and observed fraud rate over the bins, weighed by their
            rows (Naeini, Cooper and Hauskrecht 2015), here with bins of equally many rows (Nixon et al. 2019,
            "Measuring calibration in deep learning"): bins of equal width hold all of a rare class in one.
        mean_predicted: mean of all probabilities.
        prevalence: share of frauds.
        curve: the reliability curve, from low to high probabilities: `predicted` (the bin's mean probability),
            `observed` (its share of frauds) and `rows`, each with one number a bin.
    """

    brier: float
    brier_skill: float
    expected_calibration_error: float
    mean_predicted: float
    prevalence: float
    curve: dict[str, list[float]]


def summarize_calibration(y: np.ndarray, probability: np.ndarray, bins: int = 10) -> CalibrationSummary:
    """How well `probability` is calibrated on rows that neither the model nor the calibrator saw.

    Args:
        y: labels, shape (rows,), 0 or 1; both must occur.
        probability: of fraud, shape (rows,).
        bins: of equally many rows; equal probabilities are in one bin, so that there may be fewer.
    """
    from sklearn.metrics import brier_score_loss

    p = probability.astype(np.float64)
    curve = _reliability(y, p, bins)
    prevalence = float(y.mean())
    brier = float(brier_score_loss(y, p))
    gaps = np.abs(np.subtract(curve["predicted"], curve["observed"]))
    return CalibrationSummary(
        brier=brier,
        brier_skill=1 - brier / (prevalence * (1 - prevalence)),
        expected_calibration_error=float(np.average(gaps, weights=curve["rows"])),
        mean_predicted=float(p.mean()),
        prevalence=prevalence,
        curve=curve,
    )


def _reliability(y: np.ndarray, p: np.ndarray, bins: int) -> dict[str, list[float]]:
    # scikit-learn's calibration_curve has the same bins, but doesn't tell how many rows they hold.
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1]))
    bin_of = np.searchsorted(edges, p)
    rows = np.bincount(bin_of)
    filled = rows > 0
    sums = {"predicted": np.bincount(bin_of, weights=p), "observed": np.bincount(bin_of, weights=y)}
    curve = {name: (total[filled] / rows[filled]).tolist() for name, total in sums.items()}
    return curve | {"rows": rows[filled].tolist()}


def _fit_sigmoid(y: np.ndarray, probability: np.ndarray) -> tuple[float, float]:
    """Intercept and slope on the log-odds."""
    from sklearn.linear_model import LogisticRegression

    frauds = int(y.sum())
    target = np.where(y == 1, (frauds + 1) / (frauds + 2), 1 / (len(y) - frauds + 2))
    odds = log_odds(probability)
    # A target between 0 and 1 is both outcomes, weighed by it.
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(
        np.concatenate([odds, odds])[:, None],
        np.repeat([1, 0], len(y)),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    slope = float(model.coef_[0, 0])
    if slope > 0:
        return float(model.intercept_[0]), slope
    # Predictions that know nothing, or the contrary: all that is left to say is how frequent fraud is.
    rate = float(target.mean())
    return float(np.log(rate / (1 - rate))), 0.0
