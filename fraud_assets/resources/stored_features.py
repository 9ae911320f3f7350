"""Where the features of a study are that no process reads as a whole."""

from dataclasses import dataclass

import numpy as np

from fraud_assets.resources.object_store import Location


@dataclass(frozen=True)
class StoredFeatures:
    """Features in the object store.

    Attributes:
        location: a Parquet object. Its file system holds no key: each machine of the cluster takes them from its own
            environment.
        rows: the row ids that the study uses, ascending; the study's position i is the object's row `rows[i]`.
        columns: the feature columns, in the order in which a model sees them.
        categorical: those of `columns` that are categories.
    """

    location: Location
    rows: np.ndarray
    columns: tuple[str, ...]
    categorical: tuple[str, ...]
