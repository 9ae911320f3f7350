"""Listeners that the study doesn't wait for."""

import queue
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from fraud_assets.resources.trials import TrialListener, TrialRecord


class Background:
    """Tells listeners of trials in a thread, in order, so that neither Tune's loop nor a worker waits for them.

    Each event reaches the listeners in their order: where the first keeps the record of a trial, what a later one
    writes is never ahead of that record. A listener that raises, and those after it, hear no more; the study goes on.
    Leaving the context waits until everything is told, and raises what the first of them raised, unless the block
    raised something itself.
    """

    def __init__(self, listeners: Sequence[TrialListener]) -> None:
        self._listeners = list(listeners)
        self._events: queue.Queue[Callable[[TrialListener], None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="trial-listeners", daemon=True)
        self._error: Exception | None = None

    def __enter__(self) -> "Background":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._events.put(None)
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def trial_started(self, trial: TrialRecord) -> None:
        """Pass it on."""
        self._events.put(lambda listener: listener.trial_started(trial))

    def trial_ended(self, trial: TrialRecord) -> None:
        """Pass it on."""
        self._events.put(lambda listener: listener.trial_ended(trial))

    def _work(self) -> None:
        while (event := self._events.get()) is not None:
            for i, listener in enumerate(self._listeners):
                try:
                    event(listener)
                except Exception as error:  # noqa: BLE001 - raised where the study is left
                    self._error = self._error or error
                    del self._listeners[i:]
                    break
