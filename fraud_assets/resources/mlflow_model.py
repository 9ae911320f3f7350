"""A fitted classifier as an MLflow model that loads without running anything that was pickled."""

import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from fraud_assets.ml.estimator import FraudClassifier

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.models.model import ModelInfo

_PACKAGE = Path(__file__).parents[1]
# What a served model imports; MLflow itself needs the rest.
_REQUIREMENTS = ("numpy", "pandas", "xgboost")


def log_model(
    classifier: FraudClassifier, example: pd.DataFrame, registered_model: str, metadata: dict[str, Any]
) -> "ModelInfo":
    """Log and register a model under MLflow's active run.

    It is stored as XGBoost's own format, JSON and source code ("models from code",
    https://mlflow.org/docs/latest/ml/model/models-from-code), and this package's `ml` travels with it: it loads where
    this package is not installed, without Ray, Dagster or imbalanced-learn.

    Args:
        classifier: what is logged.
        example: a few raw rows, the input example.
        registered_model: name in the registry; a new version is made.
        metadata: JSON types that stay with the model.
    """
    import mlflow

    # One progress bar for each of two small files, in the step's log.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with tempfile.TemporaryDirectory() as name:
        saved, code = Path(name, "classifier"), Path(name, _PACKAGE.name)
        saved.mkdir()
        classifier.save(saved)
        shutil.copytree(_PACKAGE / "ml", code / "ml", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(_PACKAGE / "__init__.py", code)
        return mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts={"classifier": str(saved)},
            code_paths=[str(code)],
            signature=_signature(classifier),
            input_example=example,
            pip_requirements=[f"{package}=={version(package)}" for package in _REQUIREMENTS],
            registered_model_name=registered_model,
            metadata=metadata,
        )


def _signature(classifier: FraudClassifier) -> "ModelSignature":
    """The raw columns, one label a row, and `predict_method` as MLflow's own flavours for classifiers have it.

    The columns' types are left open: for a column of doubles MLflow refuses whole numbers, for one of integers or
    strings it refuses missing values. The model itself says what is wrong with a value.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, DataType, ParamSchema, ParamSpec, Schema

    return ModelSignature(
        inputs=Schema([ColSpec(AnyType(), name) for name in classifier.encoder.columns]),
        outputs=Schema([ColSpec(DataType.long)]),
        params=ParamSchema([ParamSpec("predict_method", DataType.string, "predict")]),
    )
