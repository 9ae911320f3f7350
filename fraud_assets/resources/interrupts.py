"""Interrupts (Ctrl-C, Terminate in Dagster) on their way through Ray and Tune, which lose some of them."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import dagster as dg


@contextmanager
def plain_interrupts() -> Iterator[None]:
    """Raise an interrupt as itself: Ray's compiled code, where most of them arrive, makes a SystemError of it."""
    try:
        yield
    except SystemError as error:
        if isinstance(error.__cause__, KeyboardInterrupt | dg.DagsterExecutionInterruptedError):
            raise error.__cause__ from None
        raise


@contextmanager
def remembered_interrupts() -> Iterator[list[BaseException]]:
    """What the handler of SIGINT raises inside is raised as ever, and remembered in the list.

    Tune's loop logs whatever Exception comes up while it stops a trial or files a checkpoint, and goes on: an interrupt
    that Ray made a SystemError of is lost there.
    """
    raised: list[BaseException] = []
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield raised
        return

    def remember(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except BaseException as error:
            raised.append(error)
            raise

    signal.signal(signal.SIGINT, remember)
    try:
        yield raised
    finally:
        signal.signal(signal.SIGINT, handler)
