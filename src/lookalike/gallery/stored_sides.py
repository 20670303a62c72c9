"""The images of a comparison: pixels of queries and of stored images, each read once, prepared for verification."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from lookalike import imaging
from lookalike.catalog import Catalog
from lookalike.errors import Damaged, ImageRejected, NotFound, Unavailable
from lookalike.gallery.originals import Originals
from lookalike.gallery.queries import PreparedQuery, QueryReader
from lookalike.imaging.exif import exif_fields
from lookalike.types import Capture, Pixels, Record
from lookalike.verification import Side, VerificationEncoder, from_record

SIDE = 800
"""Pixels of the longer side to which images are reduced before they are compared."""
CACHED_SIDES = 256
"""Images whose reduced pixels and local features are kept, about 0.3 MB each."""

K = TypeVar("K")
V = TypeVar("V")

log = logging.getLogger("lookalike")


@dataclass(frozen=True, slots=True)
class Reduced:
    """RGB pixels of an image at a reduced scale, and when and how a camera took it, if that is known."""

    pixels: Pixels
    capture: Capture | None


class StoredSides:
    """Stored images, prepared for verification; the most recently used ones are kept. Thread-safe.

    The pixels of a stored image come from its file, if that has not changed since it was added, or else from its
    stored thumbnail; without either, its verification record stands for it.
    """

    def __init__(self, catalog: Catalog, originals: Originals) -> None:
        self._catalog = catalog
        self._originals = originals
        self._encoder = VerificationEncoder()
        self._sides: LruCache[bytes, Side] = LruCache(CACHED_SIDES)

    def side(self, record: Record, read: "Callable[[], Reduced | None] | None" = None) -> Side | None:
        """A stored image, None if its pixels are not available; `read` is called instead of reading them."""
        if (known := self._sides.get(record.sha256)) is not None:
            return known
        reduced = self.read(record) if read is None else read()
        side = (
            self._from_record(record)
            if reduced is None
            else self._encoder.from_pixels(reduced.pixels, record.width, record.height, capture=reduced.capture)
        )
        if side is not None:
            self._sides.put(record.sha256, side)
        return side

    def read(self, record: Record) -> "Reduced | None":
        """A stored image at a reduced scale; None if neither its file nor a thumbnail is available."""
        if (data := self.original(record)) is not None:
            try:
                decoded = imaging.decode(data, limits=self._originals.limits, box=(SIDE, 1))
                return Reduced(imaging.reduce_to(decoded.rgb, SIDE), Capture.of(exif_fields(decoded.exif)))
            except ImageRejected:
                pass  # beyond the limits of today
        thumbnail = self._catalog.images.thumbnail(record.id)
        if thumbnail is None:
            return None
        return Reduced(imaging.reduce_to(imaging.decode(thumbnail).rgb, SIDE), Capture.of(record.exif))

    def original(self, record: Record) -> bytes | None:
        """The bytes of a stored image; None if they are gone, have changed, or their store is down."""
        try:
            return self._originals.read_original(record)
        except (NotFound, Unavailable):
            return None

    def _from_record(self, record: Record) -> Side | None:
        stored = self._catalog.verification_records.get(record.id)
        try:
            return None if stored is None else from_record(stored, capture=Capture.of(record.exif))
        except Damaged as error:
            log.warning("%s is compared by its distance only: %s", record.key, error)
            return None


class ComparedImage:
    """A query in a comparison, which may be a stored image; its pixels are read once, when they are first needed."""

    def __init__(self, query: PreparedQuery, reader: QueryReader, stored: StoredSides) -> None:
        self._query = query
        self._reader = reader
        self._stored = stored

    @property
    def sha256(self) -> bytes:
        """The digest of its bytes."""
        return self._query.prepared.sha256

    @property
    def pixels(self) -> Pixels | None:
        """Reduced RGB pixels; None if they are not available."""
        return None if self._reduced is None else self._reduced.pixels

    @cached_property
    def _reduced(self) -> Reduced | None:
        query = self._query
        if query.record is not None:
            return self._stored.read(query.record)
        pixels = query.prepared.reduced if query.prepared.reduced is not None else self._reader.read_reduced(query)
        return None if pixels is None else Reduced(pixels, Capture.of(query.prepared.exif))

    @cached_property
    def side(self) -> Side | None:
        """The image, prepared for verification; None if its pixels are not available."""
        if self._query.record is not None:
            return self._stored.side(self._query.record, lambda: self._reduced)
        prepared, reduced = self._query.prepared, self._reduced
        if reduced is None:
            return None
        encoder = VerificationEncoder()
        return encoder.from_pixels(reduced.pixels, prepared.width, prepared.height, capture=reduced.capture)


class LruCache(Generic[K, V]):
    """The most recently used values. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
