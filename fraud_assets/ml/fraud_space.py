"""The search space `fraud`: what the Fraud Detection Handbook's data shows to matter, and nothing asked in vain.

The ranges are those in which the handbook's four validation blocks (67,000 fitting rows each, 0.9 % frauds; chapter 5
of https://fraud-detection-handbook.github.io) are sensitive. The numbers in the comments are average precision on them,
mean of four. The reference is depth 3, eta 0.1, 4096 bins and a base score of 0.5: 0.704 with 100 rounds, 0.711 with
250.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import Trial

# Parameters that only decide which others are asked for; XGBoost doesn't know them.
GATES = ("imbalance", "intercept")

BOOSTERS = ("gbtree", "forest", "dart", "gblinear")
RESAMPLERS = ("random_under", "smote", "borderline_smote", "smote_enn")
# Those of them that `distributable.obstacle` has nothing against.
DISTRIBUTED_BOOSTERS = ("gbtree", "forest")
DISTRIBUTED_RESAMPLERS = ("random_under",)
# A few steps, not a range: what was resampled once serves every trial that asks for the same.
SAMPLING_RATIOS = (0.03, 0.1, 0.3, 1.0)


def fraud(trial: "Trial") -> dict[str, Any]:
    """A define-by-run space for rare positives: see `search_space` for what such a function is.

    `imbalance` says what is done about it: nothing, a weight (`scale_pos_weight`), or a resampler; never two of
    them, as they would correct the same thing twice. `intercept` says where boosting of trees starts: from the
    prevalence, which XGBoost estimates, or from a fixed `base_score`.
    """
    return _suggest(trial, BOOSTERS, RESAMPLERS)


def fraud_distributed(trial: "Trial") -> dict[str, Any]:
    """The part of `fraud` that can be fitted on rows that are spread over several processes."""
    return _suggest(trial, DISTRIBUTED_BOOSTERS, DISTRIBUTED_RESAMPLERS)


def _suggest(trial: "Trial", boosters: Sequence[str], resamplers: Sequence[str]) -> dict[str, Any]:
    # dart 0.682 and 0.630 at dropout rates of 0.1 and 0.3, at 18 times the price of gbtree; gblinear 0.5, where its
    # columns are not scaled (0.64 on one block where they are, as scikit-learn's logistic regression). A forest reaches
    # 0.703 alone, and 0.717 averaged with boosted trees that reach 0.713 alone: it errs elsewhere.
    booster = trial.suggest_categorical("booster", list(boosters))
    constants: dict[str, Any] = {"objective": "binary:logistic"}
    # Boosted trees 0.706, 0.704, 0.704, 0.695 at 0.1, 0.01, 1, 10 (100 rounds), and ever worse above; a forest 0.705,
    # 0.705, 0.703 at 0.1, 1, 3.
    trial.suggest_float("lambda", 1e-3, 10.0, log=True)
    if booster == "forest":
        constants |= _forest(trial)
    else:
        # 0.705 at 1, 0.696 at 5 (100 rounds).
        trial.suggest_float("alpha", 1e-4, 3.0, log=True)
    if booster == "gblinear":
        # From a prevalence of 0.9 %, estimated, XGBoost 3.2's linear model can end in one constant for all rows.
        constants |= {"base_score": 0.5, "n_estimators": 100}
    if booster == "gbtree":
        # What counts is eta * rounds: 0.678, 0.704, 0.710, 0.710 after 60, 100, 200, 300 rounds at 0.1, and 0.704 after
        # 200 at 0.05. So the rounds are not searched for: a fit goes on while it gets better.
        constants |= {"n_estimators": 500, "early_stopping_rounds": 50}
        constants |= _boosted_trees(trial)
    if booster == "dart":
        # Its cost grows with the square of the rounds: 100 of them cost 18 times what gbtree costs.
        trial.suggest_int("n_estimators", 10, 50, log=True)
        constants |= _boosted_trees(trial)
        trial.suggest_float("rate_drop", 0.01, 0.3, log=True)
        trial.suggest_float("skip_drop", 0.2, 0.9)
        trial.suggest_categorical("normalize_type", ["tree", "forest"])
    return constants | _imbalance(trial, resamplers, steps=booster in ("gbtree", "dart"))


def _forest(trial: "Trial") -> dict[str, Any]:
    """Deep trees, each of a part of the rows, each split among a part of the columns."""
    _sampling_and_bins(trial)
    # 0.705, 0.707 at 0.4, 0.6; 0.674, 0.688, 0.692 at 0.2, 0.4, 0.7 with a depth of 12.
    trial.suggest_float("colsample_bynode", 0.2, 0.9)
    # 0.688, 0.699, 0.703, 0.702 at depths of 12, 16, 20, 30.
    return {"tree_method": "hist", "n_estimators": 100, "max_depth": 20, "min_child_weight": 1}


def _sampling_and_bins(trial: "Trial") -> None:
    trial.suggest_float("subsample", 0.4, 1.0)
    # Fraud lies at thresholds in the tail of the amount, which few bins don't resolve: 0.665 at 256 bins (100 rounds),
    # and with 200 rounds 0.710 at 1024 and 4096, 0.711 at 16,384, 0.712 at 65,536, which is `exact` for less, at 3
    # and 5 times the price of 4096. `approx` reaches 0.713 with 256 bins, at 10 times that price.
    trial.suggest_int("max_bin", 256, 16_384, log=True)


def _boosted_trees(trial: "Trial") -> dict[str, Any]:
    trial.suggest_float("eta", 0.05, 0.5, log=True)
    # The weight of a row is p(1 - p): at a prevalence of 0.9 % a leaf of weight 1 has more than 100 rows.
    # From a base score of 0.5: 0.702, 0.704, 0.694 at 0.1, 1, 10 (100 rounds).
    trial.suggest_float("min_child_weight", 0.01, 10.0, log=True)
    trial.suggest_float("gamma", 1e-4, 3.0, log=True)
    # 0.711, 0.711, 0.709 at all of the rows, 0.7 and 0.5 of them; but averages of five such fits with different seeds
    # reach 0.713 at 0.7 and at 0.5.
    _sampling_and_bins(trial)
    # The columns carry one kind of fraud each, so trees that lack some of them lose: 0.701 at 0.8 of the columns; of 59
    # random configurations those below 0.55 were worse by 0.02 on average.
    trial.suggest_float("colsample_bytree", 0.6, 1.0)
    constants: dict[str, Any] = {"tree_method": "hist"}
    # 0.705, 0.704, 0.702 at 0.9, 0.5, 0.3 (4096 bins, 100 rounds). With `exact` 0.705 at 0.5, and 0.697 from the
    # prevalence: from far above it the first trees weigh all rows alike, and a leaf needs few rows to be allowed.
    if trial.suggest_categorical("intercept", ["prevalence", "base_score"]) == "base_score":
        trial.suggest_float("base_score", 0.05, 0.95)
    if trial.suggest_categorical("grow_policy", ["depthwise", "lossguide"]) == "lossguide":
        trial.suggest_int("max_leaves", 4, 32, log=True)
        return constants | {"max_depth": 0}
    # 0.710, 0.711, 0.707 at depths of 2 (500 rounds), 3 (250) and 4 (125).
    trial.suggest_int("max_depth", 2, 8)
    return constants


def _imbalance(trial: "Trial", resamplers: Sequence[str], *, steps: bool) -> dict[str, Any]:
    # Nothing is best here: ranking does not need balance. A weight of 0.3 costs 0.004, of 10 0.016; under-sampling to 1
    # fraud in 30 costs 0.008, in 10 0.035, to balance 0.24, and ten such models averaged 0.005, 0.017, 0.09, so that
    # balanced ensembles have no place here; SMOTE and Borderline-SMOTE cost 0.03 and 0.04 at 1 in 20, 0.08 and 0.11 at
    # balance (all with 100 rounds); SMOTE-ENN costs 0.05 at 1 in 10 (one block), and its search for neighbours grows
    # with the square of the rows.
    treatment = trial.suggest_categorical("imbalance", ["none", "weight", "resample"])
    if treatment == "resample":
        if trial.suggest_categorical("resampler", list(resamplers)) == "smote_enn":
            # Half a minute for 67,000 rows; at balance it would be more than twice that.
            return {"sampling_ratio": 0.1}
        trial.suggest_categorical("sampling_ratio", list(SAMPLING_RATIOS))
        return {}
    if treatment == "weight":
        trial.suggest_float("scale_pos_weight", 0.2, 20.0, log=True)
        if steps:
            # XGBoost's remedy for steps that rare positives make too large; 0 is no limit, 0.7 costs 0.04.
            trial.suggest_int("max_delta_step", 0, 10)
    return {"resampler": "passthrough"}


# XGBoost's own defaults, but for the number of rounds, which early stopping chooses. For alpha and gamma they are 0,
# which a logarithmic range has not: its lower end stands for them.
FRAUD_DEFAULTS: dict[str, Any] = {
    "booster": "gbtree",
    "lambda": 1.0,
    "alpha": 1e-4,
    "eta": 0.3,
    "min_child_weight": 1.0,
    "gamma": 1e-4,
    "subsample": 1.0,
    "max_bin": 256,
    "colsample_bytree": 1.0,
    "intercept": "prevalence",
    "grow_policy": "depthwise",
    "max_depth": 6,
    "imbalance": "none",
}

# What was good on these blocks when one parameter at a time was moved: a search that starts here needs few trials.
FRAUD_START: tuple[dict[str, Any], ...] = (
    FRAUD_DEFAULTS
    | {
        "eta": 0.1,
        "subsample": 0.7,
        "max_bin": 4096,
        "max_depth": 3,
        "intercept": "base_score",
        "base_score": 0.5,
    },
    {
        "booster": "forest",
        "lambda": 0.3,
        "subsample": 0.6,
        "max_bin": 4096,
        "colsample_bynode": 0.6,
        "imbalance": "none",
    },
)
