"""The page's session: an access key in a cookie that no script can read, so that images load by plain links.

A session is the key itself. It ends with the browser, or when the key is revoked; nothing is stored for it here, and
no digest in the catalog is of any use for making one.
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
"""So long the link that `serve` prints opens the page."""


class OneTimeLink:
    """The link with which the person who started a server opens its page without a key: once, and soon."""

    def __init__(self, key_cache: ApiKeyCache, seconds: float = LINK_LIFETIME) -> None:
        self._key_cache = key_cache
        self._code: str | None = secrets.token_urlsafe(24)
        self._until = monotonic() + seconds

    @property
    def path(self) -> str:
        """What follows the server's address in the link."""
        return f"/session?code={self._code}"

    def redeem(self, code: str) -> str:
        """The token of a key of this process alone, for the right code; raises AccessDenied for any other."""
        right = self._code is not None and hmac.compare_digest(code.encode(), self._code.encode())
        if not right or monotonic() > self._until:
            raise AccessDenied(
                "this link was used already, or is too old; start the server again, or use an access key"
            )
        self._code = None
        return self._key_cache.create_page_key()


def session_router(access: Authenticator, link: OneTimeLink | None = None) -> APIRouter:
    """The routes that begin and end a session; they belong to the page, not to the API."""
    router = APIRouter(include_in_schema=False)

    @router.get("/session")
    async def open_link(request: Request, code: str = "") -> Response:
        """Follow the link that the server printed."""
        if link is None:
            raise AccessDenied("this server has printed no link; use an access key")
        _rate_limit(access, request)
        return _with_cookie(RedirectResponse("/", status_code=303), link.redeem(code), request)

    @router.post("/session")
    async def begin(request: Request) -> Response:
        """Take the key of the Authorization header into the page's cookie."""
        _rate_limit(access, request)
        token = read_token(request.headers)
        if token is None:
            raise AccessDenied("send the access key as `Authorization: Bearer lk_...`")
        await access.caller(request.headers, _address(request))
        return _with_cookie(Response(status_code=204), token, request)

    @router.delete("/session")
    async def end(request: Request) -> Response:
        """Forget the key."""
        answer = Response(status_code=204)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=_is_secure(request))
        return answer

    return router


def _rate_limit(access: Authenticator, request: Request) -> None:
    access.limiter.check_anonymous(_address(request))


def _address(request: Request) -> str | None:
    return request.client.host if request.client else None


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"


def _with_cookie(answer: Response, token: str, request: Request) -> Response:
    answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=_is_secure(request))
    return answer
