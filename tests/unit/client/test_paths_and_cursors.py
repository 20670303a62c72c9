"""What the client writes is what the service reads, whatever the key."""

from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.client.room import cursor_of, path_of
from lookalike.errors import BadInput, NotFound
from lookalike.server.pagination import decode_key_cursor, encode_cursor

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(KEYS)
def test_a_key_is_one_part_of_the_path(key: str) -> None:
    path = path_of(key)
    assert path.isascii()
    prefix, images, quoted = path.rpartition("/v1/images/")
    assert (prefix, images) == ("", "/v1/images/")
    assert "/" not in quoted
    assert set(quoted) != {"."}  # else it would be taken for a way up
    assert unquote(quoted) == key
    assert httpx.URL("http://host").copy_with(raw_path=path.encode()).raw_path == path.encode()


@given(KEYS)
def test_a_key_is_a_cursor(key: str) -> None:
    assert cursor_of(key) == encode_cursor(key)
    assert decode_key_cursor(cursor_of(key)) == key


def test_what_is_no_key() -> None:
    with pytest.raises(BadInput):
        path_of("")
    with pytest.raises(NotFound):
        path_of("bytes that are no text \udcff")
