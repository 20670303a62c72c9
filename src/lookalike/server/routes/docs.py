"""Interactive API documentation at `/docs`: Swagger UI from an installed package, so that no other host is asked."""

from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse, HTMLResponse

from lookalike.errors import NotFound

router = APIRouter(include_in_schema=False)
PACKAGE = "fastapi_swagger"
"""Its folder `resources` has Swagger UI's files."""
MEDIA_TYPES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Lookalike API</title>
<link rel="icon" href="/favicon.ico">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
START = 'SwaggerUIBundle({url: "/v1/openapi.json", dom_id: "#docs", deepLinking: true});\n'


@router.api_route("/docs", methods=["GET", "HEAD"])
async def documentation() -> Response:
    """The page."""
    return HTMLResponse(PAGE)


@router.api_route("/docs/start.js", methods=["GET", "HEAD"])
async def start() -> Response:
    """The page's own script, in a file because the content security policy allows no other."""
    return Response(START, media_type="text/javascript")


@router.api_route("/docs/{name}", methods=["GET", "HEAD"])
async def file(name: str) -> Response:
    """Swagger UI's script and style sheet."""
    spec = find_spec(PACKAGE)
    if name not in MEDIA_TYPES or spec is None or spec.origin is None:
        raise NotFound(f"there is no file {name!r}")
    path = Path(spec.origin).parent / "resources" / name
    return FileResponse(path, media_type=MEDIA_TYPES[name], headers={"Cache-Control": "max-age=86400"})
