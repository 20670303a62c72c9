"""Protocols: `Encoder` (images to features), `VectorIndex` (nearest features), `GalleryAPI` (library and client)."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, Unpack, runtime_checkable

from lookalike.results import (
    CHANGES_PAGE,
    DEFAULT_TENANT,
    THUMBNAIL_SIZE,
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
    IndexMove,
    Precondition,
    Query,
    RepairReport,
    SearchOptions,
    Status,
)
from lookalike.types import (
    Addable,
    Answer,
    Attributes,
    Encoded,
    EncodedViews,
    Features,
    FeatureSpec,
    Ids,
    InputSpec,
    Matches,
    Outcome,
    Pixels,
    PixelSource,
    Record,
    ResolvedFilter,
    Rows,
)
from lookalike.unknown_names import methods_suggest_keywords


class Encoder(Protocol):
    """Turns prepared images into features. Safe to call from several threads."""

    @property
    def spec(self) -> FeatureSpec:
        """Name, metric, width and fingerprint of the features."""

    @property
    def input(self) -> InputSpec:
        """Size, mode and resampling of the images that it takes."""

    def encode(self, images: Pixels) -> Encoded:
        """Encode a batch of images.

        Args:
            images: `(n, height, width[, 3])` uint8, in the shape that `input` specifies.

        Returns:
            `features` (n, width) of the spec's dtype, `quality` and `usable` (n,).
        """

    def encode_views(self, images: Pixels) -> EncodedViews:
        """Encode a batch of queries, each in one or more views, the best of which counts.

        Args:
            images: `(n, height, width[, 3])` uint8, in the shape that `input` specifies.

        Returns:
            `features` (n, views, width) of the spec's dtype and `usable` (n,).
        """


@runtime_checkable
class OrientedEncoder(Encoder, Protocol):
    """An encoder of hashes that stores further views beside each feature, from which all orientations follow."""

    @property
    def views_spec(self) -> FeatureSpec:
        """Name, metric, width and fingerprint of the stored views; their catalog rows are never indexed."""

    def encode_stored(self, images: Pixels) -> tuple[Encoded, Features]:
        """Encode a batch of images as `encode`, and return the views to store, `(n, width)` of `views_spec`."""

    def all_views(self, features: Features, stored: Features) -> Features:
        """Return all orientations, as `encode_views`, of features `(n, width)` and their stored views."""

    def estimated_views(self, features: Features) -> Features:
        """Return an estimate of the views to store, of features that were stored without."""


@runtime_checkable
class WindowedEncoder(Encoder, Protocol):
    """An encoder whose rows have a feature of each window of an image, by which it is found by a part of it.

    Such a pipeline answers no search by itself: where no copy was found, its nearest images are verified. It has an
    index of its own, in which the distance of two rows is that of their nearest features.
    """

    @property
    def windows(self) -> int:
        """Features in a row."""


class VectorIndex(Protocol):
    """Finds the nearest rows. Reads may run in several threads beside one writing thread.

    The catalog is the source of truth: an index need not survive a crash by itself. After reopening, changes that were
    not flushed are replayed by its owner from `sequence` on; upsert and delete are therefore idempotent. A reader's
    index follows the catalog in the same way, in memory only: it cannot be flushed, and `clear` leaves the disk alone.

    An index on a server is `shared`: all processes see the same rows, one at a time applies the changes, and flushed
    changes are seen by searches with `fresh`. It raises Unavailable, within a time-out, if the server does not answer.
    """

    @property
    def shared(self) -> bool:
        """Whether the rows are on a server, the same for all processes."""

    @property
    def spec(self) -> FeatureSpec:
        """Name, metric, width and fingerprint of the features."""

    @property
    def sequence(self) -> int:
        """The catalog's sequence number of the last durable flush; 0 for an index that was never flushed."""

    def upsert(self, rows: Rows) -> None:
        """Insert rows, or replace those with the same ids: all or none. The caller's arrays are not kept.

        Args:
            rows: Unique ids from 1 up, features (n, width), tenants, and attributes or None.

        Raises:
            FeatureMismatch: The features have another width or dtype than `spec`.
            BadInput: The features hold NaN, or ids are below 1 or repeated.
        """

    def delete(self, ids: Ids) -> None:
        """Delete rows.

        Args:
            ids: `(n,)` int64; unknown ids are ignored.
        """

    def update_attributes(self, ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> None:
        """Replace the attributes that filters see, of rows whose features the owner no longer has.

        A row stays with its tenant. An embedded index, which filters by ids, has nothing to change.

        Args:
            ids: `(n,)` int64; unknown ids are ignored.
            tenants: `(n,)` int64, the tenant of each row.
            attributes: n JSON objects.
        """

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
        """Return the k nearest rows of each query.

        Args:
            queries: `(n, width)` of the spec's dtype.
            k: Rows a query.
            tenant: Search this tenant's rows only; None for all.
            filter: Conditions that the rows must satisfy.
            max_distance: Largest raw distance, inclusive: bits, or 1 - cosine.
            fresh: See everything flushed, also on replicas that lag behind.

        Returns:
            Ids and raw distances (n, k), nearest first, and the distance up to which the search was exhaustive.

        Raises:
            FeatureMismatch: The queries have another width or dtype than `spec`.
            UnsupportedQuery: The filter is in another engine's query language.
            Unavailable: The server of a shared index does not answer.
        """

    def count(self, tenant: int | None = None) -> int:
        """Return the number of rows, of one tenant or of all."""

    def flush(self, sequence: int) -> None:
        """Make all changes so far durable, and save `sequence` with them."""

    def clear(self) -> None:
        """Delete every row, durably, and set `sequence` to 0."""

    def rebuilding(self) -> "AbstractContextManager[VectorIndex]":
        """Return a context with an empty index to fill, which replaces this one if the block ends without an error.

        On a server searches use the old one meanwhile; an embedded index is emptied at once.
        """

    def close(self) -> None:
        """Release files and memory; idempotent."""


@methods_suggest_keywords
class GalleryAPI(Protocol):
    """The methods that `Gallery` (a gallery of this machine) and `Client` (one behind an HTTP server) have in common.

    Methods are safe to call from several threads. Writing methods return when the change is durable. Every method may
    raise Unavailable: the catalog's database or the server does not answer; methods of `Client` also raise
    AccessDenied, for a missing API key or one without the permission. `tenant` separates the images of several owners;
    no method sees those of another tenant, except a search with `tenant=None`.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Names of the gallery's pipelines, in order of precedence."""

    def close(self) -> None:
        """Release connections, files and locks; save indexes that have changed."""

    def search(self, query: Query, **options: Unpack[SearchOptions]) -> Answer:
        """Return the images most similar to a query: exact matches first, then copies, then similar images.

        Args:
            query: Path or bytes of an image, or a `StoredImage`.
            options: See `SearchOptions`.

        Returns:
            One page of hits, and how far the search was exhaustive.

        Raises:
            ImageRejected: The query cannot be decoded as an image.
            NotFound: There is no image with the key of a `StoredImage`.
            UnsupportedQuery: The options are out of range, or name an unknown pipeline or operator.
            Unavailable: No pipeline's index answers, or `min_sequence` was not reached in time.
        """

    def search_many(
        self, queries: Iterable[Query], **options: Unpack[SearchOptions]
    ) -> Iterator[tuple[Query, Answer | Failure]]:
        """Search with many queries, in batches.

        Args:
            queries: Paths, bytes or `StoredImage`s; consumed as the results are.
            options: See `SearchOptions`; the same for all queries.

        Returns:
            Each query, in order, with its answer or its error.

        Raises:
            UnsupportedQuery: The options are out of range, or name an unknown pipeline or operator.
            Unavailable: No pipeline's index answers.
        """

    def compare(self, a: Query, b: Query, *, tenant: str = DEFAULT_TENANT) -> Comparison:
        """Compare two images in every pipeline; neither needs to be in the gallery.

        Args:
            a: Path or bytes of an image, or a `StoredImage`.
            b: The other image.
            tenant: Owner of stored images.

        Returns:
            Equality of bytes and pixels, and each pipeline's distance (0..1).

        Raises:
            ImageRejected: An image cannot be decoded.
            NotFound: There is no image with the key of a `StoredImage`.
        """

    def explain(self, query: Query, key: str, *, tenant: str = DEFAULT_TENANT) -> Explanation:
        """Explain what a query and a stored image have in common, with both images aligned.

        Args:
            query: Path or bytes of an image, or a `StoredImage`.
            key: Key of the stored image.
            tenant: Owner of stored images.

        Returns:
            The comparison, the hashes bit by bit, the calibration curves, and the images.

        Raises:
            ImageRejected: The query cannot be decoded.
            NotFound: There is no image with this key.
        """

    def why_not(self, query: Query, key: str, **options: Unpack[SearchOptions]) -> Diagnosis:
        """Check every step of a search for one stored image, which is not found, or is found late.

        Args:
            query: Path or bytes of an image, or a `StoredImage`.
            key: Key of the image that should be found, in the tenant that is searched.
            options: As of `search`; `Client` takes `k`, `threshold`, `pipelines`, `filter` and `tenant`.

        Returns:
            The steps, the place of the image in the answer, and where it was lost.

        Raises:
            ImageRejected: The query cannot be decoded.
            NotFound: There is no image with this key.
        """

    def get(self, key: str, *, tenant: str = DEFAULT_TENANT) -> Record:
        """Return the record of an image.

        Raises:
            NotFound: There is no image with this key.
        """

    def get_thumbnail(self, key: str, *, tenant: str = DEFAULT_TENANT, size: int = THUMBNAIL_SIZE) -> bytes:
        """Return a small upright JPEG of an image.

        Args:
            key: Key of the image.
            tenant: Owner of the image.
            size: Pixels of the longer side, 16 to 1024; an image that is smaller keeps its size.

        Raises:
            NotFound: There is no image with this key, or its file is gone or has changed since it was added.
            BadInput: The size is out of range.
        """

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
        """List images in the order of their keys (by code point), or sorted by a built-in attribute.

        Args:
            tenant: Owner of the images.
            after: Continue after this key, the last one of the page before.
            limit: Most records to return, from 1 up.
            filter: Conditions on attributes.
            prefix: Only keys that begin with this text; case-sensitive, without wildcards.
            contains: Only keys that contain this text, at most 1,000 characters; ignores case, without wildcards.
            sort: `key`, or an attribute of the file (`file.folder`, `file.name`, `file.format`, `file.bytes`,
                `file.width`, `file.height`, `file.frames`, `file.added`) or of its EXIF data (`exif.captured`,
                `exif.camera`, and the others of EXIF data); `-` before it reverses the order.
                Images without the attribute come last.

        Raises:
            BadInput: The limit is below 1, `sort` is unknown, `after` cannot be a key, or is gone from a sorted list.
            UnsupportedQuery: The filter has an unknown operator.
        """

    def changes(
        self,
        *,
        after: int | str = 0,
        tenant: str | None = DEFAULT_TENANT,
        limit: int = CHANGES_PAGE,
        wait: float = 0.0,
    ) -> ChangePage:
        """Return what was added, updated and deleted after a sequence number, in order; nothing is passed over.

        Args:
            after: Sequence number, 0 for everything, or `ChangePage.next` of the page before.
            tenant: Owner of the images; None for all.
            limit: Most changes to return, 1 to 1,000.
            wait: Seconds to wait for a change where there is none yet, at most 30; the page may then still be empty.

        Raises:
            ChangesPruned: Deletions after `after` are no longer in the log (`repair` prunes it). Read everything again
                from 0, and forget what is not in it.
            UnsupportedQuery: `after` is in the future, as after a restore of an older state.
            BadInput: `after`, `limit` or `wait` is invalid.
        """

    def duplicates(self, *, tenant: str = DEFAULT_TENANT, pipelines: Sequence[str] | None = None) -> Iterator[Cluster]:
        """Find clusters, each an image and its copies, in the order of their lowest keys.

        The first image of a cluster is the one with the most pixels; each other image is a copy of it. An image that is
        a copy of such a copy only is in another cluster, or in none.

        Args:
            tenant: Owner of the images.
            pipelines: Names of the pipelines whose matches link images; all by default.

        Raises:
            UnsupportedQuery: A pipeline is unknown, or its features are stored by its engine only.
        """

    def duplicates_page(
        self,
        *,
        tenant: str = DEFAULT_TENANT,
        pipelines: Sequence[str] | None = None,
        after: str | None = None,
        limit: int = 20,
    ) -> ClusterPage:
        """Find the next clusters of copies.

        Args:
            tenant: Owner of the images.
            pipelines: Names of the pipelines whose matches link images; all by default.
            after: `ClusterPage.after` of the page before.
            limit: Most clusters to return, from 1 up.

        Returns:
            Clusters, and where to continue; a page may be empty without being the last.

        Raises:
            BadInput: The limit is below 1.
            UnsupportedQuery: A pipeline is unknown, or its features are stored by its engine only.
        """

    def status(self) -> Status:
        """Return the number of images, and the state of each pipeline."""

    def add(
        self,
        what: Addable,
        *,
        key: str | None = None,
        attributes: Attributes | None = None,
        tenant: str = DEFAULT_TENANT,
        exif: bool = True,
        exclude: Sequence[str] = (),
        again: bool = False,
    ) -> list[Outcome]:
        """Add files, folders or items, and return the outcome of each; see `add_iter`."""
        return list(
            self.add_iter(what, key=key, attributes=attributes, tenant=tenant, exif=exif, exclude=exclude, again=again)
        )

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
        """Add files, folders, archives, URLs or items, and yield the outcome of each once it is durable.

        Idempotent: an image is identified by tenant and key, and an unchanged one is recognised by the size and time of
        its file, the size and ETag of its object, or its digest, without decoding. An image that cannot be decoded is
        rejected with the reason, and the others are added. So is a file under the key of another file: nothing but a
        change of the same file replaces an image.

        The gallery remembers folders. The key of a file below one is the folder's name, a slash and the path below the
        folder; below the first folder of an empty gallery it is that path alone. A file that is in the gallery keeps
        its key, whatever folder it is found in. After the files of a folder come outcomes for images whose files are
        gone from it ("missing").

        Args:
            what: Paths of files and folders, or `Item`s; outcomes among them are passed through.
            key: Key of a single file; by default its name.
            attributes: JSON object to store with each image; None leaves those of a known image as they are.
            tenant: Owner of the images.
            exif: Store capture time, camera, orientation and position, where EXIF data say them.
            exclude: Patterns of names, or of paths below the folder, to pass over, besides the default ones.
            again: Add files whose images were removed; by default they are reported as "removed".

        Raises:
            NotFound: A path does not exist.
            BadInput: A key was given for more than one file.
            GalleryBusy: Another process is writing to the gallery.
        """

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
        """Add one image, or replace the one with its key; indexes are updated afterwards.

        Idempotent. With `expected`, the check and the change are one atomic step: of several writers one succeeds.

        Args:
            key: Key of the image.
            data: Bytes of the image, or the path of its file.
            attributes: JSON object to store with the image; None leaves those of a known image as they are.
            tenant: Owner of the image.
            expected: Sequence number that the stored image must have, "absent", or None for any.
            exif: Store capture time, camera, orientation and position, where EXIF data say them.

        Returns:
            The outcome, with the sequence number of the image. "linked" is a file that is stored under another key,
            which the reason names: nothing is stored, no attributes either.

        Raises:
            ImageRejected: The data cannot be decoded as an image.
            BadInput: The key or the attributes cannot be stored.
            Conflict: The stored image does not meet `expected`.
            GalleryBusy: Another process is writing to the gallery.
        """

    def remove(
        self, keys: str | Iterable[str], *, tenant: str = DEFAULT_TENANT, expected: int | None = None
    ) -> list[str]:
        """Remove images from the gallery; files are never touched.

        Args:
            keys: One key or several; unknown ones are ignored.
            tenant: Owner of the images.
            expected: Sequence number that the stored images must have; `Client` takes it with a single key only.

        Returns:
            The keys that were removed.

        Raises:
            Conflict: An image has another sequence number than `expected`; none is removed.
            GalleryBusy: Another process is writing to the gallery.
        """

    def remove_by_filter(self, filter: Filter, *, tenant: str = DEFAULT_TENANT) -> DeleteResult:
        """Remove the images whose attributes satisfy a filter, in one transaction.

        Args:
            filter: Conditions on attributes, at least one.
            tenant: Owner of the images.

        Returns:
            The number of images removed and their keys; `Client` returns the first 1,000 keys.

        Raises:
            BadInput: The filter is empty.
            UnsupportedQuery: The filter has an unknown operator.
            GalleryBusy: Another process is writing to the gallery.
        """

    def set_attributes(
        self,
        key: str,
        attributes: Attributes,
        *,
        merge: bool = True,
        tenant: str = DEFAULT_TENANT,
        expected: int | None = None,
    ) -> Record:
        """Change the attributes of an image.

        Args:
            key: Key of the image.
            attributes: JSON object.
            merge: Merge into the stored attributes; otherwise replace them.
            tenant: Owner of the image.
            expected: Sequence number that the stored image must have.

        Returns:
            The changed record.

        Raises:
            NotFound: There is no image with this key.
            BadInput: The attributes are not a JSON object.
            Conflict: The image has another sequence number than `expected`.
            GalleryBusy: Another process is writing to the gallery.
        """

    def not_a_match(self, keys: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> None:
        """Mark each pair of these images as no duplicates: `duplicates` no longer links them directly.

        The mark is on their bytes, so it also holds for the same files under other keys.

        Args:
            keys: Two keys or more.
            tenant: Owner of the images.

        Raises:
            NotFound: There is no image with one of these keys.
            BadInput: There are less than two different keys.
            GalleryBusy: Another process is writing to the gallery.
        """

    def not_a_match_undo(self, keys: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> None:
        """Remove the mark of `not_a_match` from each pair of these images; takes and raises the same."""

    def pipeline_states(self) -> list[GalleryPipeline]:
        """Return the gallery's pipelines in order of precedence, with the number of images without their features.

        The last active one ranks. Counting takes time proportional to the number of images.
        """

    def add_pipeline(self, name: str, *, index: str | None = None) -> GalleryPipeline:
        """Add a shadow pipeline: new images get its features from now on, and no search uses it yet.

        All processes that write to the gallery follow at their next batch. `backfill` makes the features of the images
        that are there already. Adding it twice changes nothing.

        Args:
            name: Name of an encoder; see `lookalike models`.
            index: Its index: a name with options (`mih?m=5`) or the URL of an engine, without a password; by default
                that in the gallery's settings, else the default one of its kind of features.

        Raises:
            BadSetting: There is no such encoder or engine, or it needs something that is not installed.
            BadInput: The gallery has this pipeline with another index, or it is being dropped.
            Unavailable: The weights of the encoder cannot be downloaded.
        """

    def backfill(self, name: str, *, retry: bool = False) -> GalleryPipeline:
        """Encode the images that lack the features of a pipeline, from their originals; searches go on meanwhile.

        One that was interrupted continues where it was. An image whose original is gone, has changed or cannot be
        decoded is noted, and not tried again; one that is out of reach is tried by the next backfill.

        Args:
            name: Name of the pipeline.
            retry: Also try the images that an earlier backfill could not encode.

        Returns:
            The pipeline, with the number of images that still lack its features.

        Raises:
            UnsupportedQuery: There is no such pipeline.
            NotFound: It was dropped meanwhile.
        """

    def promote_pipeline(self, name: str, *, replace: bool = False, incomplete: bool = False) -> list[GalleryPipeline]:
        """Let a pipeline rank the answers, in one step for all processes: each search uses the old or the new set.

        The active ones before it still contribute their copies. Those after it in order become shadow: promoting an
        earlier one takes back what was promoted later.

        Args:
            name: Name of the pipeline.
            replace: Let the one that ranked before become shadow.
            incomplete: Promote it although images lack its features, which searches by it then do not find.

        Returns:
            All pipelines, as `pipeline_states`.

        Raises:
            NotFound: There is no such pipeline.
            Conflict: Images lack its features.
            BadInput: It is being dropped.
        """

    def drop_pipeline(self, name: str) -> None:
        """Delete a pipeline with its index and features, once no process uses it any more; takes some seconds.

        One that was interrupted is finished by another call.

        Args:
            name: Name of the pipeline.

        Raises:
            NotFound: There is no such pipeline.
            BadInput: It ranks the answers; promote another one first.
        """

    def move_index(self, pipeline: str, to: str, *, force: bool = False) -> IndexMove:
        """Move the index of a pipeline to another engine, or back, while the gallery is searched and written to.

        The new index is built from the catalog beside the one that answers, and both follow every change. Then stored
        features of up to 500 images, chosen at random, are searched for in both. Where the new one has all rows, finds
        these images themselves, and finds 98 % of the hits within the copy threshold that the old one finds, all
        processes switch to it within a second. The old index is kept, and moving back to its address applies what was
        changed meanwhile; `drop_index` deletes it. A move that was interrupted goes on with another call.

        Args:
            pipeline: Name of the pipeline.
            to: The index: a name with options (`mih?m=5`) or the URL of an engine, without a password.
            force: Switch whatever the comparison finds, also where the old engine does not answer it.

        Returns:
            What was moved, and what the comparison found.

        Raises:
            NotFound: There is no such pipeline.
            BadSetting: There is no such engine, or it does not hold such features; or only the engine has the features
                (a catalog with features=engine).
            BadInput: Another index is kept or being built; drop it first.
            Conflict: The comparison refuses it; the new index stays, and the old one answers.
            GalleryBusy: Another process is building the new index.
            Unavailable: An engine does not answer.
        """

    def drop_index(self, pipeline: str, *, forget: bool = False) -> str:
        """Delete the index of a pipeline that does not answer: the one it was moved from, or an unfinished new one.

        Takes some seconds, until no process uses it. One that was interrupted is finished by another call.

        Args:
            pipeline: Name of the pipeline.
            forget: Do not delete it, as its server is gone for good.

        Returns:
            Its address.

        Raises:
            NotFound: There is no such pipeline.
            BadInput: It has only the index that answers.
            Unavailable: Its engine does not answer.
        """

    def repair(self, *, verification_records: bool = False) -> RepairReport:
        """Check the catalog, and rebuild every index from it.

        Args:
            verification_records: Also make the verification records that the gallery's setting asks for and that are
                missing or damaged, which reads the images' files; where the setting is "off", delete all.

        Raises:
            BadInput: Verification records are asked for, and the extra `verify` is not installed.
            Damaged: The catalog itself fails its checks.
            UnsupportedQuery: Features of a pipeline are stored by its engine only, so its index cannot be rebuilt.
            GalleryBusy: Another process is writing to the gallery or updating an index.
        """
