"""Index of 64-bit hashes in Elasticsearch, in three modes.

`published`: rows of which at least m of 8 bytes equal the query's, ranked by Hamming distance; every row within 8 - m
bits is found. `guaranteed`: every row within a chosen radius, and none beyond. `exact`: the k nearest rows, by reading
all rows where the radius does not prove the result. For the theory see `segments`.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from lookalike.errors import BadInput, BadSetting
from lookalike.indexes.elasticsearch.client import ElasticClient
from lookalike.indexes.elasticsearch.config import Settings, read_settings
from lookalike.indexes.elasticsearch.external_index import ExternalIndex
from lookalike.indexes.elasticsearch.managed_index import ManagedIndex, drop_managed_index
from lookalike.indexes.elasticsearch.search import Search, count_rows, scope_filters
from lookalike.indexes.elasticsearch.segments import BITS
from lookalike.indexes.elasticsearch.storage import HashRows, HashStorage, pack_codes
from lookalike.indexes.validation import check_attributes, check_query, check_rows
from lookalike.types import Attributes, Features, FeatureSpec, Ids, Matches, ResolvedFilter, Rows

_COUNT_TTL = 30.0  # seconds for which the number of rows is cached; it only chooses between segment search and scan


def open_index(spec: FeatureSpec, url: str, gallery: str) -> "ElasticIndex":
    """Open the index of a gallery's hashes on a server, and create it if it does not exist.

    Raises BadSetting for invalid options, Unavailable for a server that is down, FeatureMismatch for an index of other
    features.
    """
    settings = read_settings(url)
    if spec.metric != "hamming" or spec.width * 8 != BITS:
        raise BadSetting(
            f"Elasticsearch holds {BITS}-bit hashes, not {spec.name} ({spec.metric}, {spec.width}); "
            "choose another engine for it"
        )
    server = ElasticClient(settings.connection)
    try:
        storage: HashStorage = (ExternalIndex if settings.external else ManagedIndex)(server, spec, gallery, settings)
    except BaseException:
        server.close()
        raise
    return ElasticIndex(spec, storage, settings)


def drop_index(spec: FeatureSpec, url: str, gallery: str) -> None:
    """Delete the index of a gallery's hashes; of an index of another application, our fields only.

    Raises Unavailable for a server that is down.
    """
    settings = read_settings(url)
    server = ElasticClient(settings.connection)
    try:
        if settings.external:
            ExternalIndex(server, spec, gallery, settings).clear()
        else:
            drop_managed_index(server, spec, gallery, settings)
    finally:
        server.close()


class ElasticIndex:
    """A `VectorIndex` of 64-bit codes on a server. This process sees its own writes at once, others after a flush."""

    def __init__(self, spec: FeatureSpec, storage: HashStorage, settings: Settings) -> None:
        self._spec = spec
        self._storage = storage
        self._settings = settings
        self._closed = False
        self._write_lock = threading.RLock()
        self._refresh_lock = threading.Lock()
        self._writes = self._visible_writes = 0  # write counters: of all writes, and at the last refresh
        self._rows, self._counted_at = 0, -math.inf

    @property
    def shared(self) -> bool:
        return True

    @property
    def spec(self) -> FeatureSpec:
        return self._spec

    @property
    def sequence(self) -> int:
        """The catalog's sequence number of the last flush, read from the server."""
        self._check_open()
        return self._storage.sequence()

    def upsert(self, rows: Rows) -> None:
        """Insert or replace rows; after a failure some may be written, and repeating the call is safe."""
        ids, features, tenants = check_rows(self._spec, rows)
        if rows.attributes is not None and len(rows.attributes) != len(ids):
            raise BadInput(f"{len(ids)} ids and {len(rows.attributes)} attributes: give one of each")
        self._write(ids, lambda: self._storage.write(HashRows(ids, pack_codes(features), tenants, rows.attributes)))

    def delete(self, ids: Ids) -> None:
        unique = np.unique(np.asarray(ids, np.int64))
        self._write(unique, lambda: self._storage.delete(unique))

    def update_attributes(self, ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> None:
        """Change the attributes of rows by partial updates; unknown ids are ignored."""
        id_array, tenant_array = check_attributes(ids, tenants, attributes)
        self._write(id_array, lambda: self._storage.update(id_array, tenant_array, attributes))

    def search(
        self,
        queries: Features,
        k: int,
        *,
        tenant: int | None = None,
        filter: ResolvedFilter | None = None,
        max_distance: float | None = None,
        fresh: bool = False,
    ) -> Matches:
        """The k nearest rows of each query that the mode finds; raises as `check_query`.

        `fresh` has no effect: a flush returns only when it is visible in every replica.
        """
        codes = pack_codes(check_query(self._spec, queries, k, max_distance))
        self._check_open()
        search = Search(self._storage, self._settings, codes, k, tenant, filter, self._row_count)
        self._refresh()
        return search.run(BITS if max_distance is None else math.floor(min(max_distance, BITS)))

    def count(self, tenant: int | None = None) -> int:
        self._check_open()
        self._refresh()
        return count_rows(self._storage.source, scope_filters(self._storage, tenant), self._storage.routing(tenant))

    def flush(self, sequence: int) -> None:
        """Make all writes durable and visible in all replicas, and only then store `sequence`."""
        with self._write_lock:
            self._check_open()
            self._storage.flush()
            self._refresh(force=True)
            self._storage.store_sequence(sequence)

    def clear(self) -> None:
        with self._write_lock:
            self._check_open()
            self._storage.clear()
            self._counted_at = -math.inf

    @contextmanager
    def rebuilding(self) -> Iterator["ElasticIndex"]:
        """An empty index to fill. A managed index serves searches until the new one replaces it atomically."""
        with self._write_lock:
            self._check_open()
            with self._storage.rebuilding() as storage:
                yield ElasticIndex(self._spec, storage, self._settings)
            self._counted_at = -math.inf

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._storage.server.close()

    def _write(self, ids: Ids, write: Callable[[], None]) -> None:
        """Write unless there are no ids; counted before and after, because a refresh in between shows only a part."""
        with self._write_lock:
            self._check_open()
            if len(ids):
                self._writes += 1
                write()
                self._writes += 1

    def _check_open(self) -> None:
        if self._closed:
            raise BadInput(f"the {self._spec.name} index is closed")

    def _refresh(self, *, force: bool = False) -> None:
        """Make this process's writes visible to searches; without it the server does so within a second."""
        if not force and self._visible_writes == self._writes:
            return
        with self._refresh_lock:
            writes = self._writes
            if force or self._visible_writes != writes:
                self._storage.server.refresh(self._storage.source.index, bulk=force)
                self._visible_writes = writes

    def _row_count(self) -> int:
        """Approximate number of rows."""
        if time.monotonic() > self._counted_at + _COUNT_TTL:
            self._rows = count_rows(self._storage.source, self._storage.filters(), None)
            self._counted_at = time.monotonic()
        return self._rows
