"""Sessions of the page: the API key itself in an HttpOnly cookie, so that images load by plain links. No state is
stored on the server; a session ends with the browser's, or when the key is revoked.
"""

import hmac
import secrets
from time import monotonic

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from lookalike.errors import AccessDenied
from lookalike.server.api_key_cache import ApiKeyCache
from lookalike.server.middleware.authentication import COOKIE, Authenticator, read_token

LINK_LIFETIME = 15 * 60.0
"""Seconds for which the link printed by `serve` is valid."""


class OneTimeLink:
    """A one-time link that opens the page without entering an API key."""

    def __init__(self, key_cache: ApiKeyCache, lifetime: float = LINK_LIFETIME) -> None:
        self._key_cache = key_cache
        self._code: str | None = secrets.token_urlsafe(24)
        self._expires = monotonic() + lifetime

    @property
    def path(self) -> str:
        """Path and query of the link."""
        return f"/session?code={self._code}"

    def redeem(self, code: str) -> str:
        """The token of a page key of this process, for the right code; raises AccessDenied otherwise."""
        is_valid = self._code is not None and hmac.compare_digest(code.encode(), self._code.encode())
        if not is_valid or monotonic() > self._expires:
            raise AccessDenied("this link has been used or has expired; restart the server, or use an API key")
        self._code = None
        return self._key_cache.create_page_key()


def session_router(access: Authenticator, link: OneTimeLink | None = None) -> APIRouter:
    """The routes that start and end a session; they belong to the page, not to the API."""
    router = APIRouter(include_in_schema=False)

    @router.get("/session")
    async def open_link(request: Request, code: str = "") -> Response:
        """Follow the link that the server printed."""
        if link is None:
            raise AccessDenied("this server has no sign-in link; use an API key")
        access.limiter.check_anonymous(_address(request))
        return _with_cookie(RedirectResponse("/", status_code=303), link.redeem(code), request)

    @router.post("/session")
    async def sign_in(request: Request) -> Response:
        """Store the API key of the Authorization header in the page's cookie."""
        access.limiter.check_anonymous(_address(request))
        token = read_token(request.headers)
        if token is None:
            raise AccessDenied("send the API key as `Authorization: Bearer lk_...`")
        await access.caller(request.headers, _address(request))
        return _with_cookie(Response(status_code=204), token, request)

    @router.delete("/session")
    async def sign_out(request: Request) -> Response:
        """Delete the cookie."""
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=_is_secure(request))
        return response

    return router


def _address(request: Request) -> str | None:
    return request.client.host if request.client else None


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"


def _with_cookie(response: Response, token: str, request: Request) -> Response:
    response.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=_is_secure(request))
    return response
