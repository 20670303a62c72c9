"""Tenants learn nothing of one another: what one sees is the same whether others are there or not."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.server.tenant_service import IMAGES, KEYS, TENANTS, Step, World, path_of, seen

Doing = Callable[[World, Step], list[httpx.Response]]
DOINGS: dict[str, Doing] = {}
COVERED: set[tuple[str, str]] = set()


def doing(*covers: str) -> Callable[[Doing], Doing]:
    """Register something that tenants do, with the operations of the API that it uses."""

    def register(function: Doing) -> Doing:
        DOINGS[function.__name__] = function
        COVERED.update((method, path) for method, path in (text.split(" ") for text in covers))
        return function

    return register


def key_of(step: Step) -> str:
    return str(step.pick(0, KEYS))


def image_of(step: Step, place: int = 1) -> bytes:
    return bytes(step.pick(place, IMAGES))


@doing("POST /v1/search:batch")
def search_batch(world: World, step: Step) -> list[httpx.Response]:
    sources = [{"key": key_of(step)}, {"base64": base64.b64encode(image_of(step)).decode()}]
    return [world.send(step.who, "POST", "/v1/search:batch", json={"images": sources, "k": 3})]


@doing("POST /v1/folders")
def name_folder(world: World, step: Step) -> list[httpx.Response]:
    body = {"machine": "laptop", "folder": f"/{step.pick(0, KEYS)}/photos"}
    return [world.send(step.who, "POST", "/v1/folders", json=body)]


@doing("GET /v1/keys", "POST /v1/keys", "POST /v1/keys/{key_id}:rotate", "POST /v1/keys/{key_id}:revoke")
def keys(world: World, step: Step) -> list[httpx.Response]:
    """Their keys write; what admins of a tenant see is in test_keys.py."""
    id_ = world.tokens["bob"].split("_")[1]
    paths = (
        ("GET", "/v1/keys"),
        ("POST", "/v1/keys"),
        *(("POST", f"/v1/keys/{id_}:{v}") for v in ("rotate", "revoke")),
    )
    return [
        world.send(step.who, method, path, **({"json": {}} if path == "/v1/keys" and method == "POST" else {}))
        for method, path in paths
    ]


@doing(
    "GET /v1/pipelines",
    "POST /v1/pipelines",
    "POST /v1/pipelines/{name}:promote",
    "POST /v1/pipelines/{name}:drop",
    "POST /v1/pipelines/{name}:drop-index",
)
def pipelines(world: World, step: Step) -> list[httpx.Response]:
    """Changes are for admins of all tenants; see test_pipelines.py."""
    paths = ("/v1/pipelines", *(f"/v1/pipelines/phash:{verb}" for verb in ("promote", "drop", "drop-index")))
    refused = [world.send(step.who, "POST", path, json={}) for path in paths]
    return [world.send(step.who, "GET", "/v1/pipelines"), *refused]


@doing("PUT /v1/images/{key}")
def put(world: World, step: Step) -> list[httpx.Response]:
    attributes = f'{{"n": {step.numbers[2] % 3}}}'
    headers = step.pick(3, ({}, {"If-None-Match": "*"}, {"If-Match": '"1"'}))
    path = path_of(key_of(step))
    given = {"content": image_of(step), "params": {"attributes": attributes}}
    return [world.send(step.who, "PUT", path, headers={**headers, "Content-Type": "image/png"}, **given)]


@doing("POST /v1/images:batch")
def batch(world: World, step: Step) -> list[httpx.Response]:
    files = [("file", (key, image_of(step, n % 3))) for n, key in enumerate(KEYS[: 1 + step.numbers[3] % 3])]
    return [world.send(step.who, "POST", "/v1/images:batch", files=files)]


@doing("GET /v1/images/{key}", "GET /v1/images/{key}/thumbnail", "GET /v1/images/{key}/original")
def look(world: World, step: Step) -> list[httpx.Response]:
    path = path_of(key_of(step))
    answers = [world.send(step.who, "GET", path), world.send(step.who, "GET", f"{path}/thumbnail?size=32")]
    tags = [answer.headers.get("etag", '"1"') for answer in answers]
    for end, tag in zip(("", "/thumbnail?size=32"), tags, strict=True):
        answers.append(world.send(step.who, "GET", path + end, headers={"If-None-Match": tag}))
    answers.append(world.send(step.who, "GET", f"{path}/original"))  # there is no file
    return answers


@doing("PATCH /v1/images/{key}", "DELETE /v1/images/{key}")
def change(world: World, step: Step) -> list[httpx.Response]:
    path = path_of(key_of(step))
    if step.numbers[1] % 2:
        return [world.send(step.who, "DELETE", path)]
    return [world.send(step.who, "PATCH", path, json={"attributes": {"n": step.numbers[2] % 3, "m": 1}})]


@doing("GET /v1/images")
def list_all(world: World, step: Step) -> list[httpx.Response]:
    params: dict[str, Any] = {"limit": 1 + step.numbers[0] % 3}
    if step.numbers[1] % 2:
        params["filter"] = f'{{"n": {step.numbers[2] % 3}}}'
    answers = []
    for _ in range(5):
        answers.append(world.send(step.who, "GET", "/v1/images", params=params))
        if not answers[-1].json()["next"]:
            break
        params["cursor"] = answers[-1].json()["next"]
    return answers


@doing("GET /v1/changes")
def read_changes(world: World, step: Step) -> list[httpx.Response]:
    after: dict[str, Any] = {}
    answers = []
    for _ in range(6):
        params = {"limit": 1 + step.numbers[0] % 3, **after}
        answers.append(world.send(step.who, "GET", "/v1/changes", params=params))
        if not answers[-1].json()["more"]:
            break
        after = {"after": answers[-1].json()["next"]}
    answers.append(world.send(step.who, "GET", "/v1/changes", params={"tenants": "all"}))
    return answers


@doing("POST /v1/images:delete")
def delete_many(world: World, step: Step) -> list[httpx.Response]:
    wanted = step.pick(0, ({"keys": list(KEYS[1:])}, {"filter": {"n": 1}}, {"filter": {"n": {"gte": 2}}}))
    return [world.send(step.who, "POST", "/v1/images:delete", json=wanted)]


@doing("POST /v1/search")
def search(world: World, step: Step) -> list[httpx.Response]:
    options: dict[str, Any] = {"k": 1 + step.numbers[2] % 3}
    if step.numbers[3] % 2:
        options["filter"] = {"n": step.numbers[3] % 3}
    if step.numbers[0] % 2:
        source = {"image": {"key": key_of(step)}}
        answers = [world.send(step.who, "POST", "/v1/search", json={**source, **options})]
        if answers[0].status_code == 200 and (cursor := answers[0].json()["next"]):
            answers.append(world.send(step.who, "POST", "/v1/search", json={**source, **options, "cursor": cursor}))
        return answers
    files = {"file": ("query", image_of(step))}
    return [world.send(step.who, "POST", "/v1/search", files=files, data={"k": str(options["k"])})]


@doing("POST /v1/compare")
def compare(world: World, step: Step) -> list[httpx.Response]:
    wanted = {"a": {"key": key_of(step)}, "b": {"key": step.pick(1, KEYS)}}
    files = {"a": image_of(step, 0), "b": image_of(step, 1)}
    return [
        world.send(step.who, "POST", "/v1/compare", json=wanted),
        world.send(step.who, "POST", "/v1/compare", files=files),
    ]


@doing("POST /v1/explain", "POST /v1/why-not")
def explain(world: World, step: Step) -> list[httpx.Response]:
    wanted = {"image": {"key": key_of(step)}, "key": step.pick(1, KEYS)}
    return [world.send(step.who, "POST", path, json=wanted) for path in ("/v1/explain", "/v1/why-not")]


@doing("GET /v1/duplicates", "POST /v1/duplicates:not-a-match", "DELETE /v1/duplicates:not-a-match")
def duplicates(world: World, step: Step) -> list[httpx.Response]:
    answers = []
    if method := step.pick(0, (None, "POST", "DELETE")):
        answers.append(world.send(step.who, method, "/v1/duplicates:not-a-match", json={"keys": list(KEYS[:2])}))
    return [*answers, world.send(step.who, "GET", "/v1/duplicates", params={"limit": 1 + step.numbers[1] % 3})]


@doing("POST /v1/duplicates:plan", "POST /v1/duplicates:apply", "POST /v1/duplicates:undo")
def clean_up(world: World, step: Step) -> list[httpx.Response]:
    """Of images without files; with the admin's key for the tenant, as the tenants' own may not."""
    headers = {"X-Tenant": step.who}
    plan = world.send("root", "POST", "/v1/duplicates:plan", json={}, headers=headers)
    world.plans[step.who] = plan.json()["plan"]
    other = world.plans.get(step.other, "0" * 32)
    answers = [plan]
    for id_ in (world.plans[step.who], other):
        answers.append(world.send("root", "POST", "/v1/duplicates:apply", json={"plan": id_}, headers=headers))
    answers.append(world.send("root", "POST", "/v1/duplicates:undo", json={}, headers=headers))
    return [*answers, world.send(step.who, "POST", "/v1/duplicates:undo", json={})]


@doing(
    "POST /v1/jobs",
    "GET /v1/jobs",
    "GET /v1/jobs/{job_id}",
    "GET /v1/jobs/{job_id}/report",
    "POST /v1/jobs/{job_id}:cancel",
)
def jobs(world: World, step: Step) -> list[httpx.Response]:
    wanted = step.pick(
        0,
        (
            {"kind": "duplicates"},
            {"kind": "delete", "filter": {"n": 1}},
            {"kind": "import", "urls": ["http://127.0.0.1/a.jpg"]},
            {"kind": "repair"},
            {"kind": "import", "paths": ["/etc/hostname"]},
        ),
    )
    answers = [world.send(step.who, "POST", "/v1/jobs", json=wanted)]
    if answers[0].status_code == 202:
        world.jobs[step.who] = answers.pop().json()["id"]  # it may be under way already
        answers.append(world.finished(step.who, world.jobs[step.who]))
        answers.append(world.send(step.who, "POST", f"/v1/jobs/{world.jobs[step.who]}:cancel"))
    answers.append(world.send(step.who, "GET", "/v1/jobs", params={"limit": 100}))
    other = world.jobs.get(step.other, "0" * 32)
    answers.append(world.send(step.who, "GET", f"/v1/jobs/{other}"))
    answers.append(world.send(step.who, "GET", f"/v1/jobs/{other}/report"))
    answers.append(world.send(step.who, "POST", f"/v1/jobs/{other}:cancel"))
    return answers


@doing("GET /v1/status", "GET /metrics")
def ask(world: World, step: Step) -> list[httpx.Response]:
    headers = step.pick(0, ({}, {"X-Tenant": "alice"}, {"X-Tenant": "bob"}, {"X-Tenant": "nobody"}))
    return [
        world.send(step.who, "GET", "/v1/status", headers=headers),
        world.send(step.who, "GET", "/metrics"),
        world.send(step.who, "POST", "/v1/search", json={"image": {"key": "a"}, "tenants": "all"}),
    ]


steps = st.builds(
    Step,
    who=st.sampled_from(TENANTS),
    does=st.sampled_from(sorted(DOINGS) + ["put"] * 4),
    numbers=st.tuples(*[st.integers(0, 11)] * 4),
)
number = count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("worlds")


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[World]:
    with World(folder / "shared") as made:
        yield made


@pytest.fixture(scope="module")
def alone(folder: Path) -> Iterator[World]:
    with World(folder / "alone") as made:
        yield made


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=5, max_size=16))
def test_others_change_nothing_that_one_sees(shared: World, alone: World, todo: list[Step]) -> None:
    """One world has both tenants, the other only the first: all that the first one sees is the same in both."""
    n = next(number)  # new tenants each time, among those that were there before
    names = {who: f"{who}-{n}" for who in TENANTS}
    shared.welcome(names["alice"])
    shared.welcome(names["bob"])
    alone.welcome(names["alice"])
    for step in [*todo, *(Step("alice", does, (0, 0, 0, 0)) for does in sorted(DOINGS))]:
        other = names["bob" if step.who == "alice" else "alice"]
        here = replace(step, who=names[step.who], other=other)
        there = [seen(answer) for answer in DOINGS[step.does](shared, here)]
        assert all(one.status < 500 for one in there)
        if step.who == "alice":
            assert there == [seen(answer) for answer in DOINGS[step.does](alone, here)], step


@pytest.fixture(scope="module")
def world(folder: Path) -> Iterator[World]:
    with World(folder / "one") as made:
        for key, image in zip(KEYS, IMAGES, strict=False):
            answer = made.send("bob", "PUT", path_of(key), content=image, headers={"Content-Type": "image/png"})
            assert answer.status_code == 201
        made.jobs["bob"] = made.send("bob", "POST", "/v1/jobs", json={"kind": "duplicates"}).json()["id"]
        made.finished("bob", made.jobs["bob"])
        yield made


def test_every_operation_is_tried(world: World) -> None:
    paths = world.app.openapi()["paths"]
    # what answers HEAD is the route of GET, with the body left out
    offered = {(method.upper(), path) for path, methods in paths.items() for method in methods if method != "head"}
    assert offered - {("GET", "/healthz"), ("GET", "/readyz")} == COVERED


@pytest.mark.parametrize(
    ("method", "path", "given"),
    [
        ("GET", "/v1/images/{key}", {}),
        ("GET", "/v1/images/{key}/thumbnail", {}),
        ("GET", "/v1/images/{key}/original", {}),
        ("PATCH", "/v1/images/{key}", {"json": {"attributes": {"n": 1}}}),
        ("DELETE", "/v1/images/{key}", {}),
        ("DELETE", "/v1/images/{key}", {"headers": {"If-Match": '"1"'}}),
        ("POST", "/v1/images:delete", {"json": {"keys": ["{key}"]}}),
        ("POST", "/v1/search", {"json": {"image": {"key": "{key}"}}}),
        ("POST", "/v1/compare", {"json": {"a": {"key": "{key}"}, "b": {"key": "{key}"}}}),
        ("POST", "/v1/explain", {"json": {"image": {"key": "a"}, "key": "{key}"}}),
        ("POST", "/v1/why-not", {"json": {"image": {"key": "a"}, "key": "{key}"}}),
        ("POST", "/v1/duplicates:not-a-match", {"json": {"keys": ["{key}", "x"]}}),
        ("DELETE", "/v1/duplicates:not-a-match", {"json": {"keys": ["{key}", "x"]}}),
        ("GET", "/v1/jobs/{key}", {}),
        ("POST", "/v1/jobs/{key}:cancel", {}),
    ],
)
def test_anothers_key_is_like_one_that_never_was(world: World, method: str, path: str, given: dict[str, Any]) -> None:
    anothers, never = ("c d", "x y") if "/jobs/" not in path else (world.jobs["bob"], "f" * 32)

    def answered(key: str) -> tuple[int, bytes, list[str]]:
        sent: dict[str, Any] = {name: {n: _filled(v, key) for n, v in value.items()} for name, value in given.items()}
        headers = {"X-Request-Id": "one", **sent.pop("headers", {})}
        answer = world.send("alice", method, path.replace("{key}", quote(key)), headers=headers, **sent)
        return answer.status_code, answer.content.replace(key.encode(), b"KEY"), sorted(answer.headers)

    assert answered(anothers) == answered(never)
    assert answered(anothers)[0] in (200, 404, 412)
    assert world.send("bob", "GET", path_of("c d")).status_code == 200  # nothing happened to it


def _filled(value: Any, key: str) -> Any:
    if isinstance(value, str):
        return value.replace("{key}", key)
    if isinstance(value, list):
        return [_filled(member, key) for member in value]
    return {name: _filled(member, key) for name, member in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("image", IMAGES[:4])
def test_anothers_images_are_not_found(world: World, image: bytes) -> None:
    headers = {"Content-Type": "image/png"}
    found = world.send("alice", "POST", "/v1/search", content=image, headers=headers, params={"k": 100})
    assert found.status_code == 200
    assert found.json()["hits"] == []
    assert not found.json()["more"]
    theirs = world.send("bob", "POST", "/v1/search", content=image, headers=headers, params={"k": 100})
    assert len(theirs.json()["hits"]) >= 1
    all_of_them = world.send(
        "root", "POST", "/v1/search", content=image, headers=headers, params={"k": 100, "tenants": "all"}
    )
    assert {hit["tenant"] for hit in all_of_them.json()["hits"]} == {"bob"}


def test_admins_bound_to_a_tenant_stay_there(world: World) -> None:
    who = "alice's admin"
    wanted = {"image": {"base64": "AAAA"}, "tenants": "all"}
    assert world.send(who, "POST", "/v1/search", json=wanted).status_code in (403, 422)
    assert world.send(who, "POST", "/v1/jobs", json={"kind": "repair"}).status_code == 403
    assert world.send(who, "GET", "/metrics").status_code == 403  # it counts all tenants' images
    assert world.send(who, "GET", "/v1/images", headers={"X-Tenant": "bob"}).status_code == 403
    assert world.send("root", "GET", "/metrics").status_code == 200
    assert world.send("root", "GET", "/v1/images", headers={"X-Tenant": "bob"}).json()["total"] == 3
    assert world.send("root", "GET", "/v1/images").json()["total"] == 0


READS = ("/v1/search", "/v1/search:batch", "/v1/compare", "/v1/explain", "/v1/why-not")
"""Paths of POST requests that read only."""


def test_every_operation_wants_a_key_and_its_scope(world: World) -> None:
    for path, methods in world.app.openapi()["paths"].items():
        if path in ("/healthz", "/readyz"):
            continue
        for method in methods:
            at = path.replace("{key}", "a").replace("{job_id}", "b").replace("{key_id}", "c")
            assert world.send(None, method, at).status_code == 401, (method, path)
            writes = method not in ("get", "head") and path not in READS
            if writes or path == "/metrics" or path.startswith("/v1/keys"):
                assert world.send("reader", method, at).status_code == 403, (method, path)
            else:
                assert world.send("reader", method, at).status_code not in (401, 403), (method, path)
