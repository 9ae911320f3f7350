"""The last step of a study: choose the threshold, judge on the holdout, fit what is delivered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from fraud_assets.ml.baselines import BASELINES, baseline_predictions
from fraud_assets.ml.calibration import CalibrationMethod, CalibrationSummary, Calibrator, summarize_calibration
from fraud_assets.ml.ensemble import average
from fraud_assets.ml.estimator import FraudClassifier, Member
from fraud_assets.ml.judgement import Judgement, judge
from fraud_assets.ml.matrices import Matrices
from fraud_assets.ml.model_card import ModelCard, Part
from fraud_assets.ml.neighbour_limit import DEFAULT_LIMIT, NeighbourLimit
from fraud_assets.ml.resample import Resampled, Resampler
from fraud_assets.ml.schema import Dataset
from fraud_assets.ml.scored_rows import ScoredRows
from fraud_assets.ml.scoring import Scoring
from fraud_assets.ml.split import Split
from fraud_assets.ml.study import StudyData, out_of_fold

Calibration = Literal["none"] | CalibrationMethod


@dataclass(frozen=True)
class FinalModel:
    """What is delivered, and what is known of it.

    Attributes:
        classifier: the model that is logged.
        judged: the fit without the holdout that the holdout has judged.
        holdout: the holdout's rows with the probabilities of a fit that did not see them.
        baselines: what the baselines say of the same rows.
        judgement: metrics with intervals, and the gain over the baselines.
        calibration: how well these probabilities are calibrated.
        judged_rows: how many rows the judged fit saw.
    """

    classifier: FraudClassifier
    judged: FraudClassifier
    holdout: ScoredRows
    baselines: dict[str, np.ndarray]
    judgement: Judgement
    calibration: CalibrationSummary
    judged_rows: int


def build_final_model(
    dataset: Dataset,
    split: Split,
    members: Sequence[Member],
    scoring: Scoring,
    *,
    threshold: float,
    seed: int,
    threads: int,
    refit_on_all: bool = True,
    calibration: Calibration = "none",
    limit: NeighbourLimit = DEFAULT_LIMIT,
    resamples: int = 1000,
) -> FinalModel:
    """Judge the members' average on the holdout, then fit it on what is delivered.

    A calibrator is fitted on the out-of-fold predictions of the tuning's own folds, and the threshold is chosen anew on
    what it makes of them; the baselines' thresholds are chosen on theirs, so that nobody has an advantage. The holdout
    is used once, by a fit on rows whose labels were known when it began.

    Args:
        dataset: the transactions.
        split: whose holdout judges.
        members: the configurations, and their shares in the average.
        scoring: metrics and threshold policy.
        threshold: what the tuning chose for these members.
        seed: of resampling, fitting and the bootstrap.
        threads: how many threads fit.
        refit_on_all: whether the delivered model is fitted on all rows, the holdout included.
        calibration: whether, and how, probabilities are calibrated.
        limit: of the rows that a resampler searches for neighbours, as in the tuning.
        resamples: of the bootstrap.

    Raises:
        DataError: a fold or the holdout lacks what a metric or the threshold's policy needs, or a resampler does.
    """
    calibrator = None
    if calibration != "none":
        study = StudyData.prepare(dataset, split, seed, scoring, limit)
        unseen = ScoredRows.concatenate(study.validating(averaged_out_of_fold(members, study, threads)))
        calibrator = Calibrator.fit(unseen.y, unseen.probability, calibration)
        threshold = scoring.threshold(unseen.with_probability(calibrator(unseen.probability))).threshold

    X, y = dataset.X, dataset.y

    def fit(rows: np.ndarray) -> FraudClassifier:
        return FraudClassifier.fit(
            X.iloc[rows],
            y[rows],
            dataset.roles.categorical,
            members,
            threshold=threshold,
            calibrator=calibrator,
            seed=seed,
            threads=threads,
            limit=limit.within(y),
        )

    judged = fit(split.judged_fit)
    holdout = scoring.rows(dataset, split.holdout).with_probability(judged.predict_proba(X.iloc[split.holdout])[:, 1])
    predicted = baseline_predictions(dataset, split.judged_fit, split.holdout, seed=seed, threads=threads)
    baselines = {str(name): probability for name, probability in predicted.items()}
    judgement = judge(
        holdout,
        threshold,
        baselines,
        scoring.settings,
        baseline_thresholds=_baseline_thresholds(dataset, split, scoring, seed=seed, threads=threads),
        resamples=resamples,
        seed=seed,
    )
    return FinalModel(
        classifier=fit(np.arange(len(dataset))) if refit_on_all else judged,
        judged=judged,
        holdout=holdout,
        baselines=baselines,
        judgement=judgement,
        calibration=summarize_calibration(holdout.y, holdout.probability),
        judged_rows=len(split.judged_fit),
    )


def for_other_data(
    best_params: Mapping[str, Any], dataset: Dataset, split: Split, limit: NeighbourLimit, threads: int
) -> dict[str, Any]:
    """The value of `best_params` for data that it was not tuned on: its members stand.

    Threshold and validation metrics are those of the members' out-of-fold predictions in this split.

    Raises:
        DataError: a fold lacks what a metric or the threshold's policy needs, or a resampler does.
    """
    study = StudyData.prepare(dataset, split, best_params["seed"], Scoring.from_dict(best_params["scoring"]), limit)
    members = [Member(member["params"], member["weight"]) for member in best_params["members"]]
    report = study.report(averaged_out_of_fold(members, study, threads))
    metric = best_params["metric"]
    return {
        **best_params,
        "threshold": report["threshold"],
        "score": report[metric],
        "score_std": report[f"{metric}_std"],
        "metrics": report,
        "data_version": dataset.version,
    }


def averaged_out_of_fold(members: Sequence[Member], study: StudyData, threads: int) -> list[np.ndarray]:
    """What the members' average, fitted on each fold, predicts for the fold's validating rows."""

    @cache  # members share resamplers
    def resample(fold: int, resampler: Resampler) -> Resampled:
        return study.resample(fold, resampler, threads)

    matrices = Matrices(study, resample, threads)
    predictions = [out_of_fold(member.params, matrices).predictions for member in members]
    weights = [member.weight for member in members]
    return [average(fold, weights) for fold in zip(*predictions, strict=True)]


def _baseline_thresholds(
    dataset: Dataset, split: Split, scoring: Scoring, *, seed: int, threads: int
) -> dict[str, float]:
    """Each baseline's threshold, chosen as the model's is: on its own out-of-fold predictions."""
    parts: dict[str, list[ScoredRows]] = {name: [] for name in BASELINES}
    for fitting, validating in split.folds():
        rows = scoring.rows(dataset, validating)
        predicted = baseline_predictions(dataset, fitting, validating, seed=seed, threads=threads)
        for name, probability in predicted.items():
            parts[name].append(rows.with_probability(probability))
    return {name: scoring.threshold(ScoredRows.concatenate(rows)).threshold for name, rows in parts.items()}


def describe_model(
    dataset: Dataset,
    split: Split,
    best_params: Mapping[str, Any],
    model: FinalModel,
    *,
    name: str,
    version: int,
    run: str,
    refit_on_all: bool,
) -> ModelCard:
    """The card of the registered model `name`, version `version`; `best_params` is the value of that asset."""
    judgement, time = model.judgement, dataset.time
    roles = {"label": dataset.roles.label, "entity": dataset.roles.entity, "time": dataset.roles.time}
    metric = best_params["metric"]
    return ModelCard(
        name=name,
        version=version,
        model_uri=f"models:/{name}/{version}",
        run=run,
        source=dataset.source,
        data_version=dataset.version,
        rows=len(dataset),
        frauds=int(dataset.y.sum()),
        time_span=None if time is None else (str(time.min()), str(time.max())),
        roles={role: column for role, column in roles.items() if column is not None},
        features=dataset.roles.features,
        categorical=dataset.roles.categorical,
        split=f"Strategy {split.strategy}. {split.reason}".strip(),
        parts=[_part(dataset, split, role) for role in sorted(set(split.roles))],
        search_space=best_params["search_space"],
        trials=best_params["trials"],
        metric=metric,
        members=[(member["name"], member["weight"], member["params"]) for member in best_params["members"]],
        validation=best_params["metrics"],
        holdout={name: interval.value for name, interval in judgement.metrics.items()},
        intervals={name: (interval.low, interval.high) for name, interval in judgement.metrics.items()},
        interval_level=judgement.level,
        baselines={
            baseline: {name: interval.value for name, interval in comparison.metrics.items()}
            for baseline, comparison in judgement.baselines.items()
        },
        gains={
            baseline: (gain.value, gain.low, gain.high)
            for baseline, comparison in judgement.baselines.items()
            if (gain := comparison.gain.get(metric)) is not None
        },
        has_signal=judgement.has_signal,
        threshold=model.classifier.threshold,
        threshold_rule=f"Target {best_params['scoring']['policy']['target']}, on out-of-fold predictions.",
        refit_on_all=refit_on_all,
        limits=[judgement.caution] if judgement.caution else [],
    )


def _part(dataset: Dataset, split: Split, role: str) -> Part:
    rows = split.roles == role
    span = None if dataset.time is None else dataset.time[rows]
    return Part(
        role,
        int(rows.sum()),
        int(dataset.y[rows].sum()),
        None if span is None else str(span.min()),
        None if span is None else str(span.max()),
    )
