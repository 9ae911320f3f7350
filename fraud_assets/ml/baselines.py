"""Models that cost nothing to tune: what a tuned one must be better than."""

from typing import Literal, get_args

import numpy as np
import pandas as pd

from fraud_assets.ml.estimator import FraudClassifier, Member
from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.schema import Dataset

Baseline = Literal["prevalence", "xgboost_defaults", "logistic_regression"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)


def baseline_predictions(
    dataset: Dataset, fit: np.ndarray, predict: np.ndarray, *, seed: int, threads: int
) -> dict[Baseline, np.ndarray]:
    """What each baseline, fitted on the rows `fit`, predicts for the rows `predict`.

    Called for each fold, it gives the out-of-fold predictions on which a baseline's decision threshold can be chosen as
    the model's own is.

    Args:
        dataset: the transactions.
        fit: row ids to fit on; both classes must occur.
        predict: row ids to predict.
        seed: of fitting.
        threads: how many threads fit.

    Returns:
        Probabilities of fraud, each of shape (predicted rows,): the constant share of frauds among the fitting rows;
        XGBoost with its defaults on the data as it is, without resampling; logistic regression with scikit-learn's
        defaults on standardized, one-hot encoded columns, where a missing number is the median and a column says so.
    """
    X, y = dataset.X, dataset.y
    fitting, predicted, categorical = X.iloc[fit], X.iloc[predict], dataset.roles.categorical
    untuned = [Member({})]
    defaults = FraudClassifier.fit(fitting, y[fit], categorical, untuned, threshold=0.5, seed=seed, threads=threads)
    encoder = FeatureEncoder.fit(fitting, categorical)
    return {
        "prevalence": np.full(len(predict), y[fit].mean()),
        "xgboost_defaults": defaults.predict_proba(predicted)[:, 1],
        "logistic_regression": _logistic_regression(encoder, fitting, y[fit], predicted),
    }


def _logistic_regression(
    encoder: FeatureEncoder, fitting: pd.DataFrame, y: np.ndarray, predicted: pd.DataFrame
) -> np.ndarray:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def quantities(X: pd.DataFrame) -> np.ndarray:
        # The squares of large amounts overflow float32.
        return encoder.one_hot(encoder.transform(X)).astype(np.float64)

    model = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(max_iter=1000),
    )
    model.fit(quantities(fitting), y)
    return np.asarray(model.predict_proba(quantities(predicted))[:, 1])
