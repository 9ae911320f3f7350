"""The search space `fraud`: what the Fraud Detection Handbook's data shows to matter, and nothing asked in vain.

The ranges are those in which the handbook's four validation blocks (67,000 fitting rows each, 0.9 % frauds; chapter 5
of https://fraud-detection-handbook.github.io) are sensitive. The numbers in the comments are average precision on them,
mean of four. The reference is depth 3, eta 0.1, 4096 bins and a base score of 0.5: 0.704 with 100 rounds, 0.710 with
200.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import Trial

# Parameters that only decide which others are asked for; XGBoost doesn't know them.
GATES = ("imbalance", "intercept")

# With more rounds only gbtree is tried: the cost of dart grows with their square, and gblinear has long converged.
_ROUNDS_OF_ANY_BOOSTER = 100

RESAMPLERS = ("random_under", "smote")


def fraud(trial: "Trial") -> dict[str, Any]:
    """A define-by-run space for rare positives: see `search_space` for what such a function is.

    `imbalance` says what is done about it: nothing, a weight (`scale_pos_weight`), or a resampler; never two of
    them, as they would correct the same thing twice. `intercept` says where boosting of trees starts: from the
    prevalence, which XGBoost estimates, or from a fixed `base_score`.
    """
    constants: dict[str, Any] = {"objective": "binary:logistic"}
    rounds = trial.suggest_int("n_estimators", 50, 500, log=True)
    if rounds <= _ROUNDS_OF_ANY_BOOSTER:
        # dart 0.682 and 0.630 at rates of 0.1 and 0.3, at 18 times the price of gbtree; gblinear 0.5, where its columns
        # are not scaled (0.64 on one block where they are, as scikit-learn's logistic regression).
        booster = trial.suggest_categorical("booster", ["gbtree", "dart", "gblinear"])
    else:
        booster = constants["booster"] = "gbtree"
    # 0.706, 0.704, 0.704, 0.695 at 0.1, 0.01, 1, 10 (100 rounds), and ever worse above.
    trial.suggest_float("lambda", 1e-3, 10.0, log=True)
    # 0.705 at 1, 0.696 at 5 (100 rounds).
    trial.suggest_float("alpha", 1e-4, 3.0, log=True)
    if booster == "gblinear":
        # From a prevalence of 0.9 %, estimated, XGBoost 3.2's linear model can end in one constant for all rows.
        constants["base_score"] = 0.5
    else:
        constants |= _trees(trial)
    if booster == "dart":
        trial.suggest_float("rate_drop", 0.01, 0.3, log=True)
        trial.suggest_float("skip_drop", 0.2, 0.9)
        trial.suggest_categorical("normalize_type", ["tree", "forest"])
    return constants | _imbalance(trial)


def _trees(trial: "Trial") -> dict[str, Any]:
    # What counts is eta * rounds: 0.678, 0.704, 0.710, 0.710 after 60, 100, 200, 300 rounds at 0.1, and 0.704 after 200
    # at 0.05.
    trial.suggest_float("eta", 0.03, 0.5, log=True)
    # The weight of a row is p(1 - p): at a prevalence of 0.9 % a leaf of weight 1 has more than 100 rows.
    # From a base score of 0.5: 0.702, 0.704, 0.694 at 0.1, 1, 10 (100 rounds).
    trial.suggest_float("min_child_weight", 0.01, 10.0, log=True)
    trial.suggest_float("gamma", 1e-4, 3.0, log=True)
    # The columns carry one kind of fraud each, so trees that lack some of them lose: 0.701 at 0.8 of the columns; of 59
    # random configurations those below 0.55 were worse by 0.02 on average. Rows may be fewer: 0.705 at 0.7 of them.
    trial.suggest_float("subsample", 0.5, 1.0)
    trial.suggest_float("colsample_bytree", 0.6, 1.0)
    # Fraud lies at thresholds in the tail of the amount, which few bins don't resolve: 0.665 at 256 bins (100 rounds),
    # and with 200 rounds 0.710 at 1024 and 4096, 0.711 at 16,384, 0.712 at 65,536, which is `exact` for less, at 3
    # and 5 times the price of 4096. `approx` reaches 0.713 with 256 bins, at 10 times that price.
    trial.suggest_int("max_bin", 256, 8192, log=True)
    # 0.705, 0.704, 0.702 at 0.9, 0.5, 0.3 (4096 bins, 100 rounds). With `exact` 0.705 at 0.5, and 0.697 from the
    # prevalence: from far above it the first trees weigh all rows alike, and a leaf needs few rows to be allowed.
    if trial.suggest_categorical("intercept", ["prevalence", "base_score"]) == "base_score":
        trial.suggest_float("base_score", 0.05, 0.95)
    if trial.suggest_categorical("grow_policy", ["depthwise", "lossguide"]) == "lossguide":
        trial.suggest_int("max_leaves", 4, 32, log=True)
        return {"tree_method": "hist", "max_depth": 0}
    # 0.706, 0.704, 0.706 at depths of 2 (300 rounds), 3 and 4 (100 rounds).
    trial.suggest_int("max_depth", 2, 8)
    return {"tree_method": "hist"}


def _imbalance(trial: "Trial") -> dict[str, Any]:
    # Nothing is best here: ranking does not need balance. A weight of 0.3 costs 0.004, of 10 0.016; under-sampling to 1
    # fraud in 30 costs 0.008, in 10 0.035, to balance 0.24, and ten such models averaged 0.005, 0.017, 0.09;
    # SMOTE and Borderline-SMOTE cost 0.03 and 0.04 at 1 in 20, 0.08 and 0.11 at balance (all with 100 rounds);
    # SMOTE-ENN costs 0.05 at 1 in 10 (one block), and its search for neighbours grows with the square of the rows.
    treatment = trial.suggest_categorical("imbalance", ["none", "weight", "resample"])
    if treatment == "resample":
        trial.suggest_categorical("resampler", list(RESAMPLERS))
        return {}
    if treatment == "weight":
        trial.suggest_float("scale_pos_weight", 0.2, 20.0, log=True)
        # XGBoost's remedy for steps that rare positives make too large; 0 is no limit, 0.7 costs 0.04.
        trial.suggest_int("max_delta_step", 0, 10)
    return {"resampler": "passthrough"}


# XGBoost's own defaults. For alpha and gamma they are 0, which a logarithmic range has not: its lower end stands for
# them.
FRAUD_DEFAULTS: dict[str, Any] = {
    "n_estimators": 100,
    "booster": "gbtree",
    "lambda": 1.0,
    "alpha": 1e-4,
    "eta": 0.3,
    "min_child_weight": 1.0,
    "gamma": 1e-4,
    "subsample": 1.0,
    "colsample_bytree": 1.0,
    "max_bin": 256,
    "grow_policy": "depthwise",
    "max_depth": 6,
    "imbalance": "none",
    "intercept": "prevalence",
}

# What was best on these blocks when one parameter at a time was moved away from the published search's; a search that
# starts here needs few trials. The inert parameters are at their weak ends.
FRAUD_START: dict[str, Any] = FRAUD_DEFAULTS | {
    "n_estimators": 200,
    "eta": 0.1,
    "max_bin": 4096,
    "max_depth": 3,
    "intercept": "base_score",
    "base_score": 0.5,
}
# With so many rounds nobody asks which booster.
del FRAUD_START["booster"]
