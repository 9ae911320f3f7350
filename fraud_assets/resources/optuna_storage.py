"""The Optuna storage in which people watch a search: a database of theirs, or a journal file."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg
from pydantic import Field

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from sqlalchemy import URL

STORAGE = "FRAUD_OPTUNA_STORAGE"

_JOURNAL = "journal://"
_CONNECT_WITHIN_S = 10
# Drivers of PostgreSQL that take libpq's own settings.
_LIBPQ = ("psycopg", "psycopg2")
# What a driver may take from a URL's query instead of its `user:password@`.
_SECRETS_IN_QUERY = frozenset({"odbc_connect", "passwd", "password", "pwd", "sslpassword"})
_EXPECTED = (
    "expected the URL of a database, sqlite:////path/to/study.db or postgresql+psycopg2://user@host/database with the "
    "special characters of its password percent-encoded, or journal:///path/to/file"
)


_Value = TypeVar("_Value")


class OptunaStorageError(Exception):
    """The storage can't be used; the message is one sentence, with nothing of its URL but host and database."""


class OpenStorage:
    """A storage that has answered.

    Attributes:
        storage: Optuna's.
        place: what people may read: its URL without user, password and query.
        study_name: of the search that is watched in it; None before there is one.
    """

    def __init__(self, storage: "BaseStorage", place: str) -> None:
        self.storage = storage
        self.place = place
        self.study_name: str | None = None


class OptunaStorage(dg.ConfigurableResource["OptunaStorage"]):
    """Where a search can be watched while it runs, if anywhere.

    A URL with a password is taken from the environment only, because Dagster stores configuration.
    """

    storage: str | None = Field(
        default=None,
        description=(
            "Optuna storage in which optuna-dashboard shows the search while it runs: a database's URL, as SQLAlchemy "
            f"takes it, or journal:///path/to/file. Default: the environment variable {STORAGE}, the only place for a "
            "URL with a password; with neither, there is none."
        ),
    )

    @contextmanager
    def opened(self) -> Iterator[OpenStorage | None]:
        """Connect, and make the tables if there are none; None where no storage is named.

        Raises:
            OptunaStorageError: it doesn't answer, is no storage of Optuna's, or its URL can't be used.
        """
        url = self.storage or os.environ.get(STORAGE, "").strip()
        if not url:
            yield None
            return
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if url.startswith(_JOURNAL):
            yield _journal(url)
            return
        parts = _parsed(url)
        if self.storage and (parts.password is not None or _SECRETS_IN_QUERY & parts.query.keys()):
            raise OptunaStorageError(
                f"the URL of the Optuna storage has a password, and Dagster stores configuration: set {STORAGE} in the "
                "environment instead, and change the password, which is in this run's configuration now"
            )
        opened = _database(url, parts)
        try:
            yield opened
        finally:
            opened.storage.remove_session()
            opened.storage.engine.dispose()


def storage_errors() -> tuple[type[Exception], ...]:
    """What Optuna's storages raise when they are away, or when somebody has changed what is in them.

    A KeyError tells of a study that was deleted, a ValueError of a line in a journal, or of a parameter whose range is
    another kind than that of an earlier trial.
    """
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    return OptunaError, SQLAlchemyError, OSError, KeyError, ValueError


def reason(error: BaseException) -> str:
    """What went wrong in the first place, in a line: SQLAlchemy wraps the driver's error, and Optuna that one."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def explained(place: str, action: Callable[[], _Value]) -> _Value:
    """Do it, and if it fails say which storage can't be used, and what to do.

    Raises:
        OptunaStorageError: it failed.
    """
    errors: tuple[type[Exception], ...] = (*storage_errors(), ImportError)
    try:
        return action()
    except errors as error:
        told = reason(error)
    # Not inside of `except`: nothing of SQLAlchemy's own error goes along into Dagster's event.
    raise OptunaStorageError(
        f"the Optuna storage {place} can't be used ({told}): see that it is there, or unset {STORAGE} to search "
        "without it"
    )


def _journal(url: str) -> OpenStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = url.removeprefix(_JOURNAL)
    if not path.startswith("/"):
        raise OptunaStorageError(f"{STORAGE} names no journal file: {_EXPECTED}")
    return explained(url, lambda: OpenStorage(JournalStorage(JournalFileBackend(path)), url))


def _database(url: str, parts: "URL") -> OpenStorage:
    from optuna.storages import RDBStorage

    place = type(parts).create(parts.drivername, host=parts.host, port=parts.port, database=parts.database)
    shown = place.render_as_string()
    # Optuna fills {SCHEMA_VERSION} into URLs.
    template = url.replace("{", "{{").replace("}", "}}")
    return explained(shown, lambda: OpenStorage(RDBStorage(template, _engine_settings(parts)), shown))


def _engine_settings(parts: "URL") -> dict[str, Any]:
    """So that a server that is away is known to be, and connections that broke are made again."""
    connect: dict[str, Any] = {}
    if parts.get_driver_name() in _LIBPQ and "connect_timeout" not in parts.query:
        connect["connect_timeout"] = _CONNECT_WITHIN_S
    return {"pool_pre_ping": True, "connect_args": connect}


def _parsed(url: str) -> "URL":
    """`url`, if no driver will have a reason to show a piece of its password as a host or a database."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        parts = None
    if (
        parts is None
        or not re.fullmatch(r"[\w.:%-]*", parts.host or "")
        or (parts.host and "@" in (parts.database or ""))
    ):
        raise OptunaStorageError(f"{STORAGE} is no Optuna storage: {_EXPECTED}")
    if parts.get_backend_name() == "sqlite" and parts.database in (None, "", ":memory:"):
        raise OptunaStorageError(
            f"{STORAGE} names a database in memory, which nobody else could look into: {_EXPECTED}"
        )
    return parts
