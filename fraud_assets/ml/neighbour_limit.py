"""How many rows a resampler may search for neighbours, and what becomes of more."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

PastLimit = Literal["fail", "sample"]


@dataclass(frozen=True)
class Search:
    """A resampler's search for neighbours.

    Attributes:
        rows: among how many rows.
        drawn: the class of which a sample leaves rows out.
        whole: how many rows of the other class, of which a sample leaves none out, are searched as well; None where
            `drawn` alone is searched.
    """

    rows: int
    drawn: int = 0
    whole: int | None = None


# AllKNN on 15 columns, two threads on two busy cores: 15, 58, 163 s for 20,000, 50,000, 100,000 rows of numbers; 4, 19,
# 104 s where five of the columns are codes (33 columns as distances have it). Extrapolated, 200,000 rows take 7 to 9
# minutes, which a search can wait for once a fold, and 1,750,000 many hours.
@dataclass(frozen=True)
class NeighbourLimit:
    """A bound on rows, because the time of a search grows with almost the square of them.

    Attributes:
        rows: how many may be searched, at most.
        past: `fail`: a resampler that would search more raises. `sample`: it works on a sample of all rows of the
            smaller class, and of others that are drawn at random.
        share: of the larger class, what a sample has; None for what makes it as large as `rows`. See `within`.
    """

    rows: int = 200_000
    past: PastLimit = "fail"
    share: float | None = None

    def within(self, y: np.ndarray) -> "NeighbourLimit":
        """The limit for all fits on parts of the rows with labels `y`.

        A sample has more frauds in a hundred rows than there are. The threshold, and a calibrator, are chosen on the
        folds, and have to mean the same for the refit on all rows: so the share that this one allows is that of all.
        """
        return replace(self, share=self._share(y))

    def _share(self, y: np.ndarray) -> float:
        counts = np.bincount(y, minlength=2)
        larger, smaller = int(counts.max()), int(counts.min())
        return min(1.0, max(self.rows - smaller, smaller) / max(larger, 1))

    def problem(self, resampler: str, searches: Mapping[str, Search]) -> str | None:
        """What the limit doesn't allow, with the rows of each fit, and what to do about it; None where it allows all.

        Args:
            resampler: its name.
            searches: what it would search, by the rows' name.
        """
        past = {rows: search for rows, search in searches.items() if search.rows > self.rows}
        told = ", ".join(f"{search.rows:,} in {rows}" for rows, search in past.items())
        looks = f"resampler {resampler!r} looks for neighbours among {told}; neighbour_limit is {self.rows:,} rows"
        if past and self.past == "fail":
            return (
                f"{looks}: raise it (the time grows with almost the square of the rows), set past_neighbour_limit to "
                f"sample, or use a search space without {resampler!r}"
            )
        if smaller := max((w for search in past.values() if 2 * (w := search.whole or 0) > self.rows), default=0):
            return (
                f"{looks}, and a sample of so many can't have all {smaller:,} rows of the smaller class and as many of "
                f"the other: raise it, or use a search space without {resampler!r}"
            )
        return None

    def sample(self, search: Search, y: np.ndarray, seed: int) -> np.ndarray:
        """The positions of the rows that are searched, and of all that needn't be, in their order."""
        if self.past == "fail" or search.rows == 0:
            return np.arange(len(y))
        drawn = np.flatnonzero(y == search.drawn)
        share = self._share(y) if self.share is None else self.share
        number = min(len(drawn), self.rows) if search.whole is None else round(share * len(drawn))
        chosen = np.random.default_rng(seed).choice(drawn, number, replace=False)
        return np.sort(np.concatenate([np.flatnonzero(y != search.drawn), chosen]))


DEFAULT_LIMIT = NeighbourLimit()
