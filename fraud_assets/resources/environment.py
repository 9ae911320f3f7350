"""Settings that libraries read from the environment."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def defaults_in_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set what the user has not set himself; put it back at the end."""
    added = [name for name in values if name not in os.environ]
    os.environ.update({name: values[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
