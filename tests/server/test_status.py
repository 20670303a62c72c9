"""How the service tells that it lives, is ready, and what it does; and that every error is a problem."""

import json
import logging
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from lookalike.errors import Damaged, Unavailable
from lookalike.gallery import Gallery
from lookalike.server.serve import JsonLines
from tests.support.drawn_images import drawn, encoded
from tests.support.logs import logged
from tests.support.server.api import at, problem, put, serving
from tests.support.waiting import wait_until

SECRET = "password=hunter2"
LISTS = ("ImageList", "ClusterList", "JobList", "OutcomeList", "SearchBatchAnswer", "ChangeList", "ApiKeyList")
"""Schemas without an example of their own: those of their items have one."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Gallery]]:
    with serving(tmp_path_factory.mktemp("gallery") / "g") as (client, gallery):
        client.app.state.app_state.background_sync._open()  # type: ignore[attr-defined]  # now, not within a second
        yield client, gallery


@pytest.fixture
def client(both: tuple[TestClient, Gallery]) -> TestClient:
    return both[0]


def metric(client: TestClient, name: str, **labels: str) -> float:
    """A value out of /metrics."""
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return 0.0


def test_health_and_readiness(both: tuple[TestClient, Gallery]) -> None:
    client, gallery = both
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"ready": True, "missing": {}}
    pulse = client.app.state.app_state.health  # type: ignore[attr-defined]
    with (
        mock.patch.object(pulse, "_cache_seconds", 0.0),
        mock.patch.object(
            gallery.catalog.changes, "last_sequence", side_effect=Unavailable(f"cannot connect {SECRET}")
        ),
    ):
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "missing": {"catalog": "Unavailable"}}
    pulse._started.clear()
    assert int(answer.headers["retry-after"]) >= 1


def test_not_ready_until_the_pipelines_can_answer(tmp_path: Path) -> None:
    with serving(tmp_path / "g") as (client, gallery):
        keeper = client.app.state.app_state.background_sync  # type: ignore[attr-defined]
        keeper.close()  # the test does its work
        with mock.patch.object(gallery._pipelines, "open_encoded", side_effect=Unavailable("no weights yet")):
            keeper._unopened = {"phash": "not opened yet"}
            keeper._open()
            answer = client.get("/readyz")
            assert answer.status_code == 503
            assert answer.json()["missing"] == {"phash": "no weights yet"}
        keeper._open()
        assert client.get("/readyz").status_code == 200


def test_status(client: TestClient) -> None:
    put(client, "a", 1)
    client.app.state.app_state._status = None  # type: ignore[attr-defined]
    reply = client.get("/v1/status").json()
    assert reply["images"] == 1
    assert reply["tenant"] == "default"
    [pipeline] = reply["pipelines"]
    assert (pipeline["name"], pipeline["metric"], pipeline["rows"]) == ("phash", "hamming", 1)
    assert reply["limits"]["max_results"] == 10_000
    assert {"search", "jobs", "duplicates"} <= set(reply["features"])
    assert client.get("/v1/status", headers={"X-Tenant": "nobody"}).json()["images"] == 0


def test_metrics(client: TestClient) -> None:
    route = {"method": "PUT", "route": "/v1/images/{key}"}
    before = metric(client, "lookalike_requests_total", status="422", **route)
    client.put(at("secret-key"), content=b"nonsense")
    put(client, "m", 5)
    client.post("/v1/search", content=encoded(drawn(5)))
    client.get("/nowhere/at/all")
    reply = metric(client, "lookalike_rejected_total", reason="truncated")
    client.post("/v1/images:batch", files=[("file", ("t.jpg", encoded(drawn(5), "JPEG")[:300]))])
    assert metric(client, "lookalike_rejected_total", reason="truncated") == reply + 1
    assert metric(client, "lookalike_images_written_total", outcome="rejected") >= 1
    assert metric(client, "lookalike_requests_total", status="422", **route) == before + 1
    assert metric(client, "lookalike_rejected_total", reason="not_an_image") >= 1
    assert metric(client, "lookalike_request_seconds_count", **route) >= 2
    assert metric(client, "lookalike_stage_seconds_count", stage="phash") >= 1
    assert metric(client, "lookalike_images") >= 1
    assert metric(client, "lookalike_index_rows", pipeline="phash") >= 1
    assert metric(client, "lookalike_index_lag", pipeline="phash") >= 0
    assert metric(client, "lookalike_waiting") == 0
    assert metric(client, "lookalike_ready") == 1
    assert [metric(client, "lookalike_up", part=part) for part in ("catalog", "phash")] == [1, 1]
    assert metric(client, "lookalike_requests_total", route="(none)", status="404") >= 1
    assert "secret-key" not in client.get("/metrics").text, "keys are no labels"


def test_request_ids(client: TestClient) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"
    for wrong in ("", "a b", "x" * 65, "a\u00ff".encode("latin-1")):
        made = client.get("/healthz", headers={"X-Request-Id": wrong}).headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{32}", made)


def test_the_log_has_one_line_a_request_and_no_secret(client: TestClient) -> None:
    request = uuid.uuid4().hex
    with logged("lookalike.requests", logging.INFO) as records:
        answer = client.get(
            at("my/secret key"), headers={"X-Request-Id": request, "X-Tenant": "t", "X-Forwarded-Proto": "x"}
        )
        problem(answer, 404, "not-found")
        own = lambda: [record for record in records if record.fields["id"] == request]  # type: ignore[attr-defined]  # noqa: E731
        wait_until(own, "it was not logged")
    [line] = [json.loads(JsonLines().format(record)) for record in own()]
    assert (line["method"], line["route"], line["status"]) == ("GET", "/v1/images/{key}", 404)
    assert line["tenant"] == "t"
    assert line["ms"] >= 0
    assert line["sent"] > 0
    assert "secret" not in json.dumps(line)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [(RuntimeError(SECRET), 500, "lookalike-error"), (Damaged("the catalog is damaged"), 500, "damaged")],
)
def test_unexpected_errors_show_nothing_of_the_inside(
    both: tuple[TestClient, Gallery],
    error: Exception,
    status: int,
    kind: str,
) -> None:
    client, gallery = both
    with logged("lookalike.server") as records, mock.patch.object(type(gallery), "get", side_effect=error):
        reply = problem(client.get(at("a")), status, kind)
    assert SECRET not in json.dumps(reply)
    assert reply["instance"] in "".join(JsonLines().format(r) for r in records), "the log can be asked about it"


def test_what_may_work_later_says_when(both: tuple[TestClient, Gallery]) -> None:
    client, gallery = both
    with mock.patch.object(type(gallery), "get", side_effect=Unavailable("down", retry_after=7.2)):
        answer = client.get(at("a"))
    problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("GET", "/v1/images/a/b/c", 404, "not-found"),
        ("DELETE", "/v1/search", 405, "bad-input"),
        ("POST", "/v1/status", 405, "bad-input"),
        ("BREW", "/v1/status", 405, "bad-input"),
        ("GET", "/v1/" + "a" * 9000, 400, "bad-input"),
    ],
)
def test_every_error_is_a_problem(client: TestClient, method: str, path: str, status: int, kind: str) -> None:
    problem(client.request(method, path), status, kind)


def test_a_wrong_method_is_told_the_right_ones(client: TestClient) -> None:
    assert client.post(at("a")).headers["allow"] == "DELETE, GET, HEAD, PATCH, PUT"
    assert client.delete("/v1/search").headers["allow"] == "POST"


def same_but_no_body(client: TestClient, path: str, **given: Any) -> None:
    """Fail unless HEAD gives what GET gives, without the body."""
    got, head = client.get(path, **given), client.head(path, **given)
    varying = {"x-request-id", "retry-after"}
    assert head.status_code == got.status_code, path
    assert head.content == b"", path
    reply = [{n: v for n, v in answer.headers.items() if n not in varying} for answer in (head, got)]
    assert reply[0] == reply[1], path


def test_head_is_get_without_a_body(client: TestClient) -> None:
    put(client, "head/1", 21)
    put(client, "head/2", 22)
    image = at("head/1")
    for path in ("/healthz", "/readyz", "/v1/openapi.json", image, f"{image}/thumbnail", "/v1/jobs", "/v1/duplicates"):
        assert client.head(path).status_code == 200, path
        same_but_no_body(client, path)
    same_but_no_body(client, "/v1/images", params={"prefix": "head/", "limit": 1})
    same_but_no_body(client, f"{image}/thumbnail", params={"size": 32})
    for answer, method in ((client.head(image), client.get), (client.head(f"{image}/thumbnail"), client.get)):
        path = str(answer.url)
        assert int(answer.headers["content-length"]) == len(method(path).content) > 0
        again = {"If-None-Match": answer.headers["etag"]}
        assert client.head(path, headers=again).status_code == 304
        same_but_no_body(client, path, headers=again)
    for path, status in ((at("none"), 404), ("/nowhere", 404), ("/v1/search", 405), ("/v1/images?limit=0", 400)):
        assert client.head(path).status_code == status
        assert client.head(path).content == b""
    route = {"route": "/v1/images/{key}", "status": "404"}
    before = metric(client, "lookalike_requests_total", method="HEAD", **route)
    client.head(at("none"))
    assert metric(client, "lookalike_requests_total", method="HEAD", **route) == before + 1


def test_another_spelling_of_a_path_is_the_same_path(client: TestClient) -> None:
    put(client, "spelt", 9)
    assert client.get("/v1/im%61ges/sp%65lt").status_code == 200
    assert client.post("/v1/images%3Adelete", json={"keys": ["spelt"]}).json()["deleted"] == 1


def test_the_description_is_complete(client: TestClient) -> None:
    described: dict[str, Any] = client.get("/v1/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    whole = json.dumps(described)
    for name in re.findall(r'"#/components/schemas/(\w+)"', whole):
        assert name in described["components"]["schemas"], name
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert operation["operationId"], (method, path)
            body = operation.get("requestBody", {}).get("content", {})
            reference = body.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
            if reference:
                assert described["components"]["schemas"][reference].get("examples"), (method, path)
            for media in operation["responses"].get("200", {}).get("content", {}).values():
                answered = media.get("schema", {}).get("$ref", "").rpartition("/")[2]
                schema = described["components"]["schemas"].get(answered, {})
                reply = schema.get("examples") or any("examples" in p for p in schema.get("properties", {}).values())
                assert not answered or reply or answered in (*LISTS, "Ready"), answered
