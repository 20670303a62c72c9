"""Background thread of a server: opens the pipelines and synchronizes their indexes with the catalog."""

import logging
import threading
from collections.abc import Mapping

from lookalike.errors import LookalikeError
from lookalike.gallery import Gallery

SYNC_INTERVAL = 1.0
"""Seconds between two checks of the catalog for changes."""
log = logging.getLogger("lookalike.server")


class BackgroundSync:
    """A thread that opens every pipeline, retrying failures, and then keeps their indexes up to date."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._stop = threading.Event()
        self._names = gallery.pipelines
        self._unopened: dict[str, str] = dict.fromkeys(self._names, "not opened yet")
        self._opened: set[str] = set()
        self._thread = threading.Thread(target=self._loop, name="lookalike-sync", daemon=True)

    @property
    def names(self) -> tuple[str, ...]:
        """The pipelines that answer searches, as of the last step; does not block."""
        return self._names

    @property
    def unopened(self) -> Mapping[str, str]:
        """The reasons by pipeline of these that is not open yet; empty once all are open."""
        return {name: reason for name, reason in self._unopened.items() if name in self._names}

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, timeout: float = 60.0) -> None:
        """Stop after the current step."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self._names = self._gallery.pipelines
                if self._unopened or not self._opened.issuperset(self._gallery.encoded_pipelines):
                    self._open()
                self._gallery.sync_indexes()
            except LookalikeError as error:
                log.warning("the indexes will catch up later: %s", error)
            except Exception:
                log.exception("index synchronization failed unexpectedly; retrying")
            self._stop.wait(SYNC_INTERVAL)

    def _open(self) -> None:
        """Open pipelines, also shadow ones, which may be promoted at any time.

        An unavailable engine does not count as a failure, since it may come and go at any time.
        """
        failed = self._gallery.open_pipelines()
        for name, reason in failed.items():
            if self._unopened.get(name) != reason:
                log.warning("pipeline %s is not available yet: %s", name, reason)
        self._opened = {name for name in self._gallery.encoded_pipelines if name not in failed}
        self._unopened = failed
