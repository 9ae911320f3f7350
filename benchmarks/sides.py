"""What each figure of `make bench` compares, what is wanted of it, and how it is told."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Side:
    """A number of one side of a figure; a side that ran several times has several."""

    figure: str
    side: str
    value: float
    unit: str


@dataclass(frozen=True)
class Figure:
    """What a figure compares.

    Attributes:
        first: the side that is divided, or that the other one is taken from.
        second: the other side; its numbers belong to those of `first` in their order.
        compared: `ratio` of the medians; `difference`, the mean over pairs; `each`, both medians for themselves.
        least: what is wanted at least, if anything.
        most: what is wanted at most, if anything.
    """

    first: str
    second: str
    compared: Literal["ratio", "difference", "each"]
    least: float | None = None
    most: float | None = None


PROCESS = "1. whole process, article's space and data"
SAME_SPLIT = "1. best validation F1, article's space on the script's own split"
FLOOR = "2. tuning past its first 10 s against the floor"
OVERHEAD = "3. what a trial costs beyond its fitting"
OPTUNA = "4. validation average precision at equal wall clock, against plain Optuna"
FLAML = "4. validation average precision at equal wall clock, against FLAML"

FIGURES = {
    PROCESS: Figure("article_baseline.py", "dagster asset materialize", "ratio", least=10),
    SAME_SPLIT: Figure("this project", "the script's way", "difference", least=0),
    FLOOR: Figure("tuning past its first 10 s", "fitting / cores", "ratio", most=1.3),
    OVERHEAD: Figure("MLflow over HTTP", "no MLflow", "each", most=50),
    OPTUNA: Figure("this project", "plain Optuna", "difference", least=0),
    FLAML: Figure("this project", "FLAML", "difference", least=0),
}


def summary(figure: str, sides: Sequence[Side]) -> Iterator[str]:
    """The figure's name, the median of each of its sides, the comparison, and whether it is what is wanted."""
    wanted = FIGURES[figure]
    values = {name: [s.value for s in sides if s.side == name] for name in (wanted.first, wanted.second)}
    units = {s.side: s.unit for s in sides}
    yield figure
    for name in dict.fromkeys([wanted.first, wanted.second, *units]):
        found = [s.value for s in sides if s.side == name]
        if not found:
            yield f"    {name}: did not run"
            continue
        several = (
            f"  (median of {len(found)}: {_number(min(found))} to {_number(max(found))})" if len(found) > 1 else ""
        )
        yield f"    {name}: {_number(statistics.median(found))} {units[name]}".rstrip() + several
    first, second = values[wanted.first], values[wanted.second]
    if not first or not second:
        return
    if wanted.compared == "each":
        both = [statistics.median(first), statistics.median(second)]
        yield f"    ratio {_number(both[0] / both[1])}, each " + _verdict(wanted, both)
    elif wanted.compared == "ratio":
        ratio = statistics.median(first) / statistics.median(second)
        yield f"    ratio {_number(ratio)}, " + _verdict(wanted, [ratio])
    else:
        pairs = [a - b for a, b in zip(first, second, strict=True)]
        mean = statistics.fmean(pairs)
        error = f" ± {statistics.stdev(pairs) / len(pairs) ** 0.5:.4f} (standard error)" if len(pairs) > 1 else ""
        yield f"    mean difference of {len(pairs)} {mean:+.4f}{error}, " + _verdict(wanted, [mean])


def _verdict(wanted: Figure, values: Sequence[float]) -> str:
    bounds, met = [], True
    if wanted.least is not None:
        bounds.append(f"at least {wanted.least:g}")
        met &= min(values) >= wanted.least
    if wanted.most is not None:
        bounds.append(f"at most {wanted.most:g}")
        met &= max(values) <= wanted.most
    return f"{' and '.join(bounds)} is wanted: {'met' if met else 'NOT met'}"


def _number(value: float) -> str:
    return f"{value:.4g}"
