"""`keys`: create, list, rotate and revoke the API keys of a gallery."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import GALLERY, Group, Session, app, command, flag, option, parse_duration
from lookalike.cli.output import day, emit, out, print_line, printable

if TYPE_CHECKING:
    from lookalike.catalog.api_keys import ApiKey

keys_app = typer.Typer(
    cls=Group,
    help="API keys of servers on this gallery: scopes, tenants and rate limits. Changes apply within seconds.",
    no_args_is_help=True,
)
app.add_typer(keys_app, name="keys", rich_help_panel=GALLERY)


@command(keys_app, "create")
def create_key(
    session: Session,
    scope: Annotated[
        str, option("--scope SCOPE", "read (search and list), write (also change images) or admin.", show_default=True)
    ] = "read",
    any_tenant: Annotated[
        bool, flag("--any-tenant", "Let requests choose the tenant with the header X-Tenant.")
    ] = False,
    label: Annotated[str, option("--label TEXT", "Description shown in lists.")] = "",
    rate: Annotated[float | None, option("--rate N", "Requests per second, on average.")] = None,
    burst: Annotated[int | None, option("--burst N", "Requests that may arrive at once.")] = None,
    concurrency: Annotated[int | None, option("--concurrency N", "Requests that may be in progress.")] = None,
    max_bytes: Annotated[int | None, option("--max-bytes N", "Maximum size of a request in bytes.")] = None,
    max_pixels: Annotated[int | None, option("--max-pixels N", "Maximum width times height of an image.")] = None,
    lifetime: Annotated[
        str | None, option("--lifetime TIME", "Time after which the key expires, such as 90d, 12h or 30m.")
    ] = None,
) -> int:
    """Create an API key for one tenant. It is shown once; only its digest is stored.

    As soon as a gallery has a key, its servers require one from every client, also from this machine.
    """
    from lookalike.catalog.api_keys import KeyLimits
    from lookalike.factory import open_catalog

    limits = KeyLimits(rate, burst, concurrency, max_bytes, max_pixels)
    seconds = None if lifetime is None else parse_duration(lifetime, "--lifetime")
    with open_catalog(session.folder, session.settings) as catalog:
        first = not catalog.api_keys.list_all()
        key, token = catalog.api_keys.create(
            scope, tenant=None if any_tenant else session.tenant, label=label, limits=limits, lifetime=seconds
        )
    _show_new(session, key, token)
    if first and not session.json:
        print_line()
        print_line("From now on, servers on this gallery require a key, also from this machine.")
    return ExitCode.OK


@command(keys_app, "rotate")
def rotate_key(
    session: Session,
    id: Annotated[str, typer.Argument(metavar="ID", help="Id as shown by `keys list`.")],  # noqa: A002 - as the column
    grace: Annotated[str, option("--grace TIME", "Time for which the old key still works.", show_default=True)] = "1h",
) -> int:
    """Create a key with the rights and the lifetime of another, which expires after the grace period."""
    from lookalike.factory import open_catalog

    seconds = parse_duration(grace, "--grace")
    with open_catalog(session.folder, session.settings) as catalog:
        key, token = catalog.api_keys.rotate(id, grace=seconds)
    _show_new(session, key, token)
    if not session.json:
        print_line()
        print_line(f"The key {printable(id)} works for {grace} more, unless it expires earlier.")
    return ExitCode.OK


def _show_new(session: Session, key: ApiKey, token: str) -> None:
    """Print a key that was just created, and its token."""
    from lookalike.wire.keys import NewApiKey
    from lookalike.wire.objects import to_dict

    if session.json:
        emit(to_dict(NewApiKey.of_new(key, token)))
        return
    until = "" if key.expires is None else f", until {day(key.expires)}"
    print_line(f"Created the key {key.id}: {key.scopes[-1]}, {_tenant_text(key)}{until}. It is shown only once:")
    print_line()
    print_line(f"  {token}")


@command(keys_app, "list")
def list_keys(session: Session) -> int:
    """List the keys, without their secrets."""
    from lookalike.factory import open_catalog
    from lookalike.wire.keys import ApiKey as ApiKeyObject
    from lookalike.wire.objects import to_dict

    with open_catalog(session.folder, session.settings) as catalog:
        keys = catalog.api_keys.list_all()
    if session.json:
        for key in keys:
            emit(to_dict(ApiKeyObject.of(key)))
        return ExitCode.OK
    if not keys:
        print_line("No keys: servers on this gallery accept requests from this machine only, without a key.")
        return ExitCode.OK
    columns = ("id", "scope", "tenant", "label", "limits", "created", "expires", "revoked")
    table = Table(*columns, box=None, padding=(0, 2), header_style="dim")
    for key in keys:
        limits = ", ".join(f"{name} {value:g}" for name, value in _limits(key).items())
        expires, revoked = ("" if at is None else day(at) for at in (key.expires, key.revoked))
        tenant = "any" if key.tenant is None else printable(key.tenant)
        table.add_row(key.id, key.scopes[-1], tenant, printable(key.label), limits, day(key.created), expires, revoked)
    out().print(table)
    return ExitCode.OK


@command(keys_app, "revoke")
def revoke_keys(
    session: Session,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids as shown by `keys list`.")],
    forget: Annotated[
        bool, flag("--forget", "Also delete them from the list. Without any key, this machine needs no key again.")
    ] = False,
) -> int:
    """Revoke keys permanently. Servers accept them for up to two more seconds."""
    from lookalike.factory import open_catalog
    from lookalike.wire.keys import ApiKey as ApiKeyObject
    from lookalike.wire.objects import to_dict

    with open_catalog(session.folder, session.settings) as catalog:
        for id in ids:  # noqa: A001 - as the column is called
            key = catalog.api_keys.delete(id) if forget else catalog.api_keys.revoke(id)
            if session.json:
                emit(to_dict(ApiKeyObject.of(key)))
            else:
                verb = "Deleted" if forget else "Revoked"
                print_line(f"{verb} the key {key.id}: {key.scopes[-1]}, {_tenant_text(key)}.")
    return ExitCode.OK


def _limits(key: ApiKey) -> dict[str, float]:
    return {name: value for name, value in asdict(key.limits).items() if value is not None}


def _tenant_text(key: ApiKey) -> str:
    return "any tenant" if key.tenant is None else f"tenant {printable(key.tenant)}"
