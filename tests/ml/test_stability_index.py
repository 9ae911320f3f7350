"""The population stability index and its bins."""

import numpy as np
import pytest

from fraud_assets.ml.stability_index import bin_categories, bin_numbers, stability_index


def test_it_is_the_sum_of_share_differences_times_log_ratios() -> None:
    index = stability_index(np.array([500, 300, 200]), np.array([250, 300, 450]))
    assert index.value == pytest.approx(-0.25 * np.log(0.5) + 0.25 * np.log(2.25))


def test_an_empty_bin_leaves_it_finite_and_small_where_few_rows_moved() -> None:
    assert stability_index(np.array([100_000, 0]), np.array([99_000, 1000])).value < 0.05


def test_without_drift_its_mean_and_its_p_values_are_those_of_theory() -> None:
    rng = np.random.default_rng(0)
    found = [
        stability_index(rng.multinomial(2000, np.full(10, 0.1)), rng.multinomial(500, np.full(10, 0.1)))
        for _ in range(2000)
    ]
    assert np.mean([index.value for index in found]) == pytest.approx(found[0].expected, rel=0.05)
    assert np.mean([index.p_value < 0.05 for index in found]) == pytest.approx(0.05, abs=0.015)


def test_deciles_are_bins_of_equal_size_and_missing_values_one_more() -> None:
    before, now = bin_numbers(np.append(np.arange(1000.0), np.nan), np.array([-5.0, 0.0, 5000.0, np.nan, np.nan]))
    assert before.tolist() == [101, *[100] * 8, 99, 1]
    assert now.tolist() == [2, *[0] * 8, 1, 2]


def test_a_frequent_value_is_a_bin_of_its_own() -> None:
    before = np.concatenate([np.zeros(500), np.linspace(1, 2, 500), np.linspace(-2, -1, 500)])
    for value, rows in ((0.0, 500), (-1e-6, 0), (1e-6, 0)):
        counts, at = bin_numbers(before, np.array([value]))
        inside = counts[at.argmax()]
        assert (inside == rows) if value == 0 else (inside != 500)


def test_rare_and_unknown_categories_share_a_bin() -> None:
    before, now = bin_categories({"a": 900, "b": 80, "rare": 5}, {"a": 50, "unknown": 40}, (15, 10), (1000, 100))
    assert before.tolist() == [900, 80, 5, 15]
    assert now.tolist() == [50, 0, 40, 10]


def test_what_is_rare_in_the_smaller_sample_is_rare() -> None:
    before, _ = bin_categories({"a": 900, "b": 80, "c": 20}, {"a": 50}, (0, 0), (1000, 50))
    assert before.tolist() == [900, 100, 0]
