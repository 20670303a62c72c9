"""API keys: created and shown once, stored as digests, rotated, revoked; they may expire."""

import hashlib
import hmac
import math
import secrets
import time
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from lookalike.catalog.database import Repository
from lookalike.catalog.schema import access_keys
from lookalike.errors import BadSetting, NotFound
from lookalike.text import storable

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
"""What an API key permits; each scope includes those before it."""
MAX_KEYS = 10_000
"""Revoked ones count. A server keeps all in memory, so that a wrong key costs no database query."""
MAX_LIFETIME = 100 * 366 * 86400
"""Seconds after which a key expires at the latest, if it does."""
MAX_NAME_LENGTH = 200
"""Characters of a label and of a tenant's name."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """Limits of one API key; None leaves a limit to the server. Raises BadSetting for one that is not positive."""

    rate: float | None = None  # requests a second in the long run
    burst: int | None = None  # requests that may arrive at once
    concurrency: int | None = None  # requests that may be processed at the same time
    body_bytes: int | None = None  # of one request
    pixels: int | None = None  # width times height of one image

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if value is not None and not 0 < value < math.inf:
                raise BadSetting(f"a key's limit {limit.name} is a number above 0, not {value}")

    def or_else(self, others: "KeyLimits") -> "KeyLimits":
        """These limits, and the other ones where these are None."""
        own = {name: value for name, value in asdict(self).items() if value is not None}
        return KeyLimits(**(asdict(others) | own))


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret. `tenant` None permits any tenant; times are seconds since 1970, UTC.

    `expires` is when the key stops working, None for never.
    """

    id: str
    digest: bytes = field(repr=False)
    label: str
    tenant: str | None
    scopes: tuple[Scope, ...]  # in the order of `SCOPES`
    limits: KeyLimits
    created: float
    revoked: float | None
    expires: float | None = None

    def is_valid(self, now: float) -> bool:
        """Whether the key is neither revoked nor expired at a time."""
        return self.revoked is None and (self.expires is None or now < self.expires)

    def matches(self, token: str) -> bool:
        """Whether this is the key's token; compares in constant time."""
        return hmac.compare_digest(digest_of(token), self.digest)


def digest_of(token: str) -> bytes:
    """SHA-256 of a token. A fast hash is right here: the secret is 256 random bits, too many to guess."""
    return hashlib.sha256(token.encode()).digest()


def new_token() -> tuple[str, str]:
    """The public id (12 hexadecimal digits) and the whole token, `lk_<id>_<32 random bytes in base64url>`."""
    public = secrets.token_hex(6)
    return public, f"lk_{public}_{secrets.token_urlsafe(32)}"


def id_in(token: str) -> str | None:
    """The public id in a token, None for what is no token."""
    start, _, rest = token.partition("_")
    public, _, secret = rest.partition("_")
    return public if start == "lk" and public and secret else None


def scopes_up_to(scope: str) -> tuple[Scope, ...]:
    """A scope and those it includes; raises BadSetting for an unknown one."""
    if scope not in SCOPES:
        raise BadSetting(f"a scope is one of {', '.join(SCOPES)}, not {scope!r}")
    return SCOPES[: SCOPES.index(scope) + 1]


def check_name(name: str, what: str) -> str:
    """The name of a tenant or an API key, if it is valid; raises BadSetting naming `what`."""
    if not (0 < len(name) <= MAX_NAME_LENGTH and storable(name) and name.isprintable()):
        raise BadSetting(f"{what} is 1 to {MAX_NAME_LENGTH} printable characters, not {name[: MAX_NAME_LENGTH + 1]!r}")
    return name


class ApiKeyRepository(Repository):
    """API keys: who may use a server of this catalog, and for what."""

    def create(
        self,
        scope: str,
        *,
        tenant: str | None = None,
        label: str = "",
        limits: KeyLimits | None = None,
        lifetime: float | None = None,
    ) -> tuple[ApiKey, str]:
        """Create an API key of this scope and those below it, for one tenant or any (None).

        `lifetime` is in seconds, None for a key that does not expire. Returns the key, and its token, which is not
        stored and cannot be shown again. Raises BadSetting for an unknown scope, an invalid name or lifetime, and where
        there are `MAX_KEYS` keys already.
        """
        if tenant is not None:
            check_name(tenant, "a tenant's name")
        if label:
            check_name(label, "a key's label")
        if lifetime is not None and not 0 < lifetime <= MAX_LIFETIME:
            raise BadSetting(f"a key's lifetime is above 0 and at most {MAX_LIFETIME // 86400:,} days")
        public_id, token = new_token()
        now = time.time()
        expires = None if lifetime is None else now + lifetime
        scopes = scopes_up_to(scope)
        key = ApiKey(public_id, digest_of(token), label, tenant, scopes, limits or KeyLimits(), now, None, expires)
        with self._database.write() as conn:
            _insert(conn, key)
        return key, token

    def rotate(self, public_id: str, *, grace: float) -> tuple[ApiKey, str]:
        """Create an API key with the rights and the lifetime of another, which expires after `grace` seconds.

        Returns the new key and its token. Raises NotFound for an unknown id, BadSetting for a key that is revoked or
        expired, or a negative `grace`.
        """
        if not 0 <= grace <= MAX_LIFETIME:
            raise BadSetting(f"the grace period is 0 to {MAX_LIFETIME // 86400:,} days")
        new_id, token = new_token()
        now = time.time()
        with self._database.write() as conn:
            old = _find(conn, public_id)
            if not old.is_valid(now):
                raise BadSetting(f"the API key {public_id} is revoked or expired; create a new one")
            expires = None if old.expires is None else now + old.expires - old.created
            key = replace(old, id=new_id, digest=digest_of(token), created=now, expires=expires)
            _insert(conn, key)
            until = now + grace if old.expires is None else min(old.expires, now + grace)
            conn.execute(update(access_keys).where(access_keys.c.id == public_id).values(expires=until))
        return key, token

    def get(self, public_id: str) -> ApiKey:
        """Return an API key; raises NotFound for an unknown id."""
        with self._database.read() as conn:
            return _find(conn, public_id)

    def list_all(self, *, active_only: bool = False) -> list[ApiKey]:
        """All API keys, oldest first; `active_only` leaves out revoked ones."""
        query = select(access_keys).order_by(access_keys.c.created, access_keys.c.id)
        if active_only:
            query = query.where(access_keys.c.revoked.is_(None))
        with self._database.read() as conn:
            return [_to_key(row) for row in conn.execute(query)]

    def revoke(self, public_id: str) -> ApiKey:
        """Revoke an API key for good; revoking it again keeps the first time. Raises NotFound for an unknown id."""
        query = update(access_keys).where(access_keys.c.id == public_id, access_keys.c.revoked.is_(None))
        with self._database.write() as conn:
            conn.execute(query.values(revoked=time.time()))
            return _find(conn, public_id)

    def delete(self, public_id: str) -> ApiKey:
        """Delete an API key, and with it the record that it existed; raises NotFound for an unknown id."""
        with self._database.write() as conn:
            key = _find(conn, public_id)
            conn.execute(delete(access_keys).where(access_keys.c.id == public_id))
            return key


def _insert(conn: Connection, key: ApiKey) -> None:
    number = conn.execute(select(func.count()).select_from(access_keys)).scalar_one()
    if number >= MAX_KEYS:
        raise BadSetting(
            f"there are {number:,} API keys, the limit is {MAX_KEYS:,}; delete revoked ones with "
            "`lookalike keys revoke --forget ID...`"
        )
    conn.execute(insert(access_keys).values(asdict(key) | {"scopes": list(key.scopes)}))


def _find(conn: Connection, public_id: str) -> ApiKey:
    query = select(access_keys).where(access_keys.c.id == public_id)
    row = conn.execute(query).one_or_none() if storable(public_id) else None
    if row is None:
        raise NotFound(f"there is no API key {public_id!r}; `lookalike keys list` shows them")
    return _to_key(row)


def _to_key(row: Row[Any]) -> ApiKey:
    scopes = tuple(scope for scope in SCOPES if scope in row.scopes)
    values = {"digest": bytes(row.digest), "scopes": scopes, "limits": KeyLimits(**row.limits)}
    return ApiKey(**{**row._mapping, **values})
