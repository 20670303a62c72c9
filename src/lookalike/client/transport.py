"""Requests to a service: who asks, how long to wait, when to ask again, and errors as they were raised there."""

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
"""Times that a request is made at most."""
BACKOFF = 0.25
"""Seconds before the second attempt; they double each time, and are drawn up to half longer."""
MAX_RETRY_AFTER = 30.0
"""Seconds that `Retry-After` may ask for; beyond it the error is the caller's."""

UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Failures before anything was sent."""

Object = dict[str, Any]
Params = Mapping[str, str | int] | Sequence[tuple[str, str | int]]
RetryPolicy = Literal["always", "refused", "unsent"]
"""When a request may be made again: whenever it failed in passing (what it does twice is the same as once); where the
service refused it or was not reached; or only where it certainly was not carried out."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `body` gives httpx's arguments anew for each attempt, as a stream can be read only once."""

    method: str
    path: str
    repeat: RetryPolicy = "always"
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Params = ()
    body: Callable[[], Mapping[str, Any]] = dict


class Transport:
    """Speaks to the service at `url`. Safe to use from several threads.

    `timeout` is in seconds, for each of: a part of the request sent, the answer begun, a part of it received.
    """

    def __init__(self, url: str, key: str | None, timeout: float) -> None:
        self.url = checked(url)
        if timeout <= 0:
            raise BadSetting(f"a time-out is a number of seconds above 0, not {timeout}")
        self._timeout = timeout
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=16),
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Request) -> httpx.Response:
        """The answer, read to its end; raises what the service's problem tells."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._once(call)
            except LookalikeError as error:
                pause = pause_after(error, call.repeat, attempt)
                if pause is None:
                    raise
                time.sleep(pause)

    def json(self, call: Request) -> Object:
        """The JSON object of the answer."""
        response = self.send(call)
        return self.object_in(response.content, response)

    def object_in(self, text: bytes, response: httpx.Response) -> Object:
        """A JSON object that the service sent; raises BadSetting for anything else."""
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            kind = response.headers.get("content-type", "no type")
            raise BadSetting(f"{self.url} answers with {kind} instead of JSON: is it a Lookalike service?")
        return found

    def _once(self, call: Request) -> httpx.Response:
        url = self._http.base_url.copy_with(raw_path=self._raw(call))
        try:
            response = self._http.request(call.method, url, headers=call.headers, **call.body())
        except httpx.HTTPError as error:
            raise self._broken(error) from error
        if response.is_success:
            return response
        raise _error_in(response, self.url)

    def _raw(self, call: Request) -> bytes:
        prefix = self._http.base_url.raw_path.rstrip(b"/")
        query = str(httpx.QueryParams(call.params if isinstance(call.params, Mapping) else list(call.params)))
        return prefix + call.path.encode("ascii") + (b"?" + query.encode("ascii") if query else b"")

    def _broken(self, error: httpx.HTTPError) -> Unavailable:
        if isinstance(error, UNSENT):
            return Unavailable(f"no service answers at {self.url}: {error or type(error).__name__}")
        if isinstance(error, httpx.TimeoutException):
            return Unavailable(f"{self.url} did not go on for {self._timeout:g} seconds")
        return Unavailable(f"the connection to {self.url} broke off: {error or type(error).__name__}")


def pause_after(error: LookalikeError, repeat: RetryPolicy, attempt: int) -> float | None:
    """Seconds to wait before another attempt; None where there must be none."""
    if not isinstance(error, Unavailable) or attempt >= MAX_ATTEMPTS:
        return None
    # 429 is answered before anything is done, 503 may be answered by whoever stands between
    done_nothing = isinstance(error, TooManyRequests) or isinstance(error.__cause__, UNSENT)
    if not done_nothing and repeat != "always" and (repeat == "unsent" or error.retry_after is None):
        return None
    backoff: float = BACKOFF * 2 ** (attempt - 1) * random.uniform(1.0, 1.5)
    if error.retry_after is None:
        return backoff
    return max(backoff, error.retry_after) if error.retry_after <= MAX_RETRY_AFTER else None


def _error_in(response: httpx.Response, url: str) -> LookalikeError:
    """What an answer that is no success tells of."""
    if response.is_redirect:
        return BadSetting(
            f"{url} answers with a redirection to {response.headers.get('location')!r}; give that address"
        )
    problem: Any = None
    if response.headers.get("content-type", "").partition(";")[0].strip() == MEDIA_TYPE:
        try:
            problem = json.loads(response.content)
        except ValueError:
            problem = None
    told = problem if isinstance(problem, dict) else {"detail": f"{url} answered {response.status_code}"}
    return error_of(response.status_code, told, retry_after=_seconds(response.headers.get("retry-after")))


def _seconds(retry_after: str | None) -> float | None:
    """The header in seconds; the form with a date is passed over."""
    return float(retry_after) if retry_after and retry_after.strip().isdecimal() else None


def checked(url: str) -> str:
    """The address of a service, without a slash at its end; raises BadSetting for what is none."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        raise BadSetting("the service's address cannot be read; write http://host:port") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BadSetting(f"a service's address is written http://host:port or https://..., not {_shown(parsed)!r}")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise BadSetting("a service's address holds no user name, query or fragment; the key is given by itself")
    return url.rstrip("/")


def _shown(url: httpx.URL) -> str:
    return str(url.copy_with(username=None, password=None, query=None)) if url.userinfo else str(url)
