"""Small data sets in memory."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa

from fraud_assets.ml.random_split import split_at_random
from fraud_assets.ml.schema import ColumnRoles, Dataset
from fraud_assets.ml.split import Split, SplitSettings

LABEL = "is_fraud"


def dataset_of(
    frame: pd.DataFrame, *, entity: str | None = None, time: str | None = None, version: str = "v1"
) -> Dataset:
    """`frame` as validation would leave it: text columns are categories, every column without a role is a feature."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    features = tuple(column for column in table.column_names if column not in {LABEL, entity, time})
    categorical = tuple(column for column in features if pa.types.is_string(table.schema.field(column).type))
    return Dataset(table, ColumnRoles(LABEL, 1, entity, time, features, categorical), version)


def transactions(rows: int = 400, *, signal: float = 2.0, seed: int = 0) -> pd.DataFrame:
    """One column of each kind, each with missing values; every fifth row is a fraud, as far as `signal` lets one see.

    With a signal of 0 the label has nothing to do with the other columns.
    """
    random = np.random.default_rng(seed)
    label = np.arange(rows) % 5 == 0
    random.shuffle(label)
    hint = random.normal(size=rows) + signal * label
    return pd.DataFrame(
        {
            "amount": np.where(random.random(rows) < 0.1, np.nan, 1000 * np.exp(hint)),
            "count": random.poisson(3, rows),
            "share": random.random(rows),
            "night": with_missing(hint + random.normal(size=rows) > 1, random),
            "channel": with_missing(np.array(["app", "shop", "web"])[np.digitize(hint, [0, 1.5])], random),
            LABEL: label.astype(int),
        }
    )


def of_cards(rows: int = 3000, cards: int = 300, *, version: str = "v1") -> Dataset:
    """A few cards have many transactions, many have few; the frauds are those of few cards."""
    random = np.random.default_rng(1)
    card = (cards * random.random(rows) ** 1.5).astype(int)
    frauds = (random.random(cards)[card] < 0.2) & (random.random(rows) < 0.5)
    frame = pd.DataFrame({"card": card, "amount": random.random(rows), LABEL: frauds.astype(int)})
    return dataset_of(frame, entity="card", version=version)


def with_missing(values: np.ndarray, random: np.random.Generator, share: float = 0.1) -> np.ndarray:
    """`values` as objects, about `share` of them None."""
    objects = values.astype(object)
    objects[random.random(len(values)) < share] = None
    return objects


def permuted(dataset: Dataset, seed: int = 0) -> Dataset:
    """The same rows with the labels of others: nothing is left to learn."""
    column = dataset.table.column_names.index(LABEL)
    labels = np.random.default_rng(seed).permutation(dataset.table.column(LABEL).to_numpy())
    return replace(dataset, table=dataset.table.set_column(column, LABEL, pa.array(labels)))


def split_by_group(dataset: Dataset, settings: SplitSettings) -> Split:
    """At random, entities intact."""
    return split_at_random(dataset, settings, entities_intact=True)
