"""URLs of images: how they are written, and what must not be in them.

An image in an archive has the archive's URL, `!/` and the name of the member: `s3://bucket/0001.tar!/a/b.jpg`.
"""

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from lookalike.errors import BadInput

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")
"""Files whose members are images."""
MEMBER = "!/"
LOCAL = "file://"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_ALIASES = {"s3a": "s3", "gcs": "gs"}
_ARCHIVE_SCHEMES = ("zip", "tar")
_SECRET = re.compile(
    r"secret|token|passw|pwd|credential|signature|sig$|_?key$|^awsaccesskeyid$|^x-(amz|goog)-",
    re.IGNORECASE,
)
"""Names of the parameters of a URL that hold credentials."""
_REMEDY = (
    "which would be stored with every image: leave it out, and give credentials as the backend finds them "
    "(environment, profile, fsspec's configuration)"
)
_NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")
MAX_EXPANDED = 1_000_000
"""Files that one pattern of numbers may name."""
_QUERY = re.compile(r"[?&][A-Za-z0-9_.-]+=")


def is_url(path: object) -> bool:
    """Return whether a path is a URL."""
    return isinstance(path, str) and _SCHEME.match(path) is not None


def is_archive(path: str) -> bool:
    """Return whether a path or a URL names an archive, by its extension."""
    return path.lower().endswith(ARCHIVE_SUFFIXES)


def canonical_url(text: str) -> str:
    """Return a URL in the form in which it is stored; a `file://` URL becomes a path, unless it names a member.

    `zip://MEMBER::URL` and `tar://MEMBER::URL`, as fsspec writes them, and `zip://PATH` of a local archive become the
    URL of the archive, with `!/` before a member. Raises BadInput for credentials in a URL, which would be stored with
    every image, and for what cannot be read.
    """
    check_no_credentials(text)
    scheme, rest = _split(text)
    if "::" in text:
        if scheme not in _ARCHIVE_SCHEMES or "::" in rest.partition("::")[2]:
            raise BadInput(f"{text}: of chained URLs only zip://MEMBER::URL and tar://MEMBER::URL can be read")
        member, _, outer = rest.partition("::")
        archive = _archive_url(outer)
        return archive + MEMBER + member.strip("/") if member.strip("/*") else archive.removeprefix(LOCAL)
    if scheme in _ARCHIVE_SCHEMES:
        return _archive_url(rest).removeprefix(LOCAL)
    if scheme == "file":
        path = os.path.abspath("/" + rest.lstrip("/"))  # noqa: PTH100 - keeps links
        return LOCAL + path if MEMBER in path else path
    if ".." in rest.split("/"):
        raise BadInput(f"{text}: a URL must not contain ..")
    return f"{scheme}://{rest.rstrip('/')}"


def check_no_credentials(text: str) -> None:
    """Raise BadInput, without repeating them, for a password or another secret inside a URL."""
    for part in text.split("::"):
        if not is_url(part):
            continue
        host = _SCHEME.sub("", part, count=1).split("/", 1)[0]
        user, at, _ = host.rpartition("@")
        if at and ":" in user:
            raise BadInput(f"a {part.partition(':')[0]} URL contains a password, {_REMEDY}")
        found = _QUERY.search(part)
        query = "" if found is None else part[found.start() + 1 :]
        if secret := next((name for name, _ in parse_qsl(query, keep_blank_values=True) if _SECRET.search(name)), None):
            raise BadInput(f"the parameter {secret!r} of a {part.partition(':')[0]} URL is a credential, {_REMEDY}")


def expand_numbers(text: str) -> list[str]:
    """Expand `{00000..00123}` in a path or a URL, as names of shards are written; raises BadInput for too many."""
    found = _NUMBERS.search(text)
    if found is None:
        return [text]
    first, last = found.groups()
    if int(last) - int(first) >= MAX_EXPANDED:
        raise BadInput(f"{text} names more than {MAX_EXPANDED:,} files")
    numbers = (f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1))
    return [one for number in numbers for one in expand_numbers(text[: found.start()] + number + text[found.end() :])]


def split_member(url: str) -> tuple[str, str | None]:
    """Split the URL of a member into that of its archive and the member's name, None where it names no member."""
    at = url.find(MEMBER)
    while at >= 0:
        if is_archive(url[:at]):
            return url[:at], url[at + len(MEMBER) :]
        at = url.find(MEMBER, at + 1)
    return url, None


def members_of(archive: str) -> str:
    """Return what all members of an archive are below, as the files of a folder are below it."""
    return archive + MEMBER.rstrip("/")


def is_members(prefix: str) -> bool:
    """Return whether a prefix is that of the members of an archive, as `members_of` gives it."""
    return prefix.endswith(MEMBER.rstrip("/"))


def is_below(url: str, prefix: str) -> bool:
    """Return whether a URL is a prefix, or below it as a file is below a folder; members are below their archive."""
    start = prefix.rstrip("/")
    return url == start or url.startswith((f"{start}/", f"{start}{MEMBER}"))


def parent_of(url: str) -> str:
    """Return the URL without its last name."""
    return url.rpartition("/")[0]


def is_local(url: str) -> bool:
    """Return whether a URL names a member of an archive on this machine."""
    return url.startswith(LOCAL)


def default_key(location: str) -> str:
    """Return the key of an image that a manifest names by its path or URL alone: without scheme and bucket."""
    if not is_url(location):
        return location.lstrip("/")
    parts = urlsplit(location)
    rest = location[len(parts.scheme) + 3 :]
    bucket, slash, key = rest.partition("/")
    return key if slash and key else bucket


def _split(text: str) -> tuple[str, str]:
    found = _SCHEME.match(text)
    if found is None:
        raise BadInput(f"{text!r} is no URL")
    scheme = found.group(1).lower()
    return _ALIASES.get(scheme, scheme), text[found.end() :]


def _archive_url(outer: str) -> str:
    """The URL of an archive, which is a path on this machine or a URL."""
    if is_url(outer):
        url = canonical_url(outer)
        outer = url if is_url(url) else LOCAL + url
    else:
        outer = LOCAL + os.path.abspath(Path(outer).expanduser())  # noqa: PTH100 - keeps links
    if not is_archive(outer):
        raise BadInput(f"{outer} is no archive: its name must end in {', '.join(ARCHIVE_SUFFIXES)}")
    return outer
