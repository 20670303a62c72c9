"""Vector index in Milvus, for galleries that outgrow one machine.

`milvus://[user:password@]host:port[/database]?index=auto&tenants=key&recall=0.98`, or Milvus Lite in a file,
`milvus-lite:///folder/name.db`. Rows are durable once Milvus acknowledges them, because it writes its log first, so
durability needs no flush. Every request and every wait has a timeout.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from lookalike.errors import BadInput, BadSetting, LookalikeError, Unavailable, UnsupportedQuery
from lookalike.indexes.milvus import filters
from lookalike.indexes.milvus.client import BOUNDED, STRONG, IndexNotFound, MilvusGateway
from lookalike.indexes.milvus.collections import LOAD_SECONDS, Collection, CollectionManager
from lookalike.indexes.milvus.config import Settings
from lookalike.indexes.milvus.search import MAX_MATCHES, Search, SelectivityCache
from lookalike.indexes.milvus.tuning import Tuning, tune
from lookalike.indexes.milvus.writer import Writer
from lookalike.indexes.validation import check_attributes, check_query, check_rows
from lookalike.types import Attributes, Features, FeatureSpec, Ids, Matches, ResolvedFilter, Rows

REFRESH_INTERVAL = 5.0
"""Seconds for which the current collection and its state are cached."""
DROP_DELAY = REFRESH_INTERVAL + 1.0
"""Seconds from swapping the alias until the old collection is dropped: searching a dropped one may find nothing."""
INDEX_ROWS = 2000
"""Rows from which a new collection is indexed before the swap; servers scan segments below 1,024 rows anyway."""
INDEX_SECONDS = 120.0
"""Timeout for sealing a new collection, and for indexing without progress; plus one second per 200 rows."""

log = logging.getLogger("lookalike")
Answer = TypeVar("Answer")


def open_index(spec: FeatureSpec, url: str, gallery: str) -> "MilvusIndex":
    """Open the index of a gallery's pipeline, and create it if it does not exist.

    Raises BadSetting for a wrong address, Unavailable for a server that is down, FeatureMismatch for a collection of
    other features.
    """
    settings = Settings.read(url)
    if spec.metric != "cosine":
        raise BadSetting(f"Milvus holds vectors under cosine, not {spec.name} ({spec.metric}): use elasticsearch")
    manager = CollectionManager(MilvusGateway(settings.connection), settings, spec, gallery)
    try:
        return MilvusIndex(manager, manager.open())
    except LookalikeError:
        manager.server.close()
        raise


def drop_index(spec: FeatureSpec, url: str, gallery: str) -> None:
    """Drop the index of a gallery's pipeline, whatever features it holds."""
    settings = Settings.read(url)
    manager = CollectionManager(MilvusGateway(settings.connection), settings, spec, gallery)
    try:
        if manager.server.alias_target(manager.alias) is not None:
            manager.server.drop_alias(manager.alias)
        manager.drop_stale()
    finally:
        manager.server.close()


class MilvusIndex:
    """A `VectorIndex` in a collection behind an alias.

    FLAT is exact; the other index types are approximate, and tuned to a recall. Searches may miss the writes of the
    last seconds unless `fresh`. A query has at most 16,382 matches.
    """

    def __init__(self, manager: CollectionManager, collection: Collection, *, building: bool = False) -> None:
        self._manager = manager
        self._server = manager.server
        self._collection = collection
        self._building = building  # the alias does not point to it yet
        self._checked_at = time.monotonic()
        self._lock = threading.RLock()
        self._writer = Writer(manager.server, manager.spec)
        self._selectivity = SelectivityCache(manager.server)
        self._closed = False
        settings = manager.settings
        if settings.index not in ("auto", collection.index_type) or settings.tenants != collection.tenants:
            log.warning(
                "%s has index=%s and tenants=%s; the settings of the address apply after the next rebuild",
                *(collection.name, collection.index_type, collection.tenants),
            )

    @property
    def shared(self) -> bool:
        return True

    @property
    def spec(self) -> FeatureSpec:
        return self._manager.spec

    @property
    def sequence(self) -> int:
        """The catalog's sequence number of the last flush, read from the server."""
        return self._with_collection(lambda collection: collection.sequence, fresh=True)

    @property
    def collection(self) -> Collection:
        return self._collection

    def upsert(self, rows: Rows) -> None:
        ids, features, tenants = check_rows(self.spec, rows)
        attributes: Sequence[Attributes] = rows.attributes if rows.attributes is not None else [{}] * len(ids)
        check_attributes(ids, tenants, attributes)
        with self._lock:
            encoded = self._encode_attributes(attributes)
            self._with_collection(lambda current: self._writer.upsert(current, ids, features, tenants, encoded))

    def update_attributes(self, ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> None:
        """Change the attributes of rows, by reading and rewriting whole rows; unknown ids are ignored."""
        id_array, _ = check_attributes(ids, tenants, attributes)
        with self._lock:
            encoded = dict(zip(id_array.tolist(), self._encode_attributes(attributes), strict=True))
            self._with_collection(lambda current: self._writer.update_attributes(current, encoded))

    def delete(self, ids: Ids) -> None:
        images = [id_ for id_ in np.unique(np.asarray(ids, np.int64)).tolist() if id_ > 0]  # never the state row
        with self._lock:
            self._with_collection(lambda current: self._writer.delete(current, images))

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
        """The k nearest rows of each query; raises UnsupportedQuery for k > 16,382 and invalid filters."""
        queries = check_query(self.spec, queries, k, max_distance)
        if k > MAX_MATCHES:
            raise UnsupportedQuery(f"Milvus returns at most {MAX_MATCHES} matches per query, not {k}")
        of_tenant = "" if tenant is None else f"tenant == {tenant}"
        level = STRONG if fresh or self._manager.settings.strong else BOUNDED

        def search_collection(current: Collection) -> Matches:
            partitions = self._writer.partitions_of(current, tenant)
            parts = [] if partitions == [] else filters.expressions(filter, oversized=current.oversized)
            search = Search(self._server, current, level, partitions, self._selectivity)
            return search.nearest(queries, k, [filters.conjunction(of_tenant, part) for part in parts])

        found = self._with_collection(search_collection, fresh=fresh)
        if max_distance is not None:
            far = ~(found.distances <= np.float32(max_distance))
            found.ids[far], found.distances[far] = -1, np.inf
        return found

    def count(self, tenant: int | None = None) -> int:
        """Number of rows, strongly consistent."""
        return self._with_collection(lambda current: self._writer.count(current, tenant))

    def flush(self, sequence: int) -> None:
        """Store `sequence` on the server, and wait until strongly consistent searches see it and all earlier writes.

        It is written to the same log after the rows: after a crash it may be too old, but is never ahead of the rows.
        Milvus' own flush, which seals segments, is unsuitable for small batches and not needed for durability.
        """
        with self._lock:
            self._update_state(sequence=sequence)

    def clear(self) -> None:
        """Delete every row durably and set `sequence` to 0, by swapping in an empty collection."""
        with self.rebuilding():
            pass

    @contextmanager
    def rebuilding(self) -> Iterator["MilvusIndex"]:
        """An empty index to fill; this one serves searches until the new one is indexed, tuned and swapped in."""
        with self._lock:
            old = self._current(fresh=True)
            self._manager.drop_stale()
            new = self._manager.create(self.count())
            building = MilvusIndex(self._manager, new, building=True)
            try:
                yield building
                rows = building._finish_building()
                self._manager.swap_alias(building._collection)
            except BaseException:
                self._drop(new)
                raise
            self._collection, self._checked_at = building._collection, time.monotonic()
            if rows and not self._server.connection.lite:
                time.sleep(DROP_DELAY)
            self._drop(old)

    def tune(self, recall: float | None = None) -> Tuning | None:
        """Measure the search effort needed for a recall (by default the address's), and store it on the server.

        Repeat it when the gallery has grown several times. None if there is nothing to tune: a FLAT index.
        """

        def measure(collection: Collection) -> Tuning | None:
            tuning = tune(self._server, collection, self.spec, recall or self._manager.settings.recall)
            if tuning is not None:
                self._update_state(effort=tuning.value)
                log.info(
                    "%s: %s %d has a recall of %.3f", collection.name, tuning.parameter, tuning.value, tuning.recall
                )
            return tuning

        with self._lock:
            return self._with_collection(measure, fresh=True)

    def close(self) -> None:
        self._closed = True
        if not self._building:
            self._server.close()

    def _encode_attributes(self, attributes: Sequence[Attributes]) -> list[dict[str, str]]:
        """Attributes as stored with rows; if some are too large, the collection's state records it."""
        encoded = [filters.encode(each) for each in attributes]
        if None in encoded and not self._collection.oversized:
            self._update_state(oversized=True)
        return [each or {} for each in encoded]

    def _update_state(self, **changed: Any) -> None:
        def save(collection: Collection) -> Collection:
            new = replace(collection, **changed)
            self._manager.save_state(new)
            return new

        self._collection = self._with_collection(save, fresh=True)

    def _finish_building(self) -> int:
        """Seal, index, load and tune a filled collection before the swap; returns the number of rows."""
        rows = self.count()
        name, server = self._collection.name, self._server
        if self._collection.index_type == "FLAT" or rows < INDEX_ROWS:
            return rows
        seconds = INDEX_SECONDS + rows / 200
        server.seal(name, seconds=seconds)
        server.await_index(name, rows, seconds)
        if not server.connection.lite:  # replace growing segments in memory by the indexed ones
            server.release(name)
            server.load(name, replicas=self._manager.settings.replicas, seconds=LOAD_SECONDS + rows / 10_000)
        self.tune()
        return rows

    def _drop(self, collection: Collection) -> None:
        try:
            self._server.drop(collection.name)
        except (Unavailable, IndexNotFound) as error:
            log.warning("%s could not be dropped, and will be at the next rebuild: %s", collection.name, error)

    def _current(self, *, fresh: bool) -> Collection:
        if self._closed:
            raise BadInput(f"the {self.spec.name} index is closed")
        if not self._building and (fresh or time.monotonic() - self._checked_at > REFRESH_INTERVAL):
            self._checked_at = time.monotonic()  # other threads use the cached collection meanwhile
            self._collection = self._manager.current(STRONG if fresh else BOUNDED) or self._manager.open()
        return self._collection

    def _with_collection(self, act: Callable[[Collection], Answer], *, fresh: bool = False) -> Answer:
        """Call `act` with the current collection; retry once if another process has swapped it meanwhile."""
        try:
            return act(self._current(fresh=fresh))
        except IndexNotFound:
            try:
                return act(self._current(fresh=True))
            except IndexNotFound as error:
                raise Unavailable(f"{error}; was it dropped by hand?") from error
