"""The page's files, served from memory: index.html at `/`, everything else below `/page/`.

A file is named by its path in a table that is made once, so no request can reach another file. Every answer carries a
digest of the file as its ETag and asks to be revalidated, so that a new version is used at once and an old one costs
no bytes.
"""

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

ROOT = Path(__file__).parent.parent / "page"
POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' blob: data:",  # blob: a chosen image, and thumbnails that need a key
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".css": "text/css", ".html": "text/html"}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file: its bytes, its media type and its ETag."""

    data: bytes
    media_type: str
    etag: str


@cache
def page_files(root: Path = ROOT) -> dict[str, PageFile]:
    """Every file of the page by its path below `root`, written with slashes."""
    return {p.relative_to(root).as_posix(): _read(p) for p in sorted(root.rglob("*")) if p.is_file()}


def _read(path: Path) -> PageFile:
    data = path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    text = kind.startswith("text/") or kind == "image/svg+xml"
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    return PageFile(data, f"{kind}; charset=utf-8" if text else kind, etag)


def _answer(request: Request, name: str) -> Response:
    file = page_files().get(name)
    if file is None:
        raise HTTPException(404, "The page has no such file.")
    headers = HEADERS | {"ETag": file.etag}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if file.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(file.data, media_type=file.media_type, headers=headers)


page_router = APIRouter(include_in_schema=False)


@page_router.api_route("/", methods=["GET", "HEAD"])
def index(request: Request) -> Response:
    """The page."""
    return _answer(request, "index.html")


@page_router.api_route("/page/{name:path}", methods=["GET", "HEAD"])
def file(request: Request, name: str) -> Response:
    """A script, style sheet or icon of the page."""
    return _answer(request, name)


@page_router.api_route("/favicon.ico", methods=["GET", "HEAD"])
def favicon(request: Request) -> Response:
    """The page's icon, where browsers ask for it unasked."""
    return _answer(request, "icons/logo.svg")
