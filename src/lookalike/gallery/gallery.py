"""`Gallery`: the library's API, over a catalog, its pipelines and their indexes."""

import hashlib
import random
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from lookalike.catalog import Catalog, Deleted, NewImage, PutResult
from lookalike.catalog.built_in_attributes import check_sort
from lookalike.errors import BadInput, LookalikeError, NotFound, UnsupportedQuery
from lookalike.gallery.change_feed import check_wait, read_changes, wait_beyond
from lookalike.gallery.duplicates import ClusterOptions, find_clusters, find_clusters_page
from lookalike.gallery.encode import encode_images
from lookalike.gallery.explain import Diagnoser, compare_images, explain_pair
from lookalike.gallery.filters import conditions_of, resolve_filter
from lookalike.gallery.index_move import IndexMoves, ReportMove
from lookalike.gallery.index_sync import OpenPipeline, catch_up, ensure_fresh, ignore_progress
from lookalike.gallery.ingest import Ingest
from lookalike.gallery.item_lookup import FileKeys
from lookalike.gallery.missing_files import MissingFinder
from lookalike.gallery.originals import Originals
from lookalike.gallery.pipeline_changes import PipelineChanges
from lookalike.gallery.pipeline_pool import CurrentPipelines, PipelineBuilder, PipelinePool
from lookalike.gallery.presence import FilePresence
from lookalike.gallery.probabilities import CalibrationReader
from lookalike.gallery.queries import QueryReader
from lookalike.gallery.recall_meter import RecallMeter
from lookalike.gallery.search import Searcher, SearchRequest, SearchRun
from lookalike.gallery.status import check_engine, gallery_status
from lookalike.gallery.stored_sides import SIDE
from lookalike.gallery.thumbnails import Thumbnails, check_side
from lookalike.gallery.verification import DEFAULT_BUDGET_MS, CandidateVerifier
from lookalike.gallery.verification_records import RecordMaker, complete_records
from lookalike.gallery.writer_lock import WriterLock
from lookalike.gallery_calibration import GalleryCalibration
from lookalike.image_files import files_of
from lookalike.imaging import Limits, encode_pixels, make_jpeg
from lookalike.imaging.decode_pool.pool import INLINE_LIMIT
from lookalike.interfaces import GalleryAPI, OrientedEncoder
from lookalike.pipeline import Calibration
from lookalike.results import (
    CHANGES_PAGE,
    DEFAULT_RECORDS,
    DEFAULT_TENANT,
    THUMBNAIL_SIZE,
    BackfillProgress,
    ChangePage,
    Cluster,
    ClusterPage,
    Comparison,
    DeleteResult,
    Diagnosis,
    Explanation,
    Failure,
    Filter,
    GalleryPipeline,
    ImageFeatures,
    IndexMove,
    MissingFiles,
    Precondition,
    Query,
    RecordSetting,
    RepairReport,
    SearchOptions,
    Status,
    StoredImage,
    check_search_options,
)
from lookalike.types import Addable, Answer, Attributes, FeatureSpec, Found, Item, Outcome, PixelSource, Record
from lookalike.unknown_names import methods_suggest_keywords

NO_TENANT = -1
"""Id of a tenant without images."""
SYNC_EVERY = 4096
"""Added images after which the indexes catch up, so that a long run does not end with one long wait."""


@methods_suggest_keywords
class Gallery(GalleryAPI):
    """A gallery of this machine: a catalog and pipelines in a folder, or on servers. See `GalleryAPI` for the methods.

    Methods are safe to call from several threads. With a SQLite catalog one process writes and any number read; with a
    catalog on a server any number of processes write. A search sees every durable change, also of other processes.

    `catalog` is closed with the gallery; `builder` opens one of the `current` pipelines when it is first needed; `lock`
    is held from the first write on; `workers` decode (None: one a core) what is more than `inline_limit` images, which
    the calling process decodes; `limits` is what an image may take to decode. `recall_share` is the share of one core's
    time in which live searches are repeated exactly, to measure their recall; 0 for none. `verification_records` says
    which images added from now on get a record. `source_prefixes` are the URLs below which originals may be read, None
    for all.
    """

    def __init__(
        self,
        catalog: Catalog,
        current: CurrentPipelines,
        builder: PipelineBuilder,
        lock: WriterLock,
        *,
        limits: Limits | None = None,
        workers: int | None = None,
        inline_limit: int = INLINE_LIMIT,
        recall_share: float = 0.0,
        verification_records: RecordSetting = DEFAULT_RECORDS,
        source_prefixes: Sequence[str] | None = None,
    ) -> None:
        self.catalog = catalog
        self._lock = lock
        self.limits = limits or Limits()
        self._pipelines = PipelinePool(current, builder, catalog, lock, self.limits, workers, inline_limit)
        self._originals = Originals(self.limits, source_prefixes)
        self._thumbnails = Thumbnails(catalog, self._originals)
        self._calibrations = CalibrationReader(catalog)
        self._recall_meter = RecallMeter(catalog, recall_share) if recall_share > 0 else None
        self._verifier = CandidateVerifier(catalog, self._originals)
        self._records = RecordMaker(verification_records, lock.folder)
        self._changes = PipelineChanges(catalog, self._pipelines, self._originals)
        self._moves = IndexMoves(catalog, self._pipelines, lock)

    def __repr__(self) -> str:
        return f"Gallery({str(self._lock.folder)!r}, pipelines={self._pipelines.current.last.active})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._recall_meter is not None:
            self._recall_meter.close()
        self._pipelines.close()
        self._verifier.close()
        self.catalog.close()
        self._lock.close()

    @property
    def pipelines(self) -> tuple[str, ...]:
        """The names of the pipelines that answer searches, in order of precedence; at most a second old."""
        return self._pipelines.names

    @property
    def encoded_pipelines(self) -> tuple[str, ...]:
        """The names of the pipelines of which new images get features: the active and the shadow ones."""
        return self._pipelines.current.get().encoded

    @property
    def comparable_pipelines(self) -> tuple[str, ...]:
        """The names of the active and shadow pipelines that a search can name: without those of windows."""
        return tuple(name for name in self.encoded_pipelines if not self._pipelines.builder.is_windowed(name))

    @property
    def folder(self) -> Path:
        """The gallery's folder, with its settings, local indexes and the journals of clean-ups."""
        return self._lock.folder

    def announce_server(self, url: str) -> None:
        """Name the URL under which this process serves the gallery, for the error of other processes that write."""
        self._lock.announce(url)

    # Search and comparison

    def search(self, query: Query, **options: Unpack[SearchOptions]) -> Answer:
        if isinstance(query, ImageFeatures) and not options.get("pipelines"):  # the others need not be opened
            options["pipelines"] = [name for name in self.pipelines if name in query.features]
        [(_, answer)] = self.search_many([query], **options)
        if isinstance(answer, LookalikeError):
            raise answer
        return answer

    def search_many(
        self, queries: Iterable[Query], **options: Unpack[SearchOptions]
    ) -> Iterator[tuple[Query, Answer | Failure]]:
        return self._search(queries, options, {})

    def search_without(
        self, queries: Sequence[tuple[bytes, Collection[str]]], **options: Unpack[SearchOptions]
    ) -> Iterator[tuple[Query, Answer | Failure]]:
        """Search as if images were not in the gallery, to measure what is answered to queries without an original.

        Args:
            queries: The bytes of each image, and the keys that are left out of its answer, of the tenant searched.
            options: As for `search_many`.

        Returns:
            As `search_many` does.
        """
        tenant_id = self.catalog.tenants.find(options.get("tenant", DEFAULT_TENANT) or DEFAULT_TENANT)
        keys = {key for _, left_out in queries for key in left_out}
        known = {} if tenant_id is None else self.catalog.images.existing_images(tenant_id, keys)
        excluded: dict[bytes, frozenset[int]] = {}
        for data, left_out in queries:
            ids = frozenset(known[key].id for key in left_out if key in known)
            digest = hashlib.sha256(data).digest()
            excluded[digest] = ids | excluded.get(digest, frozenset())
        return self._search([data for data, _ in queries], options, excluded)

    def _search(
        self, queries: Iterable[Query], options: SearchOptions, excluded: Mapping[bytes, frozenset[int]]
    ) -> Iterator[tuple[Query, Answer | Failure]]:
        request, opened, windowed = self._prepare_search(options)
        min_sequence = options.get("min_sequence")
        if min_sequence is not None and min_sequence > (last := self.catalog.changes.last_sequence()):
            raise UnsupportedQuery(f"min_sequence {min_sequence} is in the future: the last change is {last}")
        reader = self._query_reader(opened, options.get("tenant", DEFAULT_TENANT), verify=request.verify)
        run = SearchRun(
            self.catalog,
            self._verifier,
            self._calibrations,
            self._recall_meter,
            self.pipelines,
            opened,
            windowed,
            reader,
            options,
        )
        return run.answers(queries, replace(request, excluded=excluded))

    def encode(
        self, images: Iterable[Query], *, pipelines: Sequence[str] | None = None, tenant: str = DEFAULT_TENANT
    ) -> Iterator[tuple[Query, ImageFeatures | Failure]]:
        """Encode images without storing anything.

        Args:
            images: Paths, bytes, pixels or `StoredImage`s; consumed as the results are.
            pipelines: Names of the pipelines whose encoders are used; all by default.
            tenant: Owner of stored images.

        Returns:
            Each image, in order, with its features, by which it can be searched for in any gallery with the same
            encoders, or with its error.

        Raises:
            UnsupportedQuery: A pipeline is unknown.
        """
        opened = self._pipelines.open(pipelines)
        return encode_images(images, opened, self._query_reader(opened, tenant, verify=False))

    def compare(self, a: Query, b: Query, *, tenant: str = DEFAULT_TENANT) -> Comparison:
        opened = self._pipelines.open()
        reader = self._query_reader(opened, tenant, verify=True)
        images = reader.read_one(a), reader.read_one(b)
        verification = self._verifier.compare(*(self._verifier.image_of(image, reader) for image in images))
        first, second = (self._verifier.with_bytes(image) for image in images)
        return compare_images(first, second, [o.pipeline for o in opened], verification)

    def explain(self, query: Query, key: str, *, tenant: str = DEFAULT_TENANT) -> Explanation:
        opened = self._pipelines.open()
        reader = self._query_reader(opened, tenant, verify=True)
        pipelines = [o.pipeline for o in opened]
        asked, stored = reader.read_one(query), reader.read_one(StoredImage(key, tenant))
        compared = self._verifier.image_of(asked, reader), self._verifier.image_of(stored, reader)
        stored = self._verifier.with_bytes(stored)
        comparison = compare_images(asked, stored, pipelines, self._verifier.compare(*compared))
        pixels = compared[0].pixels, compared[1].pixels
        return explain_pair(key, asked, stored, pixels, comparison, pipelines)

    def why_not(self, query: Query, key: str, **options: Unpack[SearchOptions]) -> Diagnosis:
        request, opened, windowed = self._prepare_search(options)
        tenant = options.get("tenant", DEFAULT_TENANT) or DEFAULT_TENANT
        reader = self._query_reader(opened, tenant, verify=True)
        asked, stored = reader.read_one(query), reader.read_one(StoredImage(key, tenant))
        sequence = ensure_fresh([*opened, *windowed], options.get("min_sequence"))
        pipelines = [o.pipeline for o in opened]
        searcher = Searcher(self.catalog, pipelines, self._verifier, reader, windowed=[o.pipeline for o in windowed])
        diagnoser = Diagnoser(pipelines, searcher)
        compared = self._verifier.image_of(asked, reader), self._verifier.image_of(stored, reader)
        return diagnoser.diagnose(asked, stored, request, sequence, self._verifier.compare(*compared))

    def preview(self, query: Query, *, tenant: str = DEFAULT_TENANT, size: int = THUMBNAIL_SIZE) -> bytes:
        """Return a small upright JPEG of a query, which may be in a format that browsers do not show.

        Its longer side has `size` pixels, 16 to 1024, or those of the image if that is smaller. Raises ImageRejected,
        NotFound for the key of a `StoredImage`, and BadInput for a size out of range.
        """
        check_side(size)
        if isinstance(query, ImageFeatures):
            raise UnsupportedQuery("a query by features has no image to show")
        if isinstance(query, StoredImage):
            return self._thumbnails.get(self._tenant_of(query.tenant or tenant, query.key), query.key, size)
        return self._thumbnails.of_query(query, self._pipelines.decoder(self._pipelines.open()), size)

    # Reading

    def get(self, key: str, *, tenant: str = DEFAULT_TENANT) -> Record:
        record = self.catalog.images.get(self._tenant_of(tenant, key), key)
        return self._presence().mark_records([record])[0]

    def get_thumbnail(self, key: str, *, tenant: str = DEFAULT_TENANT, size: int = THUMBNAIL_SIZE) -> bytes:
        return self._thumbnails.get(self._tenant_of(tenant, key), key, size)

    def get_original(self, key: str, *, tenant: str = DEFAULT_TENANT, as_jpeg: bool = False) -> bytes:
        """Return the bytes of the file that an image was added from, or a JPEG of it in full size.

        Raises NotFound for an unknown key, an image that was added as bytes, and a file that is gone or has changed;
        Unavailable where an object store is down.
        """
        data = self._originals.read_original(self.get(key, tenant=tenant))
        return make_jpeg(data, limits=self.limits) if as_jpeg else data

    def ls(
        self,
        *,
        tenant: str = DEFAULT_TENANT,
        after: str | None = None,
        limit: int = 100,
        filter: Filter | None = None,
        prefix: str = "",
        contains: str = "",
        sort: str = "key",
    ) -> list[Record]:
        check_sort(sort)
        if (tenant_id := self.catalog.tenants.find(tenant)) is None:
            return []
        conditions = conditions_of(filter or {})
        page = self.catalog.images.list_page(
            tenant_id, after=after, limit=limit, conditions=conditions, prefix=prefix, contains=contains, sort=sort
        )
        return self._presence().mark_records(page)

    def changes(
        self,
        *,
        after: int | str = 0,
        tenant: str | None = DEFAULT_TENANT,
        limit: int = CHANGES_PAGE,
        wait: float = 0.0,
    ) -> ChangePage:
        check_wait(wait)
        until = time.monotonic() + wait
        while True:
            page = read_changes(self.catalog, self._searched_tenant(tenant), after, limit)
            if page.changes or not wait_beyond(self.catalog, page.sequence, until):
                break
            after = page.next
        records = [change.image for change in page.changes if change.image is not None]
        marked = iter(self._presence().mark_records(records))
        changes = tuple(replace(c, image=next(marked)) if c.image is not None else c for c in page.changes)
        return replace(page, changes=changes)

    def duplicates(self, *, tenant: str = DEFAULT_TENANT, pipelines: Sequence[str] | None = None) -> Iterator[Cluster]:
        opened = self._pipelines.open(pipelines)
        if (tenant_id := self.catalog.tenants.find(tenant)) is None:
            return iter(())
        ensure_fresh(opened)
        options = ClusterOptions(check=self._verifier.are_copies)
        clusters = find_clusters(self.catalog, [o.pipeline for o in opened], tenant_id, options=options)
        return self._presence().mark_clusters(clusters)

    def duplicates_page(
        self,
        *,
        tenant: str = DEFAULT_TENANT,
        pipelines: Sequence[str] | None = None,
        after: str | None = None,
        limit: int = 20,
        seconds: float = 2.0,
    ) -> ClusterPage:
        """See `GalleryAPI.duplicates_page`; a page is also complete after about `seconds`, with what was found."""
        if limit < 1:
            raise BadInput(f"the limit must be at least 1, not {limit}")
        opened = self._pipelines.open(pipelines)
        if (tenant_id := self.catalog.tenants.find(tenant)) is None:
            return ClusterPage((), None)
        ensure_fresh(opened)
        searched = [o.pipeline for o in opened]
        options = ClusterOptions(check=self._verifier.are_copies)
        page = find_clusters_page(
            self.catalog, searched, tenant_id, after=after, limit=limit, seconds=seconds, options=options
        )
        return ClusterPage(tuple(self._presence().mark_clusters(page.clusters)), page.after)

    def sample(self, n: int, *, tenant: str = DEFAULT_TENANT, seed: int = 0) -> list[Record]:
        """Return up to n images chosen at random, the same ones for the same seed and images.

        Args:
            n: Number of images.
            tenant: Owner of the images.
            seed: Of the choice.
        """
        if (tenant_id := self.catalog.tenants.find(tenant)) is None:
            return []
        ids = self.catalog.images.ids_matching(tenant_id, ()).tolist()
        chosen = random.Random(seed).sample(ids, min(n, len(ids)))
        records = self.catalog.images.by_ids(chosen)
        return [records[id_] for id_ in chosen if id_ in records]

    def pipeline_calibrations(self, *names: str) -> dict[str, Calibration]:
        """Return the calibration that each of these pipelines (all that answer searches) came with, by name."""
        return {o.pipeline.name: o.pipeline.calibration for o in self._pipelines.open(names)}

    def fingerprints(self) -> dict[str, str]:
        """Return the fingerprint of each pipeline's features, by name."""
        return {o.pipeline.name: o.pipeline.spec.fingerprint for o in self._pipelines.open()}

    def calibration(self, *, tenant: str = DEFAULT_TENANT) -> GalleryCalibration | None:
        """Return the calibration that `lookalike calibrate` measured on a tenant's images, None where it did not."""
        tenant_id = self.catalog.tenants.find(tenant)
        stored = None if tenant_id is None else self.catalog.calibrations.get(tenant_id)
        return None if stored is None else GalleryCalibration.of_json(stored)

    def set_calibration(self, calibration: GalleryCalibration, *, tenant: str = DEFAULT_TENANT) -> None:
        """Store the calibration of a tenant's images, in the place of an earlier one.

        Raises:
            NotFound: The tenant has no images.
        """
        with self._lock:
            if (tenant_id := self.catalog.tenants.find(tenant)) is None:
                raise NotFound(f"there are no images of the tenant {tenant!r}")
            self.catalog.calibrations.put(tenant_id, calibration.to_json())
            self._calibrations.forget()

    # Writing

    def add_iter(
        self,
        what: Addable,
        *,
        key: str | None = None,
        attributes: Attributes | None = None,
        tenant: str = DEFAULT_TENANT,
        exif: bool = True,
        exclude: Sequence[str] = (),
        again: bool = False,
    ) -> Iterator[Outcome]:
        items = files_of(what, key, attributes, exclude, self.limits)
        with self._lock:
            for count, outcome in enumerate(self._ingest(tenant, exif=exif, again=again).run(items), 1):
                if count % SYNC_EVERY == 0:
                    catch_up(self._pipelines.open_encoding().opened)
                yield outcome
            catch_up(self._pipelines.open_encoding().opened, save=True)

    def folder_prefix(
        self,
        folder: str,
        *,
        machine: str,
        alone: bool = True,
        remember: bool = True,
        tenant: str = DEFAULT_TENANT,
    ) -> str:
        """Return what the keys of files begin with that a machine sends of its folder, as if `add` found them there.

        Args:
            folder: Absolute path of the folder on that machine, or URL of a prefix.
            machine: Name of that machine; on this one, a folder that was added has the name that it has.
            alone: Whether it is the only folder that is added; the first one of an empty gallery then has no name.
            remember: Give a folder that is not known a name of its own.
            tenant: Owner of the images.

        Raises:
            BadInput: The path is not absolute, or cannot be stored.
            GalleryBusy: Another process is writing to the gallery.
        """
        with self._lock:
            keys = FileKeys(self.catalog, self.catalog.tenants.get_or_create(tenant))
            return keys.prefix_of(folder, machine, alone=alone, remember=remember)

    def add_to_catalog(
        self, items: Iterable[Found], *, tenant: str = DEFAULT_TENANT, exif: bool = True, again: bool = False
    ) -> Iterator[Outcome]:
        """Add items as `add_iter` does, and leave the indexes as they are: a search brings them up to date.

        For processes that only add, of which many share a catalog on a server.

        Args:
            items: What a manifest or a scan of folders found.
            tenant: Owner of the images.
            exif: Store what EXIF data say.
            again: Also add images that were removed by hand.

        Returns:
            An outcome for each item, once it is durable.

        Raises:
            GalleryBusy: Another process is writing to the gallery.
        """
        with self._lock:
            yield from self._ingest(tenant, exif=exif, again=again).run(items)

    def update_indexes(self) -> None:
        """Bring all indexes up to date with the catalog, and save those of this machine, as adding does at its end.

        Raises:
            GalleryBusy: Another process is writing to the gallery.
        """
        with self._lock:
            catch_up(self._pipelines.open_encoding().opened, save=True)

    def put(
        self,
        key: str,
        data: bytes | Path | PixelSource,
        *,
        attributes: Attributes | None = None,
        tenant: str = DEFAULT_TENANT,
        expected: Precondition = None,
        exif: bool = True,
    ) -> Outcome:
        if isinstance(expected, str) and expected != "absent":
            raise TypeError(f'expected is a sequence number, "absent" or None, not {expected!r}')
        with self._lock:
            ingest = self._ingest(tenant, exif=exif)
            source = data if isinstance(data, str | Path | bytes) else encode_pixels(data)
            return ingest.put(Item(key, source, attributes), 0 if expected == "absent" else expected)

    def remove(
        self, keys: str | Iterable[str], *, tenant: str = DEFAULT_TENANT, expected: int | None = None
    ) -> list[str]:
        requested = [keys] if isinstance(keys, str) else list(keys)
        with self._lock:
            if (tenant_id := self.catalog.tenants.find(tenant)) is None:
                return []
            return [deleted.key for deleted in self.catalog.images.delete(tenant_id, requested, expected=expected)]

    def remove_by_filter(self, filter: Filter, *, tenant: str = DEFAULT_TENANT) -> DeleteResult:
        conditions = conditions_of(filter)
        deleted: Sequence[Deleted] = []
        with self._lock:
            if (tenant_id := self.catalog.tenants.find(tenant)) is not None:
                deleted = self.catalog.images.delete_by_filter(tenant_id, conditions)
        return DeleteResult([d.key for d in deleted], max((d.sequence for d in deleted), default=0), len(deleted))

    def missing(
        self, folder: str | Path | None = None, *, tenant: str = DEFAULT_TENANT, remote: bool = True
    ) -> MissingFiles:
        """Return the images whose files are gone, and the folders that are away as a whole.

        Args:
            folder: only images whose files are, or were, below this folder or URL.
            tenant: owner of the images.
            remote: ask object stores, too: one request for each image.
        """
        if (tenant_id := self.catalog.tenants.find(tenant)) is None:
            return MissingFiles((), {})
        return MissingFinder(self.catalog, tenant_id, self._originals, remote).find(folder)

    def prune(
        self,
        folder: str | Path | None = None,
        *,
        dry_run: bool = True,
        whole_folder: bool = False,
        tenant: str = DEFAULT_TENANT,
    ) -> MissingFiles:
        """Remove images whose files are gone; unlike `remove`, adding such a file later adds its image again.

        Args:
            folder: only images whose files were below this folder.
            dry_run: only return what would be removed.
            whole_folder: also remove the images of a folder that is away as a whole, or of which no file is left;
                otherwise these are kept, for the disk may be unplugged.
            tenant: owner of the images.

        Returns:
            What is missing: `keys` were removed, the images of `away` folders were kept.

        Raises:
            NotFound: no image was added from the folder.
            GalleryBusy: another process is writing to the gallery.
        """
        tenant_id = self.catalog.tenants.find(tenant)
        if tenant_id is None:
            return MissingFiles((), {})
        finder = MissingFinder(self.catalog, tenant_id, self._originals)
        if dry_run:
            return finder.find(folder, whole_folder=whole_folder)
        with self._lock:
            return finder.prune(folder, whole_folder=whole_folder)

    def prune_paths(self, paths: Iterable[str], *, tenant: str = DEFAULT_TENANT) -> MissingFiles:
        """Remove the images of these files, and of those below these folders, that are gone, as `prune` does.

        Args:
            paths: absolute paths of files and folders, as they were when the images were added.
            tenant: owner of the images.

        Returns:
            `keys` were removed; the images of folders that are `away` as a whole were kept.

        Raises:
            GalleryBusy: another process is writing to the gallery.
        """
        with self._lock:
            if (tenant_id := self.catalog.tenants.find(tenant)) is None:
                return MissingFiles((), {})
            return MissingFinder(self.catalog, tenant_id, self._originals).prune_paths(paths)

    def set_attributes(
        self,
        key: str,
        attributes: Attributes,
        *,
        merge: bool = True,
        tenant: str = DEFAULT_TENANT,
        expected: int | None = None,
    ) -> Record:
        with self._lock:
            tenant_id = self._tenant_of(tenant, key)
            self.catalog.images.set_attributes(tenant_id, key, attributes, merge=merge, expected=expected)
        return self.get(key, tenant=tenant)

    def not_a_match(self, keys: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> None:
        with self._lock:
            self.catalog.duplicate_feedback.mark(self._tenant_of(tenant, keys[0] if keys else ""), keys)

    def not_a_match_undo(self, keys: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> None:
        with self._lock:
            self.catalog.duplicate_feedback.unmark(self._tenant_of(tenant, keys[0] if keys else ""), keys)

    # Pipelines

    def pipeline_states(self, *, count: bool = True) -> list[GalleryPipeline]:
        """See `GalleryAPI.pipeline_states`; `count` the images without features, else their number is None."""
        return self._changes.states(count=count)

    def pipeline_state(self, name: str) -> GalleryPipeline:
        """Return one pipeline, as `pipeline_states` does; only images without its features are counted.

        Raises:
            NotFound: There is no such pipeline.
        """
        return self._changes.state(name)

    def add_pipeline(self, name: str, *, index: str | None = None) -> GalleryPipeline:
        return self._changes.add(name, index)

    def backfill(self, name: str, *, retry: bool = False) -> GalleryPipeline:
        for _ in self.backfill_iter(name, retry=retry):
            pass
        return self._changes.state(name)

    def backfill_iter(self, name: str, *, rate: float | None = None, retry: bool = False) -> Iterator[BackfillProgress]:
        """Encode the images that lack the features of a pipeline, and yield the progress after each batch.

        Several processes may do so at once, on any host, beside those that write to the gallery.

        Args:
            name: Name of the pipeline.
            rate: Images per second, at most.
            retry: Also try the images that an earlier backfill could not encode.

        Raises:
            UnsupportedQuery: There is no such pipeline.
            NotFound: It was dropped meanwhile.
        """
        return self._changes.backfill(name).run(rate=rate, retry=retry)

    def promote_pipeline(self, name: str, *, replace: bool = False, incomplete: bool = False) -> list[GalleryPipeline]:
        return self._changes.promote(name, replace=replace, incomplete=incomplete)

    def drop_pipeline(self, name: str) -> None:
        self._changes.drop(name)

    def move_index(
        self, pipeline: str, to: str, *, force: bool = False, report: ReportMove = ignore_progress
    ) -> IndexMove:
        """See `GalleryAPI.move_index`; `report` is called from time to time, and ends the move by what it raises."""
        return self._moves.move(pipeline, to, force=force, report=report)

    def drop_index(self, pipeline: str, *, forget: bool = False) -> str:
        return self._moves.drop(pipeline, forget=forget)

    def is_index_named(self, pipeline: str, address: str) -> bool:
        """Return whether an address is one that the operator named: in the settings, or of an index of the pipeline."""
        return self._moves.is_named(pipeline, address)

    def open_pipelines(self) -> dict[str, str]:
        """Open the pipelines of which new images get features, and return the reasons of those that cannot be opened.

        A server does so before it is ready, and after a change. A pipeline whose engine does not answer is open.
        """
        failed = {}
        for name in self.encoded_pipelines:
            try:
                opened = self._pipelines.open_encoded(name)
            except LookalikeError as error:  # such as weights that are not downloaded
                failed[name] = str(error)
                continue
            if not opened.pipeline.index.shared:
                opened.sync.ensure_fresh()
        return failed

    # Operations

    def status(self, *, outages: Mapping[str, str] | None = None) -> Status:
        """See `GalleryAPI.status`; `outages` maps pipelines known to be unavailable to the reason: they are skipped."""
        pipelines = {name: self._pipelines.look_up(name) for name in self.pipelines}
        recall = () if self._recall_meter is None else self._recall_meter.measurements()
        found = gallery_status(self.catalog, pipelines, outages or {}, recall)
        moving = self._moves.targets()
        states = tuple(replace(state, moving_to=moving.get(state.name)) for state in found.pipelines)
        return replace(found, pipelines=states, verification_records=self._records.stored(self.catalog))

    def check_engine(self, pipeline: str) -> None:
        """Check by one cheap search whether a pipeline's engine answers; raises what a search raises.

        An embedded index, or one that was not opened yet, is not checked.
        """
        for opened in self._pipelines.now_open():
            if opened.pipeline.name == pipeline and opened.pipeline.index.shared:
                check_engine(opened.pipeline, opened.sync)

    def feature_specs(self) -> dict[FeatureSpec, bool]:
        """Return the specs of the features that the gallery stores, and whether its searches use them.

        The others are of shadow pipelines, whose missing features a backfill makes, and further views of hashes, which
        are estimated where they are missing.
        """
        active = self.pipelines
        pipelines = self._pipelines.open_encoding().pipelines
        encoders = [pipeline.encoder for pipeline in pipelines]
        views = [encoder.views_spec for encoder in encoders if isinstance(encoder, OrientedEncoder)]
        return {p.spec: p.name in active for p in pipelines} | dict.fromkeys(views, False)

    def put_encoded(self, batches: Iterable[Sequence[NewImage]]) -> Iterator[list[PutResult]]:
        """Store images whose features are known already, as those of another catalog; indexes catch up meanwhile.

        Args:
            batches: Images, with the features of all specs of `feature_specs`; each batch is one transaction.

        Returns:
            The results of each batch, once they are durable.

        Raises:
            GalleryBusy: Another process is writing to the gallery.
            Unavailable: The gallery's pipelines were changed meanwhile; batches that were yielded are stored.
        """
        with self._lock:
            encoding = self._pipelines.open_encoding()
            opened = encoding.opened
            pending = 0
            for batch in batches:
                results = self.catalog.images.put(batch, pipelines=encoding.version)
                pending += len(results)
                if pending >= SYNC_EVERY:
                    catch_up(opened)
                    pending = 0
                yield results
            catch_up(opened, save=True)

    def rebuild_indexes(self) -> dict[str, int]:
        """Rebuild every index from the catalog, without checking it, and return the rows of each by pipeline.

        Raises:
            UnsupportedQuery: Features of a pipeline are stored by its engine only, so its index cannot be rebuilt.
            GalleryBusy: Another process is writing to the gallery or updating an index.
        """
        with self._lock:
            return {o.pipeline.name: o.sync.rebuild() for o in self._pipelines.open_encoding().opened}

    def repair(self, *, verification_records: bool = False) -> RepairReport:
        with self._lock:
            opened = self._pipelines.open()
            self.catalog.check()
            sequence = self.catalog.changes.last_sequence()
            rebuilt = self.rebuild_indexes()
            self.catalog.changes.prune(sequence)  # an index of another host that is behind this is rebuilt by its host
            completed = None
            if verification_records:
                completed = complete_records(
                    self.catalog, self._records, self._pipelines.decoder(opened), self._originals
                )
            return RepairReport(self.catalog.images.count(None), rebuilt, completed)

    def sync_indexes(self) -> int:
        """Bring every open index up to date with the catalog, and return the sequence number that all have reached.

        A server calls it periodically, so that searches do not have to wait for it.
        """
        opened = self._pipelines.now_open()
        catch_up(opened, save=True)
        self._pipelines.prepare()
        return min((o.sync.applied for o in opened), default=0)

    def _tenant_of(self, tenant: str, key: str) -> int:
        """Return the id of a tenant; raise NotFound, for the image `key`, if there is none."""
        if (tenant_id := self.catalog.tenants.find(tenant)) is None:
            raise NotFound(f"there is no image {key!r}")
        return tenant_id

    def _searched_tenant(self, tenant: str | None) -> int | None:
        """Return the id of a tenant, `NO_TENANT` for one without images; None, all tenants, as it is."""
        if tenant is None:
            return None
        tenant_id = self.catalog.tenants.find(tenant)
        return NO_TENANT if tenant_id is None else tenant_id

    def _presence(self) -> FilePresence:
        return FilePresence(lambda: self.catalog.roots.of_tenant(None))

    def _ingest(self, tenant: str, *, exif: bool, again: bool = False) -> Ingest:
        tenant_id = self.catalog.tenants.get_or_create(tenant)
        open_encoding = self._pipelines.open_encoding
        return Ingest(self.catalog, open_encoding, tenant_id, self._originals, self._records, exif=exif, again=again)

    def _query_reader(self, opened: Sequence[OpenPipeline], tenant: str | None, *, verify: bool) -> QueryReader:
        decoder, side = self._pipelines.decoder(opened), SIDE if verify else 0
        pipelines = [o.pipeline for o in opened]
        return QueryReader(self.catalog, pipelines, decoder, self._originals, tenant, reduced_side=side)

    def _prepare_search(
        self, options: SearchOptions
    ) -> tuple[SearchRequest, list[OpenPipeline], Sequence[OpenPipeline]]:
        """Check the options of a search, and open its pipelines and those of windows."""
        check_search_options(options)
        tenant_id = self._searched_tenant(options.get("tenant", DEFAULT_TENANT))
        request = SearchRequest(
            k=options.get("k", 10),
            page=options.get("page", 1),
            tenant=tenant_id,
            filter=resolve_filter(self.catalog, tenant_id, options.get("filter"), options.get("engine_filter")),
            threshold=options.get("threshold"),
            orientations=options.get("orientations", True),
            fresh=options.get("min_sequence") is not None,
            verify=options.get("verify", True),
            verify_ms=options.get("verify_ms", DEFAULT_BUDGET_MS),
            deep=options.get("deep", False),
        )
        request.check()
        opened = self._pipelines.open(options.get("pipelines"))
        probabilities = self._calibrations.probabilities(
            tenant_id, [o.pipeline for o in opened], options.get("max_false"), verify=request.verify
        )
        windowed = self._pipelines.open_windows() if request.verify else ()
        return replace(request, probabilities=probabilities), opened, windowed
