"""Clean-up and originals over HTTP: who may, what is planned, chosen, applied and undone."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from lookalike.catalog.api_keys import Scope
from lookalike.gallery import Gallery
from lookalike.server.app_state import ServeSettings
from lookalike.server.cleanup_plans import MAX_PLANS
from tests.support.cleanup_files import add_photos, content, make_photos, own_trash, tree
from tests.support.drawn_images import drawn, encoded
from tests.support.server.api import application, at, problem, put, serving

PATHS = ("plan", "apply", "undo")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos")


@pytest.fixture
def served(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TestClient, Gallery]]:
    """A server on loopback whose gallery holds the folder."""
    own_trash(tmp_path / "home", monkeypatch)
    with serving(tmp_path / "gallery") as (client, gallery):
        add_photos(gallery, folder)
        yield client, gallery


def test_plan_apply_undo(served: tuple[TestClient, Gallery], folder: Path) -> None:
    client, gallery = served
    before, images = tree(folder), content(gallery)
    plan = client.post("/v1/duplicates:plan", json={"keep": ["pixels"], "exact_only": True}).json()
    assert (plan["removed"], plan["out_of_scope"], plan["to"]) == (3, 6, "trash")
    marks = {image["key"]: image["mark"] for group in plan["groups"] for image in group["images"]}
    assert sorted(key for key, mark in marks.items() if mark == "remove") == [f"card/{n}.jpg" for n in range(3)]
    assert plan["frees"] == sum((folder / "card" / f"{n}.jpg").stat().st_size for n in range(3))
    assert tree(folder) == before
    report = client.post("/v1/duplicates:apply", json={"plan": plan["plan"]}).json()
    assert {outcome["outcome"] for outcome in report["outcomes"]} == {"removed"}
    assert report["frees"] == plan["frees"]
    assert not any((folder / "card").iterdir())
    assert len(content(gallery)) == 9
    undone = client.post("/v1/duplicates:undo", json={"run": report["run"]}).json()
    assert [outcome["outcome"] for outcome in undone["outcomes"]] == ["restored"] * 3
    assert (tree(folder), content(gallery)) == (before, images)
    problem(client.post("/v1/duplicates:undo", json={}), 404, "not-found")


def test_groups_and_images_that_a_person_chose(served: tuple[TestClient, Gallery], folder: Path) -> None:
    client, gallery = served
    plan = client.post("/v1/duplicates:plan", json={}).json()
    first, second, _ = (group["id"] for group in plan["groups"])
    choices = [{"id": first, "keep": ["0 small.png", "card/0.jpg"]}, {"id": second}]
    report = client.post("/v1/duplicates:apply", json={"plan": plan["plan"], "groups": choices}).json()
    assert {outcome["key"] for outcome in report["outcomes"]} == {
        *("0.jpg", "0 low.jpg"),
        *("1 small.png", "1 low.jpg", "card/1.jpg"),
    }
    assert (folder / "2 low.jpg").exists()
    for groups in ([{"id": first, "keep": ["1.jpg"]}], [{"id": "f" * 16}]):
        problem(client.post("/v1/duplicates:apply", json={"plan": plan["plan"], "groups": groups}), 400, "bad-input")
    assert len(content(gallery)) == 12 - 5


def test_listed_groups_are_planned_with_the_images_that_a_person_keeps(
    served: tuple[TestClient, Gallery], folder: Path
) -> None:
    client, _ = served
    put(client, "bytes", 5)
    put(client, "same bytes", 5)
    listed = client.get("/v1/duplicates").json()["clusters"]
    of_bytes = next(group for group in listed if {image["path"] for image in group["images"]} == {None})
    first, second = [group for group in listed if group is not of_bytes][:2]
    kept = [first["images"][1]["key"], first["images"][0]["key"]]
    choices = [{"id": first["id"], "keep": kept}, {"id": of_bytes["id"], "keep": ["bytes"]}]
    plan = client.post("/v1/duplicates:plan", json={"groups": choices}).json()
    assert [group["id"] for group in plan["groups"]] == [first["id"], of_bytes["id"]]
    marks = {image["key"]: image["mark"] for image in plan["groups"][0]["images"]}
    assert sorted(key for key, mark in marks.items() if mark == "keep") == sorted(kept)
    assert {image["mark"] for image in plan["groups"][1]["images"]} == {"skip"}
    assert second["id"] not in [group["id"] for group in plan["groups"]]
    report = client.post("/v1/duplicates:apply", json={"plan": plan["plan"], "groups": choices}).json()
    assert {outcome["key"] for outcome in report["outcomes"]} == set(marks) - set(kept)
    assert all((folder / key).exists() for key in kept)


def test_a_group_whose_kept_file_is_gone_is_left_alone(served: tuple[TestClient, Gallery], folder: Path) -> None:
    client, _ = served
    first, second = client.get("/v1/duplicates").json()["clusters"][:2]
    kept = {group["id"]: group["images"][0]["key"] for group in (first, second)}
    (folder / kept[first["id"]]).unlink()
    choices = [{"id": id_, "keep": [key]} for id_, key in kept.items()]
    plan = client.post("/v1/duplicates:plan", json={"groups": choices}).json()
    assert {image["mark"] for image in plan["groups"][0]["images"]} == {"skip"}
    assert plan["groups"][1]["frees"] > 0
    problem(client.post("/v1/duplicates:plan", json={"groups": [{"id": "f" * 16}]}), 404, "not-found")
    headers = {"X-Tenant": "other"}
    problem(client.post("/v1/duplicates:plan", json={"groups": choices}, headers=headers), 404, "not-found")


def test_a_plan_is_looked_at_again_when_it_is_applied(served: tuple[TestClient, Gallery], folder: Path) -> None:
    client, _ = served
    plan = client.post("/v1/duplicates:plan", json={"exact_only": True}).json()
    (folder / "card" / "0.jpg").chmod(0o444)
    (folder / "1.jpg").unlink()
    report = client.post("/v1/duplicates:apply", json={"plan": plan["plan"]}).json()
    assert [outcome["key"] for outcome in report["outcomes"]] == ["card/2.jpg"]
    assert report["skipped"] == {"read-only: make it writable to have it removed": 1, "the file is missing": 1}


def test_plans_are_kept_for_a_while(served: tuple[TestClient, Gallery]) -> None:
    client, _ = served
    plans = [client.post("/v1/duplicates:plan", json={}).json()["plan"] for _ in range(MAX_PLANS + 1)]
    for plan in (plans[0], "nothing"):
        problem(client.post("/v1/duplicates:apply", json={"plan": plan}), 404, "not-found")
    headers = {"X-Tenant": "other"}
    problem(client.post("/v1/duplicates:apply", json={"plan": plans[-1]}, headers=headers), 404, "not-found")
    assert client.post("/v1/duplicates:apply", json={"plan": plans[-1], "groups": []}).json()["outcomes"] == []


def test_plans_that_cannot_be(served: tuple[TestClient, Gallery]) -> None:
    bodies: list[dict[str, object]] = [
        *({"to": "/tmp"}, {"to": "folder"}, {"keep": ["size"]}, {"min_bytes": -1}, {"max_distance": 2}, {"more": 1}),
        *({"pipelines": ["x"]}, {"filter": {}}, {"filter": {"a": {"near": 1}}}),
    ]
    for body in bodies:
        answer = served[0].post("/v1/duplicates:plan", json=body)
        problem(answer, 400, "unsupported-query" if "pipelines" in body or "near" in str(body) else "bad-input")


def test_a_reference_folder_that_does_not_exist(served: tuple[TestClient, Gallery], folder: Path) -> None:
    body = {"references": [str(folder / "nowhere")]}
    assert "nowhere" in problem(served[0].post("/v1/duplicates:plan", json=body), 404, "not-found")["detail"]


def test_paths_and_equal_images_are_listed(served: tuple[TestClient, Gallery], folder: Path) -> None:
    client, _ = served
    for group in client.get("/v1/duplicates", params={"limit": 1000}).json()["clusters"]:
        assert [image["path"] for image in group["images"]] == [str(folder / i["key"]) for i in group["images"]]
        digests = [image["sha256"] for image in group["images"]]
        for same, digest in zip(group["same"], digests, strict=True):
            assert digests.count(digest) == group["same"].count(same)
    assert client.get(at("0.jpg")).json()["path"] == str(folder / "0.jpg")
    put(client, "bytes", 5)
    assert client.get(at("bytes")).json()["path"] is None


def test_originals(served: tuple[TestClient, Gallery], folder: Path) -> None:
    client, _ = served
    answer = client.get(at("card/0.jpg") + "/original")
    assert answer.content == (folder / "card" / "0.jpg").read_bytes()
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''0.jpg"
    again = client.get(at("card/0.jpg") + "/original", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(at("1 small.png") + "/original").headers["content-type"] == "image/png"
    put(client, "bytes", 5)
    (folder / "0.jpg").write_bytes(encoded(drawn(50), "JPEG"))
    (folder / "1.jpg").unlink()
    for key in ("bytes", "0.jpg", "1.jpg", "nothing"):
        problem(client.get(at(key) + "/original"), 404, "not-found")


def test_originals_that_browsers_do_not_show_are_jpegs_in_full_size(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    image = drawn(60, (1500, 1100))
    logo = Image.new("RGBA", (300, 200), (255, 255, 255, 0))
    logo.paste((255, 255, 255, 255), (100, 50, 200, 150))
    image.save(folder / "a.tif")
    image.save(folder / "b.tga")
    logo.save(folder / "logo.png")
    with serving(tmp_path / "g") as (client, gallery):
        gallery.add(folder)
        for name in ("a.tif", "b.tga"):
            answer = client.get(at(name) + "/original", params={"jpeg": True})
            assert answer.headers["content-type"] == "image/jpeg"
            assert answer.headers["content-disposition"] == f"inline; filename*=UTF-8''{name}.jpg"
            shown = Image.open(BytesIO(answer.content))
            assert (shown.format, shown.size) == ("JPEG", image.size)
            assert np.abs(np.asarray(shown, float) - np.asarray(image, float)).mean() < 2
            plain = client.get(at(name) + "/original")
            assert plain.content == (folder / name).read_bytes()
            assert plain.headers["etag"] != answer.headers["etag"]
        shown = Image.open(BytesIO(client.get(at("logo.png") + "/original?jpeg=true").content))
        assert max(shown.getpixel((5, 5))) < 30 < 225 < min(shown.getpixel((150, 100)))  # type: ignore[arg-type,type-var]


@pytest.fixture(scope="module")
def one_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Gallery]]:
    """A server whose gallery holds one file, which no test changes."""
    folder = tmp_path_factory.mktemp("one")
    (folder / "a.png").write_bytes(encoded(drawn(1)))
    with serving(folder / "gallery") as (client, gallery):
        gallery.add([folder / "a.png"])
        yield client, gallery


@pytest.fixture(scope="module")
def tokens(one_image: tuple[TestClient, Gallery]) -> dict[str, str]:
    """By scope, an API key of the gallery with one file."""
    scopes: tuple[Scope, ...] = ("read", "write", "admin")
    return {scope: one_image[1].catalog.api_keys.create(scope, tenant="default")[1] for scope in scopes}


@pytest.mark.parametrize("setting", [None, True, False])
@pytest.mark.parametrize(
    ("address", "headers", "is_local"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("192.0.2.7", {}, False),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, False),
        ("127.0.0.1", {"Via": "1.1 proxy"}, False),
    ],
)
def test_who_may(
    one_image: tuple[TestClient, Gallery],
    tokens: dict[str, str],
    setting: bool | None,
    address: str,
    headers: dict[str, str],
    is_local: bool,
) -> None:
    """With API keys: files are for callers on the machine, or where the operator allows; changing them for admins."""
    app = application(one_image[1], ServeSettings(local_files=setting))
    allowed = is_local if setting is None else setting
    with TestClient(app, base_url="http://127.0.0.1:8000", client=(address, 50_000)) as client:
        for scope, token in tokens.items():
            sent = {"Authorization": f"Bearer {token}", **headers}
            check_who_may(client, sent, scope, allowed, str(one_image[1].get("a.png").path))


def check_who_may(client: TestClient, sent: dict[str, str], scope: str, allowed: bool, path_stored: str) -> None:
    """What a caller with this scope gets; `allowed` to see and change files, as an admin."""
    found = client.get(at("a.png") + "/original", headers=sent)
    assert found.status_code == (200 if allowed else 403), found.text
    status = client.get("/v1/status", headers=sent).json()
    assert ("local_files" in status["features"]) == allowed
    for image in (client.get(at("a.png"), headers=sent), client.get("/v1/images", headers=sent)):
        assert (path_stored in image.text) == allowed
    bodies = {"plan": {}, "apply": {"plan": "x"}, "undo": {}}
    for path in PATHS:
        answer = client.post(f"/v1/duplicates:{path}", json=bodies[path], headers=sent)
        expected = 403 if scope != "admin" or not allowed else 200 if path == "plan" else 404
        assert answer.status_code == expected, (path, answer.text)
    if not allowed and scope == "admin":
        assert "--local-files" in answer.json()["detail"]
