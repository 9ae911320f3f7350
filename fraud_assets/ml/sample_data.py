"""A labelled table of card transactions to try the graph on, and the daily objects that it is stored as.

python -m fraud_assets.ml.sample_data FOLDER --days 90 --seed 7
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet

from fraud_assets.ml.card_simulation import simulate
from fraud_assets.ml.fraud_mix import MixOfDay, waves
from fraud_assets.ml.window_features import LABEL_DELAY_DAYS, WINDOW_DAYS, add_window_features


@dataclass(frozen=True)
class SampleConfig:
    """What to simulate; the defaults make about 25,000 transactions, 0.75 % of them fraudulent.

    Attributes:
        customers: card holders with 0.75 transactions a day each; with fewer than about 300, single thieves move the
            fraud rate.
        terminals: shops and web shops, at least 2.
        start: the first day.
        days: how many days.
        seed: equal seeds make equal data, whatever the other days are; at least 0.
    """

    customers: int = 560
    terminals: int = 450
    start: date = date(2025, 3, 1)
    days: int = 60
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"customers": 1, "terminals": 2, "days": 1, "seed": 0}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least {least}")


def generate(config: SampleConfig | None = None, mix: MixOfDay = waves) -> pd.DataFrame:
    """Simulate the transactions of `config`, with the features that a fraud team would compute for them.

    A day's rows depend on the seed, the numbers of customers and terminals, the mix and the date alone: more days, or a
    later start, show the same rows where they overlap. So the arrival of a new day is that day generated alone.

    Args:
        config: what to simulate; the default data set if None.
        mix: the share of each fraud scenario by date. A function that changes its answer at a date makes the pattern of
            fraud change there.

    Returns:
        One row a transaction, sorted by time: transaction_id, tx_datetime, customer_id (the entity), terminal_id,
        tx_amount, channel (chip, contactless or online), is_weekend, is_night (00:00 to 05:59), tx_fraud (the label, 0
        or 1), and the columns of `add_window_features`. Nothing is missing. The two other ids are no features: a model
        that sees them learns names instead of behaviour.
    """
    config = SampleConfig() if config is None else config
    # The days before the first are simulated and cut, so that the first day's windows are as full as the last day's.
    warm_up = max(WINDOW_DAYS) + LABEL_DELAY_DAYS
    first = config.start - timedelta(days=warm_up)
    raw = simulate(config.customers, config.terminals, config.seed, first, config.days + warm_up, mix)
    time = raw["tx_datetime"].dt
    raw = raw.assign(is_weekend=time.dayofweek >= 5, is_night=time.hour < 6)
    frame = add_window_features(raw)
    return frame[frame["tx_datetime"] >= pd.Timestamp(config.start)].reset_index(drop=True)


def write_daily_objects(frame: pd.DataFrame, filesystem: pyarrow.fs.FileSystem, path: str) -> list[str]:
    """Store each day of `frame` as one Parquet object `{path}/YYYY-MM-DD.parquet`, replacing an older one.

    An object appears whole or not at all. What an interrupted call leaves behind has a name that begins with a dot,
    which pyarrow's datasets pass over, and the next call for that day takes it away.

    Args:
        frame: rows with tx_datetime; the other columns are stored as they are, with one schema for all days.
        filesystem: where to.
        path: a folder in it, made if it is missing, or `bucket/prefix`.

    Returns:
        The paths of the objects, by date.
    """
    schema = pa.Schema.from_pandas(frame, preserve_index=False)
    if filesystem.type_name != "s3":  # S3 has no folders; pyarrow would leave an empty object in place of one
        filesystem.create_dir(path, recursive=True)
    written = []
    for day, rows in frame.groupby(frame["tx_datetime"].dt.date):
        sink = pa.BufferOutputStream()
        pyarrow.parquet.write_table(pa.Table.from_pandas(rows, schema, preserve_index=False), sink)
        # A stream that breaks off commits what it got: write under a name that nobody reads, then move.
        name, unfinished = f"{path}/{day}.parquet", f"{path}/.{day}.parquet"
        with filesystem.open_output_stream(unfinished) as stream:
            stream.write(sink.getvalue())
        filesystem.move(unfinished, name)
        written.append(name)
    return written


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a sample data set to a local folder."""
    parser = argparse.ArgumentParser(
        prog="python -m fraud_assets.ml.sample_data",
        description="Simulate labelled card transactions; write one Parquet object a day to a local folder, not to S3.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("folder", type=_local_folder, metavar="FOLDER", help="local; made if it is missing")
    default = SampleConfig()
    parser.add_argument("--customers", type=int, default=default.customers, help="card holders")
    parser.add_argument("--terminals", type=int, default=default.terminals, help="shops and web shops")
    parser.add_argument("--start", type=date.fromisoformat, default=default.start, help="first day, YYYY-MM-DD")
    parser.add_argument("--days", type=int, default=default.days, help="number of days")
    parser.add_argument("--seed", type=int, default=default.seed, help="equal seeds make equal data")
    given = parser.parse_args(arguments)
    try:
        config = SampleConfig(**{f.name: getattr(given, f.name) for f in fields(SampleConfig)})
    except ValueError as error:
        parser.error(str(error))
    frame = generate(config)
    written = write_daily_objects(frame, pyarrow.fs.LocalFileSystem(), str(given.folder))
    share = frame["tx_fraud"].mean()
    sys.stdout.write(
        f"{given.folder}: {len(frame):,} transactions, {share:.2%} fraudulent, in {len(written)} objects\n"
    )


def _local_folder(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError("a local folder is expected, not a URI")
    return Path(text)


if __name__ == "__main__":
    main()
