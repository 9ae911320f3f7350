"""The code of the logged MLflow model ("models from code"): MLflow runs this file when it loads the model."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from fraud_assets.ml.estimator import FraudClassifier


class ServedFraudModel(mlflow.pyfunc.PythonModel):
    """Takes raw columns, missing values included.

    `predict` answers 1 for fraud and 0 otherwise, by the threshold that was chosen with the model; with the parameter
    `predict_method="predict_proba"` it answers the probabilities of legitimate and of fraud.
    """

    def load_context(self, context: Any) -> None:
        """Read the fitted model from its artifacts."""
        self.classifier = FraudClassifier.load(Path(context.artifacts["classifier"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> np.ndarray:
        """Labels of shape (rows,), or probabilities of shape (rows, 2)."""
        method = (params or {}).get("predict_method", "predict")
        if method not in ("predict", "predict_proba"):
            raise ValueError(f"predict_method {method!r} is unknown: expected 'predict' or 'predict_proba'")
        answer: np.ndarray = getattr(self.classifier, method)(model_input)
        return answer


mlflow.models.set_model(ServedFraudModel())
