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
from lookalike.gallery import MAX_RESULTS

_MAX_LENGTH = 80_000
"""Characters of a cursor; `MAX_RESULTS` ids of 5 bytes each are less."""
_MAX_PACKED = MAX_RESULTS * 10
_FINGERPRINT_BYTES = 8


def encode_search_cursor(ids: Iterable[int], fingerprint: bytes) -> str:
    """A cursor for going on after these ids, in the search that `binding` names."""
    packed = bytearray()
    last = 0
    for id_ in sorted(ids):
        gap, last = id_ - last, id_
        while gap > 0x7F:  # LEB128: seven bits a byte, the lowest first
            packed.append(gap & 0x7F | 0x80)
            gap >>= 7
        packed.append(gap)
    return _encode(fingerprint + zlib.compress(bytes(packed), 9))


def decode_search_cursor(cursor: str, fingerprint: bytes) -> list[int]:
    """The ids that a search's cursor holds; raises UnsupportedQuery for one of another search, or none at all."""
    raw = _decode(cursor)
    if raw[:_FINGERPRINT_BYTES] != fingerprint:
        raise UnsupportedQuery("the cursor belongs to another search: send the same image and options again with it")
    unpacking = zlib.decompressobj()
    try:
        packed = unpacking.decompress(raw[_FINGERPRINT_BYTES:], _MAX_PACKED)
    except zlib.error:
        raise _invalid_cursor() from None
    ids = list(_ids(packed))
    if not unpacking.eof or len(ids) > MAX_RESULTS:
        raise _invalid_cursor()
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
    return hashlib.blake2b(text.encode(), digest_size=_FINGERPRINT_BYTES, person=b"cursor").digest()


def encode_cursor(place: Any) -> str:
    """A cursor that holds a place in a list, a JSON value."""
    return _encode(json.dumps(place).encode())


def decode_cursor(cursor: str | None) -> Any:
    """The place that a list's cursor holds; None for none. Raises UnsupportedQuery for what is no cursor of a list."""
    if cursor is None:
        return None
    try:
        place = json.loads(_decode(cursor))
    except (ValueError, RecursionError):
        raise _invalid_cursor() from None
    if place is None:
        raise _invalid_cursor()
    return place


def decode_key_cursor(cursor: str | None) -> str | None:
    """The same where the place is a key."""
    place = decode_cursor(cursor)
    if place is not None and not isinstance(place, str):
        raise _invalid_cursor()
    return place


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(cursor: str) -> bytes:
    if len(cursor) > _MAX_LENGTH:
        raise _invalid_cursor()
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _invalid_cursor() from None


def _invalid_cursor() -> UnsupportedQuery:
    return UnsupportedQuery("this is no cursor that this service gave; begin again without one")
