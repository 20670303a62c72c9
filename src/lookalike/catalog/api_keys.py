"""The room of the catalog for access keys: made once, shown once, kept as digests."""

import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from lookalike.catalog.database import Database
from lookalike.catalog.schema import access_keys
from lookalike.errors import BadSetting, NotFound
from lookalike.text import storable

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
"""What a key may do; each includes those before it."""
MAX_KEYS = 10_000
"""Revoked ones count. A server keeps all in memory, so that a wrong key costs no question to the database."""
MAX_NAME_LENGTH = 200
"""Characters of a label and of a tenant's name."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What one key may take of a server; None leaves it to the server.

    `rate` is requests a second over long times, `burst` how many may come at once, `concurrency` how many may be
    under way, `body_bytes` the size of one request, `pixels` the width times height of one image. Raises BadSetting
    for a limit that is not positive.
    """

    rate: float | None = None
    burst: int | None = None
    concurrency: int | None = None
    body_bytes: int | None = None
    pixels: int | None = None

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if value is not None and not 0 < value < math.inf:
                raise BadSetting(f"a key's limit {limit.name} is a number above 0, not {value}")

    def or_else(self, others: "KeyLimits") -> "KeyLimits":
        """These limits, and the others where these say nothing."""
        own = {name: value for name, value in asdict(self).items() if value is not None}
        return KeyLimits(**(asdict(others) | own))


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the catalog knows it: everything but the secret. Times are seconds since 1970, UTC.

    `tenant` None is a key that may choose any tenant. `scopes` in the order of `SCOPES`.
    """

    id: str
    digest: bytes = field(repr=False)
    label: str
    tenant: str | None
    scopes: tuple[Scope, ...]
    limits: KeyLimits
    created: float
    revoked: float | None

    def fits(self, token: str) -> bool:
        """Whether this is the key's token; takes the same time wherever the two differ."""
        return hmac.compare_digest(digest_of(token), self.digest)


def digest_of(token: str) -> bytes:
    """SHA-256 of a token. A fast hash is right here: the secret is 256 random bits, which nobody can guess through."""
    return hashlib.sha256(token.encode()).digest()


def new_token() -> tuple[str, str]:
    """The public id (12 hexadecimal digits) and the whole token, `lk_<id>_<32 random bytes in base64url>`."""
    public = secrets.token_hex(6)
    return public, f"lk_{public}_{secrets.token_urlsafe(32)}"


def id_in(token: str) -> str | None:
    """The public id that a token names, None for what is no token."""
    start, _, rest = token.partition("_")
    public, _, secret = rest.partition("_")
    return public if start == "lk" and public and secret else None


def scopes_up_to(scope: str) -> tuple[Scope, ...]:
    """A scope and those it includes; raises BadSetting for an unknown one."""
    if scope not in SCOPES:
        raise BadSetting(f"a scope is one of {', '.join(SCOPES)}, not {scope!r}")
    return SCOPES[: SCOPES.index(scope) + 1]


def check_name(name: str, what: str) -> str:
    """The name of a tenant or a key, if it can be one; raises BadSetting naming `what`."""
    if not (0 < len(name) <= MAX_NAME_LENGTH and storable(name) and name.isprintable()):
        raise BadSetting(f"{what} is 1 to {MAX_NAME_LENGTH} printable characters, not {name[: MAX_NAME_LENGTH + 1]!r}")
    return name


class ApiKeys(Database):
    """Access keys: who may use a server on this catalog, and for what."""

    def create_key(
        self, scope: str, *, tenant: str | None = None, label: str = "", limits: KeyLimits | None = None
    ) -> tuple[ApiKey, str]:
        """Make a key; gives it and its token, which is never to be had again.

        Raises BadSetting for an unknown scope, a name that cannot be one, or where there are `MAX_KEYS` already.
        """
        if tenant is not None:
            check_name(tenant, "a tenant's name")
        if label:
            check_name(label, "a key's label")
        public, token = new_token()
        key = ApiKey(
            public, digest_of(token), label, tenant, scopes_up_to(scope), limits or KeyLimits(), time.time(), None
        )
        with self._write() as conn:
            _check_room(conn)
            conn.execute(insert(access_keys).values(asdict(key) | {"scopes": list(key.scopes)}))
        return key, token

    def api_keys(self, *, live: bool = False) -> list[ApiKey]:
        """Every key, oldest first; with `live` only those that are not revoked."""
        query = select(access_keys).order_by(access_keys.c.created, access_keys.c.id)
        if live:
            query = query.where(access_keys.c.revoked.is_(None))
        with self._read() as conn:
            return [_key(row) for row in conn.execute(query)]

    def revoke_key(self, public: str) -> ApiKey:
        """Make a key worthless for good; revoking twice keeps the first time. Raises NotFound for an unknown id."""
        query = update(access_keys).where(access_keys.c.id == public, access_keys.c.revoked.is_(None))
        with self._write() as conn:
            conn.execute(query.values(revoked=time.time()))
            return _key_of(conn, public)

    def forget_key(self, public: str) -> ApiKey:
        """Take a key out of the catalog, and the memory of it; raises NotFound for an unknown id."""
        with self._write() as conn:
            key = _key_of(conn, public)
            conn.execute(delete(access_keys).where(access_keys.c.id == public))
            return key


def _check_room(conn: Connection) -> None:
    there = conn.execute(select(func.count()).select_from(access_keys)).scalar_one()
    if there >= MAX_KEYS:
        raise BadSetting(
            f"there are {there:,} keys, which is the most; make room by `lookalike keys revoke --forget ID...`"
        )


def _key_of(conn: Connection, public: str) -> ApiKey:
    query = select(access_keys).where(access_keys.c.id == public)
    row = conn.execute(query).one_or_none() if storable(public) else None
    if row is None:
        raise NotFound(f"there is no access key {public!r}; `lookalike keys list` shows them")
    return _key(row)


def _key(row: Row[Any]) -> ApiKey:
    scopes: Sequence[str] = row.scopes
    return ApiKey(
        id=row.id,
        digest=bytes(row.digest),
        label=row.label,
        tenant=row.tenant,
        scopes=tuple(scope for scope in SCOPES if scope in scopes),
        limits=KeyLimits(**row.limits),
        created=row.created,
        revoked=row.revoked,
    )
