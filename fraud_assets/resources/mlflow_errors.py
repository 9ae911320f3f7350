"""What MLflow's errors mean."""

from collections.abc import Callable
from typing import TypeVar

_Found = TypeVar("_Found")


def found_or_none(ask: Callable[[], _Found]) -> _Found | None:
    """What a request of MLflow's client returns, or None where the server has no such thing.

    Raises:
        MlflowException: the server doesn't answer, or refuses for another reason.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

    try:
        return ask()
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
        return None
