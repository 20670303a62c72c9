"""Translates errors of the databases' drivers into ours; programming errors pass unchanged."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from lookalike.errors import BadSetting, Damaged, GalleryBusy, LookalikeError, Unavailable

REMEDY = "restore it from a backup, or move it away and add the images again"

_REFUSED = {
    "password authentication failed": "the password is wrong; correct the URL",
    "no password supplied": "a password is missing; write postgresql://user:password@host/name",
    "no pg_hba.conf entry": "the server accepts no such connection from this host and user; see its pg_hba.conf",
    "certificate verify failed": "the server's certificate is not trusted; see sslrootcert",
}
_SETTINGS = {
    "3D000": "there is no such database; create it first (createdb)",
    "42501": "the user lacks a privilege; make it the owner of the database",
    "25006": "the server is a read-only standby; name the primary",
}


class WriteConflict(GalleryBusy):
    """A transaction was rolled back because of a concurrent one; the catalog retries it."""


@contextmanager
def translate_errors(location: str, *, committing: bool = False) -> Iterator[None]:
    """Turn errors about the database's state into ours; `committing` says that the change may have been committed."""
    try:
        yield
    except PoolTimeoutError as error:
        raise Unavailable(
            f"every connection to the catalog {location} is in use; try again in a moment", retry_after=1.0
        ) from error
    except (DBAPIError, sqlite3.Error) as error:  # the second while a connection is being set up
        cause = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, sqlite3.Error):
            translated = _of_sqlite(cause, location)
        else:
            translated = _of_postgresql(cause, location, committing)
        if translated is None:
            raise
        raise translated from error


def _of_sqlite(cause: sqlite3.Error, location: str) -> LookalikeError | None:
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return GalleryBusy(f"another process is writing to {location}; try again when it is done")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Damaged(f"the catalog {location} is damaged ({cause}); {REMEDY}")
    if code == sqlite3.SQLITE_FULL:
        return Unavailable(f"no space is left for the catalog {location}; free some and try again")
    if code == sqlite3.SQLITE_READONLY:
        return BadSetting(f"the catalog {location} cannot be written to; check the permissions of file and folder")
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return Unavailable(f"the catalog {location} cannot be read or written: {cause}")
    return None


def _of_postgresql(cause: BaseException | None, location: str, committing: bool) -> LookalikeError | None:
    # By name: psycopg is not installed where no catalog is in PostgreSQL.
    kinds = {kind.__name__ for kind in type(cause).__mro__}
    state = getattr(cause, "sqlstate", None) or ""
    detail = (str(cause).strip() or type(cause).__name__).splitlines()[0]
    if state in _SETTINGS:
        return BadSetting(f"the catalog {location} cannot be used: {_SETTINGS[state]} ({detail})")
    if state in ("XX001", "XX002"):
        return Damaged(f"the catalog {location} is damaged ({detail}); {REMEDY}")
    if state in ("40P01", "40001", "55P03"):
        kind = GalleryBusy if state == "55P03" else WriteConflict
        return kind(f"another process is writing to {location} ({detail}); nothing was changed, try again")
    if state == "53100":
        return Unavailable(f"no space is left for the catalog {location}; nothing was changed, free some and try again")
    if state in ("57014", "25P03"):
        return Unavailable(f"the catalog {location} timed out; nothing was changed ({detail})")
    if not kinds & {"OperationalError", "InterfaceError"} and state[:2] not in ("08", "53", "57", "58"):
        return None
    if not state and (refused := _refusal(str(cause))):
        return BadSetting(f"the catalog {location} cannot be opened: {refused} ({detail})")
    effect = "the last change may or may not be stored; repeating it is safe" if committing else "nothing was changed"
    return Unavailable(f"the catalog {location} does not answer; {effect} ({detail})", retry_after=1.0)


def _refusal(detail: str) -> str | None:
    # Errors while connecting carry no SQLSTATE, only text.
    if 'database "' in detail and "does not exist" in detail:
        return _SETTINGS["3D000"]
    if 'role "' in detail and "does not exist" in detail:
        return "there is no such user; correct the URL, or create it first (createuser)"
    return next((remedy for words, remedy in _REFUSED.items() if words in detail), None)
