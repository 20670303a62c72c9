"""Opaque pagination cursors. A search's holds the ids of all hits returned so far, in 1 to 3 bytes each, so that pages
neither repeat nor skip hits despite concurrent writes: the next page is the best of the hits not returned yet.
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

_MAX_LENGTH = 80_000
"""Characters of a cursor; enough for `MAX_RESULTS` ids of 5 bytes."""
_MAX_PACKED = MAX_RESULTS * 10
_FINGERPRINT_BYTES = 8


def encode_search_cursor(ids: Iterable[int], fingerprint: bytes) -> str:
    """A cursor after these ids, bound to the search with this fingerprint."""
    packed = bytearray()
    last = 0
    for id_ in sorted(ids):
        gap, last = id_ - last, id_
        while gap > 0x7F:  # LEB128: seven bits per byte, the lowest first
            packed.append(gap & 0x7F | 0x80)
            gap >>= 7
        packed.append(gap)
    return _encode(fingerprint + zlib.compress(bytes(packed), 9))


def decode_search_cursor(cursor: str, fingerprint: bytes) -> list[int]:
    """The ids of a search cursor; raises UnsupportedQuery for an invalid one or one of another search."""
    raw = _decode(cursor)
    if raw[:_FINGERPRINT_BYTES] != fingerprint:
        raise UnsupportedQuery("the cursor belongs to another search: send it with the same image and options")
    decompressor = zlib.decompressobj()
    try:
        packed = decompressor.decompress(raw[_FINGERPRINT_BYTES:], _MAX_PACKED)
    except zlib.error:
        raise _invalid_cursor() from None
    ids = list(_ids(packed))
    if not decompressor.eof or len(ids) > MAX_RESULTS:
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
    """An 8-byte digest that identifies a search; `parts` is a JSON object."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=_FINGERPRINT_BYTES, person=b"cursor").digest()


def encode_cursor(position: Any) -> str:
    """A cursor with a position in a list, a JSON value."""
    return _encode(json.dumps(position).encode())


def decode_cursor(cursor: str | None) -> Any:
    """The position of a list cursor, None for None; raises UnsupportedQuery for an invalid cursor."""
    if cursor is None:
        return None
    try:
        position = json.loads(_decode(cursor))
    except (ValueError, RecursionError):
        raise _invalid_cursor() from None
    if position is None:
        raise _invalid_cursor()
    return position


def decode_key_cursor(cursor: str | None) -> str | None:
    """The key of a cursor of a list ordered by key."""
    position = decode_cursor(cursor)
    if position is not None and not isinstance(position, str):
        raise _invalid_cursor()
    return position


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
    return UnsupportedQuery("invalid cursor: start again without one")
