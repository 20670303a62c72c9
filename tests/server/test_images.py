"""Images over HTTP: put in every form, got, changed on condition, listed, deleted."""

import base64
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lookalike.imaging import Limits
from tests.support.drawn_images import drawn, encoded
from tests.support.server.api import JPEG, at, problem, put, serving


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(tmp_path_factory.mktemp("gallery") / "g") as (client, _):
        yield client


@pytest.fixture
def tenant(client: TestClient, request: pytest.FixtureRequest) -> Iterator[TestClient]:
    """The client, as a tenant of the test's own."""
    client.headers["X-Tenant"] = request.node.name[:100]
    yield client
    del client.headers["X-Tenant"]


def test_put_in_every_form(tenant: TestClient) -> None:
    data = encoded(drawn(1), "JPEG")
    reply = {"attributes": json.dumps({"n": 1})}
    forms = {
        "bytes": tenant.put(at("bytes"), content=data, headers=JPEG, params=reply),
        "no type": tenant.put(at("no type"), content=data, params=reply),
        "what curl says": tenant.put(
            at("what curl says"),
            content=data,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            params=reply,
        ),
        "header": tenant.put(at("header"), content=data, headers=JPEG | {"X-Attributes": reply["attributes"]}),
        "form": tenant.put(at("form"), files={"file": ("x.jpg", data)}, data=reply),
        "json": tenant.put(
            at("json"), json={"image": {"base64": base64.b64encode(data).decode()}, "attributes": {"n": 1}}
        ),
    }
    for name, answer in forms.items():
        assert answer.status_code == (201 if name == "bytes" else 200), (name, answer.text)
        assert answer.json()["outcome"] == ("added" if name == "bytes" else "duplicate")
        found = tenant.get(at(name)).json()
        assert found["attributes"] == {"n": 1}, name
        assert found["bytes"] == len(data)
        assert (found["width"], found["height"], found["format"]) == (160, 120, "JPEG")
        assert answer.headers["etag"] == f'"{found["sequence"]}"'


def test_putting_again_changes_nothing_and_new_bytes_replace(tenant: TestClient) -> None:
    first = put(tenant, "a", 1).json()
    again = put(tenant, "a", 1).json()
    assert (first["outcome"], again["outcome"]) == ("added", "unchanged")
    assert first["sequence"] == again["sequence"]
    assert put(tenant, "a", 2).json()["outcome"] == "updated"
    assert tenant.get(at("a")).json()["sequence"] > first["sequence"]


@given(key=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_a_key_may_hold_anything(client: TestClient, key: str) -> None:
    if key in (".", ".."):
        return  # clients take these for steps in the path, before the service sees them
    put(client, key, 3)
    found = client.get(at(key))
    assert found.json()["key"] == key
    thumbnail = client.get(found.json()["thumbnail"])
    assert thumbnail.headers["content-type"] == "image/jpeg"
    assert client.delete(at(key)).status_code == 204


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/images/%FF", 400), ("/v1/images/a/b", 404), ("/v1/images/", 404), ("/v1/images/a%00b", 404)],
)
def test_keys_that_cannot_be(client: TestClient, path: str, status: int) -> None:
    problem(client.get(path), status, "bad-input" if status == 400 else "not-found")


def test_keys_that_cannot_be_put(client: TestClient) -> None:
    problem(client.put("/v1/images/a%00b", content=encoded(drawn(1))), 400, "bad-input")
    answer = client.put("/v1/images/", content=encoded(drawn(1)), headers=JPEG)
    problem(answer, 404, "not-found")
    assert "a key is not empty" in answer.json()["detail"]


def test_what_is_no_image(tenant: TestClient) -> None:
    for data, reason in ((b"hello", "not_an_image"), (encoded(drawn(1), "JPEG")[:200], "truncated"), (b"", "empty")):
        reply = problem(tenant.put(at("x"), content=data), 422, "image-rejected")
        assert reply["reason"] == reason
    problem(tenant.get(at("x")), 404, "not-found")


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"image": {}}, "image"),
        ({"image": {"base64": "AA", "url": "http://a.example"}}, "exactly one"),
        ({"image": {"key": "a"}}, "key"),
        ({"image": {"base64": "%%%"}}, "base64"),
        ({"image": {"base64": "AAAA"}, "attributes": []}, "attributes"),
        ({"image": {"base64": "AAAA"}, "more": 1}, "more"),
        ({}, "image"),
        ([], "object"),
    ],
)
def test_json_that_makes_no_sense(client: TestClient, body: object, word: str) -> None:
    assert word in problem(client.put(at("x"), json=body), 400, "bad-input")["detail"]


def test_bodies_of_other_types_are_refused(client: TestClient) -> None:
    for kind in ("text/plain", "video/mp4"):
        problem(client.put(at("x"), content=b"1", headers={"Content-Type": kind}), 415, "bad-input")
    problem(client.patch(at("x"), content=b"{}", headers={"Content-Type": "text/plain"}), 415, "bad-input")


def test_conditions(tenant: TestClient) -> None:
    data = encoded(drawn(1))
    first = tenant.put(at("a"), content=data, headers={"If-None-Match": "*"})
    assert first.status_code == 201
    reply = problem(tenant.put(at("a"), content=encoded(drawn(2)), headers={"If-None-Match": "*"}), 412, "conflict")
    assert reply["sequence"] == first.json()["sequence"]
    tag = first.headers["etag"]
    second = tenant.put(at("a"), content=encoded(drawn(2)), headers={"If-Match": tag})
    assert second.json()["outcome"] == "updated"
    problem(tenant.put(at("a"), content=data, headers={"If-Match": tag}), 412, "conflict")
    problem(tenant.patch(at("a"), json={"attributes": {}}, headers={"If-Match": tag}), 412, "conflict")
    problem(tenant.delete(at("a"), headers={"If-Match": tag}), 412, "conflict")
    problem(tenant.put(at("b"), content=data, headers={"If-Match": tag}), 412, "conflict")
    problem(tenant.put(at("a"), content=data, headers={"If-Match": "nonsense"}), 400, "bad-input")
    now = second.headers["etag"]
    assert tenant.get(at("a"), headers={"If-None-Match": now}).status_code == 304
    assert tenant.get(at("a"), headers={"If-None-Match": tag}).status_code == 200
    assert tenant.delete(at("a"), headers={"If-Match": now}).status_code == 204
    problem(tenant.delete(at("a")), 404, "not-found")


def test_attributes_are_merged_or_replaced(tenant: TestClient) -> None:
    put(tenant, "a", 1, album="Alps", year=2019)
    merged = tenant.patch(at("a"), json={"attributes": {"year": 2020}})
    assert merged.json()["attributes"] == {"album": "Alps", "year": 2020}
    assert merged.headers["etag"] == f'"{merged.json()["sequence"]}"'
    replaced = tenant.patch(at("a"), json={"attributes": {"x": None}, "merge": False})
    assert replaced.json()["attributes"] == {"x": None}
    problem(tenant.patch(at("b"), json={"attributes": {}}), 404, "not-found")
    json_type = {"Content-Type": "application/json"}
    for text in (
        b'{"attributes": {"a": NaN}}',
        b'{"attributes": {"a": "\\u0000"}}',
        b'{"attributes": {"a": "\\ud800"}}',
    ):
        problem(tenant.patch(at("a"), content=text, headers=json_type), 400, "bad-input")


def test_lists_go_on_where_they_stopped(tenant: TestClient) -> None:
    keys = [f"{n:02}/ü" for n in range(7)]
    for n, key in enumerate(keys):
        put(tenant, key, n, odd=bool(n % 2))
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = tenant.get("/v1/images", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        assert page["total"] == (None if cursor else 7)
        seen += [image["key"] for image in page["images"]]
        cursor = page["next"]
    assert seen == keys
    filtered = tenant.get("/v1/images", params={"filter": '{"odd": true}'}).json()
    assert [image["key"] for image in filtered["images"]] == keys[1::2]
    problem(tenant.get("/v1/images", params={"cursor": "nonsense!"}), 400, "unsupported-query")
    problem(tenant.get("/v1/images", params={"limit": 0}), 400, "bad-input")
    problem(tenant.get("/v1/images", params={"filter": "["}), 400, "bad-input")


def test_a_prefix_is_taken_as_it_is_written(tenant: TestClient) -> None:
    keys = ["%", "%a", "A/1", "a/1", "a/2", "a_1", "ab", "ü/1", "\U0010ffff"]
    for n, key in enumerate(keys):
        put(tenant, key, n, odd=bool(n % 2))

    def listed(**params: str | int) -> list[str]:
        return [image["key"] for image in tenant.get("/v1/images", params=params).json()["images"]]

    for prefix in ("", "%", "_", "a", "a/", "a_", "A", "ü", "u", "\U0010ffff", "a\0", "a/1", "a/12"):
        assert listed(prefix=prefix) == [key for key in keys if key.startswith(prefix)], prefix
    assert listed(prefix="a/", filter='{"odd": true}') == ["a/1"]
    first = tenant.get("/v1/images", params={"prefix": "a", "limit": 2}).json()
    assert ([image["key"] for image in first["images"]], first["total"]) == (["a/1", "a/2"], None)
    assert listed(prefix="a", limit=2, cursor=first["next"]) == ["a_1", "ab"]


def test_many_are_deleted_by_key_or_filter(tenant: TestClient) -> None:
    for n in range(6):
        put(tenant, f"{n}", n, odd=bool(n % 2))
    reply = tenant.post("/v1/images:delete", json={"keys": ["0", "nothing"]}).json()
    assert (reply["deleted"], reply["keys"]) == (1, ["0"])
    reply = tenant.post("/v1/images:delete", json={"filter": {"odd": True}}).json()
    assert (reply["deleted"], sorted(reply["keys"])) == (3, ["1", "3", "5"])
    assert [i["key"] for i in tenant.get("/v1/images").json()["images"]] == ["2", "4"]
    for wrong in (
        {},
        {"keys": []},
        {"filter": {}},
        {"keys": ["2"], "filter": {"odd": False}},
        {"keys": ["0"], "filter": None},
    ):
        problem(tenant.post("/v1/images:delete", json=wrong), 400, "bad-input")


def test_thumbnails(tenant: TestClient) -> None:
    tenant.put(at("a"), content=encoded(drawn(1, (400, 300))))
    answer = tenant.get(at("a") + "/thumbnail", params={"size": 100})
    assert Image.open(BytesIO(answer.content)).size == (100, 75)
    again = tenant.get(at("a") + "/thumbnail", params={"size": 100}, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert not again.content
    problem(tenant.get(at("b") + "/thumbnail"), 404, "not-found")
    problem(tenant.get(at("a") + "/thumbnail", params={"size": 5000}), 400, "bad-input")


def test_tenants_are_apart(client: TestClient) -> None:
    ours, theirs = {"X-Tenant": "ours"}, {"X-Tenant": "theirs"}
    client.put(at("a"), content=encoded(drawn(1)), headers=ours)
    problem(client.get(at("a"), headers=theirs), 404, "not-found")
    problem(client.delete(at("a"), headers=theirs), 404, "not-found")
    assert client.get("/v1/images", headers=theirs).json() == {"images": [], "next": None, "total": 0}
    assert client.get(at("a"), headers=ours).status_code == 200


def test_a_body_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with serving(tmp_path / "g", limits=Limits(max_bytes=5000)) as (client, _):
        answer = client.put(at("x"), content=b"\xff\xd8\xff" + b"0" * 6000)
        assert problem(answer, 413, "image-rejected")["reason"] == "too_many_bytes"

        def endless() -> Iterator[bytes]:
            for _ in range(100):
                yield b"0" * 1000

        assert problem(client.put(at("x"), content=endless()), 413, "image-rejected")["reason"] == "too_many_bytes"
        form = client.put(at("x"), files={"file": ("x.jpg", b"0" * 6000)})
        assert problem(form, 413, "image-rejected")["reason"] == "too_many_bytes"


@pytest.mark.parametrize("body", [{}, {"keys": ["a"], "filter": {"album": "Alps"}}])
def test_what_rules_of_the_whole_body_refuse_is_said_in_plain_words(tenant: TestClient, body: object) -> None:
    detail = problem(tenant.post("/v1/images:delete", json=body), 400, "bad-input")["detail"]
    assert detail == "give exactly one of keys and filter"


def test_where_a_body_is_refused_is_said_before_why(tenant: TestClient) -> None:
    reply = tenant.put(at("k"), json={"image": {"url": "https://images.example/1", "base64": "AA=="}})
    assert problem(reply, 400, "bad-input")["detail"].startswith("image: give exactly one of ")


def test_a_port_that_is_not_fetched_from_is_refused_with_those_that_are(tenant: TestClient) -> None:
    reply = tenant.put(at("k"), json={"image": {"url": "http://images.example:8081/1.jpg"}})
    detail = problem(reply, 400, "bad-input")["detail"]
    assert detail.endswith("port 8081 is not allowed; images are fetched from the ports 80, 443")
