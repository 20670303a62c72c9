"""AVIF with a MinimizedImageBox (brand `mif3`, ISO/IEC 23008-12 amendment 2), rewritten with the usual boxes.

Browsers show such files; Pillow's libavif is built without them. High dynamic range properties and other codecs than
AV1 are not rewritten.
"""

import struct
from dataclasses import dataclass
from typing import Final

BRAND: Final = b"mif3"
_ALPHA: Final = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"
_MAIN_ITEM, _ALPHA_ITEM, _EXIF_ITEM = 1, 2, 3
_ROTATIONS: Final = {3: 2, 5: 1, 6: 3, 7: 1, 8: 1}
"""By EXIF orientation: quarter turns, counter-clockwise (irot)."""
_MIRRORS: Final = {2: 1, 4: 0, 5: 0, 7: 1}
"""By EXIF orientation: the axis of a mirrored image (imir)."""


@dataclass(frozen=True, slots=True)
class _Mini:
    """What a MinimizedImageBox says of its image, and the data of it."""

    width: int
    height: int
    bits: int
    grey: bool
    full_range: bool
    orientation: int
    cicp: tuple[int, int, int]
    premultiplied: bool
    config: bytes
    alpha_config: bytes
    icc: bytes
    alpha: bytes
    main: bytes
    exif: bytes


class _Bits:
    """Bits of a box, the highest of each byte first; raises ValueError at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> int:
        end = self._at + count
        if end > 8 * len(self._data):
            raise ValueError("the box ends early")
        first, last = self._at // 8, -(-end // 8)
        value = int.from_bytes(self._data[first:last]) >> (8 * last - end)
        self._at = end
        return value & ((1 << count) - 1)

    def flag(self) -> bool:
        return bool(self.take(1))

    def chunk(self, length: int) -> bytes:
        """Whole bytes, from the next byte on."""
        start = -(-self._at // 8)
        if start + length > len(self._data):
            raise ValueError("the box ends early")
        self._at = 8 * (start + length)
        return self._data[start : start + length]


def is_mini(data: bytes) -> bool:
    return data[8:12] == BRAND and _mini_box(data) is not None


def rewrite(data: bytes) -> bytes | None:
    """The file with a MetaBox; None where the box is damaged or holds what is not rewritten."""
    body = _mini_box(data)
    if body is None:
        return None
    try:
        mini = _parse(_Bits(body))
    except ValueError:
        return None
    return None if mini is None else _written(mini)


def _mini_box(data: bytes) -> bytes | None:
    at = int.from_bytes(data[:4])
    while at >= 8 and at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == b"mini":
            return data[at + 8 : at + length] if length else data[at + 8 :]
        if length < 8:
            return None
        at += length
    return None


def _parse(bits: _Bits) -> _Mini | None:
    version, codec, floats = bits.take(2), bits.flag(), bits.flag()
    full_range, has_alpha, has_cicp, has_hdr = bits.flag(), bits.flag(), bits.flag(), bits.flag()
    has_icc, has_exif, has_xmp = bits.flag(), bits.flag(), bits.flag()
    subsampling, orientation = bits.take(2), bits.take(3) + 1
    if version or floats or has_hdr:
        return None
    side = 15 if bits.flag() else 7
    width, height = bits.take(side) + 1, bits.take(side) + 1
    bits.take({0: 0, 1: 2, 2: 1, 3: 0}[subsampling])  # where chroma samples are
    depth = bits.take(3) + 9 if bits.flag() else 8
    premultiplied = has_alpha and bits.flag()
    grey = subsampling == 0
    if has_cicp:
        cicp = (bits.take(8), bits.take(8), 2 if grey else bits.take(8))
    else:
        cicp = (2 if has_icc else 1, 2 if has_icc else 13, 2 if grey else 6)
    if codec and (bits.take(32), bits.take(32)) != (int.from_bytes(b"av01"), int.from_bytes(b"av1C")):
        return None
    metadata = 20 if (has_icc or has_exif or has_xmp) and bits.flag() else 10
    config, item = 12 if bits.flag() else 3, 28 if bits.flag() else 15
    icc_size = bits.take(metadata) + 1 if has_icc else 0
    config_size, main_size = bits.take(config), bits.take(item) + 1
    alpha_size = bits.take(item) if has_alpha else 0
    alpha_config_size = bits.take(config) if alpha_size else 0
    if (has_exif or has_xmp) and bits.flag():
        has_exif = False  # compressed, and not needed to show the image
    exif_size = bits.take(metadata) + 1 if has_exif else 0
    if has_xmp:
        bits.take(metadata)
    main_config = bits.chunk(config_size)
    alpha_config = bits.chunk(alpha_config_size) or main_config
    return _Mini(
        *(width, height, depth, grey, full_range, orientation, cicp, premultiplied),
        config=main_config,
        alpha_config=alpha_config,
        icc=bits.chunk(icc_size),
        alpha=bits.chunk(alpha_size),
        main=bits.chunk(main_size),
        exif=bits.chunk(exif_size) if has_exif else b"",
    )


def _box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + name + body


def _full_box(name: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(name, struct.pack(">I", version << 24 | flags), *parts)


def _written(mini: _Mini) -> bytes:
    items = [(_MAIN_ITEM, b"av01", mini.main)]
    if mini.alpha:
        items.append((_ALPHA_ITEM, b"av01", mini.alpha))
    if mini.exif:
        items.append((_EXIF_ITEM, b"Exif", bytes(4) + mini.exif))  # the offset of the TIFF header comes first
    file_type = _box(b"ftyp", b"avif", bytes(4), b"avif", b"mif1", b"miaf")
    start = len(file_type) + len(_meta(mini, items, 0)) + 8
    return file_type + _meta(mini, items, start) + _box(b"mdat", *(data for _, _, data in items))


def _meta(mini: _Mini, items: list[tuple[int, bytes, bytes]], start: int) -> bytes:
    """The MetaBox; `start` is where the data of the items begin in the file."""
    entries = b"".join(
        _full_box(b"infe", 2, item == _EXIF_ITEM, struct.pack(">HH", item, 0), kind, b"\0") for item, kind, _ in items
    )
    locations, at = b"", start
    for item, _, data in items:
        locations += struct.pack(">HHHII", item, 0, 1, at, len(data))
        at += len(data)
    references = b""
    if mini.alpha:
        references += _box(b"auxl", struct.pack(">HHH", _ALPHA_ITEM, 1, _MAIN_ITEM))
        if mini.premultiplied:
            references += _box(b"prem", struct.pack(">HHH", _MAIN_ITEM, 1, _ALPHA_ITEM))
    if mini.exif:
        references += _box(b"cdsc", struct.pack(">HHH", _EXIF_ITEM, 1, _MAIN_ITEM))
    return _full_box(
        b"meta",
        0,
        0,
        _full_box(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
        _full_box(b"pitm", 0, 0, struct.pack(">H", _MAIN_ITEM)),
        _full_box(b"iloc", 0, 0, b"\x44\0", struct.pack(">H", len(items)), locations),
        _full_box(b"iinf", 0, 0, struct.pack(">H", len(items)), entries),
        _full_box(b"iref", 0, 0, references) if references else b"",
        _properties(mini),
    )


def _properties(mini: _Mini) -> bytes:
    """The properties of the items, and which item has which; those that change how it is decoded are essential."""
    channels = 1 if mini.grey else 3
    nclx = struct.pack(">HHHB", *mini.cicp, mini.full_range << 7)
    main = [
        (_box(b"av1C", mini.config), True),
        (_full_box(b"ispe", 0, 0, struct.pack(">II", mini.width, mini.height)), False),
        (_full_box(b"pixi", 0, 0, bytes([channels, *[mini.bits] * channels])), False),
        (_box(b"colr", b"nclx", nclx), False),
    ]
    if mini.icc:
        main.append((_box(b"colr", b"prof", mini.icc), False))
    if mini.orientation in _ROTATIONS:
        main.append((_box(b"irot", bytes([_ROTATIONS[mini.orientation]])), True))
    if mini.orientation in _MIRRORS:
        main.append((_box(b"imir", bytes([_MIRRORS[mini.orientation]])), True))
    alpha = [
        (_box(b"av1C", mini.alpha_config), True),
        main[1],
        (_full_box(b"pixi", 0, 0, bytes([1, mini.bits])), False),
        (_full_box(b"auxC", 0, 0, _ALPHA), True),
        *(one for one in main if one[0][4:8] in (b"irot", b"imir")),
    ]
    owned = [(_MAIN_ITEM, main)] + ([(_ALPHA_ITEM, alpha)] if mini.alpha else [])
    boxes, associations = b"", b""
    index = 0
    for item, properties in owned:
        associations += struct.pack(">HB", item, len(properties))
        for box, essential in properties:
            index += 1
            boxes += box
            associations += bytes([essential << 7 | index])
    return _box(b"iprp", _box(b"ipco", boxes), _full_box(b"ipma", 0, 0, struct.pack(">I", len(owned)), associations))
