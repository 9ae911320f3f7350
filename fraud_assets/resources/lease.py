"""Who works in a folder of the storage: one at a time, and nobody for long who has crashed."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from random import uniform

from pyarrow import fs

from fraud_assets.resources.object_store import (
    Location,
    ObjectNotFoundError,
    StorageError,
    delete_object,
    explain_errors,
    read_object,
    replace_object,
)
from fraud_assets.resources.owner import Owner
from fraud_assets.resources.trials import TrialRecord

_RENEW_S = 10.0
# Longer than a storage may be away without anybody's fault.
_STALE_S = 180.0
_TRIES = 3


class LeaseTakenError(Exception):
    """Somebody else works there; the message says who, and what to do."""


class LeaseLostError(Exception):
    """The storage did not take a sign of life for so long that somebody else may work there by now."""


class Lease:
    """A folder's owner, told by objects in it, without anything that not every storage has, such as locks.

    Whoever wants it writes a claim, and then looks for other ones. As both do so in this order, two of them can't miss
    each other; both step back then, and try again at different times. The holder renews its claim, and one that was not
    renewed for long, by the storage's clock, is nobody's.
    """

    def __init__(self, folder: Location, *, renew_s: float = _RENEW_S, stale_s: float = _STALE_S) -> None:
        """A lease of which `folder` tells, renewed each `renew_s` seconds, and nobody's after `stale_s` without."""
        self._folder = folder
        self._renew_s = renew_s
        self._stale_s = stale_s
        self._renewed = 0.0

    @contextmanager
    def held(
        self, run_id: str, *, is_over: Callable[[str], bool] = lambda run_id: False, wait_s: float = 0.0
    ) -> Iterator["Lease"]:
        """Hold the lease inside, on behalf of a Dagster run.

        Args:
            run_id: the Dagster run.
            is_over: whether another one is known to have ended: its claim is nobody's after three renewals missed.
            wait_s: for so long its holder is waited for.

        Raises:
            LeaseTakenError: somebody else holds it. Where its holder doesn't renew it, this takes until it is stale.
            StorageError: the storage refused it.
        """
        owner = Owner.this_process(run_id)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                claim = self._take(owner, is_over)
                break
            except LeaseTakenError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(uniform(0.5, 2.5))
        stop = threading.Event()
        thread = threading.Thread(target=self._keep, args=(claim, owner, stop), name="lease", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()
            with suppress(StorageError):  # it goes stale by itself
                delete_object(self._folder.child(claim))

    def check(self) -> None:
        """Raise LeaseLostError if somebody else may have it by now."""
        if time.monotonic() - self._renewed > 0.9 * self._stale_s:
            raise LeaseLostError(
                f"{self._folder} took no sign of life for {self._stale_s:.0f} s, so that another run may work on the "
                "experiment by now; start again to go on with it"
            )

    def _take(self, owner: Owner, is_over: Callable[[str], bool]) -> str:
        claim = f"{uuid.uuid4().hex}.json"
        for left in reversed(range(_TRIES)):
            self._renew(claim, owner, held=False)
            try:
                other = self._other(claim, owner, is_over)
                if other is None:
                    self._renew(claim, owner)
                    return claim
            except BaseException:
                delete_object(self._folder.child(claim))
                raise
            delete_object(self._folder.child(claim))
            if other.held or not left:
                break
            # Two that step back at the same time would meet again.
            time.sleep(uniform(0.5, 2.5))
        assert other is not None
        raise LeaseTakenError(
            f"Dagster run {other.owner.run_id} (process {other.owner.pid} on {other.owner.host}) works in "
            f"{self._folder} too: wait for its end, or terminate it"
        )

    def _other(self, claim: str, owner: Owner, is_over: Callable[[str], bool]) -> "_Claim | None":
        """Who else claims the folder and lives; what the dead left is deleted."""
        first: dict[str, datetime] = {}
        while True:
            waiting = False
            renewed = self._claims()
            for name in renewed.keys() - {claim}:
                place = self._folder.child(name)
                try:
                    other = _Claim.parse(read_object(place))
                except ObjectNotFoundError:
                    continue
                silent = (renewed[claim] - renewed[name]).total_seconds() if claim in renewed else 0
                # A step may outlive its run for a moment, and would renew its claim then.
                patience = 3 * self._renew_s if is_over(other.owner.run_id) else self._stale_s
                if other.owner.has_died or silent > patience:
                    delete_object(place)
                elif first.setdefault(name, renewed[name]) != renewed[name]:
                    return other
                else:
                    waiting = True
            if not waiting:
                return None
            # It was not renewed since it was first looked at: its holder is dead, or did not have to yet.
            time.sleep(self._renew_s / 2)
            self._renew(claim, owner, held=False)

    def _claims(self) -> dict[str, datetime]:
        """When each claim was last renewed, by the storage's clock."""
        with explain_errors(self._folder):
            listed = self._folder.filesystem.get_file_info(fs.FileSelector(self._folder.path, allow_not_found=True))
        return {info.base_name: info.mtime for info in listed if info.base_name.endswith(".json")}

    def _renew(self, claim: str, owner: Owner, *, held: bool = True) -> None:
        # Other bytes each time: some storages leave an equal object as it is.
        content = {"owner": asdict(owner), "held": held, "renewal": uuid.uuid4().hex}
        replace_object(self._folder.child(claim), json.dumps(content).encode())
        self._renewed = time.monotonic()

    def _keep(self, claim: str, owner: Owner, stop: threading.Event) -> None:
        while not stop.wait(self._renew_s):
            with suppress(StorageError):  # `check` tells when it was too often
                self._renew(claim, owner)


@dataclass(frozen=True)
class _Claim:
    """Who claims a folder, and whether he has it already or still looks for others."""

    owner: Owner
    held: bool

    @classmethod
    def parse(cls, content: bytes) -> "_Claim":
        value = json.loads(content)
        return cls(Owner(**value["owner"]), value["held"])


class Watch:
    """Listens to trials, and ends the study when its lease is lost: two would write to one experiment."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def trial_started(self, trial: TrialRecord) -> None:
        """Raise LeaseLostError if the lease is lost."""
        self._lease.check()

    def trial_ended(self, trial: TrialRecord) -> None:
        """Raise LeaseLostError if the lease is lost."""
        self._lease.check()
