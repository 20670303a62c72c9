"""What the client writes is what the service reads, whatever the key."""

from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.client.requests import cursor_after, image_path
from lookalike.errors import BadInput, NotFound
from lookalike.server.pagination import decode_key_cursor, encode_cursor

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(KEYS)
def test_a_key_is_one_part_of_the_path(key: str) -> None:
    path = image_path(key)
    assert path.isascii()
    prefix, images, quoted = path.rpartition("/v1/images/")
    assert (prefix, images) == ("", "/v1/images/")
    assert "/" not in quoted
    assert set(quoted) != {"."}  # else it would be taken for a way up
    assert unquote(quoted) == key
    assert httpx.URL("http://host").copy_with(raw_path=path.encode()).raw_path == path.encode()


@given(KEYS)
def test_a_key_is_a_cursor(key: str) -> None:
    assert cursor_after(key) == encode_cursor(key)
    assert decode_key_cursor(cursor_after(key)) == key


def test_what_is_no_key() -> None:
    with pytest.raises(BadInput):
        image_path("")
    with pytest.raises(NotFound):
        image_path("bytes that are no text \udcff")
