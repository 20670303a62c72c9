"""A thread that brings a gallery's indexes up to date while others add to its catalog."""

import logging
import threading
from types import TracebackType
from typing import Self

from lookalike.errors import LookalikeError
from lookalike.gallery import Gallery

UPDATE_SECONDS = 10.0
"""Seconds between two updates, so that a long run does not end with one long wait."""

log = logging.getLogger("lookalike")


class IndexUpdates:
    """Updates indexes during a block, and a last time at its end, unless that is an error."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lookalike-indexes", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        if error is None:
            self._gallery.update_indexes()

    def _run(self) -> None:
        while not self._stop.wait(UPDATE_SECONDS):
            try:
                self._gallery.update_indexes()
            except LookalikeError as error:
                log.warning("the indexes will catch up later: %s", error)
