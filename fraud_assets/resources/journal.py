"""What became of each trial of an experiment, written beside Tune's results as it happens.

It is what a later run goes on from. Tune's own snapshot of an experiment is seconds late (of eight finished trials it
knew four), comes after the first trials have started, and reaches S3 only now and then; `Tuner.restore` runs again what
it doesn't know.
"""

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from pyarrow import fs

from fraud_assets.resources.object_store import (
    Location,
    ObjectNotFoundError,
    StorageError,
    explain_errors,
    read_object,
    replace_object,
)
from fraud_assets.resources.patience import PATIENCE_S, patiently
from fraud_assets.resources.trials import TrialRecord

_STARTED, _ENDED = "started", "ended"
_READERS = 16


class Journal:
    """Listens to trials and keeps an object for the start, and one for the end, of each.

    The trials of an experiment are numbered from 0 in the order in which they are first started. A trial that was
    interrupted has its number again when one with the same parameters is started, so that an experiment of n trials has
    n numbers, however often it was interrupted.

    Attributes:
        ended: the trials that ended before, in the order of their numbers.
        interrupted: those that were started before and did not end, in that order.
    """

    def __init__(self, folder: Location, *, patience_s: float = PATIENCE_S) -> None:
        """Read what earlier runs left in `folder`.

        Raises:
            StorageError: the storage refused it, or an object is none of ours.
        """
        self._folder = folder
        self._patience_s = patience_s
        found = _read(folder)
        self.ended = [ended for _, (_, ended) in sorted(found.items()) if ended is not None]
        under_way = {number: started for number, (started, ended) in sorted(found.items()) if ended is None and started}
        self.interrupted = list(under_way.values())
        self._again: defaultdict[str, list[int]] = defaultdict(list)
        for number, trial in under_way.items():
            self._again[_key(trial)].append(number)
        self._next = max(found, default=-1) + 1
        self._numbers: dict[str, int] = {}

    @property
    def numbered(self) -> int:
        """How many trials were started, those that are started again counted once."""
        return self._next

    def trial_started(self, trial: TrialRecord) -> None:
        """Keep its parameters."""
        self._write(self._number(trial), _STARTED, trial)

    def trial_ended(self, trial: TrialRecord) -> None:
        """Keep its result; it counts as ended from then on."""
        self._write(self._number(trial), _ENDED, trial)

    def _number(self, trial: TrialRecord) -> int:
        if trial.trial_id not in self._numbers:
            again = self._again.get(_key(trial))
            if again:
                self._numbers[trial.trial_id] = again.pop(0)
            else:
                self._numbers[trial.trial_id] = self._next
                self._next += 1
        return self._numbers[trial.trial_id]

    def _write(self, number: int, what: str, trial: TrialRecord) -> None:
        place = self._folder.child(f"{number:06d}.{what}.json")
        content = json.dumps(asdict(trial), default=_plain).encode()
        patiently(lambda: replace_object(place, content), StorageError, for_s=self._patience_s)


def _read(folder: Location) -> dict[int, tuple[TrialRecord | None, TrialRecord | None]]:
    """Start and end of each trial by its number."""
    with explain_errors(folder):
        listed = folder.filesystem.get_file_info(fs.FileSelector(folder.path, allow_not_found=True))
    names = sorted(info.base_name for info in listed if info.base_name.endswith(f".{_STARTED}.json"))
    names += sorted(info.base_name for info in listed if info.base_name.endswith(f".{_ENDED}.json"))
    with ThreadPoolExecutor(_READERS) as readers:
        trials = list(readers.map(lambda name: _parse(folder.child(name)), names))
    found: dict[int, tuple[TrialRecord | None, TrialRecord | None]] = {}
    for name, trial in zip(names, trials, strict=True):
        number, what, _ = name.split(".")
        started, ended = found.get(int(number), (None, None))
        found[int(number)] = (trial, ended) if what == _STARTED else (started, trial)
    return found


def _parse(place: Location) -> TrialRecord:
    try:
        return TrialRecord(**json.loads(read_object(place)))
    except (TypeError, ValueError) as error:
        raise StorageError(f"{place} is no record of a trial: {error}") from error
    except ObjectNotFoundError as error:
        raise StorageError(f"{place} went away while the experiment was read: does another run work on it?") from error


def _key(trial: TrialRecord) -> str:
    """Equal for equal parameters."""
    return json.dumps(trial.params, sort_keys=True, default=_plain)


def _plain(value: object) -> object:
    """A NumPy number as JSON knows it."""
    item = getattr(value, "item", None)
    if item is None:
        raise TypeError(f"a parameter of a trial is {type(value).__name__}; expected numbers, texts, True or False")
    return item()
