from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from fraud_assets.ml.window_features import add_window_features


def _transactions(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Fifty days of few customers and terminals, sorted by time, with many rows that share a second."""
    rng = np.random.default_rng(seed)
    hours = np.sort(rng.integers(0, 50 * 24, rows))
    return pd.DataFrame(
        {
            "tx_datetime": pd.Timestamp("2025-01-01") + pd.to_timedelta(hours, unit="h"),
            "customer_id": rng.integers(0, 6, rows),
            "terminal_id": rng.integers(0, 4, rows),
            "tx_amount": rng.integers(1, 20_000, rows) / 100,
            "tx_fraud": (rng.random(rows) < 0.3).astype(int),
        }
    )


def _features(frame: pd.DataFrame) -> pd.DataFrame:
    return add_window_features(frame).drop(columns=frame.columns)


def test_features_are_what_a_loop_over_the_definition_gives() -> None:
    frame = _transactions()
    features = _features(frame)
    assert list(features) == [
        f"{name}_{days}d"
        for pair in (("customer_tx", "customer_avg_amount"), ("terminal_tx", "terminal_risk"))
        for days in (1, 7, 30)
        for name in pair
    ]
    for i, now in enumerate(frame["tx_datetime"]):
        until_now = frame.iloc[: i + 1]
        of_customer = until_now[until_now["customer_id"] == frame["customer_id"][i]]
        of_terminal = frame[frame["terminal_id"] == frame["terminal_id"][i]]
        known = now - timedelta(days=7)
        for days in (1, 7, 30):
            recent = of_customer[of_customer["tx_datetime"] > now - timedelta(days=days)]
            assert features[f"customer_tx_{days}d"][i] == len(recent)
            assert features[f"customer_avg_amount_{days}d"][i] == pytest.approx(recent["tx_amount"].mean())
            time = of_terminal["tx_datetime"]
            settled = of_terminal[(time > known - timedelta(days=days)) & (time <= known)]
            assert features[f"terminal_tx_{days}d"][i] == len(settled)
            risk = settled["tx_fraud"].mean() if len(settled) else 0.0
            assert features[f"terminal_risk_{days}d"][i] == pytest.approx(risk)


@pytest.mark.parametrize("now", [0, 57, 200, 399])
def test_nothing_that_comes_later_changes_a_feature(now: int) -> None:
    frame = _transactions()
    past = _features(frame).iloc[: now + 1]
    altered = frame.copy()
    altered.loc[now + 1 :, "tx_amount"] = 9_999.0
    altered.loc[now + 1 :, ["customer_id", "terminal_id"]] = [frame["customer_id"][now], frame["terminal_id"][now]]
    altered.loc[now + 1 :, "tx_fraud"] = 1 - frame.loc[now + 1 :, "tx_fraud"]
    pd.testing.assert_frame_equal(_features(altered).iloc[: now + 1], past)
    pd.testing.assert_frame_equal(_features(frame.iloc[: now + 1]), past)


def test_a_label_counts_only_when_its_delay_has_passed() -> None:
    frame = _transactions()
    now = frame["tx_datetime"].iloc[-1]
    not_arrived = frame["tx_datetime"] > now - timedelta(days=7)
    altered = frame.assign(tx_fraud=np.where(not_arrived, 1 - frame["tx_fraud"], frame["tx_fraud"]))
    pd.testing.assert_frame_equal(_features(altered), _features(frame))
    day = pd.Timestamp("2025-01-01")
    times = pd.Series([day, day + timedelta(days=7) - timedelta(seconds=1), day + timedelta(days=7)])
    visits = pd.DataFrame(
        {"tx_datetime": times, "customer_id": 1, "terminal_id": 1, "tx_amount": 1.0, "tx_fraud": [1, 0, 0]}
    )
    assert _features(visits)["terminal_risk_1d"].tolist() == [0.0, 0.0, 1.0]


def test_a_feature_does_not_depend_on_how_much_older_history_there_is() -> None:
    frame = _transactions(2000)
    needed = frame["tx_datetime"] > frame["tx_datetime"].iloc[-1] - timedelta(days=37)
    assert not needed.all()
    with_all, with_needed = _features(frame).iloc[-1], _features(frame[needed]).iloc[-1]
    assert with_all.tolist() == with_needed.tolist()


def test_rows_keep_their_order_and_index() -> None:
    frame = _transactions()
    # Rows of one second are ordered by the table, so only a table without such pairs may be shuffled.
    frame = frame.drop_duplicates("tx_datetime")
    shuffled = frame.sample(frac=1.0, random_state=1)
    pd.testing.assert_frame_equal(add_window_features(shuffled).sort_index(), add_window_features(frame))


def test_a_label_without_delay_is_refused() -> None:
    with pytest.raises(ValueError, match="label_delay is 0 days; expected at least 1"):
        add_window_features(_transactions(), label_delay=0)


def test_an_empty_table_gets_the_columns() -> None:
    frame = _transactions()
    assert list(add_window_features(frame.iloc[:0])) == list(add_window_features(frame))
