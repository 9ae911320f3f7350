"""What waits for a storage that is away for a minute or two."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

_LOG = logging.getLogger(__name__)
PATIENCE_S = 180.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 15.0

_Value = TypeVar("_Value")


def patiently(
    action: Callable[[], _Value], errors: type[Exception] | tuple[type[Exception], ...], *, for_s: float = PATIENCE_S
) -> _Value:
    """Do it until it doesn't raise one of `errors`, with longer and longer pauses.

    Args:
        action: what can be done again after it has failed.
        errors: that may pass.
        for_s: after so many seconds the error is raised.
    """
    give_up, pause = time.monotonic() + for_s, _FIRST_PAUSE_S
    while True:
        try:
            return action()
        except errors as error:
            if time.monotonic() + pause > give_up:
                raise
            _LOG.warning("%s; trying again in %.0f s", error, pause)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)
