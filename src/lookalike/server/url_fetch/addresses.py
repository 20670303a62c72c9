"""Host syntax, public addresses and name resolution for URL fetches."""

import queue
import re
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from lookalike.errors import BadInput, BadSetting, NotFound, Unavailable

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, float], Sequence[str]]
"""`resolve(host, timeout)` returns every address of a name; raises NotFound if there is none, Unavailable."""

# IANA's registries of special-purpose addresses (RFC 6890 and its successors), listed here because Python's definition
# of `is_global` has changed between releases. Tunnel addresses (6to4, Teredo) are rejected whatever they embed.
NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # between a provider and its customers (CGNAT)
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's platform services, at a public address
        "169.254.0.0/16",  # link-local, clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
PUBLIC_6 = IPv6Network("2000::/3")  # global unicast; loopback, fc00::/7, fe80::/10, ff00::/8 lie outside
NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
NAT64 = IPv6Network("64:ff9b::/96")  # an IPv4 address in the last 32 bits

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def unwrap(address: Address) -> Address:
    """The IPv4 address embedded in an IPv6 one (v4-mapped, NAT64); any other unchanged."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else address


def is_public(address: Address) -> bool:
    """Whether an address is globally reachable."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    plain = unwrap(address)
    if isinstance(plain, IPv4Address):
        return not any(plain in network for network in NOT_PUBLIC_4)
    return plain in PUBLIC_6 and not any(plain in network for network in NOT_PUBLIC_6)


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parse an operator's networks, `10.1.0.0/16`; raises BadSetting for an invalid or too large one."""
    networks = []
    for text in texts:
        try:
            network = ip_network(text.strip())
        except ValueError as error:
            raise BadSetting(f"a network is written as 10.1.0.0/16 or fd00:1::/32: {error}") from None
        if network.prefixlen < (8 if network.version == 4 else 7):
            raise BadSetting(f"network {network} is too large; the maximum is /8, or /7 for IPv6")
        networks.append(network)
    return tuple(networks)


def parse_literal(host: str) -> Address | None:
    """The address of a literal host, None for a name. The host is in lower case, in ASCII, without brackets.

    Raises BadInput for an invalid name, or an address in a form that parsers disagree on (`0x7f.1`, `2130706433`,
    `0177.0.0.1`, `127.1`, a scope). A host that ends in a number is an address, as in the URL standard (https://url.spec.whatwg.org/#ends-in-a-number-checker).
    """
    if ":" in host:
        try:
            address = IPv6Address(host)
        except ValueError:
            raise BadInput("the host is not a valid IPv6 address") from None
        if address.scope_id is not None:
            raise BadInput("an address with a scope (%) is not allowed")
        return address
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return IPv4Address(host)
        except ValueError:
            raise BadInput(f"{host!r} is not a valid IPv4 address; write four decimal numbers, 192.0.2.1") from None
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadInput("the URL's host is not a valid name")
    return None


def system_resolver(max_threads: int = 32) -> Resolver:
    """The operating system's resolver in at most `max_threads` threads, because its own timeouts are too long."""
    slots = threading.BoundedSemaphore(max_threads)

    def resolve(host: str, timeout: float) -> Sequence[str]:
        result: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
                result.put([str(info[4][0]) for info in infos])
            except (OSError, UnicodeError) as error:
                result.put(error)
            finally:
                slots.release()

        if not slots.acquire(timeout=timeout):
            raise Unavailable("too many names are being resolved", retry_after=1)
        threading.Thread(target=look_up, name="resolve", daemon=True).start()
        try:
            found = result.get(timeout=timeout)
        except queue.Empty:
            raise Unavailable(f"the name {host} was not resolved in time", retry_after=5) from None
        if not isinstance(found, Exception):
            return found
        if isinstance(found, socket.gaierror) and found.errno == socket.EAI_AGAIN:
            raise Unavailable(f"the name {host} cannot be resolved now", retry_after=5) from found
        raise NotFound(f"the name {host} has no address") from found

    return resolve


def parse_addresses(texts: Iterable[str]) -> list[Address]:
    """Parse a resolver's addresses, without duplicates, in order; raises Unavailable for an invalid one."""
    try:
        return list(dict.fromkeys(ip_address(text) for text in texts))
    except ValueError as error:
        raise Unavailable(f"the resolver returned an invalid address: {error}") from None
