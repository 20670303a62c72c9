"""The collections of one index: the one behind its alias, and during a rebuild the one that will replace it.

Constant metadata (spec, index type) is kept in collection properties; Milvus 2.3 loses changed ones when it restarts.
State (sequence number, search effort) is kept in a row of its own, id 0, and so in the same log as the rows and after
them: it is never ahead of the rows, and is copied with them.
"""

import hashlib
import json
import logging
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lookalike.distances import Distances
from lookalike.errors import BadSetting, FeatureMismatch, Unavailable
from lookalike.indexes.milvus.client import PREFIX, STRONG, ConsistencyLevel, IndexNotFound, MilvusGateway
from lookalike.indexes.milvus.config import BUILD, DEFAULT_EFFORT, SEARCH_PARAM, Settings
from lookalike.types import FeatureSpec

LOAD_SECONDS = 300.0
"""Timeout for loading a collection; about 10 s per gigabyte."""
MAX_PARTITIONS = 1000
"""Named partitions; current servers allow 1,024 in a collection."""
STATE_ID = 0
"""The id of the state row; images have ids from 1."""
STRONG_READ_FACTOR = 2
"""Timeout of a strongly consistent read, in units of `bulk_timeout`: usually 0.2 s, more while a collection loads."""
PARTITION_KEY_UPSERT = (2, 3, 10)
"""Earlier servers put upserted rows into the partition of another key (milvus-io/milvus pull request 30773)."""
BUCKETS = 16
"""Buckets of a partition key, the default of current servers."""

log = logging.getLogger("lookalike")


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection and its state: `effort` is the value of the search parameter (0: the default); `oversized` means
    that the attributes of some rows are not stored."""

    name: str
    index_type: str
    tenants: str
    sequence: int = 0
    effort: int = 0
    oversized: bool = False

    def parameters(self, limit: int, *, effort: int | None = None) -> dict[str, int]:
        """The search parameters for `limit` rows."""
        if self.index_type == "FLAT":
            return {}
        value = effort or self.effort or DEFAULT_EFFORT[self.index_type]
        return {SEARCH_PARAM[self.index_type]: value if self.index_type.startswith("IVF") else max(value, limit)}


class CollectionManager:
    """Creates, finds, swaps and drops the collections of one pipeline of one gallery."""

    def __init__(self, server: MilvusGateway, settings: Settings, spec: FeatureSpec, gallery: str) -> None:
        self.server = server
        self.settings = settings
        self.spec = spec
        self.alias = f"lookalike_{_safe_name(gallery)}_{_safe_name(spec.name)}"

    def open(self) -> Collection:
        """The current collection, created if there is none; raises FeatureMismatch if it holds other features."""
        self.server.check_database()
        found = self.current()
        if found is not None:
            return found
        created = self.create(0)
        try:
            self.server.set_alias(self.alias, created.name, new=True)
        except Unavailable:
            found = self.current()  # another process may have created one first
            if found is None or found.name == created.name:
                raise
            self.server.drop(created.name)
            return found
        return created

    def current(self, level: ConsistencyLevel = STRONG) -> Collection | None:
        """The collection behind the alias, read from the server and loaded; None if there is none."""
        for _ in range(3):
            name = self.server.alias_target(self.alias)
            if name is None:
                return None
            try:
                if not self.server.is_loaded(name):
                    self.server.load(name, replicas=self.settings.replicas, seconds=LOAD_SECONDS)
                return self._read(name, level)
            except IndexNotFound:
                continue  # swapped between the two requests
        raise Unavailable(f"the alias {self.alias} on {self.server.connection.name} points to no collection")

    def create(self, rows: int) -> Collection:
        """Create and load an empty collection without an alias, indexed for `rows` or the expected rows, if more.

        Raises BadSetting for several buckets on a server that mixes them up.
        """
        settings, server, tenants = self.settings, self.server, self.settings.tenants
        index_type = settings.index_type(self.spec, max(rows, settings.rows))
        name = f"{self.alias}_{_safe_name(self.spec.fingerprint[:12])}_{time.time_ns():x}"
        properties = {"alias": self.alias, "spec": _spec_json(self.spec), "index": index_type, "tenants": tenants}
        buckets = self._bucket_count() if tenants == "key" else None
        server.create(name, self.spec, buckets=buckets, shards=settings.shards, properties=properties)
        server.create_index(name, index_type, BUILD[index_type])
        server.load(name, replicas=settings.replicas, seconds=LOAD_SECONDS)
        return Collection(name, index_type, tenants)

    def swap_alias(self, new: Collection) -> None:
        """Point the alias to another collection, atomically."""
        self.server.set_alias(self.alias, new.name, new=self.server.alias_target(self.alias) is None)

    def drop_stale(self) -> None:
        """Drop collections left by incomplete rebuilds."""
        kept = self.server.alias_target(self.alias)
        for name in self.server.collections():
            if name.startswith(f"{self.alias}_") and name != kept:
                try:
                    ours = self.server.describe(name)["properties"].get(PREFIX + "alias") == self.alias
                except IndexNotFound:
                    continue
                if ours:
                    log.info("dropping %s, left by an incomplete rebuild", name)
                    self.server.drop(name)

    def save_state(self, collection: Collection) -> None:
        """Write the state row after all earlier writes, and wait until strongly consistent searches see it."""
        state = {"sequence": collection.sequence, "knob": collection.effort, "oversized": collection.oversized}
        row = {"id": STATE_ID, "tenant": -1, "vector": self._state_vector(), "attributes": state}
        self.server.upsert(collection.name, [row], "", seconds=self.server.connection.bulk_timeout)
        if self._load_state(collection.name, STRONG) != state:
            raise Unavailable(f"{self.server.connection.name} did not return the state just saved in {collection.name}")

    def _load_state(self, name: str, level: ConsistencyLevel) -> dict[str, Any]:
        to = self.server.connection
        seconds = STRONG_READ_FACTOR * to.bulk_timeout if level == STRONG else to.timeout
        found = self.server.query(name, f"id == {STATE_ID}", ["attributes"], level=level, seconds=seconds)
        return dict(found[0]["attributes"]) if found else {}

    def _state_vector(self) -> Distances:
        """A vector far from all features, whose components are never negative."""
        return np.full(self.spec.width, -1 / math.sqrt(self.spec.width), np.float32)

    def _bucket_count(self) -> int:
        configured, server = self.settings.buckets, self.server
        if server.connection.lite:
            return BUCKETS
        version = server.version()
        if _parse_version(version) < PARTITION_KEY_UPSERT:
            if (configured or 1) > 1:
                raise BadSetting(
                    f"{server.connection.name} is Milvus {version}, which puts replaced rows into wrong "
                    f"buckets: remove the option buckets (one is used), or upgrade to 2.3.10 or later"
                )
            return 1
        return configured or BUCKETS

    def _read(self, name: str, level: ConsistencyLevel) -> Collection:
        found = self.server.describe(name)
        properties = {key[len(PREFIX) :]: value for key, value in found["properties"].items() if key.startswith(PREFIX)}
        self._check(name, properties, found)
        state = self._load_state(name, level)
        sequence, effort = state.get("sequence", 0), state.get("knob", 0)
        return Collection(
            name, properties["index"], properties["tenants"], sequence, effort, state.get("oversized", False)
        )

    def _check(self, name: str, properties: Mapping[str, str], found: Mapping[str, Any]) -> None:
        where = f"the collection {name} on {self.server.connection.name}"
        if "spec" not in properties:
            raise BadSetting(
                f"{where} was not created by lookalike, but the alias {self.alias} points to it; drop the alias"
            )
        if properties["spec"] != _spec_json(self.spec):
            raise FeatureMismatch(f"{where} holds {properties['spec']}, not {_spec_json(self.spec)}")
        width = next(field["params"]["dim"] for field in found["fields"] if field["name"] == "vector")
        metric = self.server.describe_index(name).get("metric_type")
        if int(width) != self.spec.width or metric != "IP":
            raise FeatureMismatch(f"{where} has vectors of {width} under {metric}, not {self.spec.width} under IP")


def _parse_version(version: str) -> tuple[int, ...]:
    """`v2.3.5-lite` as (2, 3, 5); () if there are no numbers."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else ()


def _spec_json(spec: FeatureSpec) -> str:
    return json.dumps({"name": spec.name, "metric": spec.metric, "width": spec.width, "fingerprint": spec.fingerprint})


def _safe_name(name: str) -> str:
    """A name of letters, digits and underscores; a digest keeps replaced names distinct."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)[:80]
    return plain if plain == name else f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
