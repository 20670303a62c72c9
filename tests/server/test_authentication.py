"""Who is let in, as whom, and how soon no more."""

import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from lookalike.catalog import Catalog
from lookalike.catalog.api_keys import (
    MAX_KEYS,
    KeyLimits,
    access_keys,
    id_in,
    new_token,
)
from lookalike.errors import BadSetting
from lookalike.server.api_key_cache import CACHE_SECONDS, ApiKeyCache
from lookalike.server.middleware.authentication import ANONYMOUS_BURST, COOKIE, Authenticator, RateLimiter, TokenBuckets
from tests.support.server.minimal_app import bearing, client_of, layered
from tests.support.waiting import HANG_SECONDS


@pytest.fixture
def open_client(catalog: Catalog) -> Iterator[TestClient]:
    with client_of(catalog) as client:
        yield client


def status(client: TestClient, path: str = "/v1/who", **headers: str) -> int:
    return client.get(path, headers=headers).status_code


# -- without any key --------------------------------------------------------------------------------------------------


def test_the_person_at_the_machine_may_do_everything(open_client: TestClient) -> None:
    reply = open_client.get("/v1/who").json()
    assert reply == {"tenant": "default", "scopes": ["admin", "read", "write"], "key": None, "any": True}
    assert open_client.get("/v1/boss").status_code == 200
    assert open_client.get("/v1/who", headers={"X-Tenant": "m%C3%BCller%20%26%20co"}).json()["tenant"] == "müller & co"
    assert status(open_client, Authorization="Bearer lk_0123456789ab_x") == 401  # a key that is none is told


@pytest.mark.parametrize("peer", ["10.0.0.7", "192.0.2.1", "2001:db8::1", "fe80::1%eth0", "localhost.evil.test"])
def test_nobody_else_may_do_anything(catalog: Catalog, peer: str) -> None:
    client = client_of(catalog, peer=peer)
    answer = client.get("/v1/who")
    assert answer.status_code == 401
    assert "lookalike keys create" in answer.json()["detail"]


@pytest.mark.parametrize("header", ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"])
def test_a_proxy_on_this_machine_is_not_the_person(open_client: TestClient, header: str) -> None:
    answer = open_client.get("/v1/who", headers={header: "127.0.0.1"})
    assert answer.status_code == 401
    assert "proxied requests" in answer.json()["detail"]


def test_a_server_beyond_loopback_has_no_keyless_callers(catalog: Catalog) -> None:
    client = client_of(catalog, keyless=False)
    assert client.get("/v1/who").status_code == 401


@pytest.mark.parametrize("name", ["x" * 201, "a%00b", "%ff", "a%0Ab", "%ED%A0%80"])
def test_tenants_that_cannot_be(open_client: TestClient, name: str) -> None:
    assert status(open_client, **{"X-Tenant": name}) == 400


# -- with keys --------------------------------------------------------------------------------------------------------


def test_keys_are_required_as_soon_as_one_was_made(catalog: Catalog, open_client: TestClient) -> None:
    key, token = catalog.api_keys.create("read", tenant="alice")
    refused = open_client.get("/v1/who")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "urn:lookalike:error:access-denied"
    for headers in (bearing(token), {"X-API-Key": token}, {"Authorization": f"bearer {token}"}):
        reply = open_client.get("/v1/who", headers=headers).json()
        assert reply == {"tenant": "alice", "scopes": ["read"], "key": key.id, "any": False}
    catalog.api_keys.revoke(key.id)
    assert status(open_client) == 401  # a leaked key that is revoked does not open the server to everybody
    catalog.api_keys.delete(key.id)
    assert status(open_client) == 200


def test_scopes_include_one_another(catalog: Catalog, open_client: TestClient) -> None:
    allowed = {"read": (200, 403, 403), "write": (200, 200, 403), "admin": (200, 200, 200)}
    for scope, expected in allowed.items():
        _, token = catalog.api_keys.create(scope)
        found = (
            open_client.get("/v1/who", headers=bearing(token)).status_code,
            open_client.post("/v1/echo", headers=bearing(token)).status_code,
            open_client.get("/v1/boss", headers=bearing(token)).status_code,
        )
        assert found == expected


def test_tenants_are_the_keys_own(catalog: Catalog, open_client: TestClient) -> None:
    _, bound = catalog.api_keys.create("admin", tenant="alice")
    _, free = catalog.api_keys.create("read")
    assert status(open_client, **bearing(bound, X_Tenant="alice")) == 200
    bodies = set()
    for other in ("bob", "never-heard-of"):  # known or not, the answer is the same
        answer = open_client.get("/v1/who", headers=bearing(bound, X_Tenant=other, X_Request_Id="same"))
        bodies.add((answer.status_code, answer.content))
    assert len(bodies) == 1
    assert bodies.pop()[0] == 403
    assert open_client.get("/v1/who", headers=bearing(free)).json()["tenant"] == "default"
    assert open_client.get("/v1/who", headers=bearing(free, X_Tenant="bob")).json()["tenant"] == "bob"


def test_wrong_keys(catalog: Catalog, open_client: TestClient) -> None:
    key, token = catalog.api_keys.create("read")
    _, other = catalog.api_keys.create("read")
    secret = other.split("_", 2)[2]
    wrong = [
        f"lk_{key.id}_{secret}",
        f"lk_{key.id}_",
        f"lk_{key.id}",
        token[:-1],
        token + "A",
        token.upper(),
        "lk__" + secret,
        "lk_000000000000_" + secret,
        secret,
        key.digest.hex(),
        f"lk_{key.id}_{key.digest.hex()}",
    ]
    assert {status(open_client, Authorization=f"Bearer {text}") for text in wrong} == {401}
    assert {status(open_client, Authorization=text) for text in (token, f"Basic {token}", "Bearer", "Bearer  ")} == {
        401
    }
    assert (
        status(open_client, Authorization="Bearer nonsense", **{"X-API-Key": token}) == 401
    )  # one answer, not the laxer


@given(st.text(max_size=100))
def test_any_text_is_no_key(text: str) -> None:
    assert id_in(text) is None or text.startswith("lk_")
    public, token = new_token()
    assert id_in(token) == public
    assert len(token) == 3 + 12 + 1 + 43


def test_every_path_needs_a_caller(catalog: Catalog, open_client: TestClient) -> None:
    _, token = catalog.api_keys.create("read")
    closed = "/v1/forgot /v1/nothing /metrics /page /healthz/x /Page/x /v1%2Fforgot /%76%31/forgot".split()
    for path in closed:
        assert open_client.get(path).status_code == 401, path
    for path in ("/", "/page/app.js", "/healthz"):
        assert open_client.get(path).status_code == 200, path
    assert open_client.get("/page/%2e%2e/v1/forgot").text == "open"  # a file of the page that is not there
    assert open_client.get("/v1/forgot", headers=bearing(token)).status_code == 200
    assert open_client.get("/v1/nothing", headers=bearing(token)).status_code == 404
    assert open_client.post("/page/upload", content=b"x").status_code == 413  # open paths take no body at all


def test_a_revoked_key_ends_soon_in_every_process(catalog: Catalog) -> None:
    key, token = catalog.api_keys.create("read")
    clients = []
    for _ in range(2):  # as two processes have it: each its own memory of the keys
        access = Authenticator(ApiKeyCache(catalog.api_keys.list_all), keyless=True)
        clients.append(TestClient(layered(access), base_url="http://localhost", client=("127.0.0.1", 1)))
    assert [status(c, **bearing(token)) for c in clients] == [200, 200]
    catalog.api_keys.revoke(key.id)
    revoked = time.monotonic()
    for client in clients:
        while status(client, **bearing(token)) == 200:
            assert time.monotonic() - revoked < CACHE_SECONDS + HANG_SECONDS
            time.sleep(0.05)


def test_a_new_key_works_soon(catalog: Catalog) -> None:
    access = Authenticator(ApiKeyCache(catalog.api_keys.list_all, seconds=0.3), keyless=True)
    client = TestClient(layered(access), base_url="http://localhost", client=("127.0.0.1", 1))
    assert status(client) == 200
    _, token = catalog.api_keys.create("read")
    time.sleep(0.3)
    assert status(client, **bearing(token)) == 200
    assert status(client) == 401


def test_where_keys_cannot_be_read_nobody_is_let_in(catalog: Catalog, open_client: TestClient) -> None:
    _, token = catalog.api_keys.create("read")
    assert status(open_client, **bearing(token)) == 200
    catalog.close()
    assert status(open_client, **bearing(token)) != 200
    assert status(open_client) != 200


def test_there_is_an_end_to_keys(catalog: Catalog) -> None:
    key, _ = catalog.api_keys.create("read")
    row = {c.name: getattr(key, c.name) for c in access_keys.columns} | {"scopes": ["read"], "limits": {}}
    with catalog.database.write() as conn:
        conn.execute(access_keys.insert(), [row | {"id": f"{n:012x}"} for n in range(MAX_KEYS - 1)])
    with pytest.raises(BadSetting, match="10,000 API keys"):
        catalog.api_keys.create("read")
    assert len(catalog.api_keys.list_all()) == MAX_KEYS


def test_secrets_are_not_kept_or_shown(catalog: Catalog, tmp_path: object) -> None:
    key, token = catalog.api_keys.create("read", tenant="alice", label="shop", limits=KeyLimits(rate=3, pixels=10))
    assert catalog.api_keys.list_all() == [key]
    assert token not in repr(key)
    assert repr(key.digest) not in repr(key)
    with catalog.database.read() as conn:
        rows = repr(conn.execute(access_keys.select()).all())
    assert token.split("_", 2)[2] not in rows


# -- the page's session -----------------------------------------------------------------------------------------------


def test_a_key_becomes_a_cookie(catalog: Catalog, open_client: TestClient) -> None:
    key, token = catalog.api_keys.create("write", tenant="alice")
    assert open_client.post("/session").status_code == 401
    assert open_client.post("/session", headers=bearing("lk_000000000000_x")).status_code == 401
    begun = open_client.post("/session", headers=bearing(token))
    assert begun.status_code == 204
    written = begun.headers["set-cookie"].lower()
    assert all(word in written for word in ("httponly", "samesite=strict", "path=/"))
    assert "max-age" not in written  # it ends with the browser
    assert open_client.get("/v1/who").json()["tenant"] == "alice"
    assert open_client.get("/v1/who", headers=bearing("lk_000000000000_x")).status_code == 401  # the header counts
    open_client.delete("/session")
    assert open_client.get("/v1/who").status_code == 401
    open_client.post("/session", headers=bearing(token))
    catalog.api_keys.revoke(key.id)
    assert open_client.get("/v1/who").status_code == 401


def test_the_first_link_opens_the_page_once(catalog: Catalog) -> None:
    catalog.api_keys.create("read")
    with client_of(catalog, link=True) as client:
        path = client.link.path  # type: ignore[attr-defined]
        assert client.get("/session?code=wrong", follow_redirects=False).status_code == 401
        assert client.head(path).status_code == 405  # who merely looks at a link does not spend it
        opened = client.get(path, follow_redirects=False)
        assert (opened.status_code, opened.headers["location"]) == (303, "/")
        assert client.get("/v1/boss").status_code == 200
        assert len(catalog.api_keys.list_all()) == 1  # its key is known to this process alone
        client.cookies.clear()
        assert client.get(path, follow_redirects=False).status_code == 401
    other = client_of(catalog, link=False)
    assert other.get("/session?code=x", follow_redirects=False).status_code == 401


def test_cookies_are_secure_over_tls(catalog: Catalog, open_client: TestClient) -> None:
    _, token = catalog.api_keys.create("read")
    begun = open_client.post("/session", headers=bearing(token, X_Forwarded_Proto="https"))
    assert "secure" in begun.headers["set-cookie"].lower()
    open_client.cookies.clear()
    odd = {"Cookie": f'a="; {COOKIE}={token}'}
    assert status(open_client, **odd) in (200, 401)  # whatever a browser sends, no failure


# -- limits -----------------------------------------------------------------------------------------------------------


class Clock:
    """A clock that tests turn."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rates_are_kept_by_key(catalog: Catalog) -> None:
    clock = Clock()
    client = client_of(catalog, limiter=RateLimiter(buckets=TokenBuckets(clock=clock)))
    _, slow = catalog.api_keys.create("read", limits=KeyLimits(rate=2, burst=3))
    _, other = catalog.api_keys.create("read", limits=KeyLimits(rate=2, burst=3))
    found = [client.get("/v1/who", headers=bearing(slow)) for _ in range(5)]
    assert [answer.status_code for answer in found] == [200, 200, 200, 429, 429]
    assert found[-1].headers["retry-after"] == "1"
    assert found[-1].json()["type"] == "urn:lookalike:error:too-many-requests"
    assert status(client, **bearing(other)) == 200
    clock.now += 0.5
    assert [status(client, **bearing(slow)) for _ in range(2)] == [200, 429]
    clock.now += 1000  # no more than a burst gathers
    assert [status(client, **bearing(slow)) for _ in range(4)] == [200, 200, 200, 429]


def test_anonymous_clients_are_told_to_wait(catalog: Catalog) -> None:
    _, token = catalog.api_keys.create("read")
    clock = Clock()
    client = client_of(catalog, limiter=RateLimiter(buckets=TokenBuckets(clock=clock)))
    found = [status(client, Authorization="Bearer nonsense") for _ in range(ANONYMOUS_BURST + 3)]
    assert found == [401] * ANONYMOUS_BURST + [429] * 3
    assert status(client, **bearing(token)) == 200  # whoever has a key is not kept waiting
    clock.now += 10
    assert status(client) == 401


def test_bodies_are_bounded_by_key(catalog: Catalog, open_client: TestClient) -> None:
    _, token = catalog.api_keys.create("write", limits=KeyLimits(body_bytes=1000))
    post = lambda body, **headers: open_client.post("/v1/echo", content=body, headers=bearing(token, **headers))  # noqa: E731
    assert post(b"x" * 1000).json() == {"bytes": 1000}
    for body in (b"x" * 1001, (b"x" * 100 for _ in range(11))):  # announced, and in chunks
        answer = post(body)
        assert answer.status_code == 413
        assert answer.json()["reason"] == "too_many_bytes"
    assert open_client.post("/v1/early", content=b"x" * 100, headers=bearing(token)).headers["connection"] == "close"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 3)), max_size=80), st.floats(0.1, 5), st.integers(1, 6))
def test_no_bucket_gives_more_than_it_may(asks: list[tuple[str, float]], rate: float, burst: int) -> None:
    clock = Clock()
    buckets = TokenBuckets(clock=clock)
    given_at: dict[str, list[float]] = {"a": [], "b": [], "c": []}
    for name, later in asks:
        clock.now += later
        wait = buckets.take(name, rate, burst)
        if not wait:
            given_at[name].append(clock.now)
        else:
            assert wait <= 1 / rate + 1e-9
    for times in given_at.values():
        for i, start in enumerate(times):
            for j in range(i, len(times)):
                assert j - i + 1 <= burst + (times[j] - start) * rate + 1e-6


def test_buckets_are_bounded() -> None:
    buckets = TokenBuckets(max_buckets=100)
    for n in range(10_000):
        buckets.take(f"stranger {n}", 1, 1)
    assert len(buckets) == 100
    limiter = RateLimiter(buckets=buckets)
    for n in range(ANONYMOUS_BURST):
        limiter.check_anonymous(f"2001:db8:1:2::{n:x}")  # one network is one client, however many addresses it has
    with pytest.raises(Exception, match="without a valid API key"):
        limiter.check_anonymous("2001:db8:1:2:ffff::1")
    limiter.check_anonymous("2001:db8:1:3::1")


def test_requests_under_way_are_counted() -> None:
    limiter = RateLimiter(capacity=3)
    two = KeyLimits(concurrency=2)
    with limiter.admit("a", two), limiter.admit("a", two):
        with pytest.raises(Exception, match="reached: 2 requests"), limiter.admit("a", two):
            pass
        with limiter.admit("b", two):
            with pytest.raises(Exception, match="capacity of 3 requests"), limiter.admit("c", two):
                pass
            assert limiter.in_flight == 3
    assert limiter.in_flight == 0
    assert not limiter._in_flight  # no name stays
    with pytest.raises(BadSetting):
        RateLimiter(capacity=0)
