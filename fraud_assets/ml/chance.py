"""What average precision scores reach that know nothing: the level that a model must exceed to have a signal."""

from dataclasses import dataclass

import numpy as np

from fraud_assets.ml.scored_rows import ScoredRows

# Numbers in the largest array of a batch of permutations: 32 MB of float64.
_BATCH = 4_000_000


@dataclass(frozen=True)
class ChanceLevel:
    """The average precision of the same scores if the frauds had happened elsewhere.

    It is more than the prevalence, because a ranking's first hits count most: with few frauds, by several times
    (Bestgen 2015, "Exact expected average precision of the random baseline for system evaluation").

    Attributes:
        average_precision: the mean over permutations.
        p_value: the share of permutations, the data as it is among them, that reach what the model reaches (Phipson and
            Smyth 2010, "Permutation p-values should never be zero").
        permutations: how many.
    """

    average_precision: float
    p_value: float
    permutations: int


def chance_level(rows: ScoredRows, permutations: int, seed: int) -> ChanceLevel:
    """Permute where the frauds are, and leave the scores where they are.

    All frauds of an entity go to another one together, drawn by its number of rows among those that have enough, and
    there to rows that follow each other in time. So scores that merely tell entities apart gain nothing from frauds
    that come in bursts; permuting rows one by one would call that a signal. Without entities rows are permuted.

    Args:
        rows: predictions; both classes must occur.
        permutations: how many.
        seed: equal seeds permute alike.
    """
    random = np.random.default_rng(seed)
    entity = np.arange(len(rows)) if rows.entity is None else rows.entity
    order = np.argsort(entity, kind="stable") if rows.day is None else np.lexsort((rows.day, entity))
    _, start, index, size = np.unique(entity[order], return_index=True, return_inverse=True, return_counts=True)
    y = rows.y[order]
    reaching = _rows_reaching(rows.probability[order])
    observed = _average_precision(reaching[y == 1][:, None])[0]

    frauds_of = np.bincount(index, weights=y).astype(np.int64)
    bursts = frauds_of[frauds_of > 0]
    # Rows of large entities first: those of entities with enough rows for a burst are the first ones.
    by_size = np.argsort(-size[index], kind="stable")
    enough = np.searchsorted(-size[index][by_size], -bursts, side="right")
    burst = np.repeat(np.arange(len(bursts)), bursts)
    within = np.concatenate([np.arange(length) for length in bursts])[:, None]
    values = []
    batch = max(1, _BATCH // len(burst))
    for first in range(0, permutations, batch):
        shape = (len(bursts), min(batch, permutations - first))
        begin = by_size[random.integers(0, enough[:, None], shape)][burst]
        to = index[begin]
        values.append(_average_precision(reaching[start[to] + (begin - start[to] + within) % size[to]]))
    permuted = np.concatenate(values)
    # Sums in another order differ in their last digits.
    reached = int((permuted >= observed - 1e-12).sum())
    return ChanceLevel(float(permuted.mean()), (1 + reached) / (1 + permutations), permutations)


def _rows_reaching(probability: np.ndarray) -> np.ndarray:
    """How many rows have at least the probability of each row, shape (rows,)."""
    return len(probability) - np.searchsorted(np.sort(probability), probability, side="left")


def _average_precision(reaching: np.ndarray) -> np.ndarray:
    """Average precision from how many rows reach each fraud's probability, shape (frauds, permutations)."""
    reaching = np.sort(reaching, axis=0)
    frauds = len(reaching)
    # Of equal ones, all count as found: the last one's position.
    position = np.broadcast_to(np.arange(1, frauds + 1)[:, None], reaching.shape).copy()
    position[:-1][reaching[:-1] == reaching[1:]] = frauds
    found = np.minimum.accumulate(position[::-1], axis=0)[::-1]
    return np.asarray((found / reaching).mean(axis=0))
