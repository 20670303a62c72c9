"""An index in Milvus: generation 2 as published, for galleries that outgrow one machine.

`milvus://[user:password@]host:port[/database]?index=auto&tenants=key&recall=0.98`, or Milvus Lite in a file,
`milvus-lite:///folder/name.db`. Rows are durable when Milvus has taken them (its log comes before its answer), so
nothing is flushed for that. Every request and every wait is bounded.
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
from lookalike.indexes.milvus import filters as filters
from lookalike.indexes.milvus.client import BOUNDED, STRONG, IndexNotFound, MilvusGateway
from lookalike.indexes.milvus.collections import LOAD_SECONDS, Collection, CollectionManager
from lookalike.indexes.milvus.config import Settings
from lookalike.indexes.milvus.search import MAX_MATCHES, Search, SelectivityCache
from lookalike.indexes.milvus.tuning import Tuning, tune
from lookalike.indexes.milvus.writer import Writer
from lookalike.indexes.validation import check_attributes, check_query, check_rows
from lookalike.types import (
    FULLY_EXACT,
    NO_GUARANTEE,
    Attributes,
    Features,
    FeatureSpec,
    Ids,
    Matches,
    ResolvedFilter,
    Rows,
)

REFRESH_INTERVAL = 5.0
"""Seconds after which a process asks again which collection counts, and how it is searched best."""
DROP_DELAY = REFRESH_INTERVAL + 1.0
"""Seconds for which a collection outlives its exchange: searching one that is being dropped may find nothing."""
INDEX_ROWS = 2000
"""Rows from which a new collection is indexed before it takes over; servers scan segments below 1,024 anyway."""
INDEX_SECONDS = 120.0
"""Sealing a new collection may take so long, and its indexing stand still: and a second more for every 200 rows."""

log = logging.getLogger("lookalike")
Answer = TypeVar("Answer")


def open_index(spec: FeatureSpec, url: str, gallery: str) -> "MilvusIndex":
    """Open the index of a gallery's pipeline, made if it is not there yet.

    Raises BadSetting for a wrong address, Unavailable where the server is down, FeatureMismatch where the collection of
    that name holds other features.
    """
    settings = Settings.read(url)
    if spec.metric != "cosine":
        raise BadSetting(f"Milvus is for vectors under cosine, not for {spec.name} ({spec.metric}): use elasticsearch")
    shelf = CollectionManager(MilvusGateway(settings.connection), settings, spec, gallery)
    try:
        return MilvusIndex(shelf, shelf.open())
    except LookalikeError:
        shelf.server.close()
        raise


def drop_index(spec: FeatureSpec, url: str, gallery: str) -> None:
    """Forget the index of a gallery's pipeline, whatever features it holds."""
    settings = Settings.read(url)
    shelf = CollectionManager(MilvusGateway(settings.connection), settings, spec, gallery)
    try:
        if shelf.server.alias_target(shelf.alias) is not None:
            shelf.server.drop_alias(shelf.alias)
        shelf.drop_stale()
    finally:
        shelf.server.close()


class MilvusIndex:
    """Rows in a collection behind an alias; see `ports.VectorIndex`.

    FLAT misses nothing; the others promise nothing, and are tuned to a recall. Searches may miss what was written in
    the last seconds, unless `fresh`. At most 16,382 matches a query.
    """

    def __init__(self, manager: CollectionManager, collection: Collection, *, building: bool = False) -> None:
        self._manager = manager
        self._server = manager.server
        self._collection = collection
        self._building = building  # not behind the alias yet
        self._checked_at = time.monotonic()
        self._lock = threading.RLock()
        self._writer = Writer(manager.server, manager.spec)
        self._selectivity = SelectivityCache(manager.server)
        self._closed = False
        wished = manager.settings.index
        if wished not in ("auto", collection.index_type) or manager.settings.tenants != collection.tenants:
            found = (collection.name, collection.index_type, collection.tenants)
            log.warning("%s has index=%s and tenants=%s; the address's wishes come with the next rebuilding", *found)

    @property
    def shared(self) -> bool:
        """The rows are on a server, or in one file."""
        return True

    @property
    def spec(self) -> FeatureSpec:
        """What the rows are."""
        return self._manager.spec

    @property
    def sequence(self) -> int:
        """The catalog's sequence number of the last flush, as the server has it."""
        return self._with_collection(lambda collection: collection.sequence, fresh=True)

    @property
    def collection(self) -> Collection:
        """The collection in use, for whoever wants to know more of it."""
        return self._collection

    def upsert(self, rows: Rows) -> None:
        """Insert rows, or replace those with the same ids."""
        ids, features, tenants = check_rows(self.spec, rows)
        attributes: Sequence[Attributes] = rows.attributes if rows.attributes is not None else [{}] * len(ids)
        check_attributes(ids, tenants, attributes)
        with self._lock:
            kept = self._encode_attributes(attributes)
            self._with_collection(lambda at: self._writer.upsert(at, ids, features, tenants, kept))

    def update_attributes(self, ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> None:
        """Change what filters see of rows that are there: their vectors are read, and written again beside it."""
        wanted, _ = check_attributes(ids, tenants, attributes)
        with self._lock:
            kept = dict(zip(wanted.tolist(), self._encode_attributes(attributes), strict=True))
            self._with_collection(lambda at: self._writer.update_attributes(at, kept))

    def delete(self, ids: Ids) -> None:
        """Forget these ids; unknown ones are passed over."""
        wanted = np.unique(np.asarray(ids, np.int64))
        images = wanted[wanted > 0].tolist()
        with self._lock:
            self._with_collection(lambda collection: self._writer.delete(collection, images))

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
        """The k nearest rows of each query; raises UnsupportedQuery for k above 16,382 and filters it cannot read."""
        queries = check_query(self.spec, queries, k, max_distance)
        if k > MAX_MATCHES:
            raise UnsupportedQuery(f"Milvus gives at most {MAX_MATCHES} matches a query, not {k}; ask for fewer pages")
        found = self._with_collection(lambda at: self._search(at, queries, k, tenant, filter, fresh), fresh=fresh)
        if max_distance is not None:
            far = ~(found.distances <= np.float32(max_distance))
            found.ids[far], found.distances[far] = -1, np.inf
        return found

    def count(self, tenant: int | None = None) -> int:
        """How many rows there are, what was written last included."""
        return self._with_collection(lambda collection: self._writer.count(collection, tenant))

    def flush(self, sequence: int) -> None:
        """Keep `sequence` on the server, and wait until every search that asks for it sees it and all before it.

        It is written to the same log, behind the rows: a crash leaves an older sequence, never one that claims too
        much. Milvus' own flush, which closes segments, is not for small batches, and not needed for this.
        """

        with self._lock:
            self._update_state(sequence=sequence)

    def clear(self) -> None:
        """Forget every row, durably, and set `sequence` to 0: an empty collection takes the place of this one."""
        with self.rebuilding():
            pass

    @contextmanager
    def rebuilding(self) -> Iterator["MilvusIndex"]:
        """An empty index to fill; searches go on in this one until it is full, indexed, tuned, and takes the place."""
        with self._lock:
            old = self._current(fresh=True)
            self._manager.drop_stale()
            new = self._manager.create(self.count())
            filling = MilvusIndex(self._manager, new, building=True)
            try:
                yield filling
                rows = filling._finish_building()
                self._manager.swap_alias(filling._collection)
            except BaseException:
                self._drop(new)
                raise
            self._collection, self._checked_at = filling._collection, time.monotonic()
            if rows and not self._server.connection.lite:
                time.sleep(DROP_DELAY)
            self._drop(old)

    def tune(self, recall: float | None = None) -> Tuning | None:
        """Measure how widely to search for a recall (the address's, if none is given), and keep that on the server.

        Worth repeating when the gallery has grown a few times. None where there is nothing to tune: a FLAT index.
        """

        def act(collection: Collection) -> Tuning | None:
            tuning = tune(self._server, collection, self.spec, recall or self._manager.settings.recall)
            if tuning is not None:
                self._update_state(effort=tuning.value)
                log.info(
                    "%s: %s %d gives a recall of %.3f",
                    collection.name,
                    *(tuning.parameter, tuning.value),
                    tuning.recall,
                )
            return tuning

        with self._lock:
            return self._with_collection(act, fresh=True)

    def close(self) -> None:
        """Let the connection go; closing twice is harmless."""
        self._closed = True
        if not self._building:
            self._server.close()

    def _search(
        self,
        collection: Collection,
        queries: Features,
        k: int,
        tenant: int | None,
        filter: ResolvedFilter | None,
        fresh: bool,
    ) -> Matches:
        partitions = self._writer.partitions_of(collection, tenant)
        expressions = [] if partitions == [] else filters.expressions(filter, oversized=collection.oversized)
        mine = "" if tenant is None else f"tenant == {tenant}"
        if not len(queries) or not expressions:
            promise = FULLY_EXACT if collection.index_type == "FLAT" or not expressions else NO_GUARANTEE
            return Matches(np.full((len(queries), k), -1), np.full((len(queries), k), np.inf, np.float32), promise)
        level = STRONG if fresh or self._manager.settings.strong else BOUNDED
        search = Search(self._server, collection, level, partitions, self._selectivity)
        return search.nearest(queries, k, [filters.conjunction(mine, one) for one in expressions])

    def _encode_attributes(self, attributes: Sequence[Attributes]) -> list[dict[str, str]]:
        """Attributes as rows keep them; where some do not fit, the collection remembers it."""
        kept = [filters.encode(one) for one in attributes]
        if None in kept and not self._collection.oversized:
            self._update_state(oversized=True)
        return [one or {} for one in kept]

    def _update_state(self, **changed: Any) -> None:
        def act(collection: Collection) -> Collection:
            new = replace(collection, **changed)
            self._manager.save_state(new)
            return new

        self._collection = self._with_collection(act, fresh=True)

    def _finish_building(self) -> int:
        """Close, index, load and tune what was filled, so that it can take over; gives the number of rows."""
        rows = self.count()
        name, kind, server = self._collection.name, self._collection.index_type, self._server
        if kind == "FLAT" or rows < INDEX_ROWS:
            return rows
        seconds = INDEX_SECONDS + rows / 200
        server.seal(name, seconds=seconds)
        server.await_index(name, rows, seconds)
        if not server.connection.lite:  # what grew in memory is let go; what is loaded is indexed
            server.release(name)
            server.load(name, replicas=self._manager.settings.replicas, seconds=LOAD_SECONDS + rows / 10_000)
        self.tune()
        return rows

    def _drop(self, collection: Collection) -> None:
        try:
            self._server.drop(collection.name)
        except (Unavailable, IndexNotFound) as error:
            log.warning("%s is left behind until the next rebuilding: %s", collection.name, error)

    def _current(self, *, fresh: bool) -> Collection:
        if self._closed:
            raise BadInput(f"the {self.spec.name} index is closed")
        if not self._building and (fresh or time.monotonic() - self._checked_at > REFRESH_INTERVAL):
            self._checked_at = time.monotonic()  # other threads go on with what is known meanwhile
            self._collection = self._manager.current(STRONG if fresh else BOUNDED) or self._manager.open()
        return self._collection

    def _with_collection(self, act: Callable[[Collection], Answer], *, fresh: bool = False) -> Answer:
        """Do something with the collection that counts; once more where another process has exchanged it meanwhile."""
        try:
            return act(self._current(fresh=fresh))
        except IndexNotFound:
            try:
                return act(self._current(fresh=True))
            except IndexNotFound as error:
                raise Unavailable(f"{error}; was it dropped by hand?") from error
