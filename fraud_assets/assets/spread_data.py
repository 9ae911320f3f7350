"""The two halves of a data set that one process can't hold: what trials are scored by, and what they are fitted on."""

from dataclasses import replace

import numpy as np

from fraud_assets.io_manager import StoredTable
from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.scoring import Scoring
from fraud_assets.ml.split import Split
from fraud_assets.resources.stored_features import StoredFeatures


def without_features(raw_dataset: StoredTable, scoring: Scoring) -> Dataset:
    """The data set with label, entity, time and amount only, for `StudyData.prepare`: its X has no column.

    Raises:
        DataError: there is no numeric column with the amounts.
        StorageError: the storage refused it.
    """
    described = _described(raw_dataset)
    scoring.rows(described, np.arange(0))
    roles = replace(described.roles, features=(), categorical=())
    columns = dict.fromkeys([*roles.columns, *([scoring.amount_column] if scoring.amount_column else [])])
    return replace(described, table=raw_dataset.read(list(columns)), roles=roles)


def stored_features(raw_dataset: StoredTable, split: Split) -> StoredFeatures:
    """Where the features of the study's rows are."""
    roles = _described(raw_dataset).roles
    return StoredFeatures(raw_dataset.location, split.tuning, roles.features, roles.categorical)


def _described(raw_dataset: StoredTable) -> Dataset:
    """The data set without its rows."""
    return Dataset.from_arrow(raw_dataset.schema.empty_table())
