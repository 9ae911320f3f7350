"""What somebody without this project would write to tune on the same folds: plain Optuna, and FLAML."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fraud_assets.ml.booster import booster_params, predict_booster, rounds_of, stops_early
from fraud_assets.ml.evaluate import average_precision
from fraud_assets.ml.resample import Resampler
from fraud_assets.ml.search_space import SearchSpace
from fraud_assets.ml.study import StudyData


def plain_optuna(study: StudyData, space: SearchSpace, *, seed: int, budget_s: float) -> tuple[dict[str, Any], int]:
    """TPE with its defaults in one process, one trial after the other, XGBoost on all cores, nothing kept.

    Returns:
        The configuration with the best score of those that were scored in time; and how many these were.

    Raises:
        RuntimeError: none was.
    """
    import optuna
    import xgboost as xgb

    deadline = time.perf_counter() + budget_s
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    class Deadline(xgb.callback.TrainingCallback):  # type: ignore[misc]
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            return time.perf_counter() > deadline

    def objective(trial: optuna.Trial) -> float:
        constants = space.suggest(trial) or {}
        params = {**trial.params, **constants}
        trial.set_user_attr("params", params)
        scores = []
        for fold, (fit, validate) in enumerate(study.folds):
            X, y = study.resample(fold, Resampler.of(params), -1).apply(study.X[fit], study.y[fit])
            dtrain = xgb.DMatrix(X, y)
            dvalidate = xgb.DMatrix(study.X[validate], study.y[validate])
            native = booster_params(params, seed=study.seed, threads=0)
            early = params["early_stopping_rounds"] if stops_early(params) else None
            model = xgb.train(
                {**native, "eval_metric": "aucpr"} if early else native,
                dtrain,
                rounds_of(params),
                evals=[(dvalidate, "validate")] if early else [],
                early_stopping_rounds=early,
                callbacks=[Deadline()],
                verbose_eval=False,
            )
            if time.perf_counter() > deadline:
                raise optuna.TrialPruned
            used = model.best_iteration + 1 if early else None
            probability = predict_booster(model, params, study.X[validate], study.encoder, rounds=used)
            scores.append(average_precision(study.y[validate], probability))
        return float(np.mean(scores))

    search = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    search.optimize(objective, timeout=budget_s, n_jobs=1)
    done = [trial for trial in search.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    if not done:
        raise RuntimeError("plain Optuna scored no configuration in time: give more --bench-budget")
    return dict(search.best_trial.user_attrs["params"]), len(done)


@dataclass(frozen=True)
class Blocks:
    """A study's folds as FLAML takes a splitter."""

    study: StudyData
    shuffle: bool = False

    def get_n_splits(self, *_: Any) -> int:
        """How many folds."""
        return len(self.study.folds)

    def split(self, X: Any, *_: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Fitting and validating positions of each fold."""
        assert len(X) == len(self.study.X), "FLAML fits on a sample of the rows"
        yield from self.study.folds


def flaml(study: StudyData, *, seed: int, budget_s: float) -> tuple[Mapping[str, Any], int]:
    """FLAML's AutoML with XGBoost, its own space and search, towards the average precision on the same folds.

    Returns:
        What scikit-learn's interface of XGBoost is given for the best configuration; and how many were tried.
    """
    from flaml import AutoML

    automl = AutoML()
    automl.fit(
        study.X,
        study.y,
        task="classification",
        metric="ap",
        estimator_list=["xgboost", "xgb_limitdepth"],
        eval_method="cv",
        split_type=Blocks(study),
        n_splits=len(study.folds),
        sample=False,  # positions of the folds are those of all rows
        time_budget=budget_s,
        n_jobs=-1,
        seed=seed,
        retrain_full=False,
        verbose=0,
    )
    return automl.model.estimator.get_params(), len(automl.config_history)


def refitted(study: StudyData, params: Mapping[str, Any]) -> list[np.ndarray]:
    """What scikit-learn's interface of XGBoost with `params` predicts for each fold's validating rows."""
    from xgboost import XGBClassifier

    predictions = []
    for fit, validate in study.folds:
        model = XGBClassifier(**params).fit(study.X[fit], study.y[fit])
        predictions.append(model.predict_proba(study.X[validate])[:, 1])
    return predictions
