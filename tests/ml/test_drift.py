"""Drift is told where it is, and not where it isn't."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from fraud_assets.ml import reference as reference_module
from fraud_assets.ml.drift import DriftReport, DriftThresholds, find_drift
from fraud_assets.ml.fraud_mix import FraudMix
from fraud_assets.ml.reference import Reference
from fraud_assets.ml.sample_data import SampleConfig, generate
from fraud_assets.ml.schema import DataError, Dataset
from tests.ml.tables import LABEL, dataset_of, transactions, with_missing

ROWS = 2000


def compare(before: pd.DataFrame, now: pd.DataFrame, thresholds: DriftThresholds | None = None) -> DriftReport:
    return find_drift(Reference.of(dataset_of(before)), dataset_of(now), thresholds or DriftThresholds())


def numbers(values: object, **columns: object) -> pd.DataFrame:
    """One column `x` beside the label."""
    frame = pd.DataFrame({"x": values, **columns})
    return frame.assign(**{LABEL: np.arange(len(frame)) % 10 == 0}).astype({LABEL: int})


def row_of(report: DriftReport, column: str = "x") -> pd.Series:
    return report.columns[report.columns["column"] == column].iloc[0]


@pytest.mark.parametrize(("before", "now"), [(500, 500), (500, 50), (50, 50)])
def test_of_a_hundred_pairs_from_one_distribution_at_most_five_drift(before: int, now: int) -> None:
    pairs = [(transactions(before, seed=seed), transactions(now, seed=1000 + seed)) for seed in range(100)]
    assert sum(compare(*pair).has_drifted for pair in pairs) <= 5


def test_a_shift_by_one_standard_deviation_is_always_told_of_its_column_alone() -> None:
    shift = np.sqrt(1 / 12)  # of the uniform distribution
    for seed in range(50):
        now = transactions(500, seed=1000 + seed)
        drifted = compare(transactions(500, seed=seed), now.assign(share=now["share"] + shift)).drifted
        assert list(drifted) == ["share"], seed


def test_many_categories_in_few_rows_are_no_drift() -> None:
    def drawn(rows: int, seed: int) -> pd.DataFrame:
        return numbers(np.random.default_rng(seed).choice([f"c{i}" for i in range(100)], rows))

    sizes = [(50, 50), (50, ROWS), (ROWS, 50)]
    assert [s for s in range(30) if compare(drawn(sizes[s % 3][0], s), drawn(sizes[s % 3][1], s + 1000)).drifted] == []


@pytest.fixture(scope="module")
def cards() -> pd.DataFrame:
    return generate(SampleConfig(days=120))


def of_generated(frame: pd.DataFrame) -> Dataset:
    frame = frame.drop(columns=["transaction_id", "terminal_id"]).rename(columns={"tx_fraud": LABEL})
    return dataset_of(frame, entity="customer_id", time="tx_datetime")


def test_two_spans_of_generated_data_with_the_same_mix_do_not_drift(cards: pd.DataFrame) -> None:
    first = cards["tx_datetime"] < "2025-04-30"  # the mix turns once in sixty days
    report = find_drift(Reference.of(of_generated(cards[first])), of_generated(cards[~first]), DriftThresholds())
    assert report.drifted == {}


def test_three_times_the_fraud_drifts_in_prevalence_and_terminal_risk_alone(cards: pd.DataFrame) -> None:
    config = SampleConfig(days=60, start=date(2025, 7, 1))
    worse = generate(config, lambda day: FraudMix(0.0075, 0.0075, 0.0075))
    drifted = find_drift(Reference.of(of_generated(cards)), of_generated(worse), DriftThresholds()).drifted

    assert {"prevalence", "terminal_risk_30d"} <= set(drifted)
    assert all(name == "prevalence" or name.startswith("terminal_risk") for name in drifted)


def test_frauds_of_one_card_are_one_observation_of_the_prevalence() -> None:
    def with_frauds(rows: np.ndarray) -> pd.DataFrame:
        card = np.arange(5000) // 50
        return pd.DataFrame({"card": card, "x": np.arange(5000) % 7, LABEL: np.isin(np.arange(5000), rows).astype(int)})

    few, burst, spread = with_frauds(np.arange(0, 5000, 500)), np.arange(40), np.arange(0, 5000, 125)
    reference = Reference.of(dataset_of(few, entity="card"))
    of_burst = find_drift(reference, dataset_of(with_frauds(burst), entity="card"), DriftThresholds())
    of_spread = find_drift(reference, dataset_of(with_frauds(spread), entity="card"), DriftThresholds())

    assert of_burst.prevalence_now == of_spread.prevalence_now == 0.008
    assert of_burst.drifted == {}
    assert of_spread.drifted == {"prevalence": "0.800% of the rows are fraud, 0.200% were"}


def test_the_same_data_has_moved_by_nothing() -> None:
    frame = transactions(ROWS)
    report = compare(frame, frame)
    assert report.columns["psi"].tolist() == [0.0] * 5
    assert report.columns["ks"].max() == 0


def test_a_reference_that_was_stored_compares_as_before() -> None:
    kept, now = Reference.of(dataset_of(transactions(ROWS))), dataset_of(transactions(ROWS, signal=5, seed=1))
    found, again = (find_drift(r, now, DriftThresholds()) for r in (kept, Reference.from_arrow(kept.to_arrow())))
    assert found.drifted
    assert found.drifted == again.drifted
    pd.testing.assert_frame_equal(found.columns, again.columns)


def test_values_that_get_lost_drift_with_both_rates() -> None:
    values = np.random.default_rng(0).normal(size=ROWS)
    report = compare(numbers(values), numbers(np.where(np.arange(ROWS) % 10 == 0, np.nan, values)))
    assert "10.0% are missing, 0.0% were" in report.drifted["x"]
    assert (row_of(report)["missing_before"], row_of(report)["missing_now"]) == (0.0, 0.1)


def test_new_categories_drift_by_name_and_share() -> None:
    before = np.array(["app", "web"])[np.arange(ROWS) % 2]
    now = np.where(np.arange(ROWS) % 50 == 0, "ussd", before)
    report = compare(numbers(before), numbers(now))
    assert report.drifted == {"x": "new categories in 2.0% of the rows (ussd)"}
    assert row_of(report)["new_category_rows"] == 0.02


def test_where_not_all_categories_are_kept_none_is_called_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_module, "MAX_CATEGORIES", 2)
    three = np.array(["a", "b", "c"])
    before, now = numbers(three[np.arange(ROWS) % 3]), numbers(three[np.arange(ROWS) % 5 % 3])
    assert np.isnan(row_of(compare(before, now))["new_category_rows"])


def test_categories_that_change_their_shares_drift_with_the_one_that_changed_most() -> None:
    rng = np.random.default_rng(0)
    before, now = (rng.choice(["app", "shop", "web"], ROWS, p=p) for p in ([0.6, 0.3, 0.1], [0.3, 0.3, 0.4]))
    phrase = compare(numbers(before), numbers(now)).drifted["x"]
    assert phrase.startswith("distributed differently (PSI 0.")
    assert "are app" in phrase or "are web" in phrase


def test_a_boolean_drifts_with_its_shares() -> None:
    position = np.arange(ROWS)
    report = compare(numbers(position % 20 == 0), numbers(position % 4 == 0))
    assert row_of(report)["kind"] == "boolean"
    assert "75.0% are false, 95.0% were" in report.drifted["x"]


@pytest.mark.parametrize("by", [-1, 1])
def test_a_constant_that_moves_to_either_side_drifts(by: int) -> None:
    assert compare(numbers(np.zeros(ROWS)), numbers(np.zeros(ROWS))).drifted == {}
    report = compare(numbers(np.zeros(ROWS)), numbers(np.full(ROWS, by * 1e-3)))
    assert row_of(report)["psi"] > 1
    assert list(report.drifted) == ["x"]


def test_digits_that_no_model_sees_are_no_drift() -> None:
    counts = np.random.default_rng(0).poisson(3, ROWS)
    assert compare(numbers(counts), numbers(counts + 0.1 - 0.1 + 1e-12)).drifted == {}


@pytest.mark.parametrize("nothing", [np.nan, None])
def test_a_column_without_values_drifts_only_where_it_had_some(nothing: float | None) -> None:
    empty, full = numbers(nothing, y=range(ROWS)), numbers(np.arange(ROWS), y=range(ROWS))
    text = numbers(np.array(["app", "web"])[np.arange(ROWS) % 2], y=range(ROWS))

    assert compare(empty, empty).drifted == {}
    assert "100.0% are missing, 0.0% were" in compare(full, empty).drifted["x"]
    assert "100.0% are missing, 0.0% were" in compare(text, empty).drifted["x"]
    assert "0.0% are missing, 100.0% were" in compare(empty, full).drifted["x"]
    assert "new categories in 100.0% of the rows (app, web)" in compare(empty, text).drifted["x"]


def test_infinite_values_are_values_like_others() -> None:
    rng = np.random.default_rng(0)

    def with_infinite(share: float) -> pd.DataFrame:
        return numbers(np.where(rng.random(ROWS) < share, rng.choice([-np.inf, np.inf], ROWS), rng.normal(size=ROWS)))

    assert compare(with_infinite(0.3), with_infinite(0.3)).drifted == {}
    assert list(compare(with_infinite(0.02), with_infinite(0.5)).drifted) == ["x"]


@pytest.mark.parametrize("turned", [False, True])
def test_numbers_that_became_text_or_text_that_became_numbers_drift(turned: bool) -> None:
    pair = (numbers(np.arange(ROWS)), numbers(np.arange(ROWS).astype(str)))
    drifted = compare(*(reversed(pair) if turned else pair)).drifted
    assert drifted == {"x": "was text, is numbers" if turned else "was numbers, is text"}


def test_a_boolean_written_as_0_and_1_is_no_drift() -> None:
    true = np.arange(ROWS) % 3 == 0
    assert compare(numbers(true), numbers(true.astype(int))).drifted == {}


def test_a_column_that_is_gone_drifts_and_a_new_one_is_only_named() -> None:
    report = compare(numbers(np.arange(ROWS), old=1.5), numbers(np.arange(ROWS), new=1.5))
    assert report.drifted == {"old": "is not in the data any more"}
    assert (report.absent, report.added) == (("old",), ("new",))
    assert set(report.columns["column"]) == {"x", "old", "new"}


def test_what_drifted_comes_first() -> None:
    rng = np.random.default_rng(0)
    a, b = (pd.DataFrame({c: rng.normal(size=ROWS) for c in "abc"}).assign(**{LABEL: [0, 1] * 1000}) for _ in range(2))
    b["b"] += 1
    report = compare(a, b)
    assert report.columns["column"].iloc[0] == "b"
    assert (report.columns["drift"] != "").tolist() == [True, False, False]


def test_the_kolmogorov_smirnov_statistic_is_told_even_where_only_values_are_missing() -> None:
    values = with_missing(np.random.default_rng(0).normal(size=ROWS), np.random.default_rng(1), 0.3).astype(float)
    assert row_of(compare(numbers(values), numbers(values)))["ks"] == 0


def test_thresholds_decide() -> None:
    before, now = transactions(ROWS), transactions(ROWS, seed=1)
    now["share"] += 0.15
    assert list(compare(before, now).drifted) == ["share"]
    assert compare(before, now, DriftThresholds(psi=5, ks=0.5)).drifted == {}


@pytest.mark.parametrize("wrong", [{"psi": 0}, {"ks": 1.5}, {"level": 0}, {"prevalence": -1}])
def test_a_threshold_out_of_its_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*; expected"):
        DriftThresholds(**wrong)


def test_data_without_rows_is_refused() -> None:
    with pytest.raises(DataError, match="no rows"):
        compare(transactions(50), transactions(50).head(0))
