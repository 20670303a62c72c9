"""`keys`: making, listing and revoking the access keys of a gallery."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from lookalike.catalog.api_keys import ApiKey, KeyLimits
from lookalike.cli.failures import ExitCode
from lookalike.cli.options import Session
from lookalike.cli.output import day, emit, out, print_line, printable
from lookalike.factory import open_catalog
from lookalike.wire import rfc3339


def create_key(session: Session, scope: str, tenant: str | None, label: str, limits: KeyLimits) -> int:
    """Make a key and show its token; raises BadSetting for an unknown scope or a name that cannot be one."""
    with open_catalog(session.folder, session.settings) as catalog:
        first = not catalog.api_keys()
        key, token = catalog.create_key(scope, tenant=tenant, label=label, limits=limits)
    if session.json:
        emit({**key_object(key), "key": token})
        return ExitCode.OK
    print_line(f"Made the key {key.id}: {scope}, {_whose(key)}. It is shown this once:")
    print_line()
    print_line(f"  {token}")
    if first:
        print_line()
        print_line("From now on servers on this gallery answer nobody without a key, not even on this machine.")
    return ExitCode.OK


def list_keys(session: Session) -> int:
    """One line a key, oldest first."""
    with open_catalog(session.folder, session.settings) as catalog:
        keys = catalog.api_keys()
    if session.json:
        for key in keys:
            emit(key_object(key))
        return ExitCode.OK
    if not keys:
        print_line("No keys: a server on this gallery serves this machine only, and anybody on it.")
        return ExitCode.OK
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("id", "may", "tenant", "label", "limits", "made", "revoked"):
        table.add_column(name)
    for key in keys:
        limits = ", ".join(f"{name} {value:g}" for name, value in _limits(key).items())
        ended = "" if key.revoked is None else day(key.revoked)
        tenant = "any" if key.tenant is None else printable(key.tenant)
        table.add_row(key.id, key.scopes[-1], tenant, printable(key.label), limits, day(key.created), ended)
    out().print(table)
    return ExitCode.OK


def revoke_keys(session: Session, ids: Sequence[str], *, forget: bool) -> int:
    """Revoke each; raises NotFound at the first that is unknown, those before it are revoked."""
    with open_catalog(session.folder, session.settings) as catalog:
        for public in ids:
            key = catalog.forget_key(public) if forget else catalog.revoke_key(public)
            if session.json:
                emit(key_object(key))
            else:
                print_line(f"{'Forgot' if forget else 'Revoked'} the key {key.id}: {key.scopes[-1]}, {_whose(key)}.")
    return ExitCode.OK


def key_object(key: ApiKey) -> Mapping[str, Any]:
    """A key as JSON, without anything secret."""
    return {
        "id": key.id,
        "scope": key.scopes[-1],
        "tenant": key.tenant,
        "label": key.label,
        "limits": _limits(key),
        "created": rfc3339(key.created),
        "revoked": None if key.revoked is None else rfc3339(key.revoked),
    }


def _limits(key: ApiKey) -> dict[str, float]:
    return {name: value for name, value in asdict(key.limits).items() if value is not None}


def _whose(key: ApiKey) -> str:
    return "any tenant" if key.tenant is None else f"tenant {printable(key.tenant)}"
