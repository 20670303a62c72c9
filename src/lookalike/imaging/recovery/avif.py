"""AVIF files that viewers show although libavif refuses them for how the properties of their items are written.

Properties are associated with items in several boxes, the alpha has no size of its own, or groups of items are of a
kind that libavif misreads (ISO/IEC 23008-12, sections 6.5 and 9.3). No pixels are lost.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from lookalike.imaging.recovery.repaired import Repaired

_GROUPS: Final = b"grpl"
"""Groups of items name alternatives of the image, which itself needs none of them to be shown."""
_MAX_ASSOCIATION_BYTES: Final = 1 << 20
"""Of all boxes of associations together; a photo has some tens."""
_ESSENTIAL, _SHORT_INDEX, _LONG_INDEX = 0x80, 0x7F, 0x7FFF


class _Box(NamedTuple):
    """A box of an ISO base media file (ISO/IEC 14496-12, section 4.2): where it begins, and its content."""

    name: bytes
    start: int
    body: int
    end: int


class _Association(NamedTuple):
    """A property of an item, by its number from 1 on, and whether it is essential."""

    number: int
    essential: bool


_Associations = dict[int, list[_Association]]


def repair(data: bytes) -> Repaired | None:
    """The file with a MetaBox that libavif takes; None where nothing is to be changed, or the boxes are damaged.

    The new one comes last, and the old one becomes free space: whatever is located in the file stays where it is.
    """
    top = list(_boxes(data, 0, len(data)))
    meta = next((box for box in top if box.name == b"meta"), None)
    if meta is None or top[-1].end != len(data):
        return None
    children = list(_boxes(data, meta.body + 4, meta.end))
    properties = next((box for box in children if box.name == b"iprp"), None)
    if properties is None:
        return None
    written = _properties(data, properties, _primary_item(data, children))
    kept = [box for box in children if box.name != _GROUPS]
    if written is None and len(kept) == len(children):
        return None
    parts = [written if written and box is properties else data[box.start : box.end] for box in kept]
    rewritten = bytearray(data)
    for box in {meta, top[-1]}:
        if int.from_bytes(data[box.start : box.start + 4]) == 0:  # it extends to the end of the file
            rewritten[box.start : box.start + 4] = struct.pack(">I", box.end - box.start)
    rewritten[meta.start + 4 : meta.start + 8] = b"free"
    return Repaired(bytes(rewritten) + _written(b"meta", data[meta.body : meta.body + 4], *parts), False)


def _boxes(data: bytes, at: int, end: int) -> Iterator[_Box]:
    """The boxes between two places; none after one that is damaged."""
    while at + 8 <= end:
        length, body = int.from_bytes(data[at : at + 4]), at + 8
        if length == 1:
            length, body = int.from_bytes(data[at + 8 : at + 16]), at + 16
        after = at + length if length else end
        if not body <= after <= end:
            return
        yield _Box(data[at + 4 : at + 8], at, body, after)
        at = after


def _written(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + name + body


def _primary_item(data: bytes, children: list[_Box]) -> int:
    """The number of the image that is shown; 0 without one."""
    for box in children:
        if box.name == b"pitm":
            return int.from_bytes(data[box.body + 4 : box.body + (8 if data[box.body] else 6)])
    return 0


def _properties(data: bytes, box: _Box, primary: int) -> bytes | None:
    """The ItemPropertiesBox with one box of associations; None if it is as libavif expects it."""
    children = list(_boxes(data, box.body, box.end))
    container = next((child for child in children if child.name == b"ipco"), None)
    if container is None:
        return None
    names = [b"", *(child.name for child in _boxes(data, container.body, container.end))]
    associations: _Associations = {}
    boxes = [child for child in children if child.name == b"ipma"]
    if sum(child.end - child.body for child in boxes) > _MAX_ASSOCIATION_BYTES:
        return None
    for child in boxes:
        _read_associations(data[child.body : child.end], associations)
    if not _complete_sizes(associations, names, primary) and len(boxes) < 2:
        return None
    return _written(b"iprp", data[container.start : container.end], _written_associations(associations))


def _read_associations(body: bytes, associations: _Associations) -> None:
    """Add the associations of one box; raises struct.error or IndexError where it ends early."""
    long_items, long_index = body[0] > 0, body[3] & 1
    (count,) = struct.unpack_from(">I", body, 4)
    at = 8
    for _ in range(count):
        (item,) = struct.unpack_from(">I" if long_items else ">H", body, at)
        at += 4 if long_items else 2
        number = body[at]
        at += 1
        values = struct.unpack_from(f">{number}{'H' if long_index else 'B'}", body, at)
        at += number * (2 if long_index else 1)
        mask = _LONG_INDEX if long_index else _SHORT_INDEX
        found = associations.setdefault(item, [])
        found += [each for value in values if (each := _Association(value & mask, value > mask)) not in found]


def _complete_sizes(associations: _Associations, names: list[bytes], primary: int) -> bool:
    """Give auxiliary images (alpha) without a size that of the primary one; whether there are any."""
    size = next((each for each in associations.get(primary, ()) if names[each.number] == b"ispe"), None)
    found = False
    for own in associations.values():
        kinds = {names[each.number] for each in own}
        if size is not None and b"auxC" in kinds and b"ispe" not in kinds:
            own.insert(0, size)
            found = True
    return found


def _written_associations(associations: _Associations) -> bytes:
    long_items = max(associations) > 0xFFFF
    long_index = any(each.number > _SHORT_INDEX for own in associations.values() for each in own)
    parts = [struct.pack(">BBBBI", long_items, 0, 0, long_index, len(associations))]
    for item, own in sorted(associations.items()):
        parts.append(struct.pack(">IB" if long_items else ">HB", item, len(own)))
        values = [each.number | each.essential * _ESSENTIAL << 8 * long_index for each in own]
        parts.append(struct.pack(f">{len(own)}{'H' if long_index else 'B'}", *values))
    return _written(b"ipma", *parts)
