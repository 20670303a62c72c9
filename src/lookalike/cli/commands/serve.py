"""`serve`: the page and the HTTP API over a gallery."""

from __future__ import annotations

import sys
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import MACHINE, Session, app, command, flag, option
from lookalike.cli.output import emit, print_error, print_line, printable
from lookalike.optional import require
from lookalike.sources.urls import canonical_url


@command(app, rich_help_panel=MACHINE)
def serve(
    session: Session,
    host: Annotated[
        str, option("--host ADDRESS", "Address to listen on; other than loopback requires API keys.", show_default=True)
    ] = "127.0.0.1",
    port: Annotated[
        int, option("--port N", "Port to listen on; 0 for any.", min=0, max=65535, show_default=True)
    ] = 8000,
    open_page: Annotated[bool, flag("--open", "Open the page in the browser.")] = False,
    import_from: Annotated[
        list[str] | None, option("--import-from DIR", "Let admins import images below this folder. Repeatable.")
    ] = None,
    source_prefix: Annotated[
        list[str] | None,
        option(
            "--source-prefix URL",
            "Read the originals of images below this URL, such as s3://bucket/photos: for thumbnails, verification and "
            "full views. Repeatable. [default: none]",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        option("--allow-host NAME", "Accept this Host header as well, as sent by a reverse proxy. Repeatable."),
    ] = None,
    fetch_allow: Annotated[
        list[str] | None,
        option(
            "--fetch-allow NETWORK", "Allow fetching images by URL from this private network: 10.1.0.0/16. Repeatable."
        ),
    ] = None,
    fetch_port: Annotated[
        list[int] | None,
        option("--fetch-port N", "Allow fetching from this port besides 80 and 443. Repeatable.", min=1, max=65535),
    ] = None,
    local_files: Annotated[
        bool | None,
        flag(
            "--local-files/--no-local-files",
            "Let callers see original files, and admins clean up duplicates. [default: callers on this machine]",
            show_default=False,
        ),
    ] = None,
    live_queries: Annotated[
        int,
        option(
            "--live-queries N",
            "Keep the features of the last N queries in memory, of one a second at most, to compare pipelines by them. "
            "[default: none]",
            min=0,
            max=1000,
        ),
    ] = 0,
    threads: Annotated[
        int, option("--threads N", "Requests processed at once.", min=1, max=512, show_default=True)
    ] = 16,
    log: Annotated[
        bool | None,
        flag(
            "--log/--no-log",
            "Log each request as a line of JSON on standard error. [default: unless that is a terminal]",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Serve the gallery: a web page and an HTTP API. Stop it with Ctrl-C."""
    require("fastapi", "uvicorn", "python_multipart", "prometheus_client", purpose="lookalike serve")
    from lookalike.factory import open_gallery
    from lookalike.server.app_state import ServeSettings
    from lookalike.server.serve import BindAddress, configure_logging, run
    from lookalike.server.url_fetch.fetcher import Fetcher, parse_networks

    configure_logging(requests=not sys.stderr.isatty() if log is None else log)
    folders = tuple(Path(folder).expanduser().absolute() for folder in import_from or ())
    settings = ServeSettings(threads=threads, import_from=folders, local_files=local_files, live_queries=live_queries)
    fetcher = Fetcher(allow=parse_networks(tuple(fetch_allow or ())), ports=tuple(fetch_port or ()))
    address = BindAddress(host, port, tuple(allow_host or ()))

    def on_start(url: str) -> None:
        if session.json:
            emit({"url": url, "gallery": str(session.folder)})
        else:
            print_line(f"Serving {printable(str(session.folder))} at {url} (Ctrl-C stops it)")
            sys.stdout.flush()
        if open_page:  # in a thread, for some browsers return only when they are closed
            threading.Thread(target=_open_browser, args=(url,), daemon=True).start()

    prefixes = [canonical_url(prefix) for prefix in source_prefix or ()]
    opened = open_gallery(
        session.folder, create=True, serving=True, settings=session.settings, source_prefixes=prefixes
    )
    with opened as gallery:
        run(gallery, address, settings=settings, fetcher=fetcher, on_ready=on_start)
    return ExitCode.OK


def _open_browser(url: str) -> None:
    if not webbrowser.open(url):
        print_error("no browser could be opened; open the URL above")
