"""Settings of an `elasticsearch://` URL, parsed strictly."""

import re
from dataclasses import dataclass, field
from typing import Literal, cast

from lookalike.errors import BadSetting
from lookalike.indexes.address import Address, is_loopback
from lookalike.indexes.elasticsearch.segments import MAX_TERMS, Segmentation, SegmentPlan, best_plan, published_plan

Mode = Literal["published", "guaranteed", "exact"]
Routing = Literal["tenant", "id"]

PORT = 9200
MAX_RADIUS = 31
"""Unrelated codes differ in half of the bits (32): near that radius nearly every row is a candidate."""
_MODES = ("published", "guaranteed", "exact")
_OPTIONS = (
    *("mode", "m", "radius", "rows", "segments", "shards", "replicas", "routing", "name", "timeout", "bulk_timeout"),
    *("tls", "ca", "fingerprint", "api_key", "nodes"),
    *("index", "id_attribute", "id_field", "prefix"),
)
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True)
class ExternalSettings:
    """An existing index: its name, how an image's document is identified, and the prefix of our fields."""

    index: str
    id_attribute: str
    id_field: str
    prefix: str


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach the server: `nodes` are (host, port); timeouts in seconds."""

    nodes: tuple[tuple[str, int], ...]
    tls: bool
    ca: str | None
    fingerprint: str | None
    user: str | None
    password: str | None = field(repr=False)
    api_key: str | None = field(repr=False)
    timeout: int
    bulk_timeout: int

    @property
    def name(self) -> str:
        return f"Elasticsearch at {', '.join(f'{host}:{port}' for host, port in self.nodes)}"


@dataclass(frozen=True, slots=True)
class Settings:
    """How hashes are stored and searched. `replicas` None means none or one, by the number of nodes."""

    connection: Connection
    mode: Mode
    plan: SegmentPlan
    rows: int
    shards: int
    replicas: int | None
    routing: Routing
    name_prefix: str
    name: str | None
    external: ExternalSettings | None


def read_settings(url: str) -> Settings:
    """Parse a URL; raises BadSetting for invalid options."""
    address = Address.parse(url)
    address.check_options(*_OPTIONS)
    mode = cast(Mode, address.text("mode", "published", choices=_MODES))
    rows = address.number("rows", 1_000_000, maximum=1 << 36)
    return Settings(
        connection=_connection(address),
        mode=mode,
        plan=_plan(address, mode, rows),
        rows=rows,
        shards=address.number("shards", 1, maximum=1024),
        replicas=address.number("replicas", 1, minimum=0, maximum=100) if "replicas" in address.options else None,
        routing=cast(Routing, address.text("routing", "tenant", choices=("tenant", "id"))),
        name_prefix=_check_name(address, "the path", address.path.strip("/") or "lookalike"),
        name=_check_name(address, "name", address.options["name"]) if "name" in address.options else None,
        external=_external_settings(address),
    )


def _plan(address: Address, mode: Mode, rows: int) -> SegmentPlan:
    for name in ("radius", "rows", "segments") if mode == "published" else ("m",):
        if name in address.options:
            raise BadSetting(f"{name} of {address} does not apply to mode={mode}")
    if mode == "published":
        return published_plan(address.number("m", 5, maximum=8))
    radius = address.number("radius", 7, minimum=0, maximum=MAX_RADIUS)
    segments = address.number("segments", 4, minimum=2, maximum=16) if "segments" in address.options else None
    plan = best_plan(radius, rows, None if segments is None else Segmentation(segments))
    if plan is None:
        raise BadSetting(
            f"radius={radius} of {address} needs more than {MAX_TERMS} terms per search; choose a smaller radius"
        )
    return plan


def _connection(address: Address) -> Connection:
    if not address.host:
        raise BadSetting(f"{address} names no host; write elasticsearch://HOST:{PORT}")
    nodes = [(address.host, address.port or PORT)]
    for node in filter(None, address.text("nodes", "").split(",")):
        host, _, port = node.strip().rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise BadSetting(f"nodes of {address} must be HOST:PORT, separated by commas, not {node!r}")
        nodes.append((host.strip("[]"), int(port)))
    key, password = address.options.get("api_key"), address.password
    if key and address.user:
        raise BadSetting(f"{address} has both a user and an API key; give only one")
    if (address.user is None) != (password is None):
        raise BadSetting(f"{address} needs both user and password: elasticsearch://USER:PASSWORD@HOST")
    ca, fingerprint = address.options.get("ca"), address.options.get("fingerprint")
    secret = bool(key or address.user) and not all(is_loopback(host) for host, _ in nodes)
    tls = address.flag("tls", bool(ca or fingerprint or secret))
    if not tls and (ca or fingerprint):
        raise BadSetting(f"{address} has tls=false and a certificate; remove one of them")
    return Connection(
        nodes=tuple(nodes),
        tls=tls,
        ca=ca,
        fingerprint=fingerprint,
        user=address.user,
        password=password,
        api_key=key,
        timeout=address.number("timeout", 10, maximum=600),
        bulk_timeout=address.number("bulk_timeout", 60, maximum=3600),
    )


def _external_settings(address: Address) -> ExternalSettings | None:
    if "index" not in address.options:
        for name in ("id_attribute", "id_field", "prefix"):
            if name in address.options:
                raise BadSetting(f"{name} of {address} needs index=NAME, the name of an existing index")
        return None
    for name in ("shards", "replicas", "routing", "name"):
        if name in address.options:
            raise BadSetting(f"{name} of {address} cannot be set for an existing index (index=NAME)")
    attribute = address.options.get("id_attribute")
    if not attribute:
        raise BadSetting(
            f"{address} needs id_attribute=NAME: the attribute of an image that identifies its document in "
            f"{address.options['index']}"
        )
    prefix = address.text("prefix", "lookalike_")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]{0,40}_", prefix):
        raise BadSetting(f"prefix of {address} must be letters and digits followed by _, not {prefix!r}")
    return ExternalSettings(address.options["index"], attribute, address.text("id_field", "_id"), prefix)


def _check_name(address: Address, what: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadSetting(f"{what} of {address} must be lower-case letters, digits, - _ and ., not {name!r}")
    return name
