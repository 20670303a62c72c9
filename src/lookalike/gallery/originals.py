"""The files and objects that images were added from, as long as they are what was added."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Literal

from lookalike.errors import BadInput, ImageRejected, NotFound, Unavailable
from lookalike.gallery.presence import is_gone
from lookalike.imaging import Limits, read_bytes
from lookalike.sources.objects import FEW_ATTEMPTS, MAX_ATTEMPTS, exists
from lookalike.sources.read_url import read_url
from lookalike.sources.urls import LOCAL, is_below, is_local, is_url, split_member
from lookalike.types import Record

State = Literal["there", "gone", "unreachable"]
"""What is known of a file or an object: a store that cannot be reached says nothing of its objects."""
READ_THREADS = 16
"""Objects looked at or read at once."""
DOWN_SECONDS = 10.0
"""Seconds for which a store that could not be reached is not asked again."""


class Originals:
    """Reads the originals of images, by path or URL. Thread-safe.

    `prefixes` are the URLs below which objects may be read, None for all: a server reads from stores that its operator
    has named, whatever its catalog says. Archives on this machine are read as files are.
    """

    def __init__(self, limits: Limits, prefixes: Sequence[str] | None = None) -> None:
        self.limits = limits
        self._prefixes = prefixes
        self._down: dict[str, float] = {}
        self._lock = threading.Lock()

    def read(
        self, path: str, *, offset: int | None = None, nbytes: int | None = None, attempts: int = MAX_ATTEMPTS
    ) -> bytes:
        """Return the bytes of a file, an object or an archive's member; `offset` and `nbytes` as far as known.

        Raises ImageRejected, NotFound, BadInput for what may not be read, and Unavailable where the store is down.
        """
        if not is_url(path):
            return read_bytes(Path(path), self.limits)
        self._check_allowed(path)
        return read_url(path, self.limits, offset=offset, nbytes=nbytes, attempts=attempts)

    def read_original(self, record: Record) -> bytes:
        """Return the bytes of a stored image.

        Raises NotFound where there are none at hand or they have changed, Unavailable where a store is down.
        """
        if record.path is None:
            raise NotFound(f"the image {record.key!r} was added as bytes: there is no file of it")
        self._check_up(record.path)
        try:
            data = self.read(record.path, offset=record.offset, nbytes=record.nbytes, attempts=FEW_ATTEMPTS)
        except (BadInput, NotFound) as error:
            raise NotFound(f"the file of {record.key!r} cannot be read: {error}") from error
        except Unavailable:
            self._note_down(record.path)
            raise
        if sha256(data).digest() != record.sha256:
            raise NotFound(f"the file of {record.key!r} has changed since it was added; add it again")
        return data

    def state(self, path: str) -> State:
        """Return whether there is a file or an object; of a member, whether there is its archive."""
        if not is_url(path):
            return "gone" if is_gone(path) else "there"
        archive, _ = split_member(path)
        if is_local(archive):
            return "gone" if is_gone(archive.removeprefix(LOCAL)) else "there"
        try:
            self._check_allowed(path)
            self._check_up(path)
        except (BadInput, Unavailable):
            return "unreachable"
        try:
            return "there" if exists(archive, FEW_ATTEMPTS) else "gone"
        except Unavailable:
            self._note_down(path)
        except BadInput:  # it may not be read, or credentials are missing
            pass
        return "unreachable"

    def states(self, paths: Sequence[str]) -> list[State]:
        """Return the state of each path; stores are asked in parallel, and of an archive once."""
        asked = list(dict.fromkeys(split_member(path)[0] for path in paths if is_url(path)))
        known: dict[str, State] = {}
        if asked:
            with ThreadPoolExecutor(READ_THREADS, thread_name_prefix="lookalike-state") as threads:
                known = dict(zip(asked, threads.map(self.state, asked), strict=True))
        return [known[split_member(path)[0]] if is_url(path) else self.state(path) for path in paths]

    def _check_allowed(self, url: str) -> None:
        if self._prefixes is None or is_local(url) or any(is_below(url, prefix) for prefix in self._prefixes):
            return
        raise ImageRejected("unreadable", f"this server does not read {url}; name it by `--source-prefix URL`")

    def _check_up(self, url: str) -> None:
        if not is_url(url) or is_local(url):
            return
        with self._lock:
            until = self._down.get(_store_of(url), 0.0)
        if time.monotonic() < until:
            raise Unavailable(f"{_store_of(url)} could not be reached a moment ago", retry_after=DOWN_SECONDS)

    def _note_down(self, url: str) -> None:
        with self._lock:
            self._down[_store_of(url)] = time.monotonic() + DOWN_SECONDS


def _store_of(url: str) -> str:
    """Scheme and bucket of a URL."""
    return "/".join(url.split("/", 3)[:3])
