"""The bounded parts: cursors, forms, JSON, threads, memory."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.errors import BadInput, ImageRejected, Unavailable, UnsupportedQuery
from lookalike.results import MAX_RESULTS
from lookalike.server.load_limits import BoundedExecutor, MemoryBudget
from lookalike.server.middleware.access_log import normalize_path
from lookalike.server.pagination import (
    decode_cursor,
    decode_key_cursor,
    decode_search_cursor,
    encode_cursor,
    encode_search_cursor,
    query_fingerprint,
)
from lookalike.server.requests.body import MAX_JSON_DEPTH, MAX_JSON_VALUES, parse_json
from lookalike.server.requests.multipart import Part, read_parts
from lookalike.server.routes.bulk_upload import split_lines
from tests.support.waiting import HANG_SECONDS

BINDING = query_fingerprint({"a": 1})


@given(st.sets(st.integers(1, 2**62), max_size=300))
def test_cursors_keep_ids(ids: set[int]) -> None:
    assert decode_search_cursor(encode_search_cursor(ids, BINDING), BINDING) == sorted(ids)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: encode_cursor(raw.hex())))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(UnsupportedQuery):
        decode_search_cursor(text, BINDING)


def test_a_full_cursor_fits_a_header_and_a_bomb_does_not_go_off() -> None:
    assert len(encode_search_cursor(range(1, MAX_RESULTS * 100, 100), BINDING)) < 20_000
    with pytest.raises(UnsupportedQuery):
        decode_search_cursor(encode_search_cursor(range(1, 10 * MAX_RESULTS), BINDING), BINDING)
    with pytest.raises(UnsupportedQuery):
        decode_search_cursor("A" * 200_000, BINDING)


@given(st.text(max_size=50))
def test_places_in_lists(key: str) -> None:
    assert decode_key_cursor(encode_cursor(key)) == key
    assert decode_cursor(None) is None


@pytest.mark.parametrize("wrong", ["x", "%", "bnVsbA=", encode_cursor([1]), encode_cursor(5)])
def test_what_is_no_place_is_refused(wrong: str) -> None:
    with pytest.raises(UnsupportedQuery):
        decode_key_cursor(wrong)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"nul",
        b"[1,]",
        b"NaN",
        b'{"a": -Infinity}',
        b"\xff",
        b'"\\u0000"',
        b'{"\\ud800": 1}',
        b"[" * (MAX_JSON_DEPTH + 1) + b"]" * (MAX_JSON_DEPTH + 1),
        b"[" * 100_000,
        b"[" + b"1," * MAX_JSON_VALUES + b"1]",
        b"1" * 5000,
    ],
)
def test_json_that_is_none_or_too_much(text: bytes) -> None:
    with pytest.raises(BadInput):
        parse_json(text)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_json_that_is_fine(value: object) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(b"[" * MAX_JSON_DEPTH + b"]" * MAX_JSON_DEPTH) is not None


def form(*fields: tuple[str, str | None, bytes], boundary: str = "b") -> bytes:
    made = b""
    for name, filename, data in fields:
        more = "" if filename is None else f'; filename="{filename}"'
        made += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n"
    return made + f"--{boundary}--\r\n".encode()


async def stream(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def read(data: bytes, size: int = 7, *, most_parts: int = 5, most_bytes: int = 100) -> list[Part]:
    async def all_of_them() -> list[Part]:
        kind = "multipart/form-data; boundary=b"
        return [p async for p in read_parts(stream(data, size), kind, max_parts=most_parts, max_part_bytes=most_bytes)]

    return asyncio.run(all_of_them())


@given(st.binary(max_size=90), st.integers(1, 60))
def test_forms_come_in_pieces(data: bytes, size: int) -> None:
    if b"--b" in data:
        return
    found = read(form(("file", "ü.jpg", data), ("k", None, b"3")), size)
    assert found == [Part("file", "ü.jpg", None, data), Part("k", None, None, b"3")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        form(("a", None, b"x"))[:-6],
        form(*[("a", None, b"x")] * 6),
        b"--b\r\n\r\nx\r\n--b--\r\n",
        form(("a" * 2000, None, b"x")),
        b"--b\r\n" + b"H: x\r\n" * 100 + b"\r\nx\r\n--b--\r\n",
        b"--b\r\n" + b"H" * 100_000,
    ],
)
def test_forms_that_are_none_or_too_much(data: bytes) -> None:
    with pytest.raises(BadInput):
        read(data, 1000)


def test_a_part_that_is_too_large_is_refused_as_it_comes() -> None:
    came = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal came
        yield b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
        while True:
            came += 10
            yield b"x" * 10

    async def read_all() -> None:
        async for _ in read_parts(endless(), "multipart/form-data; boundary=b", max_parts=2, max_part_bytes=100):
            pass

    with pytest.raises(ImageRejected):
        asyncio.run(read_all())
    assert came <= 120


def test_lines_come_in_pieces_and_have_an_end() -> None:
    async def all_of(data: bytes, size: int) -> list[bytes]:
        return [line async for line in split_lines(stream(data, size), 20)]

    for size in (1, 3, 100):
        assert asyncio.run(all_of(b"one\n\ntwo\nthree", size)) == [b"one", b"", b"two", b"three"]
    with pytest.raises(ImageRejected):
        asyncio.run(all_of(b"x" * 100, 10))


def test_threads_and_queue_are_bounded_and_refuse_at_once() -> None:
    async def crowd() -> tuple[int, int, float]:
        work = BoundedExecutor("test", threads=2, queue=3, timeout=HANG_SECONDS)
        gate = threading.Event()
        asked = [asyncio.ensure_future(work.run(gate.wait)) for _ in range(2 + 3)]
        while (work.working, work.waiting) != (2, 3):
            await asyncio.sleep(0.01)
        began = time.monotonic()
        refused = await asyncio.gather(*(work.run(gate.wait) for _ in range(50)), return_exceptions=True)
        took = time.monotonic() - began
        gate.set()
        await asyncio.gather(*asked)
        while (work.working, work.waiting) != (0, 0):
            await asyncio.sleep(0.01)
        assert await work.run(lambda: 7) == 7
        work.close()
        with pytest.raises(Unavailable):
            await work.run(lambda: 7)
        return len(refused), sum(isinstance(r, Unavailable) for r in refused), took

    tried, refused, took = asyncio.run(asyncio.wait_for(crowd(), HANG_SECONDS))
    assert tried == refused == 50
    assert took < HANG_SECONDS


def test_who_would_wait_too_long_is_refused_at_once() -> None:
    async def scene() -> None:
        work = BoundedExecutor("test", threads=1, queue=50, timeout=0.5)
        for _ in range(10):
            await work.run(lambda: time.sleep(0.1))
        asked = [asyncio.ensure_future(work.run(lambda: time.sleep(0.1))) for _ in range(30)]
        await asyncio.sleep(0.05)
        assert sum(one.done() for one in asked) > 15, "those beyond half a second's work"
        answers = await asyncio.gather(*asked, return_exceptions=True)
        refused = [one for one in answers if isinstance(one, Unavailable)]
        assert len(refused) > 15
        assert (refused[0].retry_after or 0) >= 1
        work.close()

    asyncio.run(scene())


def test_a_turn_comes_in_time_or_not_at_all_and_one_who_leaves_keeps_no_thread() -> None:
    async def scene() -> None:
        work = BoundedExecutor("test", threads=1, queue=3, timeout=0.05)
        gate = threading.Event()
        first = asyncio.ensure_future(work.run(gate.wait))
        await asyncio.sleep(0.01)
        with pytest.raises(Unavailable, match=r"0\.05"):
            await work.run(lambda: 1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert work.working == 1, "its thread is busy until it is done"
        gate.set()
        assert await work.run(lambda: 1, timeout=HANG_SECONDS) == 1
        work.close()

    asyncio.run(scene())


def test_memory_is_bounded_and_given_back() -> None:
    async def scene() -> None:
        memory = MemoryBudget(100)
        async with memory.lease() as one, memory.lease() as other:
            one.acquire(60)
            with pytest.raises(Unavailable):
                other.acquire(50)
            one.release(30)
            other.acquire(50)
            one.release(1000)
            assert memory.used == 50
        assert memory.used == 0

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/v1/images/a%2Fb", "/v1/images/a%2Fb"),
        (b"/v1/images/a%2fb", "/v1/images/a%2Fb"),
        (b"/v1/im%61ges%3Abatch", "/v1/images:batch"),
        (b"/v1/images/%c3%bc", "/v1/images/%C3%BC"),
        (b"/v1/images/a%3Fb?x=1", "/v1/images/a%3Fb"),
        (b"/v1/images/%25", "/v1/images/%25"),
    ],
)
def test_paths_are_spelt_one_way(raw: bytes, path: str) -> None:
    assert normalize_path(raw) == path
