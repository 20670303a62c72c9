"""The collections of one index: one that an alias stands for, at times one that is being filled to take its place.

What never changes is kept as properties of the collection: what the rows are, how they are indexed. What changes (the
sequence number, how to search) is kept in a row of its own, id 0, and thus in the same log as the rows and behind them:
it never claims what is not there, and goes wherever they go. Milvus 2.3 forgets changed properties when it restarts.
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
from lookalike.indexes.milvus.client import (
    PARTITION_KEY_UPSERT,
    PREFIX,
    STRONG,
    ConsistencyLevel,
    IndexNotFound,
    MilvusGateway,
    parse_version,
)
from lookalike.indexes.milvus.config import BUILD, DEFAULT_EFFORT, SEARCH_PARAM, Settings
from lookalike.types import FeatureSpec

LOAD_SECONDS = 300.0
"""Loading what is there: about a gigabyte in 10 s."""
MAX_PARTITIONS = 1000
"""Named partitions: today's servers hold 1,024 in a collection."""
STATE_ID = 0
"""The id of the row that is no image."""
STRONG_READ_FACTOR = 2
"""Times `bulk_timeout` that it may take until searches see all that was written: mostly 0.2 s, more behind a load."""
BUCKETS = 16
"""Buckets of a partition key, which is what today's servers make by default."""

log = logging.getLogger("lookalike")


@dataclass(frozen=True, slots=True)
class Collection:
    """What is known of a collection; `knob` is the search parameter's value, `oversized` that some attributes are not
    in it."""

    name: str
    index_type: str
    tenants: str
    sequence: int = 0
    effort: int = 0
    oversized: bool = False

    def parameters(self, limit: int, *, effort: int | None = None) -> dict[str, int]:
        """How to search for `limit` rows."""
        if self.index_type == "FLAT":
            return {}
        value = effort or self.effort or DEFAULT_EFFORT[self.index_type]
        return {SEARCH_PARAM[self.index_type]: value if self.index_type.startswith("IVF") else max(value, limit)}


class CollectionManager:
    """Makes, finds, exchanges and drops the collections of one pipeline of one gallery."""

    def __init__(self, server: MilvusGateway, settings: Settings, spec: FeatureSpec, gallery: str) -> None:
        self.server = server
        self.settings = settings
        self.spec = spec
        self.alias = f"lookalike_{_safe_name(gallery)}_{_safe_name(spec.name)}"

    def open(self) -> Collection:
        """The collection that counts, made where there is none; raises FeatureMismatch for one of other features."""
        self.server.check_database()
        found = self.current()
        if found is None:
            made = self.create(0)
            try:
                self.server.set_alias(self.alias, made.name, new=True)
            except Unavailable:
                found = self.current()  # somebody else was quicker
                if found is None or found.name == made.name:
                    raise
                self.server.drop(made.name)
                return found
            return made
        return found

    def current(self, level: ConsistencyLevel = STRONG) -> Collection | None:
        """The collection that counts, as the server knows it now."""
        for _ in range(3):
            name = self.server.alias_target(self.alias)
            if name is None:
                return None
            try:
                if not self.server.is_loaded(name):
                    self.server.load(name, replicas=self.settings.replicas, seconds=LOAD_SECONDS)
                return self._read(name, level)
            except IndexNotFound:
                continue  # exchanged between the two questions
        raise Unavailable(f"the alias {self.alias} on {self.server.connection.name} points nowhere, again and again")

    def create(self, rows: int) -> Collection:
        """An empty collection, indexed for so many rows (or those expected, if more), loaded; no alias stands for it.

        Raises BadSetting for buckets on a server that cannot keep them apart.
        """
        settings, server = self.settings, self.server
        kind = settings.index_type(self.spec, max(rows, settings.rows))
        name = f"{self.alias}_{_safe_name(self.spec.fingerprint[:12])}_{time.time_ns():x}"
        properties = {
            "alias": self.alias,
            "spec": _spec_json(self.spec),
            "index": kind,
            "tenants": settings.tenants,
        }
        key = settings.tenants == "key"
        server.create(
            name,
            self.spec,
            key=key,
            buckets=self._bucket_count() if key else 1,
            shards=settings.shards,
            properties=properties,
        )
        server.create_index(name, kind, BUILD[kind])
        server.load(name, replicas=settings.replicas, seconds=LOAD_SECONDS)
        return Collection(name, kind, settings.tenants)

    def swap_alias(self, new: Collection) -> None:
        """Let the alias stand for another collection, at once for everybody."""
        self.server.set_alias(self.alias, new.name, new=self.server.alias_target(self.alias) is None)

    def drop_stale(self) -> None:
        """Drop what earlier rebuildings left behind."""
        kept = self.server.alias_target(self.alias)
        for name in self.server.collections():
            if name.startswith(f"{self.alias}_") and name != kept:
                try:
                    ours = self.server.describe(name)["properties"].get(PREFIX + "alias") == self.alias
                except IndexNotFound:
                    continue
                if ours:
                    log.info("dropping %s, left behind by a rebuilding that did not end", name)
                    self.server.drop(name)

    def save_state(self, collection: Collection) -> None:
        """Write down what changes, behind all that was written, and wait until searches that ask for it see it."""
        said = {"sequence": collection.sequence, "knob": collection.effort, "oversized": collection.oversized}
        row = {"id": STATE_ID, "tenant": -1, "vector": self._state_vector(), "attributes": said}
        self.server.upsert(collection.name, [row], "", seconds=self.server.connection.bulk_timeout)
        if self._load_state(collection.name, STRONG) != said:
            raise Unavailable(
                f"{self.server.connection.name} does not give back what {collection.name} was to save_state"
            )

    def _load_state(self, name: str, level: ConsistencyLevel) -> dict[str, Any]:
        seconds = (
            STRONG_READ_FACTOR * self.server.connection.bulk_timeout
            if level == STRONG
            else self.server.connection.timeout
        )
        found = self.server.query(name, f"id == {STATE_ID}", ["attributes"], level=level, seconds=seconds)
        return dict(found[0]["attributes"]) if found else {}

    def _state_vector(self) -> Distances:
        """A vector far from all that encoders give, which is never negative."""
        return np.full(self.spec.width, -1 / math.sqrt(self.spec.width), np.float32)

    def _bucket_count(self) -> int:
        wanted, server = self.settings.buckets, self.server
        if server.connection.lite:
            return BUCKETS
        version = server.version()
        if parse_version(version) < PARTITION_KEY_UPSERT:
            if (wanted or 1) > 1:
                raise BadSetting(
                    f"{server.connection.name} is Milvus {version}, which puts replaced rows into wrong buckets; leave "
                    f"buckets out (one is used), or move to 2.3.10 or later"
                )
            return 1
        return wanted or BUCKETS

    def _read(self, name: str, level: ConsistencyLevel) -> Collection:
        found = self.server.describe(name)
        words = {key[len(PREFIX) :]: value for key, value in found["properties"].items() if key.startswith(PREFIX)}
        self._check(name, words, found)
        return Collection(name, words["index"], words["tenants"], **self._load_state(name, level))

    def _check(self, name: str, words: Mapping[str, str], found: Mapping[str, Any]) -> None:
        where = f"the collection {name} on {self.server.connection.name}"
        if "spec" not in words:
            raise BadSetting(f"{where} is not ours, but the alias {self.alias} stands for it; drop the alias")
        if words["spec"] != _spec_json(self.spec):
            raise FeatureMismatch(f"{where} holds {words['spec']}, not {_spec_json(self.spec)}")
        width = next(field["params"]["dim"] for field in found["fields"] if field["name"] == "vector")
        metric = self.server.describe_index(name).get("metric_type")
        if int(width) != self.spec.width or metric != "IP":
            raise FeatureMismatch(f"{where} has vectors of {width} under {metric}, not {self.spec.width} under IP")


def _spec_json(spec: FeatureSpec) -> str:
    return json.dumps({"name": spec.name, "metric": spec.metric, "width": spec.width, "fingerprint": spec.fingerprint})


def _safe_name(name: str) -> str:
    """A name of letters, digits and underscores only, others told apart by a digest."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)[:80]
    return plain if plain == name else f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
