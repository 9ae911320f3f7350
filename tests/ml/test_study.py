from collections import Counter
from typing import Any

import numpy as np
import pytest

from fraud_assets.ml.booster import predict_booster, train_booster, with_rounds
from fraud_assets.ml.evaluate import score
from fraud_assets.ml.features import FeatureEncoder
from fraud_assets.ml.fold_fits import OutOfFold
from fraud_assets.ml.matrices import Matrices
from fraud_assets.ml.resample import RESAMPLERS, Resampled, Resampler
from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.split import SplitSettings
from fraud_assets.ml.study import StudyData, out_of_fold, run_trial
from tests.ml.scored import best_f1_threshold
from tests.ml.studies import matrices_of, trial_of
from tests.ml.tables import dataset_of, permuted, split_by_group, transactions

DATASET = dataset_of(transactions())
FAST = {"n_estimators": 10, "max_depth": 3}


def study_of(dataset: Dataset, folds: int = 3) -> StudyData:
    return StudyData.prepare(dataset, split_by_group(dataset, SplitSettings(folds=folds)), seed=1)


def unseen(study: StudyData, params: dict[str, Any]) -> OutOfFold:
    return out_of_fold(params, matrices_of(study))


@pytest.mark.parametrize("folds", [1, 3])
def test_the_holdout_is_not_in_a_study(folds: int) -> None:
    frame = transactions()
    split = split_by_group(dataset_of(frame), SplitSettings(folds=folds))
    marked = frame.copy()
    marked.loc[split.holdout, "amount"] = -1.0
    marked.loc[split.holdout, "channel"] = "holdout only"
    dataset = dataset_of(marked)

    study = StudyData.prepare(dataset, split, seed=1)

    assert not (study.X[:, 0] == -1).any()
    assert "holdout only" not in study.encoder.categories["channel"]
    assert len(study.X) == len(study.y) == len(split.tuning)
    np.testing.assert_array_equal(study.X, study.encoder.transform(dataset.X.iloc[split.tuning]))


@pytest.mark.parametrize("folds", [1, 3])
def test_folds_of_a_study_are_those_of_the_split(folds: int) -> None:
    split = split_by_group(DATASET, SplitSettings(folds=folds))
    study = StudyData.prepare(DATASET, split, seed=1)
    encoded = FeatureEncoder.fit(DATASET.X.iloc[split.tuning], DATASET.roles.categorical).transform(DATASET.X)

    assert len(study.folds) == folds
    for ours, theirs in zip(study.folds, split.folds(), strict=True):
        for positions, rows in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(study.X[positions], encoded[rows])
            np.testing.assert_array_equal(study.y[positions], DATASET.y[rows])


@pytest.mark.parametrize("params", [{}, {"booster": "gblinear"}, {"resampler": "smote"}], ids=str)
def test_a_trial_reports_every_metric_and_its_deviation(params: dict[str, Any]) -> None:
    result = trial_of(FAST | params if params.get("booster") != "gblinear" else params, study_of(DATASET))

    metrics = set(score(np.array([0, 1]), np.array([0.2, 0.8])))
    names = {*metrics, *(f"{metric}_std" for metric in metrics), "threshold", "f1_at_threshold", "fit_seconds"}
    assert names <= set(result)
    assert all(isinstance(value, float) and np.isfinite(value) for value in result.values())
    assert result["roc_auc"] > 0.8
    assert result["f1_at_threshold"] > 0.5
    assert result["f1_std"] > 0
    assert 0 < result["fit_seconds"] < 60


def test_scores_and_threshold_are_of_rows_that_the_fold_was_not_fitted_on() -> None:
    study = study_of(DATASET)
    probability = []
    for fit, validate in study.folds:
        booster = train_booster(FAST, study.X[fit], study.y[fit], study.encoder, seed=study.seed, threads=1)
        probability.append(predict_booster(booster, FAST, study.X[validate], study.encoder))
    labels = [study.y[validate] for _, validate in study.folds]
    together = np.concatenate(labels), np.concatenate(probability)

    result = trial_of(FAST, study)

    for metric in ("f1", "roc_auc", "log_loss"):
        folds = [score(y, p)[metric] for y, p in zip(labels, probability, strict=True)]
        assert (result[metric], result[f"{metric}_std"]) == pytest.approx((np.mean(folds), np.std(folds)))
    best = score(*together, best_f1_threshold(*together))["f1"]
    assert result["f1_at_threshold"] == score(*together, result["threshold"])["f1"] == best


def test_what_a_trial_reports_is_what_its_predictions_are_worth() -> None:
    study = study_of(DATASET)
    result, predicted = run_trial(FAST, matrices_of(study))

    told = study.report(predicted.predictions)
    assert {name: result[name] for name in told} == told
    assert [len(p) for p in predicted.predictions] == [len(validate) for _, validate in study.folds]
    called = sum(int((p >= result["threshold"]).sum()) for p in predicted.predictions)
    assert result["alert_rate_at_threshold"] == pytest.approx(called / sum(len(v) for _, v in study.folds))


EARLY = {"n_estimators": 300, "early_stopping_rounds": 20, "max_depth": 2, "eta": 0.3}


def test_all_folds_have_the_number_of_rounds_that_is_best_for_them_together() -> None:
    study = study_of(dataset_of(transactions(1500, signal=1)))
    stopped = unseen(study, EARLY)

    def mean(rounds: int) -> float:
        folds = study.validating(unseen(study, with_rounds(EARLY, rounds)).predictions)
        return float(study.scoring.fold_scores("average_precision", folds).mean())

    assert 10 <= stopped.rounds < 300
    assert stopped.rounds % 10 == 0
    refitted = unseen(study, with_rounds(EARLY, stopped.rounds))
    assert refitted.rounds == stopped.rounds
    for ours, theirs in zip(stopped.predictions, refitted.predictions, strict=True):
        assert np.array_equal(ours, theirs)
    assert mean(stopped.rounds) >= max(mean(stopped.rounds + 10), mean(max(10, stopped.rounds - 10)))


def test_early_stopping_does_not_learn_labels_that_mean_nothing() -> None:
    # The validating rows choose the rounds, so their score is a little above chance, and no more.
    study = study_of(permuted(dataset_of(transactions(2000))))
    assert trial_of(EARLY, study)["roc_auc"] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("resampler", RESAMPLERS)
def test_resampled_rows_are_asked_for_once_a_fold(resampler: str) -> None:
    study, asked = study_of(DATASET), Counter[tuple[int, Resampler]]()

    def remember(fold: int, resampler: Resampler) -> Resampled:
        asked[fold, resampler] += 1
        return study.resample(fold, resampler, 1)

    run_trial(FAST | {"resampler": resampler}, Matrices(study, remember, 1))

    assert asked == {(fold, Resampler(resampler)): 1 for fold in range(3)}


def test_a_trial_without_a_resampler_resamples_nothing() -> None:
    study = study_of(DATASET)
    plain, named = trial_of(FAST, study), trial_of(FAST | {"resampler": "passthrough"}, study)
    assert {**plain, "fit_seconds": 0} == {**named, "fit_seconds": 0}


@pytest.mark.parametrize("objective", ["binary:logitraw", "reg:squarederror"])
def test_a_model_that_predicts_no_probabilities_fails_its_trial(objective: str) -> None:
    with pytest.raises(FloatingPointError, match=f"fold 0: the model predicts .*no probabilities, for .*{objective}"):
        trial_of({"objective": objective, "n_estimators": 50}, study_of(DATASET))
