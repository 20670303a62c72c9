"""How much one caller may ask for, and all of them together: buckets of tokens and counts of requests under way.

Everything here is used from the event loop alone, so nothing is locked. No table grows without bound.
"""

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
"""What a key may take that has no limits of its own; pixels are bounded by the decoder's own limit."""
KEYLESS_LIMITS = KeyLimits(concurrency=64, body_bytes=256 * MIB)
"""The same for the person at the machine itself, who may ask as fast as they like."""
ANONYMOUS_RATE, ANONYMOUS_BURST = 5.0, 50
"""Requests without a key, or with a wrong one, from one address."""


class TokenBuckets:
    """Token buckets by name, the `most` that were used last.

    One that was dropped begins full again: a caller with thousands of names could gain by that, and pays with a key
    for each.
    """

    def __init__(self, max_buckets: int = MAX_BUCKETS, clock: Callable[[], float] = monotonic) -> None:
        self._max_buckets = max_buckets
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when they were counted

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str, rate: float, burst: int) -> float:
        """Take a token: 0 where there was one, else the seconds until there is; `rate` tokens a second come back."""
        now = self._clock()
        tokens, then = self._buckets.pop(name, (float(burst), now))
        tokens = min(float(burst), tokens + (now - then) * rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / rate
        self._buckets[name] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > self._max_buckets:
            self._buckets.popitem(last=False)
        return wait


class RateLimiter:
    """Admits requests, or says at once that there are too many.

    `capacity` is the most requests under way in this process, whoever asks.
    """

    def __init__(self, capacity: int = 256, buckets: TokenBuckets | None = None) -> None:
        if capacity < 1:
            raise BadSetting(f"a server takes at least one request at a time, not {capacity}")
        self._capacity = capacity
        self._buckets = TokenBuckets() if buckets is None else buckets
        self._in_flight: Counter[str] = Counter()
        self._total = 0

    @property
    def in_flight(self) -> int:
        """How many requests are being answered."""
        return self._total

    @contextmanager
    def admit(self, name: str, limits: KeyLimits) -> Iterator[None]:
        """Count a caller's request while it is under way.

        Raises TooManyRequests where the caller asks too fast or for too much at once, Unavailable where the server
        has enough to do.
        """
        if self._total >= self._capacity:
            raise Unavailable(f"the server is answering {self._total} requests already", retry_after=1)
        if limits.concurrency is not None and self._in_flight[name] >= limits.concurrency:
            raise TooManyRequests(
                f"{limits.concurrency} requests with this key are under way; wait for some", retry_after=1
            )
        if limits.rate is not None:
            wait = self._buckets.take(name, limits.rate, limits.burst or max(1, round(limits.rate)))
            if wait:
                raise TooManyRequests(f"this key may ask {limits.rate:g} times a second; wait", retry_after=wait)
        self._in_flight[name] += 1
        self._total += 1
        try:
            yield
        finally:
            self._total -= 1
            self._in_flight[name] -= 1
            if not self._in_flight[name]:
                del self._in_flight[name]

    def check_anonymous(self, address: str | None) -> None:
        """Count a request that nobody answers for; raises TooManyRequests where an address sends too many."""
        wait = self._buckets.take(f"stranger {_client_group(address)}", ANONYMOUS_RATE, ANONYMOUS_BURST)
        if wait:
            raise TooManyRequests("too many requests without a valid access key; wait", retry_after=wait)


def _client_group(address: str | None) -> str:
    """A client by its address; a network of 64 bits is one client, for it has all its addresses."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return "local"
    return str(IPv6Network((int(found), 64), strict=False)) if isinstance(found, IPv6Address) else str(found)
