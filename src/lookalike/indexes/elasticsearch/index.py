"""Hashes in Elasticsearch: generation 1 as it was published, with its guarantee stated, and two modes that give more.

`published`: a row comes out if at least m of its 8 bytes equal the query's, and is ranked by Hamming distance; every
row within 8 - m bits is found. `guaranteed`: every row within a radius that is chosen, and none beyond. `exact`:
whatever is asked for, by reading all rows where no radius proves the answer. The mathematics is in `elastic_segments`.
"""

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from lookalike.errors import BadInput, BadSetting
from lookalike.indexes.elasticsearch.client import ElasticClient
from lookalike.indexes.elasticsearch.config import Settings, read_settings
from lookalike.indexes.elasticsearch.external_index import ExternalIndex
from lookalike.indexes.elasticsearch.managed_index import ManagedIndex
from lookalike.indexes.elasticsearch.search import Search, count_rows, scope_filters
from lookalike.indexes.elasticsearch.segments import BITS
from lookalike.indexes.elasticsearch.storage import HashRows, HashStorage, pack_codes, refresh
from lookalike.indexes.validation import check_attributes, check_query, check_rows
from lookalike.types import Attributes, Features, FeatureSpec, Ids, Matches, ResolvedFilter, Rows

_COUNT_TTL = 30.0  # seconds for which the number of rows is taken as known, to choose between two ways


def open_index(spec: FeatureSpec, url: str, gallery: str) -> "ElasticIndex":
    """The index of a gallery's hashes on a server, made where it is not there yet.

    Raises BadSetting for options that make no sense, Unavailable where the server is down, FeatureMismatch where the
    index holds other features.
    """
    settings = read_settings(url)
    if spec.metric != "hamming" or spec.width * 8 != BITS:
        raise BadSetting(
            f"Elasticsearch holds {BITS}-bit hashes, not {spec.name} ({spec.metric}, {spec.width}); "
            "choose another engine for it"
        )
    server = ElasticClient(settings.connection)
    try:
        place: HashStorage = (ExternalIndex if settings.external else ManagedIndex)(server, spec, gallery, settings)
    except BaseException:
        server.close()
        raise
    return ElasticIndex(spec, place, settings)


class ElasticIndex:
    """An `VectorIndex` of 64-bit codes on a server. What this process wrote, it sees; others see it after a flush."""

    def __init__(self, spec: FeatureSpec, storage: HashStorage, settings: Settings) -> None:
        self._spec = spec
        self._storage = storage
        self._settings = settings
        self._closed = False
        self._write_lock = threading.RLock()
        self._refresh_lock = threading.Lock()
        self._writes = self._visible_writes = 0  # numbers of writes: seen are those before the last refresh
        self._rows, self._counted_at = 0, -math.inf

    @property
    def shared(self) -> bool:
        """The rows live on a server."""
        return True

    @property
    def spec(self) -> FeatureSpec:
        """What the rows are."""
        return self._spec

    @property
    def sequence(self) -> int:
        """The catalog's sequence number of the last flush, asked from the server."""
        self._check_open()
        return self._storage.sequence()

    def upsert(self, rows: Rows) -> None:
        """Insert or replace rows; see `check_rows` for the errors.

        A failure may leave some of them written: writing them again ends well, and nothing has to be undone.
        """
        ids, features, tenants = check_rows(self._spec, rows)
        if rows.attributes is not None and len(rows.attributes) != len(ids):
            raise BadInput(f"{len(ids)} ids and {len(rows.attributes)} attributes: give one of each")
        with self._write_lock:
            self._check_open()
            if len(ids):
                self._writes += 1
                self._storage.write(HashRows(ids, pack_codes(features), tenants, rows.attributes))
                self._writes += 1

    def delete(self, ids: Ids) -> None:
        """Forget these ids; unknown ones are passed over."""
        gone = np.unique(np.asarray(ids, np.int64))
        with self._write_lock:
            self._check_open()
            if len(gone):
                self._writes += 1
                self._storage.delete(gone)
                self._writes += 1

    def update_attributes(self, ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> None:
        """Change what filters see of rows that are there, by partial updates; unknown ids are passed over."""
        wanted, owners = check_attributes(ids, tenants, attributes)
        with self._write_lock:
            self._check_open()
            if len(wanted):
                self._writes += 1
                self._storage.update(wanted, owners, attributes)
                self._writes += 1

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
        """The k nearest rows of each query, as far as the mode finds them; see `check_query` for the errors.

        `fresh` changes nothing: a flush ends only when every copy of the data has seen it.
        """
        codes = pack_codes(check_query(self._spec, queries, k, max_distance))
        self._check_open()
        search = Search(self._storage, self._settings, codes, k, tenant, filter, self._row_count)
        self._refresh()
        return search.run(BITS if max_distance is None else math.floor(min(max_distance, BITS)))

    def count(self, tenant: int | None = None) -> int:
        """How many rows there are."""
        self._check_open()
        self._refresh()
        return count_rows(self._storage.source, scope_filters(self._storage, tenant), self._storage.routing(tenant))

    def flush(self, sequence: int) -> None:
        """Make everything so far durable and seen in all copies; then, and only then, store `sequence` with it."""
        with self._write_lock:
            self._check_open()
            self._storage.flush()
            self._refresh(force=True)
            self._storage.store_sequence(sequence)

    def clear(self) -> None:
        """Forget every row."""
        with self._write_lock:
            self._check_open()
            self._storage.clear()
            self._counted_at = -math.inf

    @contextmanager
    def rebuilding(self) -> Iterator["ElasticIndex"]:
        """An empty index to fill; of our own one, searches go on in the old one until it is replaced at once."""
        with self._write_lock:
            self._check_open()
            with self._storage.rebuilding() as place:
                yield ElasticIndex(self._spec, place, self._settings)
            self._counted_at = -math.inf

    def close(self) -> None:
        """Close the connections."""
        if not self._closed:
            self._closed = True
            self._storage.server.close()

    def _check_open(self) -> None:
        if self._closed:
            raise BadInput(f"the {self._spec.name} index is closed")

    def _refresh(self, *, force: bool = False) -> None:
        """Have the server show what this process wrote; it would do so by itself within a second."""
        if not force and self._visible_writes == self._writes:
            return
        with self._refresh_lock:
            written = self._writes
            if force or self._visible_writes != written:
                refresh(self._storage.server, self._storage.source.index, bulk=force)
                self._visible_writes = written

    def _row_count(self) -> int:
        """How many rows there are, roughly."""
        if time.monotonic() > self._counted_at + _COUNT_TTL:
            self._rows = count_rows(self._storage.source, self._storage.filters(), None)
            self._counted_at = time.monotonic()
        return self._rows
