"""Object stores in this process: fsspec's `memory://`, and one like it whose requests fail as a test says."""

import errno
import io
import json
import tarfile
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

Failure = Callable[[str, str], Exception | None]
"""By the request (`ls`, `info`, `cat_file`) and the path: the error that is raised, if any."""


class FailingFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """`failing://`: the objects of `memory://`, through requests that are counted and may fail."""

    protocol: ClassVar = "failing"
    failure: ClassVar[Failure | None] = None
    requests: ClassVar[Counter[str]] = Counter()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(path.replace("failing://", "memory://", 1)))

    def _request(self, name: str, path: str) -> None:
        FailingFileSystem.requests[name] += 1
        error = None if FailingFileSystem.failure is None else FailingFileSystem.failure(name, path)
        if error is not None:
            raise error

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        self._request("ls", path)
        return super().ls(path, detail=detail, **options)

    def info(self, path: str, **options: Any) -> Any:
        self._request("info", path)
        return super().info(path, **options)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> Any:
        self._request("cat_file", path)
        return super().cat_file(path, start=start, end=end, **options)


@contextmanager
def failing(failure: Failure | None = None) -> Iterator[Counter[str]]:
    """Have the requests of `failing://` fail; yields their numbers, by name."""
    fsspec.register_implementation("failing", FailingFileSystem, clobber=True)
    FailingFileSystem.failure = failure
    FailingFileSystem.requests.clear()
    try:
        yield FailingFileSystem.requests
    finally:
        FailingFileSystem.failure = None


def throttled() -> Exception:
    """What s3fs raises where S3 says SlowDown."""
    return OSError(errno.EBUSY, "Please reduce your request rate.")


def new_bucket() -> str:
    """A name that no other test has."""
    return f"test-{uuid.uuid4().hex[:12]}"


def put(bucket: str, objects: Mapping[str, bytes]) -> None:
    """Store objects in a bucket of `memory://` and `failing://`."""
    store = fsspec.filesystem("memory")
    for key, data in objects.items():
        store.pipe_file(f"/{bucket}/{key}", data)


def remove(bucket: str, key: str) -> None:
    """Remove an object."""
    fsspec.filesystem("memory").rm_file(f"/{bucket}/{key}")


def tar(members: Mapping[str, bytes], mode: str = "w") -> bytes:
    """A tar file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as packed:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zipped(members: Mapping[str, bytes]) -> bytes:
    """A zip file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return out.getvalue()


def json_bytes(value: object) -> bytes:
    """A value as the bytes of JSON."""
    return json.dumps(value).encode()
