"""Resampling of the fitting rows: with the samplers of imbalanced-learn, or with a user's own.

Neighbours are looked for among scaled, imputed columns, because the distance between unscaled ones is decided by the
column with the largest unit. What comes out is in the units of the data, and lacks values where the data does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fraud_assets.ml import samplers
from fraud_assets.ml.neighbour_limit import DEFAULT_LIMIT, NeighbourLimit, Search
from fraud_assets.ml.own_resampler import make_own, resample_with_own
from fraud_assets.ml.scaled_space import ScaledSpace
from fraud_assets.ml.schema import DataError

RESAMPLERS = ("allknn", "smote", "borderline_smote", "smote_enn", "random_under", "passthrough")
# Those that take a ratio; the others decide by themselves how many rows there are afterwards.
WITH_RATIO = ("smote", "borderline_smote", "smote_enn", "random_under")
# How a configuration names the parameters of a user's own resampler.
OWN_PARAMETER = "resampler__"


@dataclass(frozen=True)
class Resampled:
    """The outcome of resampling: which rows were kept, and which rows were made up.

    Attributes:
        kept: positions of the kept rows among those that went in, in order, shape (kept,), int64; only a user's own
            resampler keeps a row twice.
        made_up: the rows that were made up, shape (made up, columns), float32.
        made_up_labels: their labels, shape (made up,), int8.
    """

    kept: np.ndarray
    made_up: np.ndarray
    made_up_labels: np.ndarray

    def apply(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows to fit on, from the rows that went in."""
        if len(self.made_up_labels) == 0 and np.array_equal(self.kept, np.arange(len(y))):
            return X, y
        return np.vstack([X[self.kept], self.made_up]), np.concatenate([y[self.kept], self.made_up_labels])


@dataclass(frozen=True)
class Resampler:
    """What a configuration says of resampling: two that are equal make the same of the same rows.

    Attributes:
        name: one of `RESAMPLERS`, or the import path of a user's own:

            - `allknn` removes legitimate rows whose neighbours disagree with them (Tomek 1976);
            - `smote` makes up minority rows between neighbours (Chawla et al. 2002; SMOTENC or SMOTEN where there are
              discrete columns, which can't be interpolated);
            - `borderline_smote` does so only from minority rows in danger, those with at least half, but not all, of
              their 10 neighbours in the majority (Borderline-SMOTE1, Han et al. 2005), and makes nothing up where no
              row is; a made-up row has the discrete values of the nearer of the two rows it lies between;
            - `smote_enn` is `smote`, after which rows of either class, made up or not, go unless their 3 neighbours
              are of the same class (Batista et al. 2004, who let 2 of 3 decide; imbalanced-learn asks for all);
            - `random_under` drops legitimate rows at random;
            - `passthrough` does nothing;
            - `package.module:Name` is what the user's class makes of the rows: see `own_resampler`.
        ratio: frauds for each legitimate row, to the nearest row, over 0 and up to 1; for `smote_enn` before rows go.
            Where making rows up, or dropping them, would only lead away from it, the rows stay as they are (`smote_enn`
            still cleans them). None is balance, of whichever class is the smaller, and for `random_under` 1 / 30.
        parameters: (name, value) of each argument of a user's class, sorted.
    """

    name: str = "passthrough"
    ratio: float | None = None
    parameters: tuple[tuple[str, str | float | bool | None], ...] = ()

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "Resampler":
        """The resampler of a trial's configuration.

        Raises:
            ValueError: a parameter of it isn't a scalar.
        """
        for name, value in params.items():
            if name.startswith(OWN_PARAMETER) and not isinstance(value, str | int | float | None):
                raise ValueError(f"{name} is {value!r}: expected a number, a string, a boolean or None")
        own = {n.removeprefix(OWN_PARAMETER): v for n, v in params.items() if n.startswith(OWN_PARAMETER)}
        name = str(params.get("resampler", "passthrough"))
        return cls(name, params.get("sampling_ratio"), tuple(sorted(own.items())))

    @property
    def is_own(self) -> bool:
        """Whether it is a user's."""
        return ":" in self.name

    def check(self) -> None:
        """Refuse what can't resample any rows.

        Raises:
            ValueError: no resampler has this name, it takes no ratio or parameter, the ratio is out of range, or a
                user's own can't be made (`own_resampler.make_own`).
        """
        if not self.is_own and self.name not in RESAMPLERS:
            raise ValueError(
                f"resampler {self.name!r} is unknown: expected one of {list(RESAMPLERS)}, or the import path of your "
                "own, such as 'my_package.samplers:MySampler'"
            )
        if self.ratio is not None and self.name not in WITH_RATIO:
            raise ValueError(
                f"resampler {self.name!r} takes no ratio, and got {self.ratio}: those that do are {list(WITH_RATIO)}"
            )
        if self.ratio is not None and not 0 < self.ratio <= 1:
            raise ValueError(f"ratio must be over 0 and at most 1, and is {self.ratio}")
        if self.is_own:
            make_own(self.name, dict(self.parameters), seed=0, n_jobs=1)
        elif self.parameters:
            raise ValueError(
                f"resampler {self.name!r} takes no parameters, and got {OWN_PARAMETER}{self.parameters[0][0]}: they "
                "are for your own resampler, named by its import path"
            )

    def search(self, y: np.ndarray) -> Search:
        """Among which of the rows with labels `y` it looks for neighbours; of a user's own we expect all."""
        counts = np.bincount(y, minlength=2)
        larger, smaller = int(counts.max()), int(counts.min())
        smaller_class, made_up = samplers.to_make_up(y, self.ratio)
        if self.name in ("passthrough", "random_under") or (self.name in ("smote", "borderline_smote") and not made_up):
            return Search(0)
        if self.name == "smote":
            return Search(smaller, smaller_class)
        return Search(larger + smaller, 1 - smaller_class, smaller)

    def __call__(
        self,
        X: np.ndarray,
        y: np.ndarray,
        discrete: np.ndarray,
        *,
        seed: int,
        n_jobs: int = 1,
        limit: NeighbourLimit = DEFAULT_LIMIT,
    ) -> Resampled:
        """Resample encoded fitting rows.

        Args:
            X: encoded features, shape (rows, columns), NaN where missing.
            y: labels, shape (rows,), 0 or 1.
            discrete: which columns are booleans or category codes, shape (columns,).
            seed: of the sampler's random numbers.
            n_jobs: threads of a neighbour search among all rows; SMOTE's, among the few frauds, has one.
            limit: of the rows that are searched for neighbours. Where a sample of them is
                searched, `smote` keeps all rows and makes up those between the sampled ones; for all others the rows
                outside of the sample are dropped, as they can't be judged: the share of frauds grows.

        Raises:
            DataError: too few rows of a class for the sampler, none left by it, more rows than `limit` allows, or a
                user's own fails.
            ValueError: see `check`.
        """
        self.check()
        search = self.search(y)
        problem = limit.problem(self.name, {"the fitting rows": search})
        if problem is not None:
            raise DataError(problem)
        among = limit.sample(search, y, seed)
        whole = len(among) == len(y)
        if self.name == "smote":
            space = ScaledSpace(X, discrete)
            made, labels = samplers.over_sample("smote", space, y, self.ratio, seed, n_jobs, None if whole else among)
            return Resampled(np.arange(len(y)), space.original(made), labels)
        # Indexing would copy all rows.
        X, y = (X, y) if whole else (X[among], y[among])
        sampled = self._of_all(X, y, discrete, seed, n_jobs)
        return Resampled(among[sampled.kept], sampled.made_up, sampled.made_up_labels)

    def _of_all(self, X: np.ndarray, y: np.ndarray, discrete: np.ndarray, seed: int, n_jobs: int) -> Resampled:
        everything = np.arange(len(y))
        none = np.empty((0, X.shape[1]), dtype=np.float32), np.empty(0, dtype=np.int8)
        if self.name == "passthrough":
            return Resampled(everything, *none)
        if self.name == "random_under":
            return Resampled(samplers.random_under(y, self.ratio, seed), *none)
        space = ScaledSpace(X, discrete)
        if self.name == "allknn":
            return Resampled(samplers.all_knn(space, y, n_jobs), *none)
        if self.name == "smote_enn":
            kept, made, labels = samplers.smote_enn(space, y, self.ratio, seed, n_jobs)
        elif self.is_own:
            kept, made, labels = resample_with_own(self.name, dict(self.parameters), space, y, seed=seed, n_jobs=n_jobs)
        else:
            kept = everything
            made, labels = samplers.over_sample(self.name, space, y, self.ratio, seed, n_jobs)
        return Resampled(kept, space.original(made), labels)
