"""The stored images that a run of adding has come across, to know at its end which are missing."""

from collections import Counter

from lookalike.catalog import ExistingImage, StoredFile
from lookalike.types import FoundObject


class SeenImages:
    """The stored images whose objects were listed in a run, as a bitmap, and the number of objects by prefix."""

    def __init__(self, sequence: int) -> None:
        self._sequence = sequence
        self._bits = bytearray()
        self.counts: Counter[str] = Counter()

    def note(self, found: FoundObject, known: ExistingImage | None) -> None:
        """Note that an object was listed, and which image it is."""
        if found.root is not None:
            self.counts[found.root] += 1
        if known is None:
            return
        byte = known.id >> 3
        if byte >= len(self._bits):
            self._bits.extend(bytes(max(byte + 1 - len(self._bits), len(self._bits))))
        self._bits[byte] |= 1 << (known.id & 7)

    def has(self, file: StoredFile) -> bool:
        """Whether the object of an image was listed, or the image was added since."""
        byte = file.id >> 3
        listed = byte < len(self._bits) and bool(self._bits[byte] & 1 << (file.id & 7))
        return listed or file.sequence > self._sequence
