"""Small images on demand: those kept in the catalog, or made from the file, and a few of them remembered."""

import threading
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path

from lookalike.catalog import Catalog
from lookalike.errors import BadInput, ImageRejected, NotFound
from lookalike.imaging import Limits, decode, make_thumbnail, read_bytes, thumbnail_of
from lookalike.imaging.thumbnails import SIDE
from lookalike.types import Record

MIN_SIDE, MAX_SIDE = 16, 1024
"""Pixels of the longer side that can be asked for."""
CACHE_BYTES = 32 * 1024 * 1024


def check_side(size: int) -> None:
    """Raise BadInput for a size that cannot be asked for."""
    if not MIN_SIDE <= size <= MAX_SIDE:
        raise BadInput(f"a thumbnail has {MIN_SIDE} to {MAX_SIDE} pixels, not {size}")


class Thumbnails:
    """Gives thumbnails by key. Safe to use from several threads.

    An image with a path is shown from its file, one that came as bytes from what the catalog keeps (`SIDE` pixels, so
    a larger size gives no more).
    """

    def __init__(self, catalog: Catalog, limits: Limits) -> None:
        self._catalog = catalog
        self._limits = limits
        self._cache: OrderedDict[tuple[bytes, int], bytes] = OrderedDict()
        self._cached = 0
        self._lock = threading.Lock()

    def get(self, tenant_id: int, key: str, size: int) -> bytes:
        """A JPEG whose longer side has `size` pixels, or the image's own where it is smaller.

        Raises NotFound for an unknown key, and where the file is gone or holds other bytes than those added; BadInput
        for a size out of bounds.
        """
        check_side(size)
        record, kept = self._catalog.images.get_with_thumbnail(tenant_id, key)
        if kept is not None and (size == SIDE or (size > SIDE and record.path is None)):
            return kept
        return self._remembered(record, size, kept)

    def _remembered(self, record: Record, size: int, kept: bytes | None) -> bytes:
        place = (record.sha256, size)
        with self._lock:
            if place in self._cache:
                self._cache.move_to_end(place)
                return self._cache[place]
        made = self._made(record, size, kept)
        with self._lock:
            self._cached += len(made) - len(self._cache.get(place, b""))
            self._cache[place] = made
            while self._cached > CACHE_BYTES:
                self._cached -= len(self._cache.popitem(last=False)[1])
        return made

    def _made(self, record: Record, size: int, kept: bytes | None) -> bytes:
        if kept is not None and size < SIDE:
            return thumbnail_of(decode(kept).rgb, size)
        try:
            return make_thumbnail(self._bytes_of(record), size, limits=self._limits)
        except NotFound:
            if kept is None:
                raise
            return kept

    def _bytes_of(self, record: Record) -> bytes:
        if record.path is None:
            raise NotFound(f"no thumbnail of {record.key!r} is kept; remove it and add it again")
        try:
            data = read_bytes(Path(record.path), self._limits)
        except ImageRejected as error:
            raise NotFound(f"the file of {record.key!r} cannot be read any more: {error}") from error
        if sha256(data).digest() != record.sha256:
            raise NotFound(f"the file of {record.key!r} has changed since it was added; add it again")
        return data
