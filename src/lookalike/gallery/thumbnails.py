"""Thumbnails on demand, from the catalog or the image's file, with an LRU cache."""

import threading
from collections import OrderedDict
from pathlib import Path

from lookalike import imaging
from lookalike.catalog import Catalog
from lookalike.errors import BadInput, ImageRejected, NotFound
from lookalike.gallery.originals import Originals
from lookalike.gallery.queries import source_of
from lookalike.imaging import DecodePool, Source, read_bytes
from lookalike.results import THUMBNAIL_SIZE
from lookalike.types import PixelSource, Prepared, Record

MIN_SIDE, MAX_SIDE = 16, 1024
"""Pixels of the longer side of a thumbnail."""
CACHE_BYTES = 32 * 1024 * 1024


def check_side(size: int) -> None:
    if not MIN_SIDE <= size <= MAX_SIDE:
        raise BadInput(f"the size of a thumbnail must be {MIN_SIDE} to {MAX_SIDE} pixels, not {size}")


class Thumbnails:
    """Thumbnails by key. Safe to use from several threads.

    The thumbnail of an image with a path is made from its file; that of an image added as bytes is stored in the
    catalog, at `THUMBNAIL_SIZE` pixels, and never larger.
    """

    def __init__(self, catalog: Catalog, originals: Originals) -> None:
        self._catalog = catalog
        self._originals = originals
        self._cache: OrderedDict[tuple[bytes, int], bytes] = OrderedDict()
        self._cache_bytes = 0
        self._lock = threading.Lock()

    def get(self, tenant_id: int, key: str, size: int) -> bytes:
        """Return a JPEG whose longer side has `size` pixels, or those of the image if that is smaller.

        Raises NotFound for an unknown key or a file that is gone or has changed, BadInput for a size out of range.
        """
        check_side(size)
        record, stored = self._catalog.images.get_with_thumbnail(tenant_id, key)
        if stored is not None and (size == THUMBNAIL_SIZE or (size > THUMBNAIL_SIZE and record.path is None)):
            return stored
        cache_key = (record.sha256, size)
        with self._lock:
            if cache_key in self._cache:
                self._cache.move_to_end(cache_key)
                return self._cache[cache_key]
        thumbnail = self._make(record, size, stored)
        with self._lock:
            self._cache_bytes += len(thumbnail) - len(self._cache.get(cache_key, b""))
            self._cache[cache_key] = thumbnail
            while self._cache_bytes > CACHE_BYTES:
                self._cache_bytes -= len(self._cache.popitem(last=False)[1])
        return thumbnail

    def of_query(self, query: str | Path | bytes | PixelSource, decoder: DecodePool, size: int) -> bytes:
        """Return a small upright JPEG of an image that is not stored; raises ImageRejected."""
        source = source_of(query, self._originals)
        data = source if isinstance(source, bytes) else read_bytes(source, self._originals.limits)
        [prepared] = decoder.map([Source(data=data, thumbnail_side=size)])
        if isinstance(prepared, ImageRejected):
            raise prepared
        assert isinstance(prepared, Prepared)
        assert prepared.thumbnail is not None
        return prepared.thumbnail

    def _make(self, record: Record, size: int, stored: bytes | None) -> bytes:
        if stored is not None and size < THUMBNAIL_SIZE:
            return imaging.thumbnail_of(imaging.decode(stored).rgb, size)
        try:
            return imaging.make_thumbnail(self._read(record), size, limits=self._originals.limits)
        except NotFound:
            if stored is None:
                raise
            return stored

    def _read(self, record: Record) -> bytes:
        if record.path is None:
            raise NotFound(f"no thumbnail of {record.key!r} is stored; remove the image and add it again")
        return self._originals.read_original(record)
