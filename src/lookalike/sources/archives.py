"""Images in archives: tar files, also as WebDataset shards with attributes beside the images, and zip files."""

import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lookalike.errors import BadInput, ImageRejected, NotFound
from lookalike.imaging import Limits
from lookalike.sources.objects import MAX_ATTEMPTS, error_of, open_object, read_range
from lookalike.sources.urls import LOCAL, MEMBER, is_local, split_member
from lookalike.text import storable
from lookalike.types import Attributes, Found, FoundObject, Outcome

MAX_JSON_BYTES = 1024 * 1024
"""Bytes of the attributes of one image."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive; `offset` is where its bytes begin in the archive, None where they are compressed.

    `read` returns the bytes, before the next member is asked for.
    """

    name: str
    nbytes: int
    offset: int | None
    read: Callable[[], bytes]


def archive_images(
    url: str,
    etag: str | None,
    limits: Limits,
    is_passed_over: Callable[[str], bool],
    attributes: Attributes | None = None,
) -> Iterator[Found]:
    """Yield the images of an archive, each with its bytes, under the names of the members.

    In a tar file a `.json` whose name is that of an image up to the first dot holds its attributes, as in WebDataset.
    What cannot be read is a rejected outcome; after a damaged place nothing more is read.
    """
    read = _zip_images if url.lower().endswith(".zip") else _tar_images
    try:
        with _opened(url) as file:
            yield from read(url, file, etag, limits, is_passed_over, attributes)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, UnicodeDecodeError) as error:
        yield Outcome(url, url, "rejected", f"damaged: the archive cannot be read further: {error}")
    except (OSError, BadInput, NotFound) as error:
        known = error_of(url, error)
        yield Outcome(url, url, "rejected", f"unreadable: the archive cannot be read further: {known}")


def read_member(
    url: str, limits: Limits, offset: int | None, nbytes: int | None, attempts: int = MAX_ATTEMPTS
) -> bytes:
    """Return the bytes of an archive's member; where its offset is known, nothing else of the archive is read.

    Raises NotFound, ImageRejected, BadInput and Unavailable, as `objects.read_object` does.
    """
    archive, name = split_member(url)
    if name is None:
        raise NotFound(f"{url} names no member of an archive")
    if offset is not None and nbytes is not None:
        limits.check_bytes(nbytes)
        return _read_range(archive, offset, nbytes, attempts)
    try:
        with _opened(archive, attempts) as file:
            if archive.lower().endswith(".zip"):
                with zipfile.ZipFile(file) as packed:
                    return _unpack(packed, packed.getinfo(name), limits)
            for member in _tar_members(archive, file):
                if member.name == name:
                    limits.check_bytes(member.nbytes)
                    return member.read()
    except KeyError:
        pass
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, UnicodeDecodeError) as error:
        raise ImageRejected("unreadable", f"{archive} cannot be read: {error}") from error
    except OSError as error:
        raise error_of(archive, error) from error
    raise NotFound(f"{archive} has no member {name}")


def _read_range(archive: str, offset: int, nbytes: int, attempts: int) -> bytes:
    if not is_local(archive):
        return read_range(archive, offset, nbytes, attempts)
    try:
        with Path(archive.removeprefix(LOCAL)).open("rb") as file:
            file.seek(offset)
            return file.read(nbytes)
    except OSError as error:
        raise error_of(archive, error) from error


@contextmanager
def _opened(url: str, attempts: int = MAX_ATTEMPTS) -> Iterator[IO[bytes]]:
    with Path(url.removeprefix(LOCAL)).open("rb") if is_local(url) else open_object(url, attempts) as file:
        yield file


def _zip_images(
    url: str,
    file: IO[bytes],
    etag: str | None,
    limits: Limits,
    is_passed_over: Callable[[str], bool],
    attributes: Attributes | None,
) -> Iterator[Found]:
    with zipfile.ZipFile(file) as packed:
        for info in packed.infolist():
            if info.is_dir() or is_passed_over(info.filename):
                continue
            member = Member(info.filename, info.file_size, None, lambda info=info: _unpack(packed, info, limits))  # type: ignore[misc]
            yield _image(url, member, etag, limits, attributes)


def _unpack(packed: zipfile.ZipFile, info: zipfile.ZipInfo, limits: Limits) -> bytes:
    """The bytes of a member of a zip file, which may be larger than its header says."""
    limits.check_bytes(info.file_size)
    try:
        with packed.open(info) as member:
            data = member.read(limits.max_bytes + 1)
    except (RuntimeError, NotImplementedError) as error:  # a password is needed, or an unknown compression
        raise ImageRejected("unreadable", f"{info.filename} cannot be unpacked: {error}") from error
    limits.check_bytes(len(data))
    return data


def _tar_images(
    url: str,
    file: IO[bytes],
    etag: str | None,
    limits: Limits,
    is_passed_over: Callable[[str], bool],
    attributes: Attributes | None,
) -> Iterator[Found]:
    """Yield the images of each sample, which are members in a row with the same name up to the first dot."""
    sample: str | None = None
    found: list[Found] = []
    beside: Attributes | str | None = None
    for member in _tar_members(url, file):
        if (name := _sample_of(member.name)) != sample:
            yield from _with_attributes(found, beside, attributes)
            sample, found, beside = name, [], None
        if member.name.lower().endswith(".json"):
            beside = _read_json(member)
        elif not is_passed_over(member.name):
            found.append(_image(url, member, etag, limits, None))
    yield from _with_attributes(found, beside, attributes)


def _tar_members(url: str, file: IO[bytes]) -> Iterator[Member]:
    compressed = not url.lower().endswith(".tar")
    with tarfile.open(fileobj=file, mode="r|*" if compressed else "r|") as packed:
        for info in packed:
            if not info.isreg() or info.issparse():
                continue

            def read(info: tarfile.TarInfo = info) -> bytes:
                opened = packed.extractfile(info)
                data = b"" if opened is None else opened.read()
                if len(data) != info.size:
                    raise EOFError(f"{info.name} ends after {len(data):,} of {info.size:,} bytes")
                return data

            name = info.name.removeprefix("./").lstrip("/")
            yield Member(name, info.size, None if compressed else info.offset_data, read)


def _image(url: str, member: Member, etag: str | None, limits: Limits, attributes: Attributes | None) -> Found:
    location = f"{url}{MEMBER}{member.name}"
    if not storable(member.name):
        return Outcome(member.name, location, "rejected", "the name is not valid UTF-8; rename the member")
    try:
        limits.check_bytes(member.nbytes)
        data = member.read()
    except ImageRejected as error:
        return Outcome(member.name, location, "rejected", f"{error.reason}: {error}")
    facts = {"etag": etag, "nbytes": member.nbytes, "offset": member.offset, "data": data}
    return FoundObject(location, None, attributes, key=member.name, **facts)  # type: ignore[arg-type]


def _sample_of(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.split(".", 1)[0]


def _read_json(member: Member) -> Attributes | str:
    """The attributes in a member, or why they cannot be had."""
    if member.nbytes > MAX_JSON_BYTES:
        return f"{member.name} has {member.nbytes:,} bytes, more than the {MAX_JSON_BYTES:,} of attributes"
    try:
        value: Any = json.loads(member.read())
    except (ValueError, RecursionError) as error:
        return f"{member.name} is no JSON: {error}"
    return value if isinstance(value, dict) else f"{member.name} is no JSON object"


def _with_attributes(
    found: list[Found], beside: Attributes | str | None, attributes: Attributes | None
) -> Iterator[Found]:
    """Give the images of a sample the attributes beside them, and those that the caller gave, which count first."""
    for one in found:
        if not isinstance(one, FoundObject):
            yield one
        elif isinstance(beside, str):
            yield Outcome(one.key or one.url, one.url, "rejected", f"unreadable: its attributes: {beside}")
        else:
            merged = None if beside is None and attributes is None else {**(beside or {}), **(attributes or {})}
            yield one.with_attributes(merged)
