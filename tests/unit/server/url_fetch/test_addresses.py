"""Which addresses are public, and which hosts are spelt so that everybody reads them alike."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.errors import BadInput, BadSetting, NotFound, Unavailable
from lookalike.server.url_fetch.addresses import (
    NOT_PUBLIC_4,
    is_public,
    parse_addresses,
    parse_literal,
    parse_networks,
    system_resolver,
    unwrap,
)
from lookalike.server.url_fetch.fetcher import Fetcher, FetchLimits


@pytest.mark.parametrize(
    "text",
    "0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.255.255.254 168.63.129.16 "
    "169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.168.1.1 198.18.0.1 198.19.255.255 "
    "198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 "
    ":: ::1 ::2 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:0:127.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1 "
    "100::1 2001::1 2001:0:7f00:1::1 2001:db8::1 2002:7f00:1:: 2002:808:808:: 3fff::1 5f00::1 fc00::1 fd00:ec2::254 "
    "fe80::1 fe80::1%eth0 2606:4700::1%eth0 fec0::1 ff02::1 4000::1".split(),
)
def test_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.255.255 "
    "172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 "
    "2606:4700:4700::1111 2001:4860:4860::8888 2a00:1450::1 ::ffff:8.8.8.8 64:ff9b::8.8.8.8".split(),
)
def test_public(text: str) -> None:
    assert is_public(ip_address(text))


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_wrapping_an_address_changes_nothing(address: IPv4Address) -> None:
    for prefix in ("::ffff:", "64:ff9b::"):
        wrapped = IPv6Address(f"{prefix}{address}")
        assert unwrap(wrapped) == address
        assert is_public(wrapped) == is_public(address)
    assert not is_public(IPv6Address(f"::{address}"))


@given(st.sampled_from(NOT_PUBLIC_4).flatmap(lambda n: st.integers(int(n[0]), int(n[-1]))))
def test_no_number_is_read_as_a_name(number: int) -> None:
    a, rest = divmod(number, 2**24)
    b, rest16 = divmod(rest, 2**16)
    forms = [str(number), hex(number), f"0{number:o}", f"{a}.{rest}", f"{a}.{b}.{rest16}", f"{a}.0x{rest:x}"]
    for form in forms:
        with pytest.raises(BadInput):
            parse_literal(form)


@pytest.mark.parametrize(
    "host",
    [
        "", ".", "..", "a..b", "-a.test", "a-.test", "a b", "a/b", "a%00b", "1.2.3", "1.2.3.4.5", "256.1.1.1",
        "1.1.1.01", "0x7f.0.0.1", "127.0.0.1.", "foo.0x", "foo.1", "x" * 64 + ".test", ".".join(["abc"] * 70), "::1%lo",
        ":", "1::2::3", "bücher.test", "a\n.test",
    ],
)  # fmt: skip
def test_hosts_that_are_none(host: str) -> None:
    with pytest.raises(BadInput):
        parse_literal(host)


@pytest.mark.parametrize("host", ["a", "a.test", "a.test.", "xn--bcher-kva.test", "_a.b-c.test", "1a.b2", "0xg.test"])
def test_names(host: str) -> None:
    assert parse_literal(host) is None


def test_addresses() -> None:
    assert parse_literal("1.2.3.4") == IPv4Address("1.2.3.4")
    assert parse_literal("2606:4700::1") == IPv6Address("2606:4700::1")
    assert parse_addresses(["1.1.1.1", "::1", "1.1.1.1"]) == [IPv4Address("1.1.1.1"), IPv6Address("::1")]
    with pytest.raises(Unavailable):
        parse_addresses(["nonsense"])


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "10.0.0.0/7", "10.0.0.1/8", "nonsense", "", "10.0.0.0/33"])
def test_networks_that_nobody_may_name(text: str) -> None:
    with pytest.raises(BadSetting):
        parse_networks([text])


def test_networks() -> None:
    assert [str(n) for n in parse_networks([" 10.0.0.0/8", "fd00::/8", "192.168.7.9"])] == [
        "10.0.0.0/8",
        "fd00::/8",
        "192.168.7.9/32",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://images.test/", "images.test/a.jpg", "", "http:", "http:///a", "//images.test", "http://u@images.test/",
        "http://u:p@images.test/", "http://images.test:0/", "http://images.test:22/", "http://images.test:65536/",
        "http://images.test:x/", "http://１２７.0.0.1/", "http://127。0。0。1/", "http://[::1]/", "http://[::1/",
        "http://1.1.1.1\\@127.0.0.1/", "http://127.0.0.1#@1.1.1.1/", "http://localhost/", "http://%6cocalhost/",
        "http://a\r\nHost: b/", "http://ex\0ample/", "\ud800", "http://images.test/" + "x" * 9000,
        "javascript:alert(1)",
    ],
)  # fmt: skip
def test_urls_that_nobody_fetches(url: str) -> None:
    asked = []

    def resolve(host: str, _: float) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with pytest.raises(BadInput):
        Fetcher(resolver=resolve).fetch(url)
    assert set(asked) <= {"localhost"}


@given(st.text(max_size=60) | st.text(max_size=40).map(lambda text: f"http://{text}"))
def test_any_text_is_refused_or_resolved_as_a_name(url: str) -> None:
    def resolve(host: str, _: float) -> list[str]:
        assert parse_literal(host) is None
        raise NotFound("nothing here")

    with pytest.raises((BadInput, Unavailable)):
        Fetcher(FetchLimits(connect_seconds=0.001), deny=_ALL, resolver=resolve, tls=_TLS).fetch(url)


_ALL = parse_networks([f"{n}.0.0.0/8" for n in range(256)] + ["2000::/7"])
_TLS = Fetcher()._tls  # made once: it reads all trusted certificates


@pytest.mark.parametrize("field", ["max_bytes", "seconds", "connect_seconds", "header_bytes", "concurrent"])
def test_limits_make_sense(field: str) -> None:
    with pytest.raises(BadSetting, match=field):
        FetchLimits(**{field: 0})
    assert FetchLimits(redirects=0).redirects == 0


def test_the_systems_own_names() -> None:
    resolve = system_resolver()
    assert set(resolve("localhost", 5)) <= {"127.0.0.1", "::1"}
    with pytest.raises((NotFound, Unavailable)):
        resolve("no-such-name.invalid", 5)
