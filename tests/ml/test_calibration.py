import json

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression

from fraud_assets.ml.calibration import CalibrationMethod, Calibrator, summarize_calibration

METHODS: list[CalibrationMethod] = ["isotonic", "sigmoid"]


def shifted(rows: int = 40_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, their true probabilities, and those of a model that was fitted with 30 times as many frauds."""
    random = np.random.default_rng(seed)
    odds = np.exp(random.normal(-4, 1.5, rows))
    truth = odds / (1 + odds)
    y = (random.random(rows) < truth).astype(np.int8)
    return y, truth, (30 * odds / (1 + 30 * odds)).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
def test_calibration_gives_the_true_probabilities_back_on_rows_it_did_not_see(method: CalibrationMethod) -> None:
    calibrator = Calibrator.fit(*shifted(seed=0)[::2], method)
    y, truth, probability = shifted(seed=1)

    before, after = (summarize_calibration(y, p) for p in (probability, calibrator(probability)))

    assert np.abs(calibrator(probability) - truth).mean() < 0.01
    assert before.expected_calibration_error > 0.2
    assert after.expected_calibration_error < 0.005
    assert after.brier < before.brier
    assert before.brier_skill < 0 < after.brier_skill


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("signal", [3.0, 0.0, -3.0])
def test_calibration_never_reverses_the_ranking(method: CalibrationMethod, signal: float) -> None:
    random = np.random.default_rng(0)
    probability = random.random(500)
    y = (random.random(500) < 1 / (1 + np.exp(2 - signal * (probability - 0.5)))).astype(np.int8)

    calibrated = Calibrator.fit(y, probability, method)(np.linspace(0, 1, 1001))

    assert (np.diff(calibrated) >= 0).all()
    assert ((calibrated >= 0) & (calibrated <= 1)).all()


def test_the_sigmoid_keeps_every_difference_in_the_ranking() -> None:
    y, _, probability = shifted()

    calibrated = Calibrator.fit(y, probability, "sigmoid")(probability)

    np.testing.assert_array_equal(np.argsort(calibrated, kind="stable"), np.argsort(probability, kind="stable"))


def test_the_sigmoid_keeps_few_frauds_from_being_believed_too_much() -> None:
    y = np.array([0] * 50 + [1] * 3, np.int8)
    probability = np.linspace(0.01, 0.9, 53)

    calibrated = Calibrator.fit(y, probability, "sigmoid")(probability)

    # A fit to the labels themselves would be certain, since a threshold separates them.
    assert 0.1 < calibrated.max() < 0.9


def test_isotonic_calibration_is_scikit_learns() -> None:
    y, _, probability = shifted(2000)
    seen, unseen = probability.astype(float), np.linspace(0, 1, 999)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(seen, y)

    ours = Calibrator.fit(y, probability, "isotonic")

    np.testing.assert_allclose(ours(unseen), theirs.predict(unseen), atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_a_calibrator_survives_json(method: CalibrationMethod) -> None:
    y, _, probability = shifted(1000)
    calibrator = Calibrator.fit(y, probability, method)

    assert Calibrator.from_dict(json.loads(json.dumps(calibrator.to_dict()))) == calibrator


@pytest.mark.parametrize("method", METHODS)
def test_certainty_stays_a_probability(method: CalibrationMethod) -> None:
    y, _, probability = shifted(1000)

    ends = Calibrator.fit(y, probability, method)(np.array([0.0, 1.0], np.float32))

    assert ((ends >= 0) & (ends <= 1)).all()


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="'beta'; expected one of"):
        Calibrator.fit(np.array([0, 1]), np.array([0.1, 0.9]), "beta")  # type: ignore[arg-type]


def test_the_reliability_curve_is_scikit_learns_with_the_number_of_rows() -> None:
    y, _, probability = shifted(5000)
    observed, predicted = calibration_curve(y, probability.astype(float), n_bins=10, strategy="quantile")

    curve = summarize_calibration(y, probability, bins=10).curve

    assert curve["observed"] == pytest.approx(observed)
    assert curve["predicted"] == pytest.approx(predicted)
    assert curve["rows"] == [500] * 10


def test_the_expected_calibration_error_weighs_the_bins_by_their_rows() -> None:
    # Three rows say 0.2 and none is a fraud; one says 0.6 and is one.
    summary = summarize_calibration(np.array([0, 0, 0, 1]), np.array([0.2, 0.2, 0.2, 0.6]), bins=2)

    assert summary.curve["rows"] == [3, 1]
    assert summary.expected_calibration_error == pytest.approx((3 * 0.2 + 1 * 0.4) / 4)


def test_one_probability_for_all_is_one_bin() -> None:
    summary = summarize_calibration(np.array([0, 0, 0, 1]), np.full(4, 0.25))

    assert summary.curve == {"predicted": [0.25], "observed": [0.25], "rows": [4]}
    assert summary.expected_calibration_error == 0
    assert summary.brier_skill == pytest.approx(0)
