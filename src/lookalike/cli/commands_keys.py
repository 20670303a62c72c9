"""The grammar of the commands for access keys: arguments and options, and no work (see `app`)."""
# ruff: noqa: PLC0415

from typing import Annotated

import typer

from lookalike.cli.app import UPKEEP, app
from lookalike.cli.options import FLAG, Session, command

keys_app = typer.Typer(
    help="Access keys: who may use a server on this gallery, and for what. They hold for every server within seconds.",
    no_args_is_help=True,
)
app.add_typer(keys_app, name="keys", rich_help_panel=UPKEEP)


@command(keys_app, "create")
def keys_create(
    session: Session,
    scope: Annotated[
        str, typer.Option(metavar="SCOPE", help="read searches and looks, write also changes, admin does all.")
    ] = "read",
    any_tenant: Annotated[
        bool,
        typer.Option("--any-tenant", metavar=FLAG, help="Let its holder choose the tenant, by the header X-Tenant."),
    ] = False,
    label: Annotated[str, typer.Option(metavar="TEXT", show_default=False, help="What it is for, as lists show.")] = "",
    rate: Annotated[
        float | None, typer.Option(metavar="N", show_default=False, help="Requests a second, over long times.")
    ] = None,
    burst: Annotated[
        int | None, typer.Option(metavar="N", show_default=False, help="Requests that may come at once.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(metavar="N", show_default=False, help="Requests that may be under way.")
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(metavar="N", show_default=False, help="Bytes of one request.")
    ] = None,
    max_pixels: Annotated[
        int | None, typer.Option(metavar="N", show_default=False, help="Width times height of one image.")
    ] = None,
) -> int:
    """Make a key for one tenant, and show it: this once, for only a digest is kept.

    As soon as there is a key, a server answers nobody without one, not even on this machine.
    """
    from lookalike.catalog.api_keys import KeyLimits
    from lookalike.cli.commands.keys import create_key

    limits = KeyLimits(rate, burst, concurrency, max_bytes, max_pixels)
    return create_key(session, scope, None if any_tenant else session.tenant, label, limits)


@command(keys_app, "list")
def keys_list(session: Session) -> int:
    """List the keys, without their secrets."""
    from lookalike.cli.commands.keys import list_keys

    return list_keys(session)


@command(keys_app, "revoke")
def keys_revoke(
    session: Session,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="As `keys list` shows them.")],
    forget: Annotated[
        bool,
        typer.Option(
            "--forget",
            metavar=FLAG,
            help="Take them out of the list, too. Without any left, this machine is served without a key again.",
        ),
    ] = False,
) -> int:
    """Make keys worthless, for good. Servers let them in for two more seconds at most."""
    from lookalike.cli.commands.keys import revoke_keys

    return revoke_keys(session, ids, forget=forget)
