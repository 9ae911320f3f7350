"""The transactions of some weeks, of which the pattern of fraud changes on one day, and how they arrive."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fraud_assets.ml.fraud_mix import FraudMix
from fraud_assets.ml.sample_data import SampleConfig, generate

START = date(2025, 3, 1)
# What a model learns of the first hardly tells the second.
BEFORE = FraudMix(large_amounts=0.03, compromised_terminals=0.0, stolen_cards=0.0005)
AFTER = FraudMix(large_amounts=0.0005, compromised_terminals=0.0, stolen_cards=0.04)


@dataclass(frozen=True)
class World:
    """What is delivered, a day at a time.

    Attributes:
        history: days that are there before the first delivery.
        days: that are delivered.
        change: which delivery is the first with the new pattern, from 1 on.
        seed: of the simulation.
        customers: enough of them for a dozen frauds a day, as one that is surely better needs frauds to show it on.
    """

    history: int
    days: int
    change: int
    seed: int = 0
    customers: int = 2400

    def frame(self) -> pd.DataFrame:
        """All transactions, with the number of the day that each belongs to: 0 is the first of the history."""
        changed = START + timedelta(days=self.history + self.change - 1)
        config = SampleConfig(customers=self.customers, start=START, days=self.history + self.days, seed=self.seed)
        frame = generate(config, lambda day: BEFORE if day < changed else AFTER)
        return frame.assign(day=(frame["tx_datetime"] - pd.Timestamp(START)).dt.days)


def put_day(client: Any, bucket: str, day: pd.DataFrame) -> str:
    """Write the transactions of one day as somebody's nightly export does; returns the object's name."""
    name = f"{day['tx_datetime'].iloc[0].date()}.parquet"
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pandas(day.drop(columns="day"), preserve_index=False), sink)
    client.put_object(Bucket=bucket, Key=f"raw/{name}", Body=sink.getvalue().to_pybytes())
    return name
