"""The objects of API keys."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from lookalike.wire.objects import WireObject, convert, doc, rfc3339


@dataclass(frozen=True, slots=True)
class ApiKey(WireObject):
    """An API key, without its secret."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "id": "3fa4c2d10b7e",
        "scope": "read",
        "tenant": "default",
        "label": "shop window",
        "limits": {"rate": 20.0},
        "created": "2026-01-31T09:30:00.250000Z",
        "expires": "2026-05-01T09:30:00.250000Z",
        "revoked": None,
    }

    id: str
    scope: Literal["read", "write", "admin"] = field(metadata=doc("Each includes those before it."))
    tenant: str | None = field(metadata=doc("Null for a key that may be used for any tenant."))
    label: str
    limits: dict[str, float] = field(
        metadata=doc("`rate`, `burst`, `concurrency`, `body_bytes`, `pixels`, where the key has its own.")
    )
    created: str = field(metadata=doc("RFC 3339, UTC."))
    expires: str | None = field(metadata=doc("When it stops working; null for never."))
    revoked: str | None

    @classmethod
    def of(cls, key: Any) -> "ApiKey":
        """The object of a `catalog.api_keys.ApiKey`, a module that the client must not load."""
        return convert(
            cls,
            key,
            scope=key.scopes[-1],
            limits={name: value for name, value in asdict(key.limits).items() if value is not None},
            created=rfc3339(key.created),
            expires=None if key.expires is None else rfc3339(key.expires),
            revoked=None if key.revoked is None else rfc3339(key.revoked),
        )


@dataclass(frozen=True, slots=True)
class NewApiKey(ApiKey):
    """An API key that was just created, with its secret, which is shown this once."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        **(ApiKey.EXAMPLE or {}),
        "key": "lk_3fa4c2d10b7e_8sYvJmPZkq0s0u5o1QyH3bq0zq6m9s7wX2nTtG5rKfE",
    }

    key: str = field(metadata=doc("To send as `Authorization: Bearer KEY`."))

    @classmethod
    def of_new(cls, key: Any, token: str) -> "NewApiKey":
        """The object of a `catalog.api_keys.ApiKey` and its token."""
        return convert(cls, ApiKey.of(key), key=token)


@dataclass(frozen=True, slots=True)
class ApiKeyList(WireObject):
    """API keys, the oldest first."""

    api_keys: list[ApiKey]
