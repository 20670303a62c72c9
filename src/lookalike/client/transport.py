"""HTTP requests to a service: authorization, timeouts, retries with backoff, and problems raised as errors."""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

from lookalike.errors import BadSetting, LookalikeError, TooManyRequests, Unavailable
from lookalike.problem_details import MEDIA_TYPE, error_of

MAX_ATTEMPTS = 4
BACKOFF = 0.25
"""Seconds before the second attempt; doubled for each further one, with up to 50 % of jitter."""
MAX_RETRY_AFTER = 30.0
"""Seconds of the longest `Retry-After` that is waited for; a longer one raises the error."""
MAX_CONNECT_SECONDS = 10.0

UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Failures before anything was sent."""

Object = dict[str, Any]
Params = Mapping[str, str | int] | Sequence[tuple[str, str | int]]
RetryPolicy = Literal["always", "refused", "unsent"]
"""When a request may be retried: after any transient failure (it is idempotent); where the service refused it or was
not reached; or only where it certainly was not carried out."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `body` makes httpx's arguments for each attempt, as a stream can be read only once."""

    method: str
    path: str
    retry: RetryPolicy = "always"
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Params = ()
    body: Callable[[], Mapping[str, Any]] = dict


class Transport:
    """Sends requests to the service at `url`. Safe to use from several threads.

    `timeout` is in seconds, for each of: sending a part of the request, the response's start, receiving a part of it.
    """

    def __init__(self, url: str, key: str | None, timeout: float) -> None:
        self.url = check_url(url)
        if timeout <= 0:
            raise BadSetting(f"the timeout must be a number of seconds above 0, not {timeout}")
        self.timeout = timeout
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout, connect=min(timeout, MAX_CONNECT_SECONDS)),
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=16),
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, request: Request) -> httpx.Response:
        """The whole response to a request, retried as its policy allows; raises the error of the service's problem."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._send_once(request)
            except LookalikeError as error:
                delay = retry_delay(error, request.retry, attempt)
                if delay is None:
                    raise
                time.sleep(delay)

    def json(self, request: Request) -> Object:
        """The JSON object of the response."""
        response = self.send(request)
        return self.parse_object(response.content, response)

    def parse_object(self, text: bytes, response: httpx.Response) -> Object:
        """A JSON object that the service sent; raises BadSetting for anything else."""
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            media_type = response.headers.get("content-type", "no media type")
            raise BadSetting(f"{self.url} responds with {media_type} instead of JSON: is it a Lookalike service?")
        return value

    def _send_once(self, request: Request) -> httpx.Response:
        url = self._http.base_url.copy_with(raw_path=self._raw_path(request))
        try:
            response = self._http.request(request.method, url, headers=request.headers, **request.body())
        except httpx.HTTPError as error:
            raise self._unavailable(error) from error
        if response.is_success:
            return response
        raise _error_in(response, self.url)

    def _raw_path(self, request: Request) -> bytes:
        """Path and query, encoded here: httpx would normalize the percent-encoding of keys."""
        prefix = self._http.base_url.raw_path.rstrip(b"/")
        query = str(httpx.QueryParams(request.params if isinstance(request.params, Mapping) else list(request.params)))
        return prefix + request.path.encode("ascii") + (b"?" + query.encode("ascii") if query else b"")

    def _unavailable(self, error: httpx.HTTPError) -> Unavailable:
        if isinstance(error, UNSENT):
            return Unavailable(f"cannot connect to {self.url}: {error or type(error).__name__}")
        if isinstance(error, httpx.TimeoutException):
            return Unavailable(f"{self.url} timed out after {self.timeout:g} seconds")
        return Unavailable(f"the connection to {self.url} was lost: {error or type(error).__name__}")


def retry_delay(error: LookalikeError, policy: RetryPolicy, attempt: int) -> float | None:
    """Seconds to wait before the next attempt; None if there must be none."""
    if not isinstance(error, Unavailable) or attempt >= MAX_ATTEMPTS:
        return None
    # a 429 comes before any work is done; a 503 may come from a proxy, after the server carried the request out
    not_carried_out = isinstance(error, TooManyRequests) or isinstance(error.__cause__, UNSENT)
    if not not_carried_out and policy != "always" and (policy == "unsent" or error.retry_after is None):
        return None
    backoff: float = BACKOFF * 2 ** (attempt - 1) * random.uniform(1.0, 1.5)
    if error.retry_after is None:
        return backoff
    return max(backoff, error.retry_after) if error.retry_after <= MAX_RETRY_AFTER else None


def _error_in(response: httpx.Response, url: str) -> LookalikeError:
    """The error of a response that is no success."""
    if response.is_redirect:
        return BadSetting(f"{url} redirects to {response.headers.get('location')!r}; use that URL")
    problem: Any = None
    if response.headers.get("content-type", "").partition(";")[0].strip() == MEDIA_TYPE:
        try:
            problem = json.loads(response.content)
        except ValueError:
            problem = None
    if not isinstance(problem, dict):
        problem = {"detail": f"{url} responded with status {response.status_code}"}
    return error_of(response.status_code, problem, retry_after=_seconds(response.headers.get("retry-after")))


def _seconds(retry_after: str | None) -> float | None:
    """The header in seconds; its other form, a date, is ignored."""
    return float(retry_after) if retry_after and retry_after.strip().isdecimal() else None


def check_url(url: str) -> str:
    """The URL of a service, without a slash at its end; raises BadSetting for an invalid one."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        raise BadSetting("invalid service URL; write http://host:port") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BadSetting(f"a service's URL is written http://host:port or https://..., not {_redacted(parsed)!r}")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise BadSetting("a service's URL must have no user name, query or fragment; give the API key separately")
    return url.rstrip("/")


def _redacted(url: httpx.URL) -> str:
    return str(url.copy_with(username=None, password=None, query=None)) if url.userinfo else str(url)
