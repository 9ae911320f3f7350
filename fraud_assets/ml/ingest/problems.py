"""What is wrong with the input, collected so that one failure tells all of it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fraud_assets.ml.schema import DataError

ROWS_SHOWN = 5
PROBLEMS_SHOWN = 20

# A value out of the data may be a page of text; a message shows the beginning.
_VALUE_LENGTH = 40

_ROW_NOTE = "Rows are counted from 1 in each object; a CSV's row 1 is the line under its header, blank lines left out."


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, in one line.

    Attributes:
        where: the object, or the location where it concerns all objects.
        what: what was found and what was expected.
        column: the column, or None where it concerns the whole object.
        rows: the first rows concerned, counted from 1 within `where`.
        row_count: how many rows are concerned in all; more than `rows` if the list was cut.
    """

    where: str
    what: str
    column: str | None = None
    rows: Sequence[int] = ()
    row_count: int = 0

    def __str__(self) -> str:
        column = "" if self.column is None else f", column {shown(self.column)}"
        return f"{self.where}{column}{self._rows()}: {self.what}"

    def _rows(self) -> str:
        rows = list(self.rows[:ROWS_SHOWN])
        if not rows:
            return ""
        more = max(self.row_count, len(self.rows)) - len(rows)
        listed = ", ".join(str(row) for row in rows)
        return f", {'rows' if len(rows) > 1 else 'row'} {listed}" + (f" and {more:,} more" if more else "")


class Problems:
    """Collects problems of one location and raises them together.

    Args:
        location: what the user calls the place that is read.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self._found: list[Problem] = []

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._found)

    def add(self, problem: Problem) -> None:
        """Remember a problem."""
        self._found.append(problem)

    def extend(self, problems: Iterable[Problem]) -> None:
        """Remember several problems."""
        self._found.extend(problems)

    def raise_any(self) -> None:
        """Raise one DataError that lists at most `PROBLEMS_SHOWN` problems; nothing if there are none."""
        if not self._found:
            return
        count = len(self._found)
        lines = [f"{self.location} can't be used: {count} problem{'s' if count > 1 else ''}"]
        lines += [f"- {problem}" for problem in self._found[:PROBLEMS_SHOWN]]
        if count > PROBLEMS_SHOWN:
            lines.append(f"- and {count - PROBLEMS_SHOWN:,} more")
        if any(problem.rows for problem in self._found[:PROBLEMS_SHOWN]):
            lines.append(_ROW_NOTE)
        raise DataError("\n".join(lines))


def shown(value: object) -> str:
    """`value` as a message shows it: quoted if it is text, on one line, cut if it is long."""
    text = repr(value)
    return text if len(text) <= _VALUE_LENGTH else text[: _VALUE_LENGTH - 1] + "…"


def listed(values: Iterable[object], limit: int = 10) -> str:
    """The first `limit` values, comma separated, and how many there are beyond them."""
    all_values = list(values)
    more = len(all_values) - limit
    return ", ".join(shown(value) for value in all_values[:limit]) + (f" and {more:,} more" if more > 0 else "")
