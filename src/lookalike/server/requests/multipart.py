"""Streaming parser for multipart/form-data (RFC 7578): bounded part size and count, in memory only."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from lookalike.errors import BadInput, ImageRejected

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks  # exists for type checkers only

MAX_HEADERS = 16
MAX_HEADER_BYTES = 4096
MAX_NAME_LENGTH = 1024
"""Characters of a field name or a file name."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form: field name, file name (of a file), media type and bytes."""

    name: str
    filename: str | None
    media_type: str | None
    data: bytes

    def text(self) -> str:
        """The bytes as text; raises BadInput if they are not UTF-8."""
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            raise BadInput(f"the form field {self.name!r} is not UTF-8") from None


@dataclass(slots=True)
class _ParserState:
    """The parser's state between callbacks."""

    done: list[Part] = field(default_factory=list)
    headers: dict[bytes, bytes] = field(default_factory=dict)
    header: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    data: bytearray = field(default_factory=bytearray)
    parts: int = 0
    ended: bool = False


async def read_parts(
    chunks: AsyncIterator[bytes], content_type: str, *, max_parts: int, max_part_bytes: int
) -> AsyncIterator[Part]:
    """The parts of a form, each as soon as it is complete.

    Raises BadInput for an invalid form or too many parts, ImageRejected ("too_many_bytes") for too large a part.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:  # RFC 2046, 5.1.1
        raise BadInput("the form's Content-Type lacks a boundary of 1 to 70 characters")
    state = _ParserState()
    parser = MultipartParser(
        boundary,
        _callbacks(state, max_parts, max_part_bytes),
        max_header_count=MAX_HEADERS,
        max_header_size=MAX_HEADER_BYTES,
    )
    try:
        async for chunk in chunks:
            parser.write(chunk)
            for part in state.done:
                yield part
            state.done.clear()
        parser.finalize()
    except MultipartParseError as error:
        raise BadInput(f"invalid form: {error}") from None
    if not state.ended:
        raise BadInput("the form is truncated: the closing boundary is missing")


def _callbacks(state: _ParserState, max_parts: int, max_part_bytes: int) -> "MultipartCallbacks":
    def begin() -> None:
        state.parts += 1
        if state.parts > max_parts:
            raise BadInput(f"the form has more than the limit of {max_parts:,} parts")
        state.headers = {}
        state.data = bytearray()

    def header_end() -> None:
        state.headers[bytes(state.header).lower()] = bytes(state.value)
        state.header, state.value = bytearray(), bytearray()

    def part_data(data: bytes, start: int, end: int) -> None:
        if len(state.data) + end - start > max_part_bytes:
            raise ImageRejected("too_many_bytes", f"a part of the form exceeds the limit of {max_part_bytes:,} bytes")
        state.data += data[start:end]

    def part_end() -> None:
        state.done.append(_part(state.headers, bytes(state.data)))
        state.data = bytearray()

    def end() -> None:
        state.ended = True

    return {
        "on_part_begin": begin,
        "on_header_field": lambda data, start, end: state.header.extend(data[start:end]),
        "on_header_value": lambda data, start, end: state.value.extend(data[start:end]),
        "on_header_end": header_end,
        "on_part_data": part_data,
        "on_part_end": part_end,
        "on_end": end,
    }


def _part(headers: Mapping[bytes, bytes], data: bytes) -> Part:
    _, options = parse_options_header(headers.get(b"content-disposition", b""))
    name = options.get(b"name")
    if name is None:
        raise BadInput("a part of the form has no name (Content-Disposition: form-data; name=...)")
    filename = options.get(b"filename")
    kind = headers.get(b"content-type")
    return Part(
        _text(name, "a field name"),
        None if filename is None else _text(filename, "a file name"),
        None if kind is None else kind.decode("latin-1"),
        data,
    )


def _text(raw: bytes, what: str) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BadInput(f"{what} in the form is not UTF-8") from None
    if len(text) > MAX_NAME_LENGTH:
        raise BadInput(f"{what} in the form has more than {MAX_NAME_LENGTH} characters")
    return text
