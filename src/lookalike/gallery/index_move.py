"""Moving the index of a pipeline to another engine, while the gallery is searched and written to."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from lookalike.catalog import Catalog, OtherIndex, StoredIndex, StoredPipeline
from lookalike.catalog.pipelines import find, indexes_of
from lookalike.errors import BadInput, BadSetting, Conflict, GalleryBusy, Unavailable
from lookalike.gallery.index_sync import OpenPipeline, ignore_progress
from lookalike.gallery.pipeline_pool import DROP_SECONDS, PipelinePool
from lookalike.gallery.writer_lock import WriterLock
from lookalike.pipeline import Pipeline, Ranked
from lookalike.results import IndexComparison, IndexMove, IndexMoveProgress

SAMPLE = 500
"""Stored features that are searched for, at most."""
HITS = 10
"""Hits of each that are compared: overlap@10."""
MIN_COPIES_OVERLAP = 0.98
"""Least share of the old index's hits within the copy threshold that a new one must find to take its place."""
ROUNDING = 1e-3
"""Distances (0..1) that differ by less are equal: engines store and multiply vectors at different precisions."""
BATCH = 50
STEP_SECONDS = 1.0
"""Seconds between two reports while changes are applied to a new index."""
BUSY_SECONDS = 0.2
"""Seconds between two looks at an index that another process fills."""
STALLED_SECONDS = 60.0
"""Seconds without progress after which a move gives up an index that another process fills."""


@dataclass(frozen=True, slots=True)
class _Lost:
    """A hit of the old index that the new one does not have: the image searched for, the hit, whether it is a copy."""

    query: int
    hit: int
    copy: bool


def compare_indexes(catalog: Catalog, old: Pipeline, new: Pipeline, sequence: int, *, seed: int = 0) -> IndexComparison:
    """Search for a sample of the features of a pipeline in two of its indexes.

    Nearest images at the same distance may stand in any order.

    Args:
        catalog: Of the gallery.
        old: The pipeline with the index that answers.
        new: With the other one.
        sequence: The change up to which the other one is known to be; what was changed since does not count.
        seed: Of the choice.

    Raises:
        Unavailable: An engine does not answer.
    """
    stored = catalog.features.sample(new.spec, SAMPLE, seed)
    lost: list[_Lost] = []
    hits = copies = 0
    for at in range(0, len(stored.ids), BATCH):
        ids, features = stored.ids[at : at + BATCH], stored.features[at : at + BATCH]
        found = [pipeline.search_features(features[:, None, :], HITS, fresh=True) for pipeline in (old, new)]
        for id_, before, after in zip(ids.tolist(), *found, strict=True):
            hits += len(before.ids)
            copies += int((before.distances <= old.calibration.threshold).sum())
            lost += _lost(id_, before, after, old.calibration.threshold)
    still = catalog.images.by_ids({image for each in lost for image in (each.query, each.hit)})
    unchanged = {id_ for id_, record in still.items() if record.sequence <= sequence}
    lost = [each for each in lost if each.query in unchanged and each.hit in unchanged]
    return IndexComparison(
        len(stored.ids),
        1 - len(lost) / max(hits, 1),
        copies,
        1 - sum(each.copy for each in lost) / max(copies, 1),
        sum(each.query == each.hit for each in lost),
        _missing_rows(catalog, new, sequence),
    )


def refusal(compared: IndexComparison) -> str | None:
    """Why a new index should not answer yet, or None."""
    reasons = []
    if compared.missing_rows:
        reasons.append(f"it lacks {compared.missing_rows:,} rows")
    if compared.unfound:
        reasons.append(f"{compared.unfound:,} of {compared.queries:,} images are not found by their own features")
    if compared.copies_overlap < MIN_COPIES_OVERLAP:
        reasons.append(
            f"it finds {100 * compared.copies_overlap:.1f} % of the {compared.copies:,} hits within the copy threshold "
            f"that the old one finds, and at least {100 * MIN_COPIES_OVERLAP:.0f} % are needed (options of the address "
            "may find more, such as ?mode=exact of Elasticsearch)"
        )
    return "; ".join(reasons) or None


def _lost(query: int, before: Ranked, after: Ranked, threshold: float) -> Iterator[_Lost]:
    """The hits that only the old index has, unless the new one is full of nearer ones."""
    reached = float(after.distances[-1]) if len(after.ids) >= HITS else np.inf
    have = set(after.ids.tolist())
    for id_, distance in zip(before.ids.tolist(), before.distances.tolist(), strict=True):
        if id_ not in have and distance < reached - ROUNDING:
            yield _Lost(query, id_, distance <= threshold)


def _missing_rows(catalog: Catalog, new: Pipeline, sequence: int) -> int:
    """The least number of rows missing in an index, beyond those that were changed since `sequence`."""
    rows = new.index.count()
    expected = catalog.features.count(new.spec)
    changed = catalog.changes.last_sequence() - sequence
    return max(expected - rows - changed, 0)


ReportMove = Callable[[IndexMoveProgress], None]


class IndexMoves:
    """Builds an index beside the one that answers, compares the two, and switches all processes to it.

    Both follow the catalog's change log, so that writers need not know of the move. What has been reached is in the
    catalog (`catalog.pipeline_indexes`): a process that is killed leaves an index that answers, and the same call goes
    on with the other one.
    """

    def __init__(self, catalog: Catalog, pool: PipelinePool, lock: WriterLock) -> None:
        self._catalog = catalog
        self._pool = pool
        self._lock = lock

    def move(self, name: str, to: str, *, force: bool, report: ReportMove = ignore_progress) -> IndexMove:
        """See `GalleryAPI.move_index`; `report` is called from time to time, and ends the move by what it raises."""
        own = self._stored(name)
        self._pool.builder.check(name, to)
        if self._pool.builder.is_at(name, own.index, to.strip()):
            return self._report(own, own, moved=False)
        if self._catalog.features.keeper() == "engine":
            raise BadSetting(
                "the catalog was created with features=engine: only the engine has the features, so that no other "
                "index can be built from the catalog"
            )
        new = self._begin(own, to.strip())
        begun = time.monotonic()
        self._fill(new, report)
        compared = self._compare(name, own, new, force=force)
        time.sleep(max(0.0, begun + DROP_SECONDS - time.monotonic()))  # by now all servers prepare it
        self._fill(new, report)
        switched = self._catalog.pipelines.switch_index(name, self._pool.current.initial)
        now = self._stored(name)
        if not switched and not self._pool.builder.is_at(name, now.index, to):
            raise Conflict(f"the move of the index of {name} was given up meanwhile")
        return self._report(own, now, moved=True, comparison=compared)

    def drop(self, name: str, *, forget: bool = False) -> str:
        """Delete the index that does not answer, once no process uses it; returns its address.

        Raises NotFound for an unknown pipeline, BadInput where there is only one index, and Unavailable where its
        server does not answer, unless it is only to be forgotten (`forget`).
        """
        self._stored(name)
        other = self._catalog.pipelines.start_index_drop(name, self._pool.current.initial)
        if other is None:
            raise BadInput(f"the pipeline {name} has only the index that answers")
        self._pool.current.get(now=True)
        time.sleep(DROP_SECONDS)
        if not forget:
            self._pool.builder.drop_index(name, other.index)
        self._catalog.pipelines.finish_index_drop(name)
        self._pool.current.get(now=True)
        return self._address(name, other.index)

    def targets(self) -> dict[str, str]:
        """What the indexes that are being built run on, by pipeline."""
        others = self._pool.current.get().others
        return {name: self._address(name, other.index) for name, other in others.items() if other.state == "building"}

    def is_named(self, name: str, address: str) -> bool:
        """Whether the settings name an address, or an index of the pipeline has it."""
        builder, own = self._pool.builder, [p for p in self._pool.current.stored() if p.name == name]
        known = [index for p in own for index in indexes_of(p)]
        return builder.is_named(address) or any(builder.is_at(name, index, address) for index in known)

    def _stored(self, name: str) -> StoredPipeline:
        self._pool.current.get(now=True)
        return find(self._pool.current.stored(), name)

    def _begin(self, own: StoredPipeline, to: str) -> OpenPipeline:
        """Open the index to build, and enter it in the catalog; nothing is entered where it cannot be used."""
        other = own.other
        known = other is not None and self._pool.builder.is_at(own.name, other.index, to)
        index = other.index if other is not None and known else self._next_index(own.name, to)
        if other is not None and not known:
            raise BadInput(
                f"the pipeline {own.name} has another index, at {self._address(own.name, other.index)}, {_why(other)}; "
                f"drop it first: lookalike index drop {own.name}"
            )
        opened = self._pool.open_index(own.name, index)
        if not opened.pipeline.index.shared:
            with suppress(GalleryBusy), self._lock:  # to save it; else the process that has the lock does so
                pass
        if not known and opened.pipeline.index.sequence:
            raise BadInput(
                f"there is an index at {opened.pipeline.engine} already, with the rows of another one; name another "
                "index, or delete it"
            )
        self._catalog.pipelines.start_index_move(own.name, index, self._pool.current.initial)
        self._pool.current.get(now=True)
        return self._pool.open_index(own.name, index)  # from now on `prepare` uses the same one

    def _next_index(self, name: str, to: str) -> StoredIndex:
        return StoredIndex(to, self._catalog.pipelines.next_generation(name))

    def _fill(self, new: OpenPipeline, report: ReportMove) -> None:
        """Bring an index up to date with the catalog, from nothing if it is new."""

        def applied(sequence: int) -> None:
            report(IndexMoveProgress(sequence, self._catalog.changes.last_sequence()))

        reached = -1
        if new.pipeline.index.shared and new.pipeline.index.sequence == 0:
            reached = new.sync.rebuild(applied)  # as a whole: engines build a filled index better than a growing one
        until, advanced = self._catalog.changes.last_sequence(), time.monotonic()
        while True:
            before, reached = reached, new.sync.catch_up(time.monotonic() + STEP_SECONDS)
            applied(reached)
            if reached >= until:
                break
            if reached > before:
                advanced = time.monotonic()
            elif time.monotonic() > advanced + STALLED_SECONDS:
                raise Unavailable(
                    f"another process has filled {new.pipeline.engine} up to change {reached}, and stalls"
                )
            else:
                time.sleep(BUSY_SECONDS)
        new.sync.save(always=True)

    def _compare(self, name: str, own: StoredPipeline, new: OpenPipeline, *, force: bool) -> IndexComparison | None:
        """Compare the new index with the one that answers; raises Conflict where it is worse."""
        old = self._pool.open_index(name, own.index)
        try:
            old.sync.catch_up()
            compared = compare_indexes(self._catalog, old.pipeline, new.pipeline, new.sync.applied)
        except Unavailable:
            if not force:
                raise
            return None  # the engine that is moved away from may be down for good
        if (why := refusal(compared)) is not None and not force:
            raise Conflict(
                f"the new index of {name}, {new.pipeline.engine}, does not answer yet: {why}. Run the command again to "
                f"compare again, with --force to switch all the same, or `lookalike index drop {name}` to give it up"
            )
        return compared

    def _report(
        self, before: StoredPipeline, now: StoredPipeline, *, moved: bool, comparison: IndexComparison | None = None
    ) -> IndexMove:
        addresses = [self._address(own.name, own.index) for own in (before, now)]
        rows = self._pool.open_index(now.name, now.index).pipeline.index.count()
        return IndexMove(now.name, addresses[0], addresses[1], rows, moved, now.other is not None, comparison)

    def _address(self, name: str, index: StoredIndex) -> str:
        return self._pool.builder.engine(name, index)


def _why(other: OtherIndex) -> str:
    return {
        "building": "which is being built",
        "kept": "which is kept from an earlier move",
        "dropping": "which is being deleted",
    }[other.state]
