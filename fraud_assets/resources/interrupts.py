"""Interrupts (Ctrl-C, Terminate in Dagster) on their way through Ray and Tune, which lose some of them."""

import multiprocessing
import multiprocessing.connection
import multiprocessing.context
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import dagster as dg

# For what a step does after its last word to MLflow, such as stopping Ray, when nobody hears it any more.
_LAST_S = 15.0


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
    """What the handlers of SIGINT and SIGTERM raise inside is raised as ever, and remembered in the list.

    Tune's loop logs whatever Exception comes up while it stops a trial or files a checkpoint, and goes on: an interrupt
    that Ray made a SystemError of is lost there.
    """
    raised: list[BaseException] = []

    def remembering(handler: Callable[[int, FrameType | None], object]) -> Callable[[int, FrameType | None], None]:
        def remember(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except BaseException as error:
                raised.append(error)
                raise

        return remember

    with kept_handlers() as handlers:
        for number, handler in handlers.items():
            if callable(handler):
                signal.signal(number, remembering(handler))
        yield raised


class RunDiedError(Exception):
    """The process of the step's run is gone; nobody would hear of what the step does."""


@contextmanager
def ended_with_the_run() -> Iterator[None]:
    """Interrupt a step inside when the process of its run dies, and raise RunDiedError then.

    A step that the run's process has started, by our executor, goes on when that is killed, unseen, beside the run that
    takes its place. In the run's own process there is nothing to watch.

    A process whose run has died ends soon after the block, whatever comes there: Dagster's events go through a pipe,
    and once that is full, a step would wait at its end for ever for somebody to read them.
    """
    run = multiprocessing.parent_process()
    if run is None or not isinstance(multiprocessing.current_process(), multiprocessing.context.ForkServerProcess):
        yield
        return
    left, died = threading.Event(), threading.Event()

    def watch() -> None:
        multiprocessing.connection.wait([run.sentinel])
        if not left.is_set():
            died.set()
            os.kill(os.getpid(), signal.SIGINT)
            left.wait()
        time.sleep(_LAST_S)
        os._exit(1)

    threading.Thread(target=watch, name="run-watch", daemon=True).start()
    try:
        yield
    except BaseException as error:
        # Ray may have made another error of the interrupt.
        if died.is_set():
            raise RunDiedError("the process of the step's run is gone: it was killed, or has crashed") from error
        raise
    finally:
        left.set()


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Heed the first SIGINT or SIGTERM inside, and no other: what cleans up after the first is not to be interrupted.

    Of a Ctrl-C a step hears twice, from the terminal and from the run's process.
    """
    interrupted = threading.Event()

    def once(handler: Callable[[int, FrameType | None], object]) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            if not interrupted.is_set():
                interrupted.set()
                handler(number, frame)

        return handle

    with kept_handlers() as handlers:
        for number, handler in handlers.items():
            if callable(handler):
                signal.signal(number, once(handler))
        yield


@contextmanager
def kept_handlers() -> Iterator[Mapping[signal.Signals, Any]]:
    """The handlers of SIGINT and SIGTERM, which are what they were after the block; none outside the main thread.

    `ray.init` makes SIGTERM a SystemExit, while Dagster means it to be what SIGINT is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield {}
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield handlers
    finally:
        for number, handler in handlers.items():
            if handler is not None:  # one that Python didn't install can't be put back
                signal.signal(number, handler)
