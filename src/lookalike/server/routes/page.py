"""The page: index.html at `/`, its scripts, style sheets and icons below `/page/`."""

import hashlib
from functools import cache
from os import PathLike, stat_result
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.datastructures import Headers
from starlette.responses import FileResponse
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

ROOT = Path(__file__).parent.parent / "page"
MEDIA_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".css": "text/css", ".html": "text/html"}
"""Written out, because the operating system's own table may name others."""


class PageFiles(StaticFiles):
    """Static files that browsers revalidate at each use, by a digest of their content: wheels fix the modification time
    of which Starlette makes its ETag, so that an upgraded file of the same size would be taken for the old one.
    """

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """The file, or 304 where the browser has it."""
        path = Path(full_path)
        response = FileResponse(
            path,
            status_code,
            {"ETag": etag_of(path, stat_result.st_mtime_ns, stat_result.st_size), "Cache-Control": "no-cache"},
            MEDIA_TYPES.get(path.suffix),
            stat_result=stat_result,
        )
        del response.headers["last-modified"]
        unchanged = self.is_not_modified(response.headers, Headers(scope=scope))
        return NotModifiedResponse(response.headers) if unchanged else response


@cache
def etag_of(path: Path, _modified: int, _size: int) -> str:
    """The ETag of a file's content, computed again when its time or size changes."""
    return f'"{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}"'


files = PageFiles(directory=ROOT)
page_router = APIRouter(include_in_schema=False)


@page_router.api_route("/", methods=["GET", "HEAD"])
async def index(request: Request) -> Response:
    """The page."""
    return await files.get_response("index.html", request.scope)


@page_router.api_route("/page/{name:path}", methods=["GET", "HEAD"])
async def file(request: Request, name: str) -> Response:
    """A script, style sheet or icon of the page."""
    return await files.get_response(name, request.scope)


@page_router.api_route("/favicon.ico", methods=["GET", "HEAD"])
async def favicon(request: Request) -> Response:
    """The page's icon, which browsers request by this name."""
    return await files.get_response("icons/logo.svg", request.scope)
