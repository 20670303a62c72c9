"""`serve`: the page and the API over a gallery."""

import sys
import threading
import webbrowser
from dataclasses import dataclass
from pathlib import Path

from lookalike.cli.failures import ExitCode
from lookalike.cli.options import Session
from lookalike.cli.output import emit, print_error, print_line, printable
from lookalike.factory import open_gallery
from lookalike.server.app_state import ServeSettings
from lookalike.server.serve import BindAddress, configure_logging, run
from lookalike.server.url_fetch.fetcher import Fetcher, parse_networks


@dataclass(frozen=True, slots=True)
class ServeArguments:
    """What the options of `serve` say; `log` None logs requests unless a person would see it."""

    host: str
    port: int
    allowed_hosts: tuple[str, ...]
    import_from: tuple[str, ...]
    threads: int
    log: bool | None
    open_page: bool
    fetch_allow: tuple[str, ...] = ()
    fetch_ports: tuple[int, ...] = ()


def serve(session: Session, wanted: ServeArguments) -> int:
    """Serve until a signal comes."""
    configure_logging(requests=not sys.stderr.isatty() if wanted.log is None else wanted.log)
    folders = tuple(Path(folder).expanduser().absolute() for folder in wanted.import_from)
    settings = ServeSettings(threads=wanted.threads, import_from=folders)
    fetcher = Fetcher(allow=parse_networks(wanted.fetch_allow), ports=wanted.fetch_ports)
    where = BindAddress(wanted.host, wanted.port, wanted.allowed_hosts)

    def up(url: str) -> None:
        if session.json:
            emit({"url": url, "gallery": str(session.folder)})
        else:
            print_line(f"Serving {printable(str(session.folder))} at {url} (Ctrl-C stops it)")
            sys.stdout.flush()
        if wanted.open_page:  # beside the server, for some browsers return only when they are closed
            threading.Thread(target=_show, args=(url,), daemon=True).start()

    with open_gallery(session.folder, serving=True, settings=session.settings) as gallery:
        run(gallery, where, settings=settings, fetcher=fetcher, on_ready=up)
    return ExitCode.OK


def _show(url: str) -> None:
    if not webbrowser.open(url):
        print_error("no browser could be opened; open the address above")
