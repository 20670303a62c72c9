"""Settings of a `milvus://` address, and the index type for a number of rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lookalike.errors import BadSetting
from lookalike.indexes.address import Address, is_loopback
from lookalike.types import FeatureSpec

SERVER_INDEXES = ("FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "DISKANN")
LITE_INDEXES = ("FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW")
"""Milvus Lite accepts others too, but silently scans instead."""
TENANTS = ("key", "partitions")
OPTIONS = "index tenants recall consistency replicas shards buckets rows memory timeout bulk_timeout tls token".split()

FLAT_ROWS = 20_000
"""Up to this many rows are scanned: exact, in a few milliseconds."""
M, EF_CONSTRUCTION, NLIST = 24, 200, 1024
"""Graph parameters as in the embedded index; IVF lists, about 4 * sqrt(rows) of a sealed segment."""
BUILD: Mapping[str, Mapping[str, int]] = {
    "FLAT": {},
    "IVF_FLAT": {"nlist": NLIST},
    "IVF_SQ8": {"nlist": NLIST},
    "HNSW": {"M": M, "efConstruction": EF_CONSTRUCTION},
    "DISKANN": {},
}
SEARCH_PARAM: Mapping[str, str] = {"IVF_FLAT": "nprobe", "IVF_SQ8": "nprobe", "HNSW": "ef", "DISKANN": "search_list"}
"""The search parameter that trades speed for recall."""
DEFAULT_EFFORT: Mapping[str, int] = {"IVF_FLAT": 64, "IVF_SQ8": 64, "HNSW": 128, "DISKANN": 100}
"""Its value until it is tuned: recall 0.98 or more on clustered vectors of 512 dimensions."""
MAX_EFFORT: Mapping[str, int] = {"IVF_FLAT": NLIST, "IVF_SQ8": NLIST, "HNSW": 4096, "DISKANN": 4096}
MEMORY_FACTOR = 1.2
"""Memory relative to the vectors alone, for ids, tenants and the growing segment."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a Milvus; `name` is for messages and contains no secret."""

    name: str
    uri: str
    lite: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    database: str = ""
    timeout: float = 10.0
    bulk_timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Parsed settings; `rows` (expected) and `memory` (GB of the query nodes) determine `index=auto`.

    With `strong`, every search is strongly consistent, as a `fresh` one is.
    """

    connection: Connection
    index: str
    tenants: str
    recall: float
    replicas: int
    shards: int
    buckets: int | None
    rows: int
    memory: int
    strong: bool

    @classmethod
    def read(cls, url: str) -> "Settings":
        """Parse an address; raises BadSetting, whose message never shows a password."""
        address = Address.parse(url)
        if address.scheme not in ("milvus", "milvus-lite"):
            raise BadSetting(f"{address} is no Milvus address; write milvus://host:19530 or milvus-lite:///folder/x.db")
        address.check_options(*OPTIONS)
        lite = address.scheme == "milvus-lite"
        index = address.text("index", "auto")
        known = LITE_INDEXES if lite else SERVER_INDEXES
        if index not in ("auto", *known):
            why = ": Milvus Lite scans instead, silently; use a Milvus server" if lite else ""
            raise BadSetting(f"index of {address} must be one of auto, {', '.join(known)}, not {index!r}{why}")
        tenants = address.text("tenants", "key", choices=TENANTS)
        if lite and tenants == "partitions":
            raise BadSetting(f"{address}: Milvus Lite deletes across partitions; use tenants=key, or a Milvus server")
        buckets = address.number("buckets", 0, minimum=1, maximum=1024) if "buckets" in address.options else None
        if buckets and (lite or tenants == "partitions"):
            raise BadSetting(f"{address}: buckets apply to tenants=key on a server only; remove the option")
        return cls(
            _connection(address, lite),
            index,
            tenants,
            address.fraction("recall", 0.98, minimum=0.5, maximum=0.9999),
            address.number("replicas", 1, maximum=1 if lite else 100),
            address.number("shards", 1, maximum=1 if lite else 16),
            buckets,
            address.number("rows", 20_000 if lite else 1_000_000),
            address.number("memory", 16, maximum=1 << 20),
            address.text("consistency", "bounded", choices=("bounded", "strong")) == "strong",
        )

    def index_type(self, spec: FeatureSpec, rows: int) -> str:
        """The index type for this many rows: the configured one, or the fastest accurate one that fits into memory."""
        if self.index != "auto":
            return self.index
        return suggest(rows, spec.width, self.memory << 30, self.connection.lite)


def suggest(rows: int, width: int, memory: int, lite: bool = False) -> str:
    """The index type for `rows` vectors of `width` floats in `memory` bytes.

    FLAT while a scan takes milliseconds; HNSW (4 bytes per float and 2M links of 4 bytes) while it fits; then IVF_SQ8
    (1 byte per float); then DISKANN.
    """
    if rows <= FLAT_ROWS:
        return "FLAT"
    if rows * (4 * width + 8 * M) * MEMORY_FACTOR <= memory:
        return "HNSW"
    if lite or rows * (width + 16) * MEMORY_FACTOR <= memory:
        return "IVF_SQ8"
    return "DISKANN"


def _connection(address: Address, lite: bool) -> Connection:
    timeout = float(address.number("timeout", 10, maximum=600))
    bulk_timeout = float(address.number("bulk_timeout", 60, maximum=3600))
    if lite:
        if address.host or not address.path.strip("/") or not address.path.endswith(".db"):
            raise BadSetting(f"{address}: write milvus-lite:///folder/name.db")
        if wrong := [name for name in ("token", "tls") if name in address.options]:
            raise BadSetting(f"{address}: Milvus Lite has no option {wrong[0]!r}")
        if not Path(address.path).parent.is_dir():
            raise BadSetting(f"{address}: there is no folder {Path(address.path).parent}; create it first")
        return Connection(str(address), address.path, lite=True, timeout=timeout, bulk_timeout=bulk_timeout)
    if not address.host:
        raise BadSetting(f"{address} names no host; write milvus://host:19530")
    if address.user and "token" in address.options:
        raise BadSetting(f"{address}: give either user and password, or a token")
    secret = bool(address.password or address.options.get("token"))
    scheme = "https" if address.flag("tls", secret and not is_loopback(address.host)) else "http"
    host = f"[{address.host}]" if ":" in address.host else address.host
    return Connection(
        str(address),
        f"{scheme}://{host}:{address.port or 19530}",
        user=address.user or "",
        password=address.password or "",
        token=address.options.get("token", ""),
        database=address.path.strip("/"),
        timeout=timeout,
        bulk_timeout=bulk_timeout,
    )
