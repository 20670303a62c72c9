"""Rate and concurrency limits by caller and for the process; used from the event loop only, hence without locks."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, IPv6Network, ip_address
from time import monotonic

from lookalike.catalog.api_keys import KeyLimits
from lookalike.errors import BadSetting, TooManyRequests, Unavailable

MIB = 1024 * 1024
MAX_BUCKETS = 10_000
SERVER_LIMITS = KeyLimits(rate=200.0, burst=1000, concurrency=32, body_bytes=256 * MIB)
"""Default limits of API keys without limits of their own; the decoder bounds pixels."""
KEYLESS_LIMITS = KeyLimits(concurrency=64, body_bytes=256 * MIB)
"""Limits of callers on loopback without an API key: no rate limit."""
ANONYMOUS_RATE, ANONYMOUS_BURST = 5.0, 50
"""Requests per second and burst without a valid API key, by client address."""


class TokenBuckets:
    """The `max_buckets` last used token buckets; an evicted one starts full, which takes thousands of API keys."""

    def __init__(self, max_buckets: int = MAX_BUCKETS, clock: Callable[[], float] = monotonic) -> None:
        self._max_buckets = max_buckets
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and the time of that count

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str, rate: float, burst: int) -> float:
        """Take a token: 0, or the seconds until one is available; refilled at `rate` per second up to `burst`."""
        now = self._clock()
        tokens, then = self._buckets.pop(name, (float(burst), now))
        tokens = min(float(burst), tokens + (now - then) * rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / rate
        self._buckets[name] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > self._max_buckets:
            self._buckets.popitem(last=False)
        return wait


class RateLimiter:
    """Admits requests or rejects them at once; `capacity` bounds the running requests of the process."""

    def __init__(self, capacity: int = 256, buckets: TokenBuckets | None = None) -> None:
        if capacity < 1:
            raise BadSetting(f"capacity must be at least 1, not {capacity}")
        self._capacity = capacity
        self._buckets = TokenBuckets() if buckets is None else buckets
        self._in_flight: Counter[str] = Counter()
        self.in_flight = 0  # requests

    @contextmanager
    def admit(self, name: str, limits: KeyLimits) -> Iterator[None]:
        """Count a caller's running request; raises TooManyRequests above its limits, Unavailable above the capacity."""
        if self.in_flight >= self._capacity:
            raise Unavailable(f"the server is at its capacity of {self.in_flight} requests", retry_after=1)
        if limits.concurrency is not None and self._in_flight[name] >= limits.concurrency:
            message = f"concurrency limit of this API key reached: {limits.concurrency} requests"
            raise TooManyRequests(message, retry_after=1)
        if limits.rate is not None:
            wait = self._buckets.take(name, limits.rate, limits.burst or max(1, round(limits.rate)))
            if wait:
                message = f"rate limit of this API key exceeded: {limits.rate:g} requests per second"
                raise TooManyRequests(message, retry_after=wait)
        self._in_flight[name] += 1
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            self._in_flight[name] -= 1
            if not self._in_flight[name]:
                del self._in_flight[name]

    def check_anonymous(self, address: str | None) -> None:
        """Count a request without a valid API key; raises TooManyRequests above the rate limit of its address."""
        wait = self._buckets.take(f"anonymous {_client_group(address)}", ANONYMOUS_RATE, ANONYMOUS_BURST)
        if wait:
            raise TooManyRequests("too many requests without a valid API key", retry_after=wait)


def _client_group(address: str | None) -> str:
    """The bucket of a client address; an IPv6 /64 network is one client, since it controls all its addresses."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return "local"
    return str(IPv6Network((int(parsed), 64), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)
