"""Which of the label's two values means fraud."""

from collections.abc import Sequence

from fraud_assets.ml.ingest.problems import listed, shown
from fraud_assets.ml.schema import Label

# Texts that mean fraud without being told so.
_FRAUD = {"1", "true", "t", "yes", "y", "fraud", "fraudulent"}

# How YAML, environment variables and the Launchpad spell a boolean.
_TRUE, _FALSE = {"1", "1.0", "true", "yes"}, {"0", "0.0", "false", "no"}


def find_positive(values: Sequence[Label], wanted: Label | None) -> Label | str:
    """The value that means fraud, as it stands in `values`.

    Args:
        values: the label's two values, of one type.
        wanted: what the user named, perhaps in another type ("1" for 1, 1 for True); None infers it.

    Raises:
        ValueError: `wanted` is none of `values`, or it is None and the values don't tell by themselves.
    """
    if wanted is None:
        return _infer(values)
    # Equal values first: there may be a "True" beside a "true".
    for same in (_equal, _alike):
        matches = [value for value in values if same(value, wanted)]
        if len(matches) == 1:
            return matches[0]
    raise ValueError(f"positive_label {shown(wanted)} is none of its values {listed(values)}")


def fraud_values(values: Sequence[Label], wanted: Label | None) -> list[Label]:
    """Those of `values` that mean fraud, where there may be one of the two alone, or more than two.

    For counting before the data is validated; none where the values don't tell by themselves.
    """
    if wanted is not None:
        equal = [value for value in values if _equal(value, wanted)]
        return equal or [value for value in values if _alike(value, wanted)]
    return [value for value in values if _means_fraud(value, [other for other in values if other != value])]


def _infer(values: Sequence[Label]) -> Label:
    candidates = fraud_values(values, None)
    if len(candidates) != 1:
        raise ValueError(
            f"which of its values {listed(values)} means fraud is not obvious: name it as `positive_label`"
        )
    return candidates[0]


def _means_fraud(value: Label, others: Sequence[Label]) -> bool:
    spelling = _spelling(value)
    if spelling in {"1", "1.0"}:
        # Beside a 2, the 1 may mean either.
        return all(_spelling(other) in {"0", "0.0", "-1", "-1.0"} for other in others)
    return spelling in _FRAUD


def _equal(value: Label, wanted: Label) -> bool:
    return type(value) is type(wanted) and value == wanted


def _alike(value: Label, wanted: Label) -> bool:
    spelling = _spelling(wanted)
    if isinstance(value, bool):
        return spelling in (_TRUE if value else _FALSE)
    if isinstance(value, str):
        return value.strip().casefold() == spelling
    if isinstance(wanted, bool):
        return value == int(wanted)
    try:
        return float(wanted) == value
    except ValueError:
        return spelling in (_TRUE if value == 1 else _FALSE if value == 0 else ())


def _spelling(value: Label) -> str:
    return str(value).strip().casefold()
