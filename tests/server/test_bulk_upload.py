"""Many images in one request, duplicates among them, and jobs."""

import base64
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lookalike.server import job_runner
from lookalike.server.app_state import ServeSettings
from lookalike.server.routes import bulk_upload
from lookalike.server.url_fetch.fetcher import Fetcher, parse_networks
from tests.support.drawn_images import drawn, encoded
from tests.support.server.api import NDJSON, at, lines, problem, put, serving
from tests.support.waiting import HANG_SECONDS


def line(key: str, seed: int, **attributes: Any) -> bytes:
    coded = base64.b64encode(encoded(drawn(seed))).decode()
    return json.dumps({"key": key, "image": {"base64": coded}, "attributes": attributes}).encode() + b"\n"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with serving(tmp_path / "g") as (client, _):
        yield client


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A server for tests that do not mind what others have put into its gallery."""
    with serving(tmp_path_factory.mktemp("shared") / "g") as (client, _):
        yield client


def test_a_form_of_files(client: TestClient) -> None:
    files: list[tuple[str, Any]] = [("attributes", (None, '{"album": "Alps"}'))]
    files += [("file", (f"photos/{n}.png", encoded(drawn(n)))) for n in range(100)]
    files.insert(50, ("file", ("notes.txt", b"no image")))
    reply = lines(client.post("/v1/images:batch", files=files))
    assert [one["key"] for one in reply] == [file[0] for _, file in files[1:]]
    assert [one["outcome"] for one in reply].count("added") == 100
    [rejected] = [one for one in reply if one["outcome"] == "rejected"]
    assert rejected["key"] == "notes.txt"
    assert rejected["reason"].startswith("not_an_image: ")
    assert client.get(at("photos/7.png")).json()["attributes"] == {"album": "Alps"}
    assert client.get("/v1/images").json()["total"] == 100


def test_lines_of_json(client: TestClient) -> None:
    body = line("a", 1, n=1) + b"\n" + line("b", 1) + line("c", 2).rstrip(b"\n")
    reply = lines(client.post("/v1/images:batch", content=body, headers=NDJSON))
    assert [(one["key"], one["outcome"]) for one in reply] == [("a", "added"), ("b", "duplicate"), ("c", "added")]
    assert all(one["sequence"] for one in reply)
    assert client.get(at("a")).json()["attributes"] == {"n": 1}


def test_attributes_for_all_images(client: TestClient) -> None:
    body = line("a", 1, n=1) + json.dumps({"key": "b", "image": json.loads(line("b", 2))["image"]}).encode()
    params = {"attributes": '{"album": "Alps"}'}
    client.post("/v1/images:batch", content=body, headers=NDJSON, params=params)
    client.post("/v1/images:batch", files=[("file", ("c", encoded(drawn(3))))], params=params)
    stored = [client.get(at(key)).json()["attributes"] for key in "abc"]
    assert stored == [{"n": 1}, {"album": "Alps"}, {"album": "Alps"}]
    problem(
        client.post("/v1/images:batch", content=body, headers=NDJSON, params={"attributes": "[]"}), 400, "bad-input"
    )


def test_what_came_before_an_error_is_kept_and_told(client: TestClient) -> None:
    body = line("a", 1) + b'{"key": "b"}\n' + line("c", 2)
    reply = lines(client.post("/v1/images:batch", content=body, headers=NDJSON))
    assert [one.get("key") for one in reply] == ["a", None]
    assert reply[1]["error"]["type"] == "urn:lookalike:error:bad-input"
    assert "image" in reply[1]["error"]["detail"]
    assert client.get(at("a")).status_code == 200
    assert client.get(at("c")).status_code == 404


def test_a_batch_has_an_end(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_upload, "MAX_IMAGES", 2)
    body = b"".join(line(str(n), n) for n in range(3))
    reply = lines(client.post("/v1/images:batch", content=body, headers=NDJSON))
    assert [one.get("key") for one in reply] == ["0", "1", None]
    assert "at most 2 images" in reply[2]["error"]["detail"]


def test_other_types_and_empty_bodies(shared: TestClient) -> None:
    client = shared
    problem(client.post("/v1/images:batch", content=b"", headers={"Content-Type": "text/plain"}), 415, "bad-input")
    assert lines(client.post("/v1/images:batch", content=b"", headers=NDJSON)) == []
    [reply] = lines(client.post("/v1/images:batch", files={"other": ("x", b"")}))
    assert "error" in reply


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/x-ndjson", "text/html"])
@pytest.mark.parametrize("kind", ["form", "lines"])
def test_the_form_of_the_response_is_chosen(shared: TestClient, kind: str, accept: str) -> None:
    client, headers = shared, {"Accept": accept}
    for number in (0, 3):
        names = [f"{kind} {n}" for n in range(number)]
        if kind == "form":
            files = [("file", (name, encoded(drawn(n)))) for n, name in enumerate(names)]
            files = files or [("attributes", (None, "{}"))]  # type: ignore[list-item]
            answer = client.post("/v1/images:batch", files=files, headers=headers)
        else:
            body = b"".join(line(name, n) for n, name in enumerate(names))
            answer = client.post("/v1/images:batch", content=body, headers=headers | NDJSON)
        is_lines = accept == "application/x-ndjson" or (kind == "lines" and accept != "application/json")
        assert answer.headers["content-type"] == ("application/x-ndjson" if is_lines else "application/json")
        assert "Accept" in answer.headers["vary"]
        assert [one["key"] for one in lines(answer)] == names
    broken = client.post("/v1/images:batch", content=line("a", 1) + b"nonsense", headers=headers | NDJSON)
    assert [one.get("key") for one in lines(broken)] == ["a", None]


def test_the_memory_of_a_batch_is_given_back(shared: TestClient) -> None:
    client = shared
    files = [("file", (f"{n}.png", encoded(drawn(n)))) for n in range(20)]
    client.post("/v1/images:batch", files=files)
    client.post("/v1/images:batch", content=line("a", 1) + b"nonsense", headers=NDJSON)
    assert client.app.state.app_state.memory.used == 0  # type: ignore[attr-defined]


def test_duplicates_and_what_is_none(client: TestClient) -> None:
    for n in range(5):
        put(client, f"a{n}", n)
        client.put(at(f"b{n}"), content=encoded(drawn(n), "JPEG"))
    clusters: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get("/v1/duplicates", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        clusters += [[image["key"] for image in cluster["images"]] for cluster in page["clusters"]]
        cursor = page["next"]
    assert clusters == [[f"a{n}", f"b{n}"] for n in range(5)]
    pair = {"keys": ["a3", "b3"]}
    assert client.post("/v1/duplicates:not-a-match", json=pair).status_code == 204
    assert len(client.get("/v1/duplicates").json()["clusters"]) == 4
    assert client.request("DELETE", "/v1/duplicates:not-a-match", json=pair).status_code == 204
    assert len(client.get("/v1/duplicates").json()["clusters"]) == 5
    problem(client.post("/v1/duplicates:not-a-match", json={"keys": ["a1", "?"]}), 404, "not-found")
    problem(client.post("/v1/duplicates:not-a-match", json={"keys": ["a1"]}), 400, "bad-input")


def ended(client: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    until = time.monotonic() + HANG_SECONDS
    while time.monotonic() < until:
        reply: dict[str, Any] = client.get(f"/v1/jobs/{job['id']}").json()
        if reply["state"] not in ("queued", "running"):
            return reply
        time.sleep(0.05)
    raise AssertionError(f"the job did not end: {reply}")


def test_jobs_to_find_copies_repair_and_delete(client: TestClient) -> None:
    for n in range(4):
        put(client, f"a{n}", n % 3, n=n)
    found = client.post("/v1/jobs", json={"kind": "duplicates"})
    assert found.status_code == 202
    assert found.headers["location"] == f"/v1/jobs/{found.json()['id']}"
    reply = ended(client, found.json())
    assert reply["state"] == "done"
    assert reply["result"] == {"clusters": [["a0", "a3"]]}
    assert reply["progress"] == {"done": 1, "total": None, "counts": {"clusters": 1, "images": 2}}
    reply = ended(client, client.post("/v1/jobs", json={"kind": "repair"}).json())
    assert reply["progress"]["counts"] == {"phash": 4}
    reply = ended(client, client.post("/v1/jobs", json={"kind": "delete", "filter": {"n": {"gte": 2}}}).json())
    assert reply["progress"]["counts"] == {"deleted": 2}
    assert client.get("/v1/images").json()["total"] == 2
    jobs = client.get("/v1/jobs", params={"limit": 2}).json()
    assert [job["kind"] for job in jobs["jobs"]] == ["delete", "repair"]
    rest = client.get("/v1/jobs", params={"cursor": jobs["next"]}).json()
    assert [job["kind"] for job in rest["jobs"]] == ["duplicates"]
    assert rest["next"] is None
    theirs = {"X-Tenant": "theirs"}
    assert client.get("/v1/jobs", headers=theirs).json()["jobs"] == []
    problem(client.get(f"/v1/jobs/{reply['id']}", headers=theirs), 404, "not-found")
    problem(client.post(f"/v1/jobs/{reply['id']}:cancel", headers=theirs), 404, "not-found")
    assert client.post(f"/v1/jobs/{reply['id']}:cancel").json()["state"] == "done"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"kind": "other"},
        {"kind": "delete"},
        {"kind": "delete", "filter": {}},
        {"kind": "import"},
        {"kind": "import", "urls": []},
        {"kind": "import", "urls": ["http://a.example"], "paths": ["/x"]},
        {"kind": "repair", "more": 1},
        {"kind": "import", "paths": ["/etc/passwd"]},
    ],
)
def test_jobs_that_make_no_sense(shared: TestClient, wrong: dict[str, Any]) -> None:
    problem(shared.post("/v1/jobs", json=wrong), 400, "bad-input")


def test_importing_files_only_from_below_the_named_folder(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        (folder / "deep").mkdir(parents=True)
        for n in range(3):
            (folder / "deep" / f"{n}.png").write_bytes(encoded(drawn(n)))
    (inside / "bad.png").write_bytes(b"no image")
    with serving(tmp_path / "g", ServeSettings(import_from=(inside,))) as (client, _):
        for wrong in (outside, inside / ".." / "outside", tmp_path):
            answer = client.post("/v1/jobs", json={"kind": "import", "paths": [str(wrong)]})
            assert "--import-from" in problem(answer, 400, "bad-input")["detail"]
        job = client.post("/v1/jobs", json={"kind": "import", "paths": [str(inside)], "attributes": {"x": 1}})
        reply = ended(client, job.json())
        assert reply["progress"]["counts"] == {"added": 3, "rejected": 1}
        assert reply["result"]["rejected"][0]["key"] == "bad.png"
        assert client.get(at("deep/1.png")).json()["attributes"] == {"x": 1}


def test_a_job_is_left_to_the_process_that_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers on one gallery in a file: only the writer can add, whichever claims the job first."""
    monkeypatch.setattr(job_runner, "RETRY_SECONDS", 0.5)
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(encoded(drawn(1)))
    may = ServeSettings(import_from=(photos,))
    with serving(tmp_path / "g") as (writer, _):
        put(writer, "first", 2)
        with serving(tmp_path / "g", may) as (reader, _):
            problem(reader.put(at("x"), content=encoded(drawn(3))), 503, "gallery-busy")
            writer.app.state.app_state.jobs.close()  # type: ignore[attr-defined]  # another process writes, this one asks
            job = reader.post("/v1/jobs", json={"kind": "import", "paths": [str(photos)]}).json()
            time.sleep(1.0)
            assert reader.get(f"/v1/jobs/{job['id']}").json()["state"] in ("queued", "running")
            assert reader.get("/v1/status").json()["images"] == 1
    with serving(tmp_path / "g", may) as (client, _):
        assert ended(client, job)["progress"]["counts"] == {"added": 1}


class _Images(BaseHTTPRequestHandler):
    """Gives a drawn image by number, slowly where asked for."""

    def do_GET(self) -> None:
        name = self.path.strip("/")
        if name.startswith("slow"):
            time.sleep(0.3)
        data = encoded(drawn(int(name.strip("slow")))) if name.strip("slow").isdecimal() else b"no image"
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def images() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Images)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_images_by_url(tmp_path: Path, images: str) -> None:
    port = int(images.rpartition(":")[2])
    fetcher = Fetcher(allow=parse_networks(["127.0.0.0/8"]), ports=[port])
    with serving(tmp_path / "g", fetcher=fetcher) as (client, _):
        assert client.put(at("one"), json={"image": {"url": f"{images}/1"}}).status_code == 201
        hits = client.post("/v1/search", json={"image": {"url": f"{images}/1"}}).json()["hits"]
        assert (hits[0]["key"], hits[0]["evidence"]) == ("one", "exact")
        body = [json.dumps({"key": f"u{n}", "image": {"url": f"{images}/{n}"}}) for n in ("2", "x")]
        reply = lines(client.post("/v1/images:batch", content="\n".join(body).encode(), headers=NDJSON))
        assert {one["key"]: one["outcome"] for one in reply} == {"u2": "added", "ux": "rejected"}
        urls = [f"{images}/{n}" for n in range(5)] + [f"{images}/x"]
        reply = ended(client, client.post("/v1/jobs", json={"kind": "import", "urls": urls}).json())
        assert reply["progress"]["done"] == reply["progress"]["total"] == 6
        assert reply["progress"]["counts"]["rejected"] == 1
        assert client.get(at(urls[3])).status_code == 200
        slow = [f"{images}/slow{n}" for n in range(200)]
        job = client.post("/v1/jobs", json={"kind": "import", "urls": slow}).json()
        time.sleep(1.0)
        assert client.post(f"/v1/jobs/{job['id']}:cancel").json()["state"] == "cancelled"
        again = client.post("/v1/jobs", json={"kind": "duplicates"}).json()
        assert ended(client, again)["state"] == "done", "the runner has left the cancelled job"
        assert client.get(f"/v1/jobs/{job['id']}").json()["state"] == "cancelled"


def test_urls_into_private_networks_are_refused(client: TestClient, images: str) -> None:
    problem(client.put(at("x"), json={"image": {"url": f"{images}/1"}}), 400, "bad-input")
    problem(client.post("/v1/search", json={"image": {"url": "file:///etc/passwd"}}), 400, "bad-input")
