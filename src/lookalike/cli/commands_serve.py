"""The grammar of `serve`: arguments and options, and no work (see `app`)."""
# ruff: noqa: PLC0415

from typing import Annotated

import typer

from lookalike.cli.app import MACHINE, app
from lookalike.cli.options import FLAG, Session, command


@command(app, rich_help_panel=MACHINE)
def serve(
    session: Session,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Listen here; beyond this machine only with access keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="And at this port; 0 for any.")] = 8000,
    open_page: Annotated[bool, typer.Option("--open", metavar=FLAG, help="Open the page in the browser.")] = False,
    import_from: Annotated[
        list[str] | None,
        typer.Option(
            "--import-from",
            metavar="DIR",
            show_default=False,
            help="Let admins import images from below this folder. Repeatable.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            show_default=False,
            help="Answer to this name, too, as a proxy before the server sends it. Repeatable.",
        ),
    ] = None,
    fetch_allow: Annotated[
        list[str] | None,
        typer.Option(
            "--fetch-allow",
            metavar="NETWORK",
            show_default=False,
            help="Fetch images by URL from this network, too, though it is not public: 10.1.0.0/16. Repeatable.",
        ),
    ] = None,
    fetch_port: Annotated[
        list[int] | None,
        typer.Option(
            "--fetch-port",
            metavar="N",
            min=1,
            max=65535,
            show_default=False,
            help="And from this port, besides 80 and 443. Repeatable.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(metavar="N", min=1, max=512, help="Requests worked on at once.")] = 16,
    log: Annotated[
        bool | None,
        typer.Option(
            "--log/--no-log",
            metavar=FLAG,
            show_default=False,
            help="A line of JSON a request on standard error. [default: unless that is a terminal]",
        ),
    ] = None,
) -> int:
    """Serve the gallery: a page for people and an HTTP API for programs. Stop it with Ctrl-C."""
    from lookalike.cli.commands.serve import ServeArguments, serve

    wanted = ServeArguments(
        host,
        port,
        tuple(allow_host or ()),
        tuple(import_from or ()),
        threads,
        log,
        open_page=open_page,
        fetch_allow=tuple(fetch_allow or ()),
        fetch_ports=tuple(fetch_port or ()),
    )
    return serve(session, wanted)
