import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fraud_assets.ml.leakage import find_leakage
from fraud_assets.ml.schema import ColumnRoles, Dataset
from tests.ml.tables import LABEL, dataset_of, transactions

ROWS = 4000


def with_columns(**columns: np.ndarray) -> Dataset:
    frame = transactions(ROWS, signal=0.5).assign(**columns)
    return dataset_of(frame)


@pytest.fixture(scope="module")
def label() -> np.ndarray:
    return transactions(ROWS, signal=0.5)[LABEL].to_numpy()


def test_ordinary_columns_are_no_suspects() -> None:
    assert find_leakage(with_columns()).suspects == {}


@pytest.mark.parametrize("kind", ["number", "falling", "category", "missing"])
def test_a_column_that_decides_the_label_alone_is_a_suspect_whatever_its_kind(label: np.ndarray, kind: str) -> None:
    noise = np.random.default_rng(0).normal(size=ROWS)
    leak = {
        "number": label + 0.1 * noise,
        "falling": -5.0 * label + noise,
        "category": np.where(label == 1, "blocked", "open"),
        "missing": np.where(label == 1, np.nan, noise),
    }[kind]
    report = find_leakage(with_columns(leak=leak))

    assert list(report.suspects) == ["leak"]
    assert "nearly alone" in report.suspects["leak"]
    assert report.columns.iloc[0]["column"] == "leak"


def test_a_rare_category_of_frauds_decides_nothing(label: np.ndarray) -> None:
    each_its_own = np.array([f"c{i % 90}" for i in range(ROWS)])
    assert find_leakage(with_columns(many=each_its_own)).suspects == {}


def by_time(column: np.ndarray, label: np.ndarray) -> Dataset:
    frame = pd.DataFrame(
        {LABEL: label, "time": pd.date_range("2026-01-01", periods=ROWS, freq="h"), "chargebacks": column}
    )
    roles = ColumnRoles(LABEL, 1, None, "time", ("chargebacks",))
    return Dataset(pa.Table.from_pandas(frame, preserve_index=False), roles, "v1")


def test_a_column_filled_in_once_the_label_is_known_is_a_suspect(label: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(size=ROWS)
    filled_in = np.where(np.arange(ROWS) < 0.8 * ROWS, 1.5 * label, 0) + noise
    report = find_leakage(by_time(filled_in, label))

    assert "but not the newest ones" in report.suspects["chargebacks"]


def test_a_column_that_keeps_its_meaning_is_none(label: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(size=ROWS)
    assert find_leakage(by_time(1.5 * label + noise, label)).suspects == {}


def test_separation_is_scikit_learns_roc_auc() -> None:
    from sklearn.metrics import roc_auc_score

    dataset = with_columns()
    found = find_leakage(dataset).columns.set_index("column").loc["share", "separation"]
    auc = roc_auc_score(dataset.y, dataset.X["share"])
    assert found == pytest.approx(max(auc, 1 - auc))
