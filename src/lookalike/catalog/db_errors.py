"""What a database's own errors mean, as errors of our tree; mistakes of the program pass as they are."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from lookalike.errors import BadSetting, Damaged, GalleryBusy, LookalikeError, Unavailable

REMEDY = "restore it from a backup, or move it away and add the images again"

_REFUSED = {
    "password authentication failed": "the password is wrong; mend the URL",
    "no password supplied": "a password is missing; write postgresql://user:password@host/name",
    "no pg_hba.conf entry": "the server does not let this host, user or kind of connection in; see its pg_hba.conf",
    "certificate verify failed": "the server's certificate is not trusted; see sslrootcert",
}
_SETTINGS = {
    "3D000": "there is no such database; make it first (createdb)",
    "42501": "the user lacks a right; let it own the database",
    "25006": "the server is a read-only standby; name the primary",
}


class WriteConflict(GalleryBusy):
    """A transaction was undone for the sake of another writer's; the catalog tries it again by itself."""


@contextmanager
def translate_errors(where: str, *, committing: bool = False) -> Iterator[None]:
    """Turn errors about the database's state into ours; `committing` says that a change may have been made."""
    try:
        yield
    except PoolTimeoutError as error:
        raise Unavailable(
            f"every connection to the catalog {where} is in use; try again in a moment", retry_after=1.0
        ) from error
    except (DBAPIError, sqlite3.Error) as error:  # the second while a connection is being set up
        cause = error.orig if isinstance(error, DBAPIError) else error
        ours = (
            _of_sqlite(cause, where) if isinstance(cause, sqlite3.Error) else _of_postgresql(cause, where, committing)
        )
        if ours is None:
            raise
        raise ours from error


def _of_sqlite(cause: sqlite3.Error, where: str) -> LookalikeError | None:
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return GalleryBusy(f"another process is writing to {where}; try again when it is done")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Damaged(f"the catalog {where} is damaged ({cause}); {REMEDY}")
    if code == sqlite3.SQLITE_FULL:
        return Unavailable(f"no space is left for the catalog {where}; free some and try again")
    if code == sqlite3.SQLITE_READONLY:
        return BadSetting(f"the catalog {where} cannot be written to; check the permissions of file and folder")
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return Unavailable(f"the catalog {where} cannot be read or written: {cause}")
    return None


def _of_postgresql(cause: BaseException | None, where: str, committing: bool) -> LookalikeError | None:
    # By name: psycopg is not there where no catalog is in PostgreSQL.
    kinds = {kind.__name__ for kind in type(cause).__mro__}
    state = getattr(cause, "sqlstate", None) or ""
    said = (str(cause).strip() or type(cause).__name__).splitlines()[0]
    if state in _SETTINGS:
        return BadSetting(f"the catalog {where} cannot be used: {_SETTINGS[state]} ({said})")
    if state in ("XX001", "XX002"):
        return Damaged(f"the catalog {where} is damaged ({said}); {REMEDY}")
    if state in ("40P01", "40001"):
        return WriteConflict(f"another process is writing to {where} ({said}); nothing was changed, try again")
    if state == "55P03":
        return GalleryBusy(f"another process is writing to {where} ({said}); nothing was changed, try again")
    if state == "53100":
        return Unavailable(f"no space is left for the catalog {where}; nothing was changed, free some and try again")
    if state in ("57014", "25P03"):
        return Unavailable(f"the catalog {where} was waited for too long; nothing was changed ({said})")
    if not kinds & {"OperationalError", "InterfaceError"} and state[:2] not in ("08", "53", "57", "58"):
        return None
    if not state and (refused := _refusal(str(cause))):
        return BadSetting(f"the catalog {where} cannot be opened: {refused} ({said})")
    what = "the last change may or may not be there; repeating it is safe" if committing else "nothing was changed"
    return Unavailable(f"the catalog {where} does not answer; {what} ({said})", retry_after=1.0)


def _refusal(said: str) -> str | None:
    # Refusals while connecting carry no code, only words.
    if 'database "' in said and "does not exist" in said:
        return _SETTINGS["3D000"]
    if 'role "' in said and "does not exist" in said:
        return "there is no such user; mend the URL, or make it first (createuser)"
    return next((remedy for words, remedy in _REFUSED.items() if words in said), None)
