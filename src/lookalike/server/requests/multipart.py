"""Forms (multipart/form-data, RFC 7578) as they stream in: parts of bounded size and number, nothing on disk."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from lookalike.errors import BadInput, ImageRejected

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks  # there for type checkers alone

MAX_HEADERS = 16
MAX_HEADER_BYTES = 4096
MAX_NAME_LENGTH = 1024
"""Characters of a field's or a file's name."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form: a field's name, a file's name where it is a file, its media type and its bytes."""

    name: str
    filename: str | None
    media_type: str | None
    data: bytes

    def text(self) -> str:
        """The bytes as text; raises BadInput where they are not UTF-8."""
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            raise BadInput(f"the form's field {self.name!r} is not UTF-8 text") from None


@dataclass(slots=True)
class _ParserState:
    """What the parser has given so far."""

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
    """The parts of a form, each as soon as it is whole.

    Raises BadInput for what is no form or has too many parts, ImageRejected ("too_many_bytes") for a part that is too
    large, while it comes in.
    """
    collected = _ParserState()
    parser = MultipartParser(
        _boundary(content_type),
        _callbacks(collected, max_parts, max_part_bytes),
        max_header_count=MAX_HEADERS,
        max_header_size=MAX_HEADER_BYTES,
    )
    try:
        async for chunk in chunks:
            parser.write(chunk)
            for part in collected.done:
                yield part
            collected.done.clear()
        parser.finalize()
    except MultipartParseError as error:
        raise BadInput(f"the form cannot be read: {error}") from None
    if not collected.ended:
        raise BadInput("the form is cut short: its last boundary is missing")


def _boundary(content_type: str) -> bytes:
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:  # RFC 2046, 5.1.1
        raise BadInput("the form's Content-Type names no boundary of 1 to 70 characters")
    return boundary


def _callbacks(to: _ParserState, most_parts: int, most_bytes: int) -> "MultipartCallbacks":
    def begin() -> None:
        to.parts += 1
        if to.parts > most_parts:
            raise BadInput(f"the form has more than {most_parts:,} parts, the most that one request may have")
        to.headers = {}
        to.data = bytearray()

    def header_field(data: bytes, start: int, end: int) -> None:
        to.header += data[start:end]

    def header_value(data: bytes, start: int, end: int) -> None:
        to.value += data[start:end]

    def header_end() -> None:
        to.headers[bytes(to.header).lower()] = bytes(to.value)
        to.header, to.value = bytearray(), bytearray()

    def part_data(data: bytes, start: int, end: int) -> None:
        if len(to.data) + end - start > most_bytes:
            raise ImageRejected(
                "too_many_bytes", f"a part of the form has more than the limit of {most_bytes:,} bytes: save it smaller"
            )
        to.data += data[start:end]

    def part_end() -> None:
        to.done.append(_part(to.headers, bytes(to.data)))
        to.data = bytearray()

    def end() -> None:
        to.ended = True

    return {
        "on_part_begin": begin,
        "on_header_field": header_field,
        "on_header_value": header_value,
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
        _text(name, "a field's name"),
        None if filename is None else _text(filename, "a file's name"),
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
