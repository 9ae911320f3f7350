from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.fs
import pyarrow.parquet
import pytest

from fraud_assets.ml.fraud_mix import FraudMix
from fraud_assets.ml.sample_data import SampleConfig, generate, main, write_daily_objects

_START = date(2025, 3, 1)
_IDS = ["transaction_id", "terminal_id", "customer_id", "tx_datetime"]


@pytest.fixture(scope="module")
def default() -> pd.DataFrame:
    return generate()


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    """Enough frauds (about a thousand) for statements about what they look like."""
    return generate(SampleConfig(customers=3000, terminals=2400, start=_START))


def _only(scenario: str, days: int = 60) -> pd.DataFrame:
    none = {"large_amounts": 0.0, "compromised_terminals": 0.0, "stolen_cards": 0.0}
    mix = FraudMix(**{**none, scenario: 0.0075})
    return generate(SampleConfig(customers=3000, terminals=2400, start=_START, days=days), lambda day: mix)


def test_default_is_a_quickstart_data_set(default: pd.DataFrame) -> None:
    assert 22_000 < len(default) < 28_000
    assert default["tx_datetime"].is_monotonic_increasing
    assert default["tx_datetime"].dt.date.nunique() == 60
    assert default["transaction_id"].is_unique
    assert not default.isna().any(axis=None)
    assert (default["tx_amount"] > 0).all()
    assert set(default["tx_fraud"].unique()) == {0, 1}
    assert set(default["channel"].unique()) == {"chip", "contactless", "online"}
    assert not default.drop(columns="transaction_id").duplicated().any()
    assert default.drop(columns=_IDS).nunique().min() > 1


def test_flags_say_what_the_time_says(default: pd.DataFrame) -> None:
    names = default["tx_datetime"].dt.day_name()
    assert set(names[default["is_weekend"]]) == {"Saturday", "Sunday"}
    assert not set(names[~default["is_weekend"]]) & {"Saturday", "Sunday"}
    assert default.loc[default["is_night"], "tx_datetime"].dt.hour.max() == 5
    assert default.loc[~default["is_night"], "tx_datetime"].dt.hour.min() == 6


def test_equal_seeds_make_equal_data_and_others_do_not(default: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(generate(), default)
    other = generate(SampleConfig(seed=SampleConfig().seed + 1))
    assert len(other) != len(default) or (other["tx_amount"] != default["tx_amount"]).any()


def test_a_day_is_the_same_whichever_days_are_generated_with_it() -> None:
    def some(start: date, days: int) -> pd.DataFrame:
        return generate(SampleConfig(customers=3000, terminals=2400, start=start, days=days))

    long = some(_START, 40)
    short = some(_START, 39)
    pd.testing.assert_frame_equal(long.iloc[: len(short)], short)
    alone = some(_START + timedelta(days=39), 1)
    pd.testing.assert_frame_equal(long.iloc[len(short) :].reset_index(drop=True), alone)


def test_windows_are_as_full_on_the_first_day_as_on_the_last(many: pd.DataFrame) -> None:
    mean = many.groupby(many["tx_datetime"].dt.date)[["customer_tx_30d", "terminal_tx_30d"]].mean()
    assert (mean.iloc[:7].mean() / mean.iloc[-7:].mean()).between(0.9, 1.1).all()


@pytest.mark.parametrize(
    ("customers", "terminals", "days", "seeds"),
    [(560, 450, 60, range(6)), (560, 40, 60, range(3)), (1500, 3000, 30, range(3)), (5000, 1000, 14, range(2))],
)
def test_half_to_one_percent_are_frauds_at_any_size(customers: int, terminals: int, days: int, seeds: range) -> None:
    for seed in seeds:
        frame = generate(SampleConfig(customers, terminals, _START, days, seed))
        assert 0.005 <= frame["tx_fraud"].mean() <= 0.01, f"seed {seed}"


def test_no_single_column_tells_the_frauds(many: pd.DataFrame) -> None:
    from sklearn.metrics import average_precision_score

    features = many.drop(columns=[*_IDS, "tx_fraud"])
    features["channel"] = features["channel"] == "online"
    for name in features:
        column = features[name].astype(float)
        best = max(average_precision_score(many["tx_fraud"], sign * column) for sign in (1, -1))
        assert best < 0.35, name


def test_a_model_learns_much_from_the_past_about_the_future_but_not_all(many: pd.DataFrame) -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score
    from xgboost import XGBClassifier

    features = many.drop(columns=[*_IDS, "tx_fraud"]).astype({"channel": "category"})
    past = many["tx_datetime"] < pd.Timestamp(_START + timedelta(days=45))
    model = XGBClassifier(enable_categorical=True, n_jobs=1, n_estimators=60)
    model.fit(features[past], many["tx_fraud"][past])
    score = model.predict_proba(features[~past])[:, 1]
    assert 0.4 < average_precision_score(many["tx_fraud"][~past], score) < 0.8
    assert 0.85 < roc_auc_score(many["tx_fraud"][~past], score) < 0.97


def test_large_amounts_are_large_for_their_customer() -> None:
    frame = _only("large_amounts")
    ratio = frame["tx_amount"] / frame["customer_avg_amount_30d"]
    fraud = frame["tx_fraud"] == 1
    assert ratio[fraud].median() > 3 * ratio[~fraud].median()


def test_a_terminal_stays_compromised_for_weeks_and_its_risk_tells_after_the_delay() -> None:
    frame = _only("compromised_terminals")
    frauds = frame[frame["tx_fraud"] == 1]
    assert frauds["terminal_id"].nunique() < 0.1 * frame["terminal_id"].nunique()
    spans = frauds.groupby("terminal_id")["tx_datetime"].agg(lambda time: (time.max() - time.min()).days)
    assert 14 < spans.median() < 35
    assert frauds["terminal_risk_7d"].mean() > 30 * frame.loc[frame["tx_fraud"] == 0, "terminal_risk_7d"].mean()
    first = frauds.drop_duplicates("terminal_id")
    unwarned = first[first["tx_datetime"] >= pd.Timestamp(_START + timedelta(days=7))]
    assert (unwarned["terminal_risk_7d"] == 0).mean() > 0.8


def test_a_stolen_card_is_used_online_more_often_and_for_more_while_its_owner_shops_on() -> None:
    frame = _only("stolen_cards")
    fraud = frame["tx_fraud"] == 1
    assert (frame.loc[fraud, "channel"] == "online").all()
    assert frame.loc[fraud, "tx_amount"].median() > 2 * frame.loc[~fraud, "tx_amount"].median()
    assert frame.loc[fraud, "customer_tx_1d"].mean() > 1.5 * frame.loc[~fraud, "customer_tx_1d"].mean()
    victims = frame[frame["customer_id"].isin(frame.loc[fraud, "customer_id"])]
    assert (victims["tx_fraud"] == 0).mean() > 0.5


def test_the_pattern_of_fraud_can_change_at_a_date_and_leaves_the_days_before_alone() -> None:
    config = SampleConfig(customers=3000, terminals=2400, start=_START, days=20)
    change = _START + timedelta(days=10)
    before, after = FraudMix(0.0075, 0.0, 0.0), FraudMix(0.0, 0.0, 0.0075)
    frame = generate(config, lambda day: before if day < change else after)
    unchanged = generate(config, lambda day: before)
    old = frame["tx_datetime"] < pd.Timestamp(change)
    pd.testing.assert_frame_equal(frame[old], unchanged[unchanged["tx_datetime"] < pd.Timestamp(change)])
    online = frame[frame["tx_fraud"] == 1].groupby(old)["channel"].agg(lambda channel: (channel == "online").mean())
    assert online[True] < 0.7
    assert online[False] == 1.0


@pytest.mark.parametrize("wrong", [{"customers": 0}, {"terminals": 1}, {"days": 0}, {"seed": -1}])
def test_an_impossible_config_is_refused_by_name(wrong: dict[str, int]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} is .*; expected at least"):
        SampleConfig(**wrong)  # type: ignore[arg-type]


def test_the_smallest_world_works() -> None:
    assert len(generate(SampleConfig(customers=1, terminals=2, days=30, seed=3))) > 0


def test_each_day_is_one_object_and_together_they_are_the_table(tmp_path: Path, default: pd.DataFrame) -> None:
    folder = tmp_path / "made" / "on demand"
    written = write_daily_objects(default, pyarrow.fs.LocalFileSystem(), str(folder))
    assert written == [f"{folder}/{_START + timedelta(days=d)}.parquet" for d in range(60)]
    assert sorted(str(path) for path in folder.iterdir()) == written
    objects = [pyarrow.parquet.read_table(path) for path in written]
    assert len({str(table.schema) for table in objects}) == 1
    for table, day in zip(objects, default["tx_datetime"].dt.date.unique(), strict=True):
        assert set(table.column("tx_datetime").to_pandas().dt.date) == {day}
    together = pyarrow.concat_tables(objects).to_pandas()
    pd.testing.assert_frame_equal(together, default)


def test_writing_a_day_again_replaces_its_object(tmp_path: Path, default: pd.DataFrame) -> None:
    first_day = default[default["tx_datetime"].dt.date == _START]
    local = pyarrow.fs.LocalFileSystem()
    write_daily_objects(first_day, local, str(tmp_path))
    (path,) = write_daily_objects(first_day.iloc[:3], local, str(tmp_path))
    assert pyarrow.parquet.read_table(path).num_rows == 3


class _BreaksOff:
    """A local filesystem whose connection is lost in the middle of the third object."""

    def __init__(self) -> None:
        self.local = pyarrow.fs.LocalFileSystem()
        self.opened = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.local, name)

    def open_output_stream(self, path: str) -> Any:
        self.opened += 1
        stream = self.local.open_output_stream(path)
        if self.opened == 3:
            stream.write(b"PAR1 and no more")
            stream.close()
            raise OSError("connection lost")
        return stream


def test_an_object_that_breaks_off_is_never_seen(tmp_path: Path, default: pd.DataFrame) -> None:
    import pyarrow.dataset

    with pytest.raises(OSError, match="connection lost"):
        write_daily_objects(default, _BreaksOff(), str(tmp_path))
    seen = pyarrow.dataset.dataset(str(tmp_path), format="parquet")
    assert [Path(path).name for path in seen.files] == ["2025-03-01.parquet", "2025-03-02.parquet"]
    written = write_daily_objects(default, pyarrow.fs.LocalFileSystem(), str(tmp_path))
    assert sorted(str(path) for path in tmp_path.iterdir()) == written


def test_command_writes_what_its_options_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--customers=50", "--terminals=20", "--start=2025-06-01", "--days=3", "--seed=5"]
    main([str(tmp_path / "raw"), *options])
    stored = pyarrow.parquet.read_table(tmp_path / "raw").to_pandas()
    pd.testing.assert_frame_equal(stored, generate(SampleConfig(50, 20, date(2025, 6, 1), 3, 5)))
    assert f"{len(stored)} transactions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["raw", "--days=0"], "days is 0; expected at least 1"),
        (["s3://bucket/raw"], "a local folder is expected, not a"),
    ],
)
def test_command_names_what_is_wrong_and_writes_nothing(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
