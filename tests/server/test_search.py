"""Searching and comparing over HTTP: every form of query, options, pages, and cursors that show nothing twice."""

import base64
import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from PIL import Image, ImageOps

from lookalike.results import MAX_RESULTS
from tests.support.drawn_images import drawn, encoded
from tests.support.server.api import JPEG, at, problem, put, serving

IMAGES = 40
COPY = encoded(drawn(7), "JPEG", quality=70)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(tmp_path_factory.mktemp("gallery") / "g") as (client, _):
        for n in range(IMAGES):
            put(client, f"{n:02}.png", n, n=n, odd=bool(n % 2))
        yield client


def found(answer: Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["key"] for hit in answer.json()["hits"]]


def test_every_form_of_query_finds_the_same(client: TestClient) -> None:
    coded = base64.b64encode(COPY).decode()
    answers = [
        client.post("/v1/search", content=COPY, headers=JPEG, params={"k": 3}),
        client.post("/v1/search", content=COPY, headers={"Content-Type": "application/octet-stream"}, params={"k": 3}),
        client.post("/v1/search", files={"file": ("q.jpg", COPY)}, data={"k": "3"}),
        client.post("/v1/search", files={"image": ("q.jpg", COPY)}, params={"k": 3}),
        client.post("/v1/search", json={"image": {"base64": coded}, "k": 3}),
        client.post("/v1/search", json={"image": {"base64": coded}}, params={"k": 3}),
    ]
    for answer in answers:
        assert found(answer)[0] == "07.png"
        assert found(answer) == found(answers[0])
        assert "phash;dur=" in answer.headers["server-timing"]
    best = answers[0].json()["hits"][0]
    assert best["evidence"] == "copy"
    assert best["attributes"] == {"n": 7, "odd": True}
    assert client.get(best["thumbnail"]).status_code == 200
    reply = answers[0].json()
    assert reply["exact_within"] == {"phash": 1.0}
    assert reply["failed"] == {}
    assert reply["sequence"] >= IMAGES
    assert set(reply["took_ms"]) >= {"decode", "phash", "merge"}


def test_by_the_key_of_a_stored_image(client: TestClient) -> None:
    answer = client.post("/v1/search", json={"image": {"key": "07.png"}, "k": 1})
    assert answer.json()["hits"][0] | {"attributes": 0, "thumbnail": 0} == {
        "key": "07.png",
        "evidence": "exact",
        "distance": 0.0,
        "pipeline": "sha256",
        "attributes": 0,
        "width": 160,
        "height": 120,
        "thumbnail": 0,
        "tenant": None,
        "frames": 1,
        "truncated": False,
        "verified": True,
        "verification": None,
        "false_match_rate": None,
        "probability": None,
        "missing": False,
    }
    problem(client.post("/v1/search", json={"image": {"key": "nothing"}}), 404, "not-found")


@pytest.mark.parametrize("how", ["bytes", "form", "json", "key"])
def test_the_query_image_comes_back_small_where_it_is_asked_for(client: TestClient, how: str) -> None:
    data = encoded(drawn(5, (900, 600)), "PNG")
    ways = {
        "bytes": {"content": data, "params": {"preview": 300}},
        "form": {"files": {"file": ("q", data)}, "data": {"preview": "300"}},
        "json": {"json": {"image": {"base64": base64.b64encode(data).decode()}, "preview": 300}},
        "key": {"json": {"image": {"key": "07.png"}, "preview": 300}},
    }
    reply = client.post("/v1/search", **ways[how]).json()
    small = Image.open(BytesIO(base64.b64decode(reply["preview"])))
    assert (small.format, small.size) == ("JPEG", (160, 120) if how == "key" else (300, 200))
    assert client.post("/v1/search", content=data).json()["preview"] is None
    for wrong in (15, 1025):
        problem(client.post("/v1/search", content=data, params={"preview": wrong}), 400, "bad-input")
    broken = client.post("/v1/search", content=data[:2000], params={"preview": 300})
    assert problem(broken, 422, "image-rejected")["reason"] == "truncated"


def test_options_mean_the_same_wherever_they_stand(client: TestClient) -> None:
    filter = {"n": {"gte": 5, "lt": 9}}
    options: list[dict[str, Any]] = [
        {"params": {"filter": json.dumps(filter), "threshold": 0.9, "pipelines": "phash", "k": 50}},
        {"data": {"filter": json.dumps(filter), "threshold": "0.9", "pipelines": "phash", "k": "50"}},
    ]
    answers = [client.post("/v1/search", files={"file": ("q.jpg", COPY)}, **one) for one in options]
    coded = {"image": {"base64": base64.b64encode(COPY).decode()}}
    answers.append(
        client.post("/v1/search", json=coded | {"filter": filter, "threshold": 0.9, "pipelines": ["phash"], "k": 50})
    )
    for answer in answers:
        assert sorted(found(answer)) == ["05.png", "06.png", "07.png", "08.png"]


def test_orientations(client: TestClient) -> None:
    turned = encoded(ImageOps.mirror(drawn(7)).transpose(Image.Transpose.ROTATE_90))
    assert found(client.post("/v1/search", content=turned, params={"k": 1})) == ["07.png"]
    options = {"k": 1, "orientations": False, "verify": False}  # pixels are compared in every orientation
    strict = client.post("/v1/search", content=turned, params=options)
    assert strict.json()["hits"][0]["evidence"] == "similar"


def test_pages_and_cursors_give_everything_once(client: TestClient) -> None:
    whole = found(client.post("/v1/search", content=COPY, params={"k": 100}))
    assert len(whole) == IMAGES
    pages: list[str] = []
    for page in range(1, 6):
        answer = client.post("/v1/search", content=COPY, params={"k": 9, "page": page})
        pages += found(answer)
        assert answer.json()["more"] == (page < 5)
    assert pages == whole
    assert found(client.post("/v1/search", content=COPY, params={"k": 9, "page": 6})) == []
    assert walked(client, k=9) == whole
    second = client.post("/v1/search", content=COPY, params={"k": 9, "page": 2}).json()
    third = client.post("/v1/search", content=COPY, params={"k": 9, "cursor": second["next"]}).json()
    assert [hit["key"] for hit in third["hits"]] == whole[18:27]
    assert third["page"] == 3


def walked(client: TestClient, *, k: int, between: Any = None) -> list[str]:
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = client.post("/v1/search", content=COPY, params={"k": k} | ({"cursor": cursor} if cursor else {}))
        seen += found(answer)
        cursor = answer.json()["next"]
        if between is not None:
            between()
    return seen


def test_a_cursor_shows_nothing_twice_and_leaves_nothing_out_while_others_write(client: TestClient) -> None:
    count = 0

    def write() -> None:
        """Put images before and behind the place of the cursor, move one, change one, and take one away."""
        nonlocal count
        count += 1
        client.put(at(f"new {count}"), content=encoded(drawn(7), "JPEG", quality=60 + count))  # before it
        put(client, f"new far {count}", 100 + count)
        client.patch(at("03.png"), json={"attributes": {"round": count}})
        client.put(at("20.png"), content=COPY if count % 2 else encoded(drawn(20)))
        client.delete(at("39.png"))

    seen = walked(client, k=6, between=write)
    assert len(seen) == len(set(seen))
    assert {f"{n:02}.png" for n in range(39)} <= set(seen)
    for key in [i["key"] for i in client.get("/v1/images", params={"limit": 1000}).json()["images"]]:
        if key.startswith("new"):
            client.delete(at(key))
    put(client, "20.png", 20, n=20, odd=False)
    put(client, "39.png", 39, n=39, odd=True)


@pytest.mark.parametrize(
    ("options", "kind", "word"),
    [
        ({"k": 0}, "bad-input", "k"),
        ({"k": MAX_RESULTS + 1}, "bad-input", "k"),
        ({"page": 0}, "bad-input", "page"),
        ({"k": 1000, "page": 11}, "unsupported-query", str(MAX_RESULTS)),
        ({"threshold": 1.5}, "bad-input", "threshold"),
        ({"pipelines": "nothing"}, "unsupported-query", "nothing"),
        ({"filter": "{"}, "bad-input", "JSON"),
        ({"filter": '{"a": {"like": 1}}'}, "unsupported-query", "like"),
        ({"engine_filter": '{"elasticsearch": {}}'}, "unsupported-query", "elasticsearch"),
        ({"min_sequence": 10**9}, "unsupported-query", "future"),
        ({"cursor": "%%%"}, "unsupported-query", "cursor"),
        ({"cursor": "AAAAAAAAAAAAAAAA"}, "unsupported-query", "another search"),
        ({"unknown": 1}, "bad-input", "unknown"),
        ({"tenants": "some"}, "bad-input", "tenants"),
    ],
)
def test_options_that_make_no_sense(client: TestClient, options: dict[str, Any], kind: str, word: str) -> None:
    reply = problem(client.post("/v1/search", content=COPY, params=options), 400, kind)
    assert word in reply["detail"]


def test_a_cursor_belongs_to_its_search(client: TestClient) -> None:
    first = client.post("/v1/search", content=COPY, params={"k": 3}).json()["next"]
    for other in ({"threshold": 0.5}, {"orientations": False}, {"filter": '{"odd": true}'}):
        answer = client.post("/v1/search", content=COPY, params={"k": 3, "cursor": first, **other})
        assert "another search" in problem(answer, 400, "unsupported-query")["detail"]
    answer = client.post("/v1/search", content=COPY, params={"k": 3, "cursor": first, "page": 2})
    problem(answer, 400, "unsupported-query")
    answer = client.post("/v1/search", content=encoded(drawn(1)), params={"cursor": first})
    problem(answer, 400, "unsupported-query")


def test_own_writes_are_read(client: TestClient) -> None:
    for n in range(5):
        written = put(client, "own", 200 + n).json()["sequence"]
        query = encoded(drawn(200 + n), "JPEG")
        answer = client.post("/v1/search", content=query, params={"k": 1, "min_sequence": written})
        assert found(answer) == ["own"]
        assert answer.json()["sequence"] >= written
    client.delete(at("own"))


def test_tenants_are_searched_apart_and_by_admins_together(client: TestClient) -> None:
    client.put(at("other's.png"), content=encoded(drawn(7)), headers={"X-Tenant": "other"})
    assert found(client.post("/v1/search", content=COPY, params={"k": 2}))[0] == "07.png"
    alone = client.post("/v1/search", content=COPY, headers={"X-Tenant": "other"})
    assert found(alone) == ["other's.png"]
    nobody = client.post("/v1/search", content=COPY, headers={"X-Tenant": "nobody"})
    assert found(nobody) == []
    every = client.post("/v1/search", content=COPY, params={"k": 2, "tenants": "all"}).json()["hits"]
    assert {(hit["tenant"], hit["key"]) for hit in every} == {("default", "07.png"), ("other", "other's.png")}


def test_compare(client: TestClient) -> None:
    same = client.post("/v1/compare", json={"a": {"key": "07.png"}, "b": {"base64": base64.b64encode(COPY).decode()}})
    reply = same.json()
    assert reply["evidence"] == "copy"
    assert not reply["same_bytes"]
    [measured] = reply["pipelines"]
    assert measured["name"] == "phash"
    assert measured["copy"] is True
    assert measured["distance"] <= measured["threshold"]
    form = client.post("/v1/compare", files={"a": ("a", encoded(drawn(1))), "b": ("b", encoded(drawn(2)))}).json()
    assert form["evidence"] == "similar"
    one = encoded(drawn(1))
    assert client.post("/v1/compare", files={"a": ("a", one), "b": ("b", one)}).json()["same_bytes"] is True
    problem(client.post("/v1/compare", json={"a": {"key": "07.png"}}), 400, "bad-input")
    problem(client.post("/v1/compare", json={"a": {"key": "07.png"}, "b": {"key": "?"}}), 404, "not-found")
    problem(client.post("/v1/compare", json={"a": {"key": "07.png"}, "b": {"key": "01.png"}, "c": 1}), 400, "bad-input")
    problem(client.post("/v1/compare", content=one, headers=JPEG), 415, "bad-input")


def test_queries_that_are_no_images(client: TestClient) -> None:
    problem(client.post("/v1/search", content=b"text"), 422, "image-rejected")
    problem(client.post("/v1/search", json={"k": 3}), 400, "bad-input")
    problem(client.post("/v1/search", files={"k": (None, "3")}), 400, "bad-input")
    for body, kind in ((b"--", "multipart/form-data"), (b"--b\r\nContent-", "multipart/form-data; boundary=b")):
        problem(client.post("/v1/search", content=body, headers={"Content-Type": kind}), 400, "bad-input")


@pytest.mark.parametrize(
    ("path", "name", "meant"),
    [("/v1/search", "treshold", "threshold"), ("/v1/search", "wher", None), ("/v1/compare", "k", None)],
)
def test_unknown_query_parameters_are_refused(client: TestClient, path: str, name: str, meant: str | None) -> None:
    """An option that is ignored would change the meaning of the request."""
    reply = problem(client.post(path, content=COPY, headers=JPEG, params={name: "1"}), 400, "bad-input")
    assert name in reply["detail"]
    assert meant is None or f"did you mean {meant!r}" in reply["detail"]


@pytest.mark.parametrize(("path", "name", "meant"), [("/v1/images", "limt", "limit"), ("/v1/duplicates", "max", None)])
def test_unknown_query_parameters_of_lists_are_refused(
    client: TestClient, path: str, name: str, meant: str | None
) -> None:
    reply = problem(client.get(path, params={name: "1"}), 400, "bad-input")
    assert meant is None or f"did you mean {meant!r}" in reply["detail"]


def test_unknown_fields_of_json_name_a_similar_one(client: TestClient) -> None:
    reply = problem(client.post("/v1/search", json={"image": {"key": "01.png"}, "fliter": {}}), 400, "bad-input")
    assert "did you mean 'filter'" in reply["detail"]


def hash_of(client: TestClient) -> str:
    gallery = client.app.state.app_state.gallery  # type: ignore[attr-defined]
    [(_, features)] = gallery.encode([COPY])
    digits: str = features.features["phash"].tobytes().hex()
    return digits


def test_search_by_features(client: TestClient) -> None:
    digits = hash_of(client)
    plain = client.post("/v1/search", json={"features": {"phash": digits}, "k": 50})
    wide = client.post("/v1/search", json={"features": {"phash": {"hex": digits}}, "k": 50})
    assert found(plain) == found(wide)
    assert found(plain)[0] == "07.png"
    hits = plain.json()["hits"]
    assert hits[0]["evidence"] == "copy"
    assert not any(hit["verified"] for hit in hits)
    assert plain.json()["verification"] is None
    first = client.post("/v1/search", json={"features": {"phash": digits}, "k": 3}).json()
    second = client.post("/v1/search", json={"features": {"phash": digits}, "k": 3, "cursor": first["next"]})
    assert found(plain)[:6] == [hit["key"] for hit in first["hits"]] + found(second)
    other = {"features": {"phash": "0" * 16}, "k": 3, "cursor": first["next"]}
    assert "another search" in problem(client.post("/v1/search", json=other), 400, "unsupported-query")["detail"]


@pytest.mark.parametrize(
    ("body", "kind", "word"),
    [
        ({"features": {"phash": "12"}}, "unsupported-query", "16 hexadecimal digits"),
        ({"features": {"phash": {"base64": "AAAAAAAAAAA="}}}, "unsupported-query", "uint8"),
        ({"features": {"phash": {"hex": "0" * 16, "fingerprint": "b"}}}, "unsupported-query", "another encoder"),
        ({"features": {"nothing": "0" * 16}}, "unsupported-query", "nothing"),
        ({"features": {"phash": 12}}, "bad-input", "features"),
        ({"features": {}}, "bad-input", "features"),
        ({"features": {"phash": "0" * 16}, "image": {"key": "07.png"}}, "bad-input", "not both"),
        ({"features": {"phash": "0" * 16}, "preview": 100}, "bad-input", "preview"),
        ({"features": {"phash": "0" * 16}, "deep": True}, "unsupported-query", "deep"),
        ({"k": 3}, "bad-input", "features"),
    ],
)
def test_features_that_do_not_fit(client: TestClient, body: dict[str, Any], kind: str, word: str) -> None:
    assert word in problem(client.post("/v1/search", json=body), 400, kind)["detail"]
