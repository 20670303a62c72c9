"""Objects of object stores through fsspec: listed page by page, read within limits, retried where a store is busy."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any, TypeVar, cast

from lookalike.errors import BadInput, BadSetting, ImageRejected, LookalikeError, NotFound, Unavailable
from lookalike.imaging import Limits
from lookalike.optional import require
from lookalike.sources.urls import canonical_url, is_url

T = TypeVar("T")
MAX_ATTEMPTS = 4
"""Attempts of a request, beside those of the backend itself."""
FEW_ATTEMPTS = 2
"""Attempts where somebody waits: to find out what a command names, or to show a stored image."""
FIRST_RETRY_SECONDS = 1.0
"""Seconds before the first retry, on average; each further one waits twice as long."""
INTERACTIVE_S3 = {"connect_timeout": 3, "read_timeout": 10, "retries": {"total_max_attempts": 1}}
"""Settings of S3's client for requests with less than all attempts, for which somebody waits: no retries of its own."""
STREAM_BLOCK_BYTES = 8 * 1024 * 1024
"""Bytes of one request while an archive is read from its beginning to its end."""
_ETAGS = ("ETag", "etag", "e_tag", "md5Hash", "content_md5", "CRC")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object or a folder of a store: its size in bytes, and what changes when its content does, if that is known."""

    url: str
    nbytes: int
    etag: str | None
    is_folder: bool = False


def stat_object(url: str, attempts: int = MAX_ATTEMPTS) -> ObjectInfo:
    """Return what a store says of a URL.

    Raises NotFound where there is nothing, BadInput where it may not be read, Unavailable where the store is not
    reached, BadSetting where a package is missing.
    """
    fs, path = _open(url, attempts)
    return _info(url, retry(url, lambda: fs.info(path), attempts))


def exists(url: str, attempts: int = MAX_ATTEMPTS) -> bool:
    """Return whether a store has an object; raises as `stat_object` for everything but its absence."""
    try:
        stat_object(url, attempts)
    except NotFound:
        return False
    return True


def list_objects(url: str) -> Iterator[ObjectInfo]:
    """Yield the objects below a prefix: of S3 page by page in the order of their keys, else folder by folder.

    Raises as `stat_object` does.
    """
    fs, path = _open(url)
    if _protocol(fs) == "s3":
        yield from _list_s3(fs, url, path)
    else:
        yield from _list_folders(fs, url)


def expand_glob(url: str) -> list[str]:
    """Return the URLs that match a pattern with `*`, by name; raises NotFound where none does."""
    fs, path = _open(url)
    found = sorted(retry(url, lambda: fs.glob(path)))
    if not found:
        raise NotFound(f"nothing matches {url}")
    scheme = url.partition("://")[0]
    return [name if is_url(name) else f"{scheme}://{name.lstrip('/')}" for name in found]


def read_object(url: str, limits: Limits, nbytes: int | None = None, attempts: int = MAX_ATTEMPTS) -> bytes:
    """Return the bytes of an object; `nbytes` is its size, as far as it is known.

    Raises as `stat_object`, and ImageRejected for an object that is empty or too large.
    """
    fs, path = _open(url, attempts)
    expected = stat_object(url, attempts).nbytes if nbytes is None else nbytes
    limits.check_bytes(expected)
    data = cast(bytes, retry(url, lambda: fs.cat_file(path, start=0, end=expected + 1), attempts))
    if len(data) <= expected:
        return data
    limits.check_bytes(larger := stat_object(url, attempts).nbytes)  # it has grown since
    return cast(bytes, retry(url, lambda: fs.cat_file(path, start=0, end=larger), attempts))


def read_range(url: str, offset: int, nbytes: int, attempts: int = MAX_ATTEMPTS) -> bytes:
    """Return so many bytes of an object from an offset on; raises as `stat_object`."""
    fs, path = _open(url, attempts)
    return cast(bytes, retry(url, lambda: fs.cat_file(path, start=offset, end=offset + nbytes), attempts))


def open_object(url: str, attempts: int = MAX_ATTEMPTS) -> IO[bytes]:
    """Open an object to be read from its beginning on, or at any place; raises as `stat_object`."""
    fs, path = _open(url, attempts)
    return cast(IO[bytes], retry(url, lambda: fs.open(path, "rb", block_size=STREAM_BLOCK_BYTES), attempts))


def retry(url: str, request: Callable[[], T], attempts: int = MAX_ATTEMPTS) -> T:
    """Return the result of a request, tried again with growing delays where its failure is not a final one."""
    for attempt in range(1, attempts + 1):
        try:
            return request()
        except (TypeError, AttributeError):
            raise
        except Exception as error:  # backends raise the errors of their own libraries
            final = error_of(url, error)
            if not isinstance(final, Unavailable) or attempt == attempts:
                raise final from error
        time.sleep(FIRST_RETRY_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))
    raise AssertionError("the last attempt returns or raises")


def error_of(url: str, error: Exception) -> LookalikeError:
    """Return the error of this package for one of a backend: Unavailable for what may pass."""
    said = str(error) or type(error).__name__
    if isinstance(error, LookalikeError):
        return error
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotFound(f"there is no {url}")
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"):
        return BadSetting(f"{url} needs credentials, and its backend found none: {said}")
    if isinstance(error, PermissionError):
        return BadInput(f"{url} may not be read: {said}")
    if isinstance(error, IsADirectoryError | ValueError | NotImplementedError):
        return ImageRejected("unreadable", f"{url} cannot be read: {said}")
    return Unavailable(f"{url} cannot be reached: {said}")


def _open(url: str, attempts: int = MAX_ATTEMPTS) -> tuple[Any, str]:
    """Return fsspec's file system of a URL, and the path there; credentials are found by the backend."""
    scheme = url.partition("://")[0]
    require("fsspec", purpose=f"reading {scheme}:// URLs")
    from fsspec.config import conf  # noqa: PLC0415 - of the extra remote
    from fsspec.core import url_to_fs  # noqa: PLC0415

    canonical_url(url)  # refuses credentials, chains and `..`, also in a URL from the catalog
    is_interactive = scheme == "s3" and attempts < MAX_ATTEMPTS
    options: dict[str, Any] = {}
    if is_interactive:
        options["config_kwargs"] = {**conf.get("s3", {}).get("config_kwargs", {}), **INTERACTIVE_S3}
    try:
        fs, path = url_to_fs(url, use_listings_cache=False, **options)
    except ImportError as error:
        hint = ': pip install "lookalike[remote]"' if scheme == "s3" else ""
        raise BadSetting(f"reading {scheme}:// URLs needs a package that is not installed{hint} ({error})") from error
    except ValueError as error:
        raise BadInput(f"{url} cannot be read: {error}") from error
    if is_interactive:
        fs.retries = 1
    return fs, path


def _protocol(fs: Any) -> str:
    protocol = fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]
    return str(protocol)


def _info(url: str, info: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(url, int(info.get("size") or 0), _etag(info), info.get("type") == "directory")


def _etag(info: Mapping[str, Any]) -> str | None:
    """What a store says of an object's content, or else of the time of its last change."""
    for name in _ETAGS:
        if info.get(name):
            return clean_etag(str(info[name]))
    for name in _TIMES:
        if info.get(name):
            time_ = info[name]
            return f"time {time_.timestamp() if isinstance(time_, datetime) else time_}"
    return None


def clean_etag(etag: str) -> str:
    """Return an ETag without the quotes that listings put around it, and without the mark of a weak one."""
    return etag.strip().removeprefix("W/").strip('"')


def _list_s3(fs: Any, url: str, path: str) -> Iterator[ObjectInfo]:
    bucket, _, prefix = path.partition("/")
    if not bucket:
        raise BadInput(f"{url} names no bucket")
    start = f"{prefix.rstrip('/')}/" if prefix else ""
    further: dict[str, str] = {}
    while True:
        arguments = {"Bucket": bucket, "Prefix": start, **further}
        page = retry(url, lambda arguments=arguments: fs.call_s3("list_objects_v2", **arguments))  # type: ignore[misc]
        for entry in page.get("Contents", ()):
            if not entry["Key"].endswith("/"):
                yield ObjectInfo(f"s3://{bucket}/{entry['Key']}", entry["Size"], clean_etag(entry["ETag"]))
        if not page.get("IsTruncated"):
            return
        further = {"ContinuationToken": page["NextContinuationToken"]}


def _list_folders(fs: Any, url: str) -> Iterator[ObjectInfo]:
    stack = [url]
    while stack:
        folder = stack.pop()
        _, path = _open(folder)
        entries = retry(folder, lambda path=path: fs.ls(path, detail=True))  # type: ignore[misc]
        folders: list[str] = []
        for entry in sorted(entries, key=lambda entry: str(entry["name"])):
            child = f"{folder}/{str(entry['name']).rstrip('/').rpartition('/')[2]}"
            if entry["type"] == "directory":
                folders.append(child)
            else:
                yield _info(child, entry)
        stack += reversed(folders)
