"""Pages of other sites, other names of this machine, and what browsers are told."""

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from lookalike.catalog import Catalog
from lookalike.errors import BadInput, BadSetting
from lookalike.server.middleware.origin_check import AllowedHosts, allows_keyless, check_binding, parse_host
from tests.support.server.minimal_app import client_of


@pytest.fixture
def client(catalog: Catalog) -> TestClient:
    return client_of(catalog)


def get(client: TestClient, path: str = "/v1/who", **headers: str) -> int:
    return client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()}).status_code


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1", "127.0.0.1:8000", "127.1.2.3:1", "[::1]",
        "[::1]:8000", "[0:0:0:0:0:0:0:1]",
    ],
)  # fmt: skip
def test_loopbacks_own_names(client: TestClient, host: str) -> None:
    assert get(client, Host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.test", "evil.test:8000", "localhost.evil.test", "127.0.0.1.evil.test", "127.0.0.1.nip.io",
        "0.0.0.0", "[::]", "192.168.0.1", "xlocalhost", "app.localhost", "2130706433", "localhost\tevil.test",
    ],
)  # fmt: skip
def test_a_rebound_name_is_not_answered(client: TestClient, host: str) -> None:
    for path in ("/", "/v1/who", "/page/app.js", "/healthz"):
        assert get(client, path, Host=host) in (400, 403)


@pytest.mark.parametrize("host", ["", "a@localhost", "localhost/x", "[::1", "http://localhost", " "])
def test_hosts_that_are_none(client: TestClient, host: str) -> None:
    assert get(client, Host=host) in (400, 403)


def test_two_hosts_are_none(client: TestClient) -> None:
    answer = client.get("/v1/who", headers=[("Host", "localhost"), ("Host", "evil.test")])
    assert answer.status_code == 400


def test_names_that_are_allowed(catalog: Catalog) -> None:
    catalog.api_keys.create("read")
    named = client_of(catalog, hosts=AllowedHosts("127.0.0.1", ["Images.test"]))
    assert get(named, "/", Host="images.TEST:443") == 200
    assert get(named, "/", Host="other.test") == 403
    anywhere = client_of(catalog, hosts=AllowedHosts("0.0.0.0"))  # keys are required there, and it may have any name
    assert get(anywhere, "/", Host="other.test") == 200
    narrowed = client_of(catalog, hosts=AllowedHosts("0.0.0.0", ["images.test"]))
    assert get(narrowed, "/", Host="other.test") == 403
    assert get(narrowed, "/", Host="localhost") == 200
    refused = named.get("/", headers={"Host": "other.test"}).json()
    assert "--allow-host other.test" in refused["detail"]


def fetched(site: str, mode: str, dest: str) -> dict[str, str]:
    """What a browser says of a request."""
    return {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        # programs say nothing
        ("GET", "/v1/who", {}, 200),
        ("POST", "/v1/echo", {}, 200),
        # the page itself
        ("GET", "/v1/who", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        ("POST", "/v1/echo", {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8000"}, 200),
        ("POST", "/v1/echo", {"Origin": "http://127.0.0.1:8000"}, 200),
        # a person types the address, or follows a link to the page
        ("GET", "/v1/who", fetched("none", "navigate", "document"), 200),
        ("GET", "/", fetched("cross-site", "navigate", "document"), 200),
        # another site: images, scripts, frames, forms, fetch
        (
            "GET",
            "/v1/who",
            fetched("cross-site", "no-cors", "image"),
            403,
        ),
        (
            "GET",
            "/v1/who",
            fetched("cross-site", "navigate", "document"),
            403,
        ),
        ("GET", "/", fetched("cross-site", "navigate", "iframe"), 403),
        ("GET", "/", fetched("cross-site", "no-cors", "script"), 403),
        ("GET", "/page/app.js", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "script"}, 403),
        (
            "POST",
            "/",
            fetched("cross-site", "navigate", "document"),
            403,
        ),
        ("POST", "/v1/echo", {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"}, 403),
        ("POST", "/v1/echo", {"Origin": "https://evil.test"}, 403),
        ("POST", "/v1/echo", {"Origin": "null"}, 403),
        ("POST", "/v1/echo", {"Origin": ""}, 403),
        ("POST", "/v1/echo", {"Origin": "http://127.0.0.1:3000"}, 403),
        ("POST", "/v1/echo", {"Origin": "http://127.0.0.1"}, 403),
        ("POST", "/v1/echo", {"Origin": "http://localhost:8000"}, 403),
        ("POST", "/v1/echo", {"Origin": "ftp://127.0.0.1:8000"}, 403),
        ("POST", "/v1/echo", {"Origin": "http://[::1"}, 403),
        # another program's page on this machine is of the same site, and not of the same origin
        ("GET", "/v1/who", {"Sec-Fetch-Site": "same-site"}, 403),
        ("POST", "/session", {"Sec-Fetch-Site": "same-site"}, 403),
        # a browser asking whether it may ask
        ("OPTIONS", "/v1/echo", {"Origin": "https://evil.test", "Access-Control-Request-Method": "POST"}, 403),
    ],
)
def test_who_may_drive_the_server(
    client: TestClient, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = client.request(method, path, headers=headers)
    assert answer.status_code == status
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_a_proxy_with_tls_keeps_the_origin(catalog: Catalog) -> None:
    _, token = catalog.api_keys.create("write")
    client = client_of(catalog, hosts=AllowedHosts("127.0.0.1", ["images.test"]))
    headers = {"Host": "images.test", "Origin": "https://images.test", "Authorization": f"Bearer {token}"}
    assert client.post("/v1/echo", headers=headers).status_code == 200
    assert client.post("/v1/echo", headers=headers | {"Origin": "https://images.test:444"}).status_code == 403


@pytest.mark.parametrize(
    ("path", "headers"), [("/", {}), ("/v1/who", {}), ("/v1/nothing", {}), ("/", {"Host": "evil.test"})]
)
def test_every_answer_tells_browsers_to_be_careful(client: TestClient, path: str, headers: dict[str, str]) -> None:
    reply = client.get(path, headers=headers).headers
    policy = reply["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert reply["x-content-type-options"] == "nosniff"
    assert reply["referrer-policy"] == "no-referrer"
    assert "camera=(self)" in reply["permissions-policy"]
    assert reply["x-frame-options"] == "DENY"
    assert reply["cross-origin-resource-policy"] == "same-origin"
    if path.startswith("/v1/"):
        assert {"Authorization", "Cookie", "X-API-Key", "X-Tenant"} <= set(reply["vary"].split(", "))
        assert reply["cache-control"] == "no-store"


def test_no_websockets(client: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("ws://127.0.0.1:8000/v1/who"):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9", None])
def test_loopback_needs_no_keys(host: str | None) -> None:
    check_binding(host, [], keys=False)
    assert allows_keyless(host, [])
    assert not allows_keyless(host, ["images.test"])  # there is a proxy before it


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("0.0.0.0", []),
        ("::", []),
        ("192.168.0.7", []),
        ("images.test", []),
        ("", []),
        ("127.0.0.1", ["images.test"]),
    ],
)
def test_beyond_loopback_keys_come_first(host: str, names: list[str]) -> None:
    with pytest.raises(BadSetting, match="lookalike keys create"):
        check_binding(host, names, keys=False)
    check_binding(host, names, keys=True)
    assert not allows_keyless(host, names)  # nor later, when all keys are forgotten


def test_the_host_of_a_host_header() -> None:
    assert [parse_host(text) for text in ("A.test:80", "[::1]:80", "[0:0::1]", "1.2.3.4")] == [
        "a.test",
        "::1",
        "::1",
        "1.2.3.4",
    ]
    for text in ("", ":80", "a@b", "[::1", "a:b:c", "a:99999999"):
        with pytest.raises(BadInput):
            parse_host(text)
