"""The sections of a model card, each as Markdown."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fraud_assets.ml.markdown import bullets, facts, join, table, text
from fraud_assets.ml.plot_style import readable
from fraud_assets.ml.uri import without_credentials

if TYPE_CHECKING:
    from fraud_assets.ml.model_card import Interval, ModelCard

INTENDED_USE = """\
The model gives each transaction a probability of fraud. It is meant to rank transactions, so that people look at the
most suspicious first, and to mark those at or above the threshold.

Not meant for: a decision about a person without a human who can overrule it; transactions of another kind, region or
channel than those it was fitted on; proof of fraud."""

FACTORS = """\
The model was not measured by groups of people (age, region, income): whether it is wrong more often about some of them
is unknown, and must be looked at before it decides about anybody. A false alarm costs a customer a payment, a missed
fraud costs money; the threshold weighs one against the other."""

NO_SIGNAL = """\
> **No signal.** On the holdout this model was not shown to be better than guessing: its average precision can't be told
> from what guessing reaches. Do not use it."""

_WHICH_ROWS = """\
Validation chose the parameters, so it is optimistic; where a threshold is needed, it is 0.5 there. The holdout is at
the decision threshold, and was seen by neither the tuning, nor the threshold, nor the fit that it judges."""

_LIMITS = (
    "The future: fraud changes as soon as it is stopped. Watch precision, recall and the share of alarms; tune again.",
    "Labels: frauds that nobody reported count as legitimate, in fitting and in judging.",
    "Adversaries: nobody has tried to evade the model.",
    "A probability is a score from 0 to 1; look at the calibration plot before you read it as a frequency.",
)


def details(card: "ModelCard") -> str:
    """What kind of model it is and where it is."""
    return facts(
        {
            "Kind": "XGBoost: boosted trees, or linear terms where the booster is gblinear",
            "Answers": "the probability that a transaction is fraudulent, and a yes or no by the threshold",
            "Created": card.created,
            "MLflow run": without_credentials(card.run or ""),
            "Model": card.model_uri,
        }
    )


def data(card: "ModelCard") -> str:
    """What it was made from, and which rows did what."""
    rate = "" if card.frauds is None or not card.rows else f" ({card.frauds / card.rows:.3%})"
    known = facts(
        {
            "Source": without_credentials(card.source or ""),
            "Data version": card.data_version,
            "Rows": card.rows,
            "Frauds": None if card.frauds is None else f"{card.frauds:,}{rate}",
            "Time span": None if card.time_span is None else " to ".join(card.time_span),
            **{role.capitalize(): column for role, column in card.roles.items()},
            f"Features ({len(card.features)})": ", ".join(card.features),
            "Of these categorical": ", ".join(card.categorical),
            "Sampling": card.sampled,
            "Split": card.split,
        }
    )
    header = ("role", "rows", "frauds", "fraud rate", "from", "to")
    rows = [(p.name, p.rows, p.frauds, f"{p.frauds / max(p.rows, 1):.3%}", p.start, p.end) for p in card.parts]
    return join(known, table(header, rows) if rows else "")


def tuning(card: "ModelCard") -> str:
    """How the parameters were found, and what they are: a row a member of the model."""
    known = facts(
        {
            "Search space": card.search_space,
            "Trials": ", ".join(f"{count:,} {status}" for status, count in card.trials.items()),
            "Optimized": None if card.metric is None else f"{readable(card.metric)}, mean over the validation folds",
        }
    )
    # As text: a parameter is worth all of its digits.
    rows = [
        (name, f"{weight:.0%}", ", ".join(f"{parameter} = {value}" for parameter, value in params.items()))
        for name, weight, params in card.members
    ]
    how = "The model averages the log-odds of several trials, each fitted on its own:" if len(rows) > 1 else ""
    return join(known, how, table(("trial", "share", "parameters"), rows) if rows else "")


def metrics(card: "ModelCard") -> str:
    """How good it is: validation, holdout, baselines, side by side."""
    names = list(dict.fromkeys([*card.holdout, *(n for n in card.validation if not n.endswith("_std"))]))
    if not names:
        return "None are known."
    header = ["metric", "validation, mean ± std", "holdout", *card.baselines]
    if card.intervals:
        header.insert(3, f"holdout, {card.interval_level:.0%} interval")
    rows = []
    for name in names:
        row = [readable(name), _spread(card.validation, name), _number(card.holdout.get(name))]
        row += [_interval(card.intervals.get(name))] if card.intervals else []
        rows.append([*row, *(_number(values.get(name)) for values in card.baselines.values())])
    gains = [
        f"Gain in {readable(card.metric or 'the metric')} over {text(baseline)}: {value:+.4f} "
        f"({card.interval_level:.0%} interval {low:+.4f} to {high:+.4f})"
        for baseline, (value, low, high) in card.gains.items()
    ]
    return join(
        _WHICH_ROWS,
        table(header, rows),
        bullets(gains),
        "The holdout shows the model to be better than guessing." if card.has_signal else "",
        "" if card.intervals else "How sure the holdout's numbers are was not computed.",
        "" if card.baselines else "No baselines were computed.",
    )


def threshold(card: "ModelCard") -> str:
    """What the threshold is and means."""
    if card.threshold is None:
        return "None is known."
    recall, precision = card.holdout.get("recall"), card.holdout.get("precision")
    meaning = [
        "" if recall is None else f"of 100 frauds about {100 * recall:.0f} are found",
        "" if precision is None else f"of 100 alarms about {100 * precision:.0f} are fraud",
    ]
    told = ", ".join(part for part in meaning if part)
    return join(
        f"A transaction is called fraud where its probability is at least **{card.threshold:.4g}**."
        + (f" On the holdout: {told}." if told else ""),
        text(card.threshold_rule),
    )


def limits(card: "ModelCard") -> str:
    """What a user must know before trusting it."""
    fits = {
        True: "The model was fitted once more on all rows, holdout included. The holdout's numbers are those of the "
        "same configuration without these rows: the final fit itself has not been judged by anything.",
        False: "The model was fitted without the holdout's rows.",
        None: "Whether the model was fitted once more on all rows is not known.",
    }
    sampling = (
        "If frauds or periods were sampled, probabilities and precision are those of the sample, not of the stream of "
        "transactions."
    )
    return bullets(
        [
            fits[card.refit_on_all],
            *(["Whether it is better than guessing was not tested."] if card.has_signal is None else []),
            *([] if card.sampled else [sampling]),
            *_LIMITS,
            *map(text, card.limits),
        ]
    )


def loading(card: "ModelCard") -> str:
    """The code that loads it."""
    version = "<version>" if card.version is None else card.version
    return f"""\
```python
import mlflow

model = mlflow.pyfunc.load_model("{card.model_uri or f"models:/{card.name}/{version}"}")
model.predict(frame)  # 1 is fraud
model.predict(frame, params={{"predict_method": "predict_proba"}})  # probabilities of legitimate and of fraud
```

`frame` is a DataFrame with the feature columns under *Data*; values may be missing."""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _spread(values: Mapping[str, float], name: str) -> str:
    deviation = values.get(f"{name}_std")
    return _number(values.get(name)) + ("" if deviation is None else f" ± {deviation:.4f}")


def _interval(interval: "Interval | None") -> str:
    return "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"
