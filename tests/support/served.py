"""A real server on a free port of loopback, in threads of the test's process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn

from lookalike.config import from_environment
from lookalike.factory import open_gallery
from lookalike.gallery import Gallery
from lookalike.imaging import Limits
from lookalike.server.app_state import ServeSettings
from lookalike.server.serve import UVICORN_SETTINGS, TimeoutH11Protocol
from tests.support.server.api import application
from tests.support.waiting import HANG_SECONDS


@contextmanager
def served(
    folder: Path, settings: ServeSettings | None = None, limits: Limits | None = None
) -> Iterator[tuple[str, Gallery]]:
    """The URL of a service over a gallery of hashes in this folder, and that gallery."""
    own = replace(from_environment(), limits=limits or Limits(), workers=1)
    with (
        open_gallery(folder, pipelines=["phash"], serving=True, settings=own, create=True) as gallery,
        listening(application(gallery, settings)) as url,
    ):
        yield url, gallery


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """The URL of an application that is served while the block runs."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, http=TimeoutH11Protocol, log_config=None, **UVICORN_SETTINGS)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="server", daemon=True)
    thread.start()
    until = time.monotonic() + HANG_SECONDS
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        assert time.monotonic() < until, "the server takes too long to start"
        time.sleep(0.01)
    try:
        [host] = server.servers
        yield f"http://127.0.0.1:{host.sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(HANG_SECONDS)
        assert not thread.is_alive()
