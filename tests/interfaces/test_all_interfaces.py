"""The library, the client, plain HTTP and the command line with --server give the same answers, field by field.

Two galleries get the same images in the same order: one is asked by the library, the other is a service's.
"""

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

import lookalike
from lookalike import Client
from lookalike.cli.exit_codes import exit_code
from lookalike.errors import BadInput, Conflict, ImageRejected, LookalikeError, NotFound, UnsupportedQuery
from lookalike.gallery import Gallery
from lookalike.results import Cluster, Comparison, StoredImage
from lookalike.types import Answer, Item, Outcome, Record
from lookalike.wire.comparison import Comparison as ComparisonObject
from lookalike.wire.explanation import Diagnosis, Explanation
from lookalike.wire.objects import convert, to_dict
from lookalike.wire.search import ImageFeatures
from tests.support.command import Ran
from tests.support.command import lookalike as command
from tests.support.drawn_images import drawn, encoded
from tests.support.served import served
from tests.support.waiting import HANG_SECONDS

Object = dict[str, Any]


@dataclass(frozen=True)
class Ways:
    """The four ways in."""

    library: Gallery
    client: Client
    http: httpx.Client
    url: str

    def command(self, *arguments: object) -> Ran:
        return command(*arguments, "--json", "--server", self.url)

    def post(self, path: str, body: Object) -> Object:
        answer = self.http.post(path, json=body)
        assert answer.status_code < 300, answer.text
        told: Object = answer.json()
        return told


def images() -> dict[str, bytes]:
    """Twelve images, an edited copy, the same bytes again, a flat one, and what is none."""
    found = {("sub/" if seed % 3 == 0 else "") + f"{seed}.png": encoded(drawn(seed)) for seed in range(12)}
    found["copy of 1.jpg"] = encoded(drawn(1), "JPEG", quality=50)
    found["twin ü.png"] = found["2.png"]
    found["flat.png"] = encoded(drawn(20).resize((1, 1)).resize((50, 50)))
    found["empty.jpg"] = b""
    found["lying.png"] = b"GIF89a and no more"
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as files."""
    filter = tmp_path_factory.mktemp("photos")
    (filter / "sub").mkdir()
    for name, data in images().items():
        (filter / name).write_bytes(data)
    return filter


@pytest.fixture
def ways(tmp_path: Path) -> Iterator[Ways]:
    """Two new galleries."""
    with opened(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    """The same images in both, for tests that only read."""
    with opened(tmp_path_factory.mktemp("galleries")) as made:
        fill(made)
        yield made


class opened:  # noqa: N801 - a context manager, written as one
    """Both galleries and the service, while the block runs."""

    def __init__(self, filter: Path) -> None:
        self._served = served(filter / "service")
        self._library = lookalike.open(filter / "library", pipelines=["phash"], create=True)

    def __enter__(self) -> Ways:
        url, _ = self._served.__enter__()
        self._client, self._http = Client(url), httpx.Client(base_url=url, timeout=HANG_SECONDS)
        return Ways(self._library, self._client, self._http, url)

    def __exit__(self, *raised: Any) -> None:
        self._client.close()
        self._http.close()
        self._served.__exit__(*raised)
        self._library.close()


def fill(ways: Ways) -> list[list[Outcome]]:
    items = [Item(name, data, {"year": 1999 if "5" in name else 2020}) for name, data in images().items()]
    return [to.add(items) for to in (ways.library, ways.client)]


# -- the same words for what each way says; times differ, and a service tells no paths and ids


def told_answer(answer: Answer | Object) -> Object:
    found = asdict(answer) if isinstance(answer, Answer) else answer
    names = ("key", "evidence", "verified", "distance", "pipeline", "attributes", "width", "height")
    hits = [{name: hit[name] for name in names} | told_verification(hit["verification"]) for hit in found["hits"]]
    return {"hits": hits} | {name: found[name] for name in ("exact_within", "page", "more", "sequence", "verification")}


def told_verification(found: Object | None) -> Object:
    if found is None:
        return {"agreement": None}
    told = {name: found[name] for name in ("agreement", "query_coverage", "stored_coverage", "method", "textured")}
    transform = json.loads(json.dumps(found["transform"]))
    return told | {"transform": transform, "differences": list(found["differences"])}


def told_record(record: Record | Object) -> Object:
    if isinstance(record, Record):
        found = asdict(record) | {"sha256": record.sha256.hex(), "bytes": record.nbytes, "sequence": record.sequence}
    else:
        found = record
        for name in ("created", "updated"):
            assert datetime.fromisoformat(record[name]).tzinfo is not None
    names = ("key", "sha256", "width", "height", "format", "bytes", "border", "attributes", "sequence")
    return {name: found[name] for name in names}


def told_cluster(cluster: Cluster | Object) -> Object:
    if isinstance(cluster, Cluster):
        found: Object = {"evidence": cluster.evidence, "distance": cluster.distance, "images": cluster.images}
    else:
        found = cluster
    told = {name: found[name] for name in ("evidence", "distance")}
    return told | {"images": [told_record(image) for image in found["images"]]}


def told_comparison(found: Comparison | Object) -> Object:
    if isinstance(found, Comparison):
        return to_dict(ComparisonObject.of(found))
    return {name: found[name] for name in to_dict(ComparisonObject(False, False, "exact", []))}


# -- adding and changing


def by_key(outcomes: list[Outcome] | list[Object]) -> dict[str, Object]:
    told = [asdict(one) if isinstance(one, Outcome) else one for one in outcomes]
    return {one["key"]: {name: one[name] for name in ("outcome", "reason", "sequence")} for one in told}


def test_outcomes(ways: Ways, folder: Path) -> None:
    library, client = (by_key(outcomes) for outcomes in fill(ways))
    assert library == client
    assert sorted(one["outcome"] for one in library.values()).count("rejected") == 2
    lines = [{"key": k, "image": {"base64": base64.b64encode(d).decode()}} for k, d in images().items() if d]
    answer = ways.http.post(
        "/v1/images:batch",
        content="".join(json.dumps(line) + "\n" for line in lines),
        headers={"Content-Type": "application/x-ndjson"},
    )
    again = by_key([json.loads(line) for line in answer.text.splitlines()])
    expected = by_key(ways.library.add([Item(key, data) for key, data in images().items() if data]))
    assert again == expected
    ran = ways.command("add", folder)
    assert ran.code == 1
    folder_outcomes = by_key(ran.lines)
    assert all(key.startswith(f"{folder.name}/") for key in folder_outcomes)  # others have the names without
    here = by_key(ways.library.add(folder))
    assert {key: one["outcome"] for key, one in folder_outcomes.items()} == {
        key: one["outcome"] for key, one in here.items()
    }
    again = by_key(ways.command("add", folder).lines)
    assert {one["outcome"] for one in again.values()} == {"unchanged", "rejected"}
    assert again.keys() == here.keys()


def test_put_and_conditions(ways: Ways) -> None:
    data = [encoded(drawn(seed)) for seed in range(3)]

    def http(key: str, body: bytes, **headers: str) -> Object:
        answer = ways.http.put(f"/v1/images/{quote(key, safe='')}", content=body, headers=headers)
        return {name: answer.json().get(name) for name in ("outcome", "reason", "sequence")}

    ours = [asdict(to.put("a/b", data[0], expected="absent")) for to in (ways.library, ways.client)]
    assert by_key(ours[:1]) == by_key(ours[1:])
    second = ways.library.put("a/b", data[1], expected=1)
    assert http("a/b", data[1], **{"If-Match": '"1"'}) == by_key([second])["a/b"]
    for to in (ways.library, ways.client):
        for expected in (1, "absent"):
            with pytest.raises(Conflict) as raised:
                to.put("a/b", data[2], expected=expected)  # type: ignore[arg-type]
            assert raised.value.sequence == 2
    assert http("a/b", data[2], **{"If-None-Match": "*"})["sequence"] == 2  # the problem says where it stands
    changed = [to.set_attributes("a/b", {"n": {"deep": [1, None]}}, expected=2) for to in (ways.library, ways.client)]
    assert told_record(changed[0]) == told_record(changed[1])
    assert told_record(changed[0]) == told_record(ways.http.get("/v1/images/a%2Fb").json())


def test_removing(ways: Ways) -> None:
    fill(ways)
    assert ways.library.remove(["1.png", "none", "2.png"]) == ways.client.remove(["1.png", "none", "2.png"])
    ran = ways.command("rm", "4.png", "none")
    assert ran.code == 1
    assert ways.library.remove(["4.png", "none"]) == [x["key"] for x in ran.lines if x["outcome"] == "removed"]
    told = ways.post("/v1/images:delete", {"keys": ["7.png", "none"]})
    assert (told["deleted"], told["keys"]) == (1, ways.library.remove(["7.png", "none"]))
    ours, theirs = (to.remove_by_filter({"year": {"lt": 2000}}) for to in (ways.library, ways.client))
    assert ours == theirs
    assert [told_record(r) for r in ways.library.ls()] == [told_record(r) for r in ways.client.ls()]


# -- searching

OPTIONS: list[tuple[list[str], Object, Object]] = [
    ([], {}, {}),
    (["-k", "3"], {"k": 3}, {"k": 3}),
    (["-k", "2", "--page", "2"], {"k": 2, "page": 2}, {"k": 2, "page": 2}),
    (["--threshold", "0.25"], {"threshold": 0.25}, {"threshold": 0.25}),
    (["--where", "year<2000"], {"filter": {"year": {"lt": 2000}}}, {"filter": {"year": {"lt": 2000}}}),
    (["--where", "year=2020", "-k", "1"], {"filter": {"year": 2020}, "k": 1}, {"filter": {"year": 2020}, "k": 1}),
    (["--pipeline", "phash"], {"pipelines": ["phash"]}, {"pipelines": ["phash"]}),
    (["--no-orientations"], {"orientations": False}, {"orientations": False}),
    (["--all-tenants"], {"tenant": None}, {"tenants": "all"}),
    (["--no-verify"], {"verify": False}, {"verify": False}),
    (["--verify-ms", "0"], {"verify_ms": 0.0}, {"verify_ms": 0}),
]
QUERIES = ("1.png", "copy of 1.jpg", "5.png", "flat.png", "sub/3.png", "twin ü.png")


@pytest.mark.parametrize(("arguments", "options", "wire"), OPTIONS)
def test_searching(filled: Ways, folder: Path, arguments: list[str], options: Object, wire: Object) -> None:
    for name in QUERIES:
        data = (folder / name).read_bytes()
        expected = told_answer(filled.library.search(data, **options))
        assert told_answer(filled.client.search(folder / name, **options)) == expected
        assert told_answer(filled.client.search(data, **options)) == expected
        body = {"image": {"base64": base64.b64encode(data).decode()}, **wire}
        assert told_answer(filled.post("/v1/search", body)) == expected
        assert told_answer(filled.command("search", folder / name, *arguments).line) == expected
        by_name = told_answer(filled.library.search(StoredImage(name), **options))
        assert told_answer(filled.client.search(StoredImage(name), **options)) == by_name
        assert told_answer(filled.post("/v1/search", {"image": {"key": name}, **wire})) == by_name


def test_many_queries(filled: Ways, folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    ours = [a if isinstance(a, ImageRejected) else told_answer(a) for _, a in filled.library.search_many(files)]  # type: ignore[arg-type]
    theirs = [a if isinstance(a, ImageRejected) else told_answer(a) for _, a in filled.client.search_many(files)]  # type: ignore[arg-type]
    lines = {Path(line["query"]): line for line in filled.command("search", folder).lines}
    for file, one, other in zip(files, ours, theirs, strict=True):
        if isinstance(one, ImageRejected):
            assert isinstance(other, ImageRejected)
            assert (one.reason, str(one)) == (other.reason, str(other))
            assert lines[file]["error"]["reason"] == one.reason
        else:
            assert one == other == told_answer(lines[file])


# -- looking at images


def test_records(filled: Ways) -> None:
    ours = [told_record(record) for record in filled.library.ls()]
    assert len(ours) == 15
    assert [told_record(record) for record in filled.client.ls()] == ours
    assert [told_record(line) for line in filled.command("ls").lines] == ours
    assert [told_record(image) for image in filled.http.get("/v1/images").json()["images"]] == ours
    for record in ours:
        key = record["key"]
        assert told_record(filled.client.get(key)) == record
        assert told_record(filled.command("show", key).line) == record
        assert filled.client.get_thumbnail(key) == filled.library.get_thumbnail(key)
        thumbnail = filled.http.get(f"/v1/images/{quote(key, safe='')}/thumbnail", params={"size": 64})
        assert thumbnail.content == filled.library.get_thumbnail(key, size=64)


def test_lists_in_parts(filled: Ways) -> None:
    filter = {"year": {"gt": 2000}}
    for after, limit in ((None, 4), ("2.png", 3), ("nothing", 100), ("zzz", 1)):
        ours = [told_record(r) for r in filled.library.ls(after=after, limit=limit, filter=filter)]
        assert [told_record(r) for r in filled.client.ls(after=after, limit=limit, filter=filter)] == ours
    lines = filled.command("ls", "--where", "year>2000", "--limit", "4").lines
    assert [told_record(line) for line in lines] == [told_record(r) for r in filled.library.ls(limit=4, filter=filter)]


@pytest.mark.parametrize("prefix", ["", "1", "sub/", "Sub/", "copy of", "twin ü", "%", "1.png", "1.png/", "\udcff"])
def test_lists_of_a_prefix(filled: Ways, prefix: str) -> None:
    ours = [told_record(record) for record in filled.library.ls(prefix=prefix)]
    assert [record["key"] for record in ours] == [r.key for r in filled.library.ls() if r.key.startswith(prefix)]
    assert [told_record(record) for record in filled.client.ls(prefix=prefix)] == ours
    parts = [told_record(record) for record in filled.client.ls(prefix=prefix, after="sub/3.png", limit=2)]
    assert parts == [told_record(record) for record in filled.library.ls(prefix=prefix, after="sub/3.png", limit=2)]
    assert [told_record(line) for line in filled.command("ls", "--prefix", prefix).lines] == ours
    if prefix != "\udcff":  # which no request can say
        told = filled.http.get("/v1/images", params={"prefix": prefix}).json()["images"]
        assert [told_record(image) for image in told] == ours


@pytest.mark.parametrize("text", ["", "1", "PNG", "Sub/", "OPY of", "TWIN Ü", "%", "_", "x" * 1000, "\udcff"])
def test_lists_of_a_part_of_keys(filled: Ways, text: str) -> None:
    ours = [told_record(record) for record in filled.library.ls(contains=text)]
    everything = [record.key for record in filled.library.ls()]
    assert [record["key"] for record in ours] == [key for key in everything if text.casefold() in key.casefold()]
    assert [told_record(record) for record in filled.client.ls(contains=text)] == ours
    assert [told_record(line) for line in filled.command("ls", "--contains", text).lines] == ours
    if text != "\udcff":  # which no request can say
        told = filled.http.get("/v1/images", params={"contains": text}).json()["images"]
        assert [told_record(image) for image in told] == ours
    for way in (filled.library, filled.client):
        with pytest.raises(BadInput, match="1,000"):
            way.ls(contains="x" * 1001)


def test_comparing(filled: Ways, folder: Path) -> None:
    pairs = [("1.png", "copy of 1.jpg"), ("1.png", "2.png"), ("2.png", "twin ü.png"), ("1.png", "flat.png")]
    for a, b in pairs:
        expected = told_comparison(filled.library.compare(folder / a, folder / b))
        assert told_comparison(filled.client.compare(folder / a, folder / b)) == expected
        assert told_comparison(filled.command("compare", folder / a, folder / b).line) == expected
        files = {name: io.BytesIO((folder / file).read_bytes()) for name, file in (("a", a), ("b", b))}
        assert told_comparison(filled.http.post("/v1/compare", files=files).json()) == expected
        stored = told_comparison(filled.library.compare(StoredImage(a), StoredImage(b)))
        assert told_comparison(filled.client.compare(StoredImage(a), StoredImage(b))) == stored
        assert told_comparison(filled.post("/v1/compare", {"a": {"key": a}, "b": {"key": b}})) == stored
        mixed = told_comparison(filled.library.compare(folder / a, StoredImage(b)))
        assert told_comparison(filled.client.compare(folder / a, StoredImage(b))) == mixed


def test_explaining(filled: Ways, folder: Path) -> None:
    for name, key in (("copy of 1.jpg", "1.png"), ("1.png", "2.png"), ("1.png", "flat.png")):
        expected = to_dict(Explanation.of(filled.library.explain(folder / name, key)))
        assert to_dict(Explanation.of(filled.client.explain(folder / name, key))) == expected
        line = filled.command("explain", folder / name, key).line
        assert {field: line[field] for field in expected} == expected
        files = {"file": (folder / name).read_bytes()}
        assert filled.http.post("/v1/explain", files=files, data={"key": key}).json() == expected
        assert expected["query_image"] is not None
        assert expected["stored_image"] is not None


def test_why_not(filled: Ways, folder: Path) -> None:
    options: list[tuple[Object, Object, list[str]]] = [
        ({}, {}, []),
        ({"filter": {"year": 1999}}, {"filter": json.dumps({"year": 1999})}, ["--filter", "year=1999"]),
        ({"k": 1, "threshold": 0.01}, {"k": 1, "threshold": 0.01}, ["-k", "1", "--threshold", "0.01"]),
    ]
    for name, key in (("copy of 1.jpg", "1.png"), ("1.png", "2.png"), ("1.png", "flat.png")):
        for ours, fields, arguments in options:
            found = filled.library.why_not(folder / name, key, **ours)
            expected = to_dict(convert(Diagnosis, found))
            assert to_dict(convert(Diagnosis, filled.client.why_not(folder / name, key, **ours))) == expected
            line = filled.command("why-not", folder / name, key, *arguments).line
            assert {field: line[field] for field in expected} == expected
            files = {"file": (folder / name).read_bytes()}
            assert filled.http.post("/v1/why-not", files=files, data={"key": key, **fields}).json() == expected
    assert filled.library.why_not(folder / "copy of 1.jpg", "1.png").position == 2  # after itself
    assert filled.library.why_not(folder / "copy of 1.jpg", "1.png", filter={"year": 1999}).lost_at == "filter"
    assert filled.library.why_not(folder / "1.png", "flat.png").lost_at == "phash: feature"
    assert filled.library.why_not(folder / "1.png", "2.png", threshold=0.01).lost_at == "phash: threshold of the search"


def test_duplicates_and_judgements(ways: Ways) -> None:
    fill(ways)
    for judged in ((), ("1.png", "copy of 1.jpg"), ("2.png", "twin ü.png")):
        if judged:
            ways.library.not_a_match(judged)
            ways.client.not_a_match(judged)
        ours = list(ways.library.duplicates())
        expected = [told_cluster(cluster) for cluster in ours]
        theirs = list(ways.client.duplicates())
        assert [told_cluster(cluster) for cluster in theirs] == expected
        assert [cluster.id for cluster in theirs] == [cluster.id for cluster in ours]
        assert [told_cluster(line) for line in ways.command("duplicates").lines] == expected
        told = ways.http.get("/v1/duplicates").json()["clusters"]
        assert [told_cluster(cluster) for cluster in told] == expected
        assert [cluster["id"] for cluster in told] == [cluster.id for cluster in ours]
    assert expected == []
    ways.client.not_a_match_undo(("2.png", "twin ü.png"))
    page = ways.client.duplicates_page(limit=1)
    assert [{p.key for p in cluster.images} for cluster in page.clusters] == [{"2.png", "twin ü.png"}]


# -- the gallery as a whole


def test_status_and_repair(filled: Ways) -> None:
    ours, theirs = filled.library.repair(), filled.client.repair()
    assert ours == theirs
    line = {"images": ours.images, "rebuilt": dict(ours.rebuilt), "verification_records": None}
    assert filled.command("repair").line == line
    ours, theirs = (of.repair(verification_records=True) for of in (filled.library, filled.client))
    assert ours == theirs
    assert ours.verification_records is not None
    line["verification_records"] = asdict(ours.verification_records)
    assert filled.command("repair", "--verification-records").line == line
    expected, found = asdict(filled.library.status()), asdict(filled.client.status())
    assert expected == found
    line = filled.command("status").line
    assert line.pop("gallery") == filled.url
    assert (line.pop("missing"), line.pop("away")) == (None, None)
    assert line.pop("bytes") == found.pop("nbytes")
    assert line["verification_records"].pop("bytes") == found["verification_records"].pop("nbytes")
    assert line == json.loads(json.dumps(found))
    told = filled.http.get("/v1/status").json()
    assert (told["images"], told["sequence"]) == (found["images"], found["sequence"])


ERRORS: list[tuple[Any, type[LookalikeError], list[object]]] = [
    (lambda to: to.get("none"), NotFound, ["show", "none"]),
    (lambda to: to.search(b"no image"), ImageRejected, ["search", "lying.png"]),
    (lambda to: to.search(b""), ImageRejected, ["search", "empty.jpg"]),
    (lambda to: to.search("none.png"), ImageRejected, ["search", "none.png"]),
    (lambda to: to.search(StoredImage("none")), NotFound, []),
    (lambda to: to.search(b"x", k=0), BadInput, ["search", "1.png", "-k", "0"]),
    (lambda to: to.search(b"x", k=10_001), BadInput, ["search", "1.png", "-k", "10001"]),
    (lambda to: to.search(b"x", k=100, page=101), BadInput, ["search", "1.png", "-k", "100", "--page", "101"]),
    (lambda to: to.search(b"x", threshold=2.0), BadInput, ["search", "1.png", "--threshold", "2"]),
    (lambda to: to.search(encoded(drawn(1)), pipelines=["x"]), BadInput, ["search", "1.png", "--pipeline", "x"]),
    (lambda to: to.search(encoded(drawn(1)), filter={"a": {"like": 1}}), BadInput, []),
    (lambda to: to.search(encoded(drawn(1)), min_sequence=10**9), BadInput, []),
    (lambda to: to.compare(b"x", b"y"), ImageRejected, ["compare", "lying.png", "1.png"]),
    (lambda to: to.compare(StoredImage("1.png"), StoredImage("none")), NotFound, []),
    (lambda to: to.explain(encoded(drawn(1)), "none"), NotFound, ["explain", "1.png", "none"]),
    (lambda to: to.explain(b"x", "1.png"), ImageRejected, ["explain", "lying.png", "1.png"]),
    (lambda to: to.why_not(encoded(drawn(1)), "none"), NotFound, ["why-not", "1.png", "none"]),
    (lambda to: to.search(encoded(drawn(1)), verify_ms=-1.0), BadInput, []),
    (lambda to: to.get_thumbnail("none"), NotFound, []),
    (lambda to: to.get_thumbnail("1.png", size=5), BadInput, []),
    (lambda to: to.set_attributes("none", {}), NotFound, []),
    (lambda to: to.put("a", b"no image"), ImageRejected, []),
    (lambda to: to.put("", encoded(drawn(1))), BadInput, []),
    (lambda to: to.remove_by_filter({}), BadInput, []),
    (lambda to: to.not_a_match(["1.png"]), BadInput, []),
    (lambda to: to.not_a_match(["1.png", "none"]), NotFound, []),
    (lambda to: to.ls(limit=0), BadInput, []),
    (lambda to: to.ls(after="\udcff"), BadInput, []),
    (lambda to: list(to.duplicates(pipelines=["x"])), BadInput, ["duplicates", "--pipeline", "x"]),
]


@pytest.mark.parametrize(("ask", "kind", "arguments"), ERRORS)
def test_errors(filled: Ways, folder: Path, ask: Any, kind: type[LookalikeError], arguments: list[object]) -> None:
    ours, theirs = (failure(ask, to) for to in (filled.library, filled.client))
    assert isinstance(ours, kind)
    assert isinstance(theirs, kind)
    assert exit_code(ours) == exit_code(theirs)
    if isinstance(ours, ImageRejected) and isinstance(theirs, ImageRejected):
        assert (ours.reason, str(ours)) == (theirs.reason, str(theirs))
    if arguments:
        named = [folder / str(a) if str(a).endswith((".png", ".jpg")) else a for a in arguments]
        assert filled.command(*named).code == exit_code(ours)


def failure(ask: Any, to: Gallery | Client) -> LookalikeError:
    with pytest.raises(LookalikeError) as raised:
        ask(to)
    return raised.value


def test_search_by_features(filled: Ways, tmp_path: Path) -> None:
    """The features that one gallery encodes find the same images in the other, whichever way they are given."""
    query = tmp_path / "query.jpg"
    query.write_bytes(images()["copy of 1.jpg"])
    [(_, features)] = filled.library.encode([query])
    assert isinstance(features, lookalike.ImageFeatures)
    expected = told_answer(filled.library.search(features, k=20))
    assert expected["hits"][0]["key"] in ("1.png", "copy of 1.jpg")
    assert not any(hit["verified"] for hit in expected["hits"])
    assert told_answer(filled.client.search(features, k=20)) == expected
    body = to_dict(ImageFeatures.of(features)) | {"k": 20}
    assert told_answer(filled.post("/v1/search", body)) == expected
    digits = body["features"]["phash"]["hex"]
    assert told_answer(filled.command("search", "--phash", digits, "-k", 20).lines[0]) == expected
    printed = command("encode", query, "--json", "--gallery", filled.library.folder).lines[0]
    assert printed == {"query": str(query), "features": body["features"]}
    (tmp_path / "features.jsonl").write_text(json.dumps(printed))
    assert (
        told_answer(filled.command("search", "--features", tmp_path / "features.jsonl", "-k", 20).lines[0]) == expected
    )
    wrong = lookalike.ImageFeatures({"phash": "00"})
    for to in (filled.library, filled.client):
        with pytest.raises(UnsupportedQuery, match="16 hexadecimal digits"):
            to.search(wrong)
        [(_, failed), (_, found)] = to.search_many([wrong, features])
        assert isinstance(failed, UnsupportedQuery)
        assert isinstance(found, Answer)
