"""What has come since some earlier moment: which objects, and how many rows and frauds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fraud_assets.ml.identity import digest
from fraud_assets.ml.ingest.inspection import Inspection

_NAMED = 3


@dataclass(frozen=True)
class NewData:
    """The difference between what was and what is.

    Attributes:
        new: objects that were not there, sorted by path.
        changed: objects with other rows than before.
        deleted: objects that are gone, as they were.
    """

    new: tuple[Inspection, ...]
    changed: tuple[Inspection, ...]
    deleted: tuple[Inspection, ...]

    @classmethod
    def between(cls, before: Iterable[Inspection], now: Iterable[Inspection]) -> "NewData":
        """Compare by path and content: an object that was written again with the same rows is not new."""
        then, present = ({found.path: found for found in state} for state in (before, now))
        return cls(
            tuple(present[path] for path in sorted(present.keys() - then.keys())),
            tuple(
                present[path]
                for path in sorted(present.keys() & then.keys())
                if present[path].digest != then[path].digest
            ),
            tuple(then[path] for path in sorted(then.keys() - present.keys())),
        )

    @property
    def rows(self) -> int:
        """Rows of all these objects; one that changed counts as a whole, as it may have changed in any row."""
        return sum(found.rows for found in self._all)

    @property
    def frauds(self) -> int:
        """Frauds among them."""
        return sum(found.frauds for found in self._all)

    @property
    def problems(self) -> list[str]:
        """What is wrong with objects that can't be read."""
        return [found.problem for found in (*self.new, *self.changed) if found.problem]

    @property
    def _all(self) -> Sequence[Inspection]:
        return (*self.new, *self.changed, *self.deleted)

    def named(self, folder: str) -> dict[str, str]:
        """The objects of each kind in a few words: how many, and the first of them, below `folder`."""
        kinds = {"new": self.new, "changed": self.changed, "deleted": self.deleted}
        return {kind: _few(found, folder) for kind, found in kinds.items() if found}

    def told(self, folder: str) -> str:
        """One sentence."""
        objects = "; ".join(f"{kind} {names}" for kind, names in self.named(folder).items()) or "no objects"
        return f"{objects}: {self.rows:,} rows, {self.frauds:,} frauds"


def content(state: Iterable[Inspection]) -> str:
    """Digest of what the objects hold and of their names, whatever their times are."""
    return digest(sorted((found.path, found.digest) for found in state))


def listing(state: Mapping[str, tuple[int, int]]) -> str:
    """Digest of path, size and time of each object: what tells that nothing was written meanwhile."""
    return digest(sorted((path, *told) for path, told in state.items()))


def _few(found: Sequence[Inspection], folder: str) -> str:
    names = [each.path.removeprefix(folder).lstrip("/") or each.path for each in found[:_NAMED]]
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"{', '.join(names)}{more}"
