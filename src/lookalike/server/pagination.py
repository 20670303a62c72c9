"""Cursors: where a list goes on, as text that callers hand back unread.

A search's cursor holds the ids of all hits given so far, so that going on shows nothing twice and leaves nothing out,
whatever others write meanwhile: the next page is the best of what was not given yet. It holds 1 to 3 bytes a hit.
"""

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lookalike.errors import UnsupportedQuery
from lookalike.results import MAX_RESULTS

_LONGEST = 80_000
"""Characters of a cursor; `MAX_RESULTS` ids of 5 bytes each are less."""
_LONGEST_PACKED = MAX_RESULTS * 10
_BINDING = 8


def encode_search_cursor(given: Iterable[int], binding: bytes) -> str:
    """A cursor for going on after these ids, in the search that `binding` names."""
    packed = bytearray()
    last = 0
    for id_ in sorted(given):
        gap, last = id_ - last, id_
        while gap > 0x7F:  # LEB128: seven bits a byte, the lowest first
            packed.append(gap & 0x7F | 0x80)
            gap >>= 7
        packed.append(gap)
    return _written(binding + zlib.compress(bytes(packed), 9))


def decode_search_cursor(cursor: str, binding: bytes) -> list[int]:
    """The ids that a search's cursor holds; raises UnsupportedQuery for one of another search, or none at all."""
    raw = _read(cursor)
    if raw[:_BINDING] != binding:
        raise UnsupportedQuery("the cursor belongs to another search: send the same image and options again with it")
    unpacking = zlib.decompressobj()
    try:
        packed = unpacking.decompress(raw[_BINDING:], _LONGEST_PACKED)
    except zlib.error:
        raise _unreadable() from None
    ids = list(_ids(packed))
    if not unpacking.eof or len(ids) > MAX_RESULTS:
        raise _unreadable()
    return ids


def _ids(packed: bytes) -> Iterator[int]:
    at = gap = shift = 0
    for byte in packed:
        gap |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            at += gap
            yield at
            gap = shift = 0


def query_fingerprint(parts: Mapping[str, Any]) -> bytes:
    """What tells one search from another, 8 bytes of a digest; `parts` is a JSON object."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=_BINDING, person=b"cursor").digest()


def encode_cursor(place: Any) -> str:
    """A cursor that holds a place in a list, a JSON value."""
    return _written(json.dumps(place).encode())


def decode_cursor(cursor: str | None) -> Any:
    """The place that a list's cursor holds; None for none. Raises UnsupportedQuery for what is no cursor of a list."""
    if cursor is None:
        return None
    try:
        place = json.loads(_read(cursor))
    except (ValueError, RecursionError):
        raise _unreadable() from None
    if place is None:
        raise _unreadable()
    return place


def key_in(cursor: str | None) -> str | None:
    """The same where the place is a key."""
    place = decode_cursor(cursor)
    if place is not None and not isinstance(place, str):
        raise _unreadable()
    return place


def _written(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _read(cursor: str) -> bytes:
    if len(cursor) > _LONGEST:
        raise _unreadable()
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _unreadable() from None


def _unreadable() -> UnsupportedQuery:
    return UnsupportedQuery("this is no cursor that this service gave; begin again without one")
