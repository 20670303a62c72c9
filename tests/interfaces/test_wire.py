"""One schema: for the same gallery `--json` prints the objects of the HTTP API, as OpenAPI describes them.

What only the command line knows (`LOCAL`) and what only a service has (`SERVICE`) are listed here and in docs/cli.md.
"""

import json
import pkgutil
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import httpx
import jsonschema_rs
import pytest

from lookalike import wire
from lookalike.catalog import JobState
from lookalike.errors import BadSetting
from lookalike.results import MAX_RESULTS
from lookalike.wire.jobs import Job, JobProgress
from lookalike.wire.jobs import JobState as JobStateObject
from lookalike.wire.objects import WireObject, parse, to_dict
from tests.support.command import lookalike as command
from tests.support.drawn_images import drawn, encoded
from tests.support.served import served
from tests.support.waiting import HANG_SECONDS

Object = dict[str, Any]
OBJECTS = {
    name: kind
    for module in pkgutil.iter_modules(wire.__path__)
    for name, kind in vars(import_module(f"lookalike.wire.{module.name}")).items()
    if isinstance(kind, type) and issubclass(kind, WireObject)
}
"""The objects by name."""
LOCAL = {
    "Image": {"tenant"},
    "CleanupImage": {"tenant"},
    "Outcome": {"path"},
    "Hit": {"path"},
    "SearchAnswer": {"query"},
    "Comparison": {"a", "b"},
    "Status": {"gallery", "tenants", "missing", "away"},
}
"""Fields that only the command line has, by object."""
SERVICE = {"Status": {"tenant", "limits", "version", "features", "scopes"}, "Cluster": {"same"}}
"""Fields that only a service has."""
MEASURED = {"took_ms"}
"""Times differ from run to run."""


@dataclass(frozen=True)
class Interfaces:
    """The same gallery by HTTP, and on this machine in its folder."""

    http: httpx.Client
    url: str
    folder: Path
    photos: Path
    schema: Object

    def run(self, *arguments: object) -> list[list[Object]]:
        """The lines of a command on the folder, and of the same one with --server."""
        ways: tuple[tuple[object, ...], ...] = (("-g", self.folder), ("--server", self.url))
        return [command(*arguments, "--json", *way).lines for way in ways]

    def get(self, path: str, **params: Any) -> Object:
        found: Object = self.http.get(path, params=params).raise_for_status().json()
        return found

    def validate(self, name: str, value: Object, *, partly: bool = False) -> None:
        """Check an object against its component of the OpenAPI description."""
        component = self.schema["components"]["schemas"][name]
        if partly:
            component = component | {"required": sorted(set(component["required"]) - SERVICE[name])}
        jsonschema_rs.Draft202012Validator(component | {"components": self.schema["components"]}).validate(value)


@pytest.fixture(scope="module")
def interfaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interfaces]:
    """Images that were added from files, with an edited copy, the same bytes twice, a flat one and what is none."""
    photos, folder = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("galleries") / "gallery"
    for seed in range(5):
        drawn(seed).save(photos / f"{seed} ü.png")
    (photos / "copy.jpg").write_bytes(encoded(drawn(1), "JPEG", quality=50))
    shutil.copy(photos / "2 ü.png", photos / "same.png")
    drawn(20).resize((1, 1)).resize((50, 50)).save(photos / "flat.png")
    (photos / "none.jpg").write_bytes(b"\xff\xd8\xff and no more")
    command("init", "--pipelines", "phash", "-g", folder)
    assert command("add", photos, "--attr", "year=2020", "-g", folder).code == 1
    with served(folder) as (url, _), httpx.Client(base_url=url, timeout=HANG_SECONDS) as http:
        schema = http.get("/v1/openapi.json").json()
        yield Interfaces(http, url, folder, photos, schema)


def shared(name: str, value: Object) -> Object:
    """The fields of an object that are the same everywhere; what is left out must be there."""
    kind: Any = OBJECTS[name]
    names = {f.name for f in fields(kind)} - SERVICE.get(name, set())
    assert names | LOCAL.get(name, set()) >= set(value) - SERVICE.get(name, set())
    assert set(value) >= names
    return {field: value[field] for field in names - MEASURED}


def test_images(interfaces: Interfaces) -> None:
    expected = interfaces.get("/v1/images")["images"]
    assert len(expected) == 8
    interfaces.validate("ImageList", interfaces.get("/v1/images"))
    for lines in interfaces.run("ls"):
        assert all(set(line) == set(expected[0]) | LOCAL["Image"] for line in lines)
        assert [shared("Image", line) for line in lines] == expected
        for line in lines:
            interfaces.validate("Image", shared("Image", line))
    for [line] in interfaces.run("show", "1 ü.png"):
        assert shared("Image", line) == interfaces.get("/v1/images/1%20%C3%BC.png")


@pytest.mark.parametrize(
    ("name", "arguments", "params"),
    [
        ("copy.jpg", [], {}),
        ("same.png", ["-k", "2", "--page", "2"], {"k": 2, "page": 2}),
        ("3 ü.png", ["--threshold", "0.2"], {"threshold": 0.2}),
        ("1 ü.png", ["--all-tenants"], {"tenants": "all"}),
        ("flat.png", [], {}),
    ],
)
def test_searches(interfaces: Interfaces, name: str, arguments: list[str], params: Object) -> None:
    data = (interfaces.photos / name).read_bytes()
    expected = interfaces.http.post("/v1/search", content=data, params=params).raise_for_status().json()
    interfaces.validate("SearchAnswer", expected)
    expected["next"] = None  # the command line pages by number
    for [line] in interfaces.run("search", interfaces.photos / name, *arguments):
        assert set(line) == set(expected) | LOCAL["SearchAnswer"]
        line["hits"] = [shared("Hit", hit) for hit in line["hits"]]
        assert shared("SearchAnswer", line) == shared("SearchAnswer", expected)
        assert line["took_ms"].keys() == expected["took_ms"].keys()
        line.pop("query")
        interfaces.validate("SearchAnswer", line)


def test_outcomes(interfaces: Interfaces) -> None:
    name, data = "1 ü.png", (interfaces.photos / "1 ü.png").read_bytes()
    put = interfaces.http.put("/v1/images/1%20%C3%BC.png", content=data).raise_for_status().json()
    for [line] in interfaces.run("add", interfaces.photos / name)[1:]:  # the folder is the service's to write
        assert set(line) == set(put) | LOCAL["Outcome"]
        assert shared("Outcome", line) == put
        interfaces.validate("Outcome", put)
    text = json.dumps({"key": "none.jpg", "image": {"base64": "AAAA"}})
    headers = {"Content-Type": "application/x-ndjson"}
    rejected = interfaces.http.post("/v1/images:batch", content=text, headers=headers).json()
    interfaces.validate("Outcome", rejected)
    for [line] in interfaces.run("add", interfaces.photos / "none.jpg")[1:]:
        assert (line["outcome"], line["sequence"]) == (rejected["outcome"], rejected["sequence"])


def test_comparisons(interfaces: Interfaces) -> None:
    for a, b in (("1 ü.png", "copy.jpg"), ("2 ü.png", "same.png"), ("1 ü.png", "3 ü.png"), ("1 ü.png", "flat.png")):
        files = {side: (interfaces.photos / name).read_bytes() for side, name in (("a", a), ("b", b))}
        expected = interfaces.http.post("/v1/compare", files=files).raise_for_status().json()
        interfaces.validate("Comparison", expected)
        rates = [pipeline["false_match_rate"] for pipeline in expected["pipelines"]]
        assert all(rate is None or 0 <= rate <= 1 for rate in rates)
        for [line] in interfaces.run("compare", interfaces.photos / a, interfaces.photos / b):
            assert set(line) == set(expected) | LOCAL["Comparison"]
            assert shared("Comparison", line) == expected


def test_clusters(interfaces: Interfaces) -> None:
    expected = interfaces.get("/v1/duplicates")
    interfaces.validate("ClusterList", expected)
    assert len(expected["clusters"]) == 2
    planned, listed = interfaces.run("duplicates")
    found = [line | {"images": [shared("Image", image) for image in line["images"]]} for line in listed]
    assert [shared("Cluster", line) for line in found] == [shared("Cluster", line) for line in expected["clusters"]]
    plan = interfaces.http.post("/v1/duplicates:plan", json={}).raise_for_status().json()
    interfaces.validate("CleanupPlan", plan)
    assert plan["removed"] == 2
    for line in planned:  # without a server there are files, and so a plan
        assert all(set(image) - set(plan["groups"][0]["images"][0]) == LOCAL["Image"] for image in line["images"])
        line["images"] = [shared("CleanupImage", image) for image in line["images"]]
    assert [shared("CleanupGroup", line) for line in planned] == plan["groups"]


def test_status(interfaces: Interfaces) -> None:
    expected = interfaces.get("/v1/status")
    interfaces.validate("Status", expected)
    for [line] in interfaces.run("status"):
        assert set(line) == (set(expected) - SERVICE["Status"]) | LOCAL["Status"]
        assert shared("Status", line) == shared("Status", expected)
        interfaces.validate("Status", shared("Status", line), partly=True)
        assert line["tenants"] == {"default": line["images"]}


def test_errors(interfaces: Interfaces) -> None:
    http, broken = interfaces.http, interfaces.photos / "none.jpg"
    cases: list[tuple[list[object], httpx.Response]] = [
        (["show", "nothing"], http.get("/v1/images/nothing")),
        (["search", broken], http.post("/v1/search", content=broken.read_bytes())),
        (["duplicates", "--pipeline", "x"], http.get("/v1/duplicates", params={"pipelines": "x"})),
    ]
    for arguments, response in cases:
        expected = response.json()
        interfaces.validate("Problem", expected)
        expected.pop("instance")  # the request's id
        for [line] in interfaces.run(*arguments):
            assert line["error"] == expected
    [usage] = command("search", "--json", "-g", interfaces.folder, "-k", "many").lines
    interfaces.validate("Problem", usage["error"])


def test_jobs(interfaces: Interfaces) -> None:
    job = interfaces.http.post("/v1/jobs", json={"kind": "duplicates"}).json()
    interfaces.validate("Job", job)
    assert to_dict(parse(Job, job)) == job
    assert get_args(JobStateObject) == get_args(JobState)


def test_every_object_is_read_as_it_was_written(interfaces: Interfaces) -> None:
    for kind in OBJECTS.values():
        if kind.EXAMPLE is not None:
            interfaces.validate(kind.__name__, dict(kind.EXAMPLE))
            found: Any = parse(kind, kind.EXAMPLE)
            assert {n: v for n, v in to_dict(found).items() if v is not None or n in kind.EXAMPLE} == kind.EXAMPLE
            component = interfaces.schema["components"]["schemas"][kind.__name__]
            assert component["description"] == kind.__doc__
            assert component["properties"].keys() == {f.name for f in fields(kind)}  # type: ignore[arg-type]
    assert f"{MAX_RESULTS:,} hits" in str(interfaces.schema["components"]["schemas"]["SearchAnswer"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"done": None}, "done must be an integer"),
        ({"done": True}, "done must be an integer"),
        ({"done": 1.5}, "done must be an integer"),
        ({"counts": []}, "counts must be an object"),
        ({"counts": {"added": "1"}}, r"counts\['added'\] must be an integer"),
        ({"done": ...}, "done is missing"),
    ],
)
def test_a_mismatch_is_named(change: Object, message: str) -> None:
    progress = {"done": 1, "total": None, "counts": {"added": 1}, "a later version's": 7}
    assert parse(JobProgress, progress) == JobProgress(1, None, {"added": 1})
    broken = {name: value for name, value in (progress | change).items() if value is not ...}
    with pytest.raises(BadSetting, match=message):
        parse(JobProgress, broken)
    job = dict(Job.EXAMPLE or {})
    with pytest.raises(BadSetting, match="kind must be one of"):
        parse(Job, job | {"kind": "other"})
    with pytest.raises(BadSetting, match=r"progress\.done"):
        parse(Job, job | {"progress": {}})
    with pytest.raises(BadSetting, match="it must be an object"):
        parse(Job, [])
