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
        self._unopened: dict[str, str] = dict.fromkeys(gallery.pipelines, "not opened yet")
        self._thread = threading.Thread(target=self._loop, name="lookalike-sync", daemon=True)

    @property
    def unopened(self) -> Mapping[str, str]:
        """The reasons by pipeline that is not open yet; empty once all are open."""
        return dict(self._unopened)

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
                if self._unopened:
                    self._open()
                self._gallery.sync_indexes()
            except LookalikeError as error:
                log.warning("the indexes will catch up later: %s", error)
            except Exception:
                log.exception("index synchronization failed unexpectedly; retrying")
            self._stop.wait(SYNC_INTERVAL)

    def _open(self) -> None:
        """Open pipelines; an unavailable engine does not count as a failure, since it may come and go at any time."""
        status = self._gallery.status()
        for pipeline in status.pipelines:
            if pipeline.error is None or pipeline.shared:
                self._unopened.pop(pipeline.name, None)
            elif self._unopened.get(pipeline.name) != pipeline.error:
                log.warning("pipeline %s is not available yet: %s", pipeline.name, pipeline.error)
                self._unopened[pipeline.name] = pipeline.error
