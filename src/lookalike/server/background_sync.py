"""What a server does by itself: open the pipelines at its start, and keep their indexes in step with the catalog."""

import logging
import threading
from collections.abc import Mapping

from lookalike.errors import LookalikeError
from lookalike.gallery import Gallery

PAUSE_SECONDS = 1.0
"""Between two looks whether the catalog has changed."""
log = logging.getLogger("lookalike.server")


class BackgroundSync:
    """A thread that opens every pipeline, again and again where one cannot be opened, and then keeps all in step."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._stop = threading.Event()
        self._unopened: dict[str, str] = dict.fromkeys(gallery.pipelines, "not opened yet")
        self._thread = threading.Thread(target=self._loop, name="lookalike-keeper", daemon=True)

    @property
    def unopened(self) -> Mapping[str, str]:
        """By pipeline that was not opened yet, why; none when all were."""
        return dict(self._unopened)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self, seconds: float = 60.0) -> None:
        """Stop after the step under way."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                if self._unopened:
                    self._open()
                self._gallery.sync_indexes()
            except LookalikeError as error:
                log.warning("the indexes will catch up later: %s", error)
            except Exception:
                log.exception("keeping the indexes in step failed unexpectedly; it is tried again")
            self._stop.wait(PAUSE_SECONDS)

    def _open(self) -> None:
        """Open what is not; an engine that does not answer is no hindrance: it may come and go at any time."""
        status = self._gallery.status()
        for pipeline in status.pipelines:
            if pipeline.error is None or pipeline.shared:
                self._unopened.pop(pipeline.name, None)
            elif self._unopened.get(pipeline.name) != pipeline.error:
                log.warning("the pipeline %s cannot answer yet: %s", pipeline.name, pipeline.error)
                self._unopened[pipeline.name] = pipeline.error
