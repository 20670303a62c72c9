"""TIFF directories, also of files that are built like them (EXIF, camera raw), and what libtiff says of damage."""

import os
import re
import struct
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

MAX_VALUES: Final = 1 << 18
"""A field with more values (strips, tiles) is not read: a hostile file could cause unbounded work."""
MAX_DIRECTORIES: Final = 64
"""Directories of a camera raw file that are visited."""
STRIPS: Final = {273: 279, 324: 325}
"""TIFF 6.0: the tags of where strips and tiles are, and for each the tag of their sizes."""
COMPRESSION: Final = 259
SUB_DIRECTORIES: Final = 330

_WIDTHS: Final = {
    kind: width for width, kinds in ((2, (3, 8)), (4, (4, 9, 11, 13)), (8, (5, 10, 12, 16, 17, 18))) for kind in kinds
}
"""TIFF 6.0 and BigTIFF: bytes per value of each field type; one for the others."""
_BYTES: Final = frozenset({2, 7})
"""Text, and bytes of no declared type."""
_CODES: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}
_UNSIGNED: Final = frozenset({1, 3, 4, 13, 16, 18})
_RATIONAL: Final = 5

Value = bytes | tuple[int, ...]
"""Bytes, or unsigned numbers; a rational is two of them."""
_STDERR: Final = 2
_DECODING: Final = re.compile(
    r"^(\w*Decode\w*|tempfile\.tif|JPEGLib|OJPEG\w*|PackBits\w*|TIFFFill\w+|TIFFRead\w+|LZW\w*|Zip\w*): ."
)
"""Messages of its decoders, which name themselves, or the file as Pillow names it; others are of other threads."""


@dataclass(frozen=True, slots=True)
class Tiff:
    """The bytes of a TIFF or BigTIFF and its layout: byte order, and bytes of an offset, of a count and of an entry."""

    data: bytes
    order: Literal["little", "big"]
    first: int
    word: int
    count: int
    entry: int

    @classmethod
    def of(cls, data: bytes) -> "Tiff":
        order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
        return cls(data, order, 8, 8, 8, 20) if 43 in data[2:4] else cls(data, order, 4, 4, 2, 12)

    def number(self, at: int, size: int) -> int:
        """An unsigned number; bytes beyond the end of the file read as 0."""
        return int.from_bytes(self.data[at : at + size], self.order)

    def first_directory(self) -> int:
        return self.number(self.first, self.word)

    def next_directory(self, at: int) -> int:
        """The offset of the directory after the one at `at`; 0 after the last."""
        return self.number(at + self.count + self.number(at, self.count) * self.entry, self.word)

    def fields(self, at: int, tags: Collection[int]) -> dict[int, Value]:
        """The values of these tags in the directory at `at`; without those that extend beyond the end of the file."""
        found: dict[int, Value] = {}
        entries = self.number(at, self.count)
        start = at + self.count
        entries = min(entries, max(len(self.data) - start, 0) // self.entry)
        layout = f"{self._byte_order}H{self.entry - 2}x"
        listed = struct.iter_unpack(layout, self.data[start : start + entries * self.entry])
        for number, (tag,) in enumerate(listed):
            if tag in tags and tag not in found and (value := self._value(start + number * self.entry)) is not None:
                found[tag] = value
        return found

    def missing(self) -> bool:
        """Whether the first directory, or anything that it points to, is beyond the end of the file."""
        at = self.first_directory()
        entries = self.number(at, self.count)
        start = at + self.count
        if at == 0 or start + entries * self.entry + self.word > len(self.data):
            return True
        for entry in range(start, start + entries * self.entry, self.entry):
            _, _, value, size = self._extent(entry)
            if value + size > len(self.data):
                return True
        return self.end() > len(self.data)

    def end(self) -> int:
        """The end, in bytes, of the strips and tiles of the first directory."""
        found = self.fields(self.first_directory(), {*STRIPS, *STRIPS.values()})
        ends = [
            int(start) + int(size)
            for offsets, sizes in STRIPS.items()
            for start, size in zip(found.get(offsets, ()), found.get(sizes, ()), strict=False)
        ]
        return max(ends, default=0)

    def directories(self) -> Iterator[int]:
        """Offsets of the directories along their chain and below them (SubIFDs), at most `MAX_DIRECTORIES`."""
        pending = [self.first_directory()]
        seen: set[int] = set()
        while pending and len(seen) < MAX_DIRECTORIES:
            at = pending.pop(0)
            if not at or at in seen or at + self.count > len(self.data):
                continue
            seen.add(at)
            yield at
            below = self.fields(at, {SUB_DIRECTORIES}).get(SUB_DIRECTORIES, ())
            pending += [int(each) for each in below[:MAX_DIRECTORIES]]
            pending.append(self.next_directory(at))

    def _extent(self, entry: int) -> tuple[int, int, int, int]:
        """Type and number of the values of an entry, where they are, and their bytes."""
        layout = f"{self._byte_order}{'HHII' if self.word == 4 else 'HHQQ'}"
        _, kind, amount, value = struct.unpack_from(layout, self.data, entry)
        size = amount * _WIDTHS.get(kind, 1)
        return kind, amount, entry + 4 + self.word if size <= self.word else value, size

    def _value(self, entry: int) -> Value | None:
        kind, amount, value, size = self._extent(entry)
        if value + size > len(self.data) or not 0 < amount <= MAX_VALUES:
            return None
        if kind in _BYTES:
            return self.data[value : value + size]
        if kind == _RATIONAL:
            kind, amount = 4, amount * 2
        if kind not in _UNSIGNED:
            return None
        return struct.unpack_from(f"{self._byte_order}{amount}{_CODES[_WIDTHS.get(kind, 1)]}", self.data, value)

    @property
    def _byte_order(self) -> str:
        return "<" if self.order == "little" else ">"


_lock = threading.Lock()


@contextmanager
def decoding_errors() -> Iterator[list[str]]:
    """A list that has libtiff's messages when the block ends; other lines go to standard error then."""
    import tempfile  # noqa: PLC0415 - with what it loads 5 ms of the start of every decoding process

    found: list[str] = []
    with _lock, tempfile.TemporaryFile() as caught:
        try:
            saved = os.dup(_STDERR)
        except OSError:  # there is no standard error, and nothing is written to it
            yield found
            return
        os.dup2(caught.fileno(), _STDERR)
        try:
            yield found
        finally:
            os.dup2(saved, _STDERR)
            os.close(saved)
            caught.seek(0)
            others = []
            for line in caught.read().splitlines(keepends=True):
                text = line.decode(errors="replace").strip()
                if _DECODING.match(text):
                    found.append(text)
                elif text:
                    others.append(line)
            if others:
                os.write(_STDERR, b"".join(others))
