"""Interrupts arrive, whatever the code that they pass through makes of them."""

import signal
import threading
from contextlib import suppress

import dagster as dg
import pytest
from dagster._utils.interrupts import raise_interrupts_as

from fraud_assets.resources.interrupts import plain_interrupts, remembered_interrupts


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_is_swallowed_is_remembered() -> None:
    with remembered_interrupts() as raised:
        assert raised == []
        with suppress(KeyboardInterrupt):
            interrupt()
    assert [type(error) for error in raised] == [KeyboardInterrupt]


def test_dagsters_own_interrupt_is_raised_and_remembered_as_such() -> None:
    with raise_interrupts_as(dg.DagsterExecutionInterruptedError):
        with pytest.raises(dg.DagsterExecutionInterruptedError), remembered_interrupts() as raised:
            interrupt()
        assert [type(error) for error in raised] == [dg.DagsterExecutionInterruptedError]


def test_the_handler_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with suppress(KeyboardInterrupt), remembered_interrupts():
        interrupt()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_thread_that_no_signal_reaches_has_nothing_to_remember() -> None:
    seen: list[list[BaseException]] = []

    def work() -> None:
        with remembered_interrupts() as raised:
            seen.append(raised)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[]]


def raise_as_ray_does(interruption: type[BaseException]) -> None:
    try:
        raise interruption
    except BaseException as error:
        raise SystemError("returned a result with an exception set") from error


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, dg.DagsterExecutionInterruptedError])
def test_an_interrupt_that_became_a_system_error_is_raised_as_itself(interruption: type[BaseException]) -> None:
    with pytest.raises(interruption), plain_interrupts():
        raise_as_ray_does(interruption)


def test_another_system_error_stays_one() -> None:
    with pytest.raises(SystemError, match="something else"), plain_interrupts():
        raise SystemError("something else")
