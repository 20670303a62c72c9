"""The client against a real service: keys and tenants, many images, limits, and whatever a key may be called."""

import json
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lookalike
from lookalike import Client
from lookalike.errors import AccessDenied, BadInput, BadSetting, Conflict, ImageRejected, NotFound
from lookalike.gallery import Gallery
from lookalike.imaging import Limits
from lookalike.results import StoredImage
from lookalike.types import Answer, Item
from tests.support.drawn_images import drawn, encoded
from tests.support.served import served

KEYS = [
    "a/b c?#%2F&.jpg",
    "..",
    ".",
    "...",
    "grüße 🌄",
    "a//b",
    " ",
    "%",
    "\n\t",
    '"quoted"',
    "x" * 500,
    "/",
    "a;b=c",
    "+",
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Gallery]]:
    with served(tmp_path_factory.mktemp("service") / "gallery") as found:
        yield found


names = (f"tenant {number}" for number in count())


@pytest.fixture
def client(service: tuple[str, Gallery]) -> Iterator[Client]:
    """Of a tenant of its own, so that each test begins with nothing."""
    with Client(service[0], tenant=next(names)) as made:
        yield made


def test_a_key_may_be_anything(client: Client) -> None:
    data = encoded(drawn(1))
    for number, key in enumerate(KEYS):
        added = client.put(key, data, attributes={"number": number})
        assert added.outcome in ("added", "duplicate")
        assert (client.get(key).key, client.get(key).sequence) == (key, added.sequence)
        assert client.get_thumbnail(key).startswith(b"\xff\xd8")
        assert client.search(StoredImage(key), filter={"number": number}).hits[0].key == key
        assert client.set_attributes(key, {"name": key}).attributes == {"number": number, "name": key}
    assert [record.key for record in client.ls()] == sorted(KEYS)
    assert client.add([Item(key, data) for key in KEYS])[0].outcome == "unchanged"
    assert [client.ls(after=key, limit=1) for key in sorted(KEYS)[:-1]] == [[client.get(k)] for k in sorted(KEYS)[1:]]
    assert set(client.remove(KEYS)) == set(KEYS)
    for bad in ("", "\udcff"):
        with pytest.raises((BadInput, NotFound)):
            client.get(bad)


def test_more_images_than_a_request_takes(client: Client, tmp_path: Path) -> None:
    data = [encoded(drawn(seed, (24, 18))) for seed in range(150)]
    for seed, some in enumerate(data):
        (tmp_path / f"{seed:03}.png").write_bytes(some)
    (tmp_path / "070 broken.jpg").write_bytes(b"no image")
    (tmp_path / "071 gone.jpg").symlink_to(tmp_path / "nowhere")
    outcomes = {outcome.key: outcome for outcome in client.add_iter(tmp_path, attributes={"ü": [1, "x"]})}
    kinds = [outcome.outcome for outcome in outcomes.values()]
    assert (kinds.count("added"), kinds.count("rejected")) == (150, 2)
    assert (outcomes[str(tmp_path / "071 gone.jpg")].reason or "").startswith("unreadable: ")
    assert (outcomes["070 broken.jpg"].reason or "").startswith("not_an_image: ")
    assert all(outcome.path == str(tmp_path / key) for key, outcome in outcomes.items())
    again = client.add(tmp_path)
    assert [outcome.outcome for outcome in again].count("unchanged") == 150
    assert len(client.ls(limit=1000)) == 150
    assert len(client.ls(limit=120)) == 120
    assert client.get("000.png").attributes == {"ü": [1, "x"]}


def test_items_are_read_when_they_are_sent(client: Client) -> None:
    """What is not sent yet is not asked for: of endless items, the first outcomes come."""
    asked = 0

    def endless() -> Iterator[Item]:
        nonlocal asked
        for asked in count(1):
            yield Item(str(asked), encoded(drawn(asked, (24, 18))))

    outcomes = client.add_iter(endless())
    first = [next(outcomes) for _ in range(3)]
    assert {outcome.outcome for outcome in first} == {"added"}
    assert asked <= 3 * 64


def test_of_one_key_the_later_image_stays(client: Client) -> None:
    items = [Item(str(number % 40), encoded(drawn(number, (24, 18)))) for number in range(400)]
    assert len(client.add(items)) == 400
    last = {item.key: item.source for item in items}
    for key in ("0", "39"):
        assert client.search(last[key], k=1).hits[0].key == key  # type: ignore[arg-type]
        assert client.search(last[key], k=1).hits[0].evidence == "exact"  # type: ignore[arg-type]


def test_many_attributes_travel_in_the_body(client: Client) -> None:
    attributes = {"text": "ü" * 20_000}
    assert client.put("a", encoded(drawn(1)), attributes=attributes).outcome == "added"
    assert client.get("a").attributes == attributes
    with pytest.raises(ImageRejected):
        client.put("b", b"", attributes=attributes)


def test_conditions(client: Client) -> None:
    first = client.put("a", encoded(drawn(1)), expected="absent")
    with pytest.raises(Conflict) as raised:
        client.put("a", encoded(drawn(2)), expected="absent")
    assert raised.value.sequence == first.sequence
    with pytest.raises(Conflict):
        client.set_attributes("a", {}, expected=10**6)
    with pytest.raises(Conflict):
        client.remove("a", expected=10**6)
    with pytest.raises(BadSetting):
        client.remove(["a", "b"], expected=first.sequence)
    assert client.remove("a", expected=first.sequence) == ["a"]
    assert client.remove("a", expected=first.sequence) == []


def test_queries_in_their_order_from_several_threads(client: Client, tmp_path: Path) -> None:
    client.add([Item(str(seed), encoded(drawn(seed))) for seed in range(8)])
    queries = [
        StoredImage("3"),
        encoded(drawn(5)),
        b"no image",
        tmp_path / "none.png",
        StoredImage("none"),
        StoredImage("7"),
    ] * 3
    answer: list[list[str]] = []

    def ask() -> None:
        found = list(client.search_many(queries, k=1))
        assert [query for query, _ in found] == queries
        answer.append([a.hits[0].key if isinstance(a, Answer) else type(a).__name__ for _, a in found])

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answer == [["3", "5", "ImageRejected", "ImageRejected", "NotFound", "7"] * 3] * 3
    with pytest.raises(BadInput):
        list(client.search_many(queries, k=0))
    given = client.search_many(iter(queries), k=1)
    next(given)
    given.close()  # whoever has enough need not wait for the rest


def test_a_service_with_smaller_limits(tmp_path: Path) -> None:
    """One image of too many bytes rejects that one, not those that were sent with it."""
    noise = np.random.default_rng(0).integers(0, 256, (800, 800, 3), dtype=np.uint8)
    items = [Item(str(seed), encoded(drawn(seed))) for seed in range(5)]
    items[2] = Item("2", encoded(Image.fromarray(noise)))
    with served(tmp_path / "gallery", limits=Limits(max_bytes=40_000)) as (url, _), Client(url) as client:
        outcomes = {outcome.key: outcome for outcome in client.add(items)}
        assert [outcomes[str(seed)].outcome for seed in range(5)] == ["added", "added", "rejected", "added", "added"]
        assert (outcomes["2"].reason or "").startswith("too_many_bytes: ")
        with pytest.raises(ImageRejected) as raised:
            client.search(bytes(items[2].source))  # type: ignore[arg-type]
        assert raised.value.reason == "too_many_bytes"


def test_keys_say_who_may_do_what(tmp_path: Path) -> None:
    with served(tmp_path / "gallery") as (url, gallery):
        write, read = (gallery.catalog.api_keys.create(scope, tenant="ann")[1] for scope in ("write", "read"))
        admin = gallery.catalog.api_keys.create("admin")[1]
        with Client(url) as nobody, pytest.raises(AccessDenied) as raised:
            nobody.status()
        assert not raised.value.authenticated
        with Client(url, write) as ann, Client(url, read) as reader, Client(url, admin) as boss:
            assert ann.put("a", encoded(drawn(1))).outcome == "added"
            assert reader.get("a").sequence == 1
            with pytest.raises(AccessDenied) as raised:
                reader.put("b", encoded(drawn(1)))
            assert raised.value.authenticated
            with pytest.raises(AccessDenied):
                ann.search(encoded(drawn(1)), tenant=None)
            with pytest.raises(AccessDenied):
                ann.repair()
            with pytest.raises(AccessDenied):
                ann.ls(tenant="bob")
            assert boss.ls() == []
            assert [record.tenant for record in boss.ls(tenant="ann")] == ["ann"]
            assert [hit.key for hit in boss.search(encoded(drawn(1)), tenant=None).hits] == ["a"]
            assert boss.repair().rebuilt == {"phash": 1}
            assert ann.status().images == 1
            assert boss.status().images == 0


def test_the_library_names_it() -> None:
    assert lookalike.Client is Client
    assert "Client" in lookalike.__all__


def test_an_import_by_url_is_refused_where_it_would_look_inside(client: Client) -> None:
    job = client.wait_for(client.start_job({"kind": "import", "urls": ["http://127.0.0.1:1/a.jpg"]}).id, seconds=30)
    assert job.counts == {"rejected": 1}
    assert json.dumps(dict(job.result)).count("127.0.0.1") >= 1
    assert client.cancel_job(job.id).state == "done"
    with pytest.raises(NotFound):
        client.job("none")


def test_numbers_of_numpy_are_sent_as_numbers(client: Client) -> None:
    image = encoded(drawn(4711))
    client.put("numpy", image)
    options: Any = {"k": np.int64(1), "page": np.int32(1), "threshold": np.float32(0.5), "verify_ms": np.float64(50)}
    [hit] = client.search(image, **options).hits
    assert hit.key == "numpy"
    [(_, answer)] = client.search_many([image], **options)
    assert isinstance(answer, Answer)
    assert client.why_not(image, "numpy", k=np.int64(3), threshold=np.float32(0.5)).position == 1  # type: ignore[arg-type]


def test_a_key_that_is_no_text_is_refused(client: Client) -> None:
    for call in (client.get, client.get_thumbnail):
        with pytest.raises(TypeError, match="key is text, not 5"):
            call(5)  # type: ignore[arg-type]
