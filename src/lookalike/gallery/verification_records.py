"""Verification records of a gallery: which images get one, how they are made, and how the stored ones are completed."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lookalike.catalog import Catalog
from lookalike.cpu import usable_cores
from lookalike.errors import BadInput, NotFound, Unavailable
from lookalike.gallery.originals import READ_THREADS, Originals
from lookalike.imaging import DecodePool, Source
from lookalike.optional import install_command, is_installed
from lookalike.results import RecordRepair, RecordSetting, StoredRecords
from lookalike.sources.urls import is_url
from lookalike.types import Prepared, Record
from lookalike.verification import RECORD_SIDE, VerificationEncoder, is_intact, to_record

log = logging.getLogger("lookalike")

PAGE = 64
"""Images whose records one transaction completes."""


class RecordMaker:
    """Makes verification records of the images that are to have one. Thread-safe.

    Records are for images with a file, which may be out of reach later; an image that was added as bytes has a
    thumbnail, which serves verification better than a record (`docs/numbers.md`).
    """

    def __init__(self, setting: RecordSetting, folder: Path) -> None:
        """`folder` is the gallery's: a file on another file system than this may be out of reach while it is used."""
        self.setting = setting
        self._folder = folder
        self._device: int | None = None
        self._warned = False
        self._encoder = VerificationEncoder()

    @property
    def off_reason(self) -> str | None:
        """Why no records are made; None where they are."""
        if self.setting == "off":
            return 'the setting is "off"'
        if not is_installed("verify"):
            return f"the extra verify is not installed ({install_command('verify')})"
        return None

    def wants(self, device: int | None) -> bool:
        """Whether an image is to have a record: `device` is its file's (`st_dev`), None that of an object store."""
        if self.setting == "off":
            return False
        if self._device is None:
            self._device = self._folder.stat().st_dev
        if self.setting != "on" and device == self._device:
            return False
        if (reason := self.off_reason) is not None and not self._warned:
            self._warned = True
            log.warning("images are added without verification records: %s", reason)
        return reason is None

    def stored(self, catalog: Catalog) -> StoredRecords:
        """What is stored of a gallery's images, of all tenants."""
        totals = catalog.verification_records.totals()
        return StoredRecords(self.setting, totals.images, totals.nbytes, self.off_reason)

    def make(self, images: Sequence[Prepared]) -> list[bytes | None]:
        """The record of each image that brings reduced pixels, on all cores."""
        chosen = [image for image in images if image.reduced is not None]
        if not chosen:
            return [None] * len(images)
        with ThreadPoolExecutor(min(usable_cores(), len(chosen)), "records") as executor:
            made = executor.map(self._record_of, chosen)
            return [None if image.reduced is None else next(made) for image in images]

    def _record_of(self, image: Prepared) -> bytes:
        assert image.reduced is not None
        return to_record(self._encoder.from_pixels(image.reduced, image.width, image.height))


@dataclass(slots=True)
class _Counts:
    made: int = 0
    unreadable: int = 0


def complete_records(catalog: Catalog, maker: RecordMaker, decoder: DecodePool, originals: Originals) -> RecordRepair:
    """Store the records that are missing or damaged; where the setting is "off", delete all.

    Raises BadInput where records are wanted and cannot be made.
    """
    if maker.setting == "off":
        return RecordRepair(0, catalog.verification_records.delete_all(), 0)
    if (reason := maker.off_reason) is not None:
        raise BadInput(f"verification records cannot be made: {reason}")
    counts = _Counts()
    after = 0
    while page := catalog.verification_records.page(after_id=after, limit=PAGE):
        after = page[-1][0].id
        without = [record for record, stored in page if stored is None or not is_intact(stored)]
        wanted = list(_wanted(maker, without, counts))
        # the bytes of objects are in memory until all of a batch are decoded
        size = READ_THREADS if any(is_url(image.path) for image in wanted) else PAGE
        for at in range(0, len(wanted), size):
            _make_page(catalog, maker, decoder, _sources(wanted[at : at + size], originals), counts)
    return RecordRepair(counts.made, 0, counts.unreadable)


def _wanted(maker: RecordMaker, images: Sequence[Record], counts: _Counts) -> Iterator[Record]:
    """Those of these images that are to have a record; those whose file is not there are counted."""
    for image in images:
        assert image.path is not None
        if is_url(image.path):
            if maker.wants(None):
                yield image
            continue
        try:
            device = Path(image.path).stat().st_dev
        except OSError:
            counts.unreadable += 1
            continue
        if maker.wants(device):
            yield image


def _sources(images: Sequence[Record], originals: Originals) -> Iterator[tuple[Record, Source | None]]:
    """Yield what is to be decoded of each image; objects are read in parallel, None where one is not at hand."""

    def source(image: Record) -> Source | None:
        if not is_url(image.path):
            return Source(path=image.path, reduced_side=RECORD_SIDE, reduced_apart=True)
        try:
            data = originals.read_original(image)
        except (NotFound, Unavailable):
            return None
        return Source(data=data, reduced_side=RECORD_SIDE, reduced_apart=True)

    if not any(is_url(image.path) for image in images):
        yield from zip(images, map(source, images), strict=True)
        return
    with ThreadPoolExecutor(READ_THREADS, "records-read") as executor:
        yield from zip(images, executor.map(source, images), strict=True)


def _make_page(
    catalog: Catalog,
    maker: RecordMaker,
    decoder: DecodePool,
    sources: Iterable[tuple[Record, Source | None]],
    counts: _Counts,
) -> None:
    read: list[tuple[Record, Prepared]] = []
    found = list(sources)
    images = [image for image, source in found if source is not None]
    counts.unreadable += len(found) - len(images)
    for image, result in zip(images, decoder.map(s for _, s in found if s is not None), strict=True):
        if isinstance(result, Prepared) and result.sha256 == image.sha256:
            read.append((image, result))
        else:
            counts.unreadable += 1  # gone, damaged, or changed since it was added
    made = maker.make([prepared for _, prepared in read])
    new = [(image.id, image.sha256, data) for (image, _), data in zip(read, made, strict=True) if data is not None]
    counts.made += catalog.verification_records.put(new)
