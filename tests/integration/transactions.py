"""A small table with every type that a model takes, missing values, and frauds that can be found."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

CHANNELS = ("chip", "contactless", "online")
# Configuration of the assets for this table: one fold, few trials.
ROLES = {"label": "is_fraud", "entity": "customer", "time": "at"}


def transactions(rows: int = 1200, seed: int = 0) -> pd.DataFrame:
    """Transactions with the columns of `ROLES`, numbers, booleans and a category; values are missing in each type."""
    random = np.random.default_rng(seed)
    amount = random.lognormal(3, 1, rows)
    channel = random.choice(CHANNELS, rows)
    night = random.random(rows) < 0.3
    risk = -5 + 0.04 * amount + 2.0 * (channel == "online") + 1.5 * night

    def with_gaps(values: np.ndarray) -> pd.Series:
        present = random.random(rows) > 0.05
        return pd.Series([value if here else None for value, here in zip(values, present, strict=True)], dtype=object)

    return pd.DataFrame(
        {
            "customer": random.integers(0, rows // 4, rows),
            "at": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows), unit="min"),
            "amount": with_gaps(amount).astype(float),
            "visits": with_gaps(random.integers(0, 50, rows)).astype("Int64"),
            "channel": with_gaps(channel),
            "night": with_gaps(night).astype("boolean"),
            "abroad": random.random(rows) < 0.1,
            "is_fraud": random.random(rows) < 1 / (1 + np.exp(-risk)),
        }
    )


def write_transactions(folder: Path, rows: int = 1200, seed: int = 0) -> Path:
    """One Parquet object of `transactions` in a new folder `raw`."""
    raw = folder / "raw"
    raw.mkdir(exist_ok=True)
    transactions(rows, seed).to_parquet(raw / "transactions.parquet", index=False)
    return raw


def space(work: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> str:
    """The import path of a search space whose function has this body, in a module in the working directory."""
    name = f"spaces_{work.parent.name}"
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    (work / f"{name}.py").write_text(f"def ours(trial):\n{lines}\n")
    monkeypatch.syspath_prepend(work)
    return f"{name}:ours"
