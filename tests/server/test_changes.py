"""The feed of changes over HTTP: pages, long-polling, and who may read whose."""

import threading
import time
from pathlib import Path

import httpx
import pytest

from lookalike import Client
from lookalike.errors import BadInput, ChangesPruned, UnsupportedQuery
from lookalike.server import change_watcher
from tests.support.drawn_images import drawn, encoded
from tests.support.served import served
from tests.support.waiting import HANG_SECONDS, wait_until


def test_client_and_gallery_read_the_same(tmp_path: Path) -> None:
    with served(tmp_path / "g") as (url, gallery), Client(url) as client:
        for n in range(7):
            gallery.put(f"k{n}", encoded(drawn(n)), attributes={"n": n})
        gallery.remove(["k1"])
        gallery.set_attributes("k2", {"n": 20})
        after: str = "0"
        kinds: dict[str, str] = {}
        for limit in (2, 3, 100):
            pages = [to.changes(after=after, limit=limit) for to in (gallery, client)]
            for page in pages:
                assert [(c.sequence, c.kind, c.tenant, c.key) for c in page.changes] == [
                    (c.sequence, c.kind, c.tenant, c.key) for c in pages[0].changes
                ]
            assert (pages[0].next, pages[0].sequence, pages[0].more) == (
                pages[1].next,
                pages[1].sequence,
                pages[1].more,
            )
            images = [c.image for c in pages[1].changes if c.image is not None]
            assert all(image.attributes["n"] in (int(image.key[1:]), 20) for image in images)
            kinds |= {c.key: c.kind for c in pages[1].changes}
            after = pages[1].next
        assert kinds == {"k1": "deleted", "k2": "updated"} | {f"k{n}": "added" for n in (0, 3, 4, 5, 6)}
        for to in (gallery, client):
            with pytest.raises(UnsupportedQuery, match="future"):
                to.changes(after=1000)
            for wrong in ({"after": "x"}, {"limit": 0}, {"wait": -1}):
                with pytest.raises(BadInput):
                    to.changes(**wrong)  # type: ignore[arg-type]
        gallery.remove(["k6"])
        gallery.repair()
        for to in (gallery, client):
            with pytest.raises(ChangesPruned):
                to.changes(after=int(after))


@pytest.mark.parametrize("way", ["gallery", "client"])
def test_a_waiting_reader_gets_a_change_when_it_happens(tmp_path: Path, way: str) -> None:
    with served(tmp_path / "g") as (url, gallery), Client(url) as client:
        gallery.put("old", encoded(drawn(1)))
        last = gallery.changes().next
        found: list[str] = []

        def read() -> None:
            page = (gallery if way == "gallery" else client).changes(after=last, wait=30)
            found.extend(change.key for change in page.changes)

        reader = threading.Thread(target=read)
        reader.start()
        gallery.put("other tenant's", encoded(drawn(2)), tenant="other")  # wakes nobody up for good
        time.sleep(0.5)
        assert reader.is_alive()
        gallery.put("new", encoded(drawn(3)))
        reader.join(HANG_SECONDS)
        assert found == ["new"]


def test_waiting_uses_no_thread_and_ends_in_time(tmp_path: Path) -> None:
    with served(tmp_path / "g") as (url, gallery), httpx.Client(base_url=url, timeout=HANG_SECONDS) as http:
        threads = [threading.Thread(target=lambda: Client(url).changes(wait=2)) for _ in range(24)]
        for thread in threads:  # more than the threads of the server
            thread.start()
        assert http.put("/v1/images/x", content=encoded(drawn(1)), params={}).status_code == 201
        for thread in threads:
            thread.join(HANG_SECONDS)
            assert not thread.is_alive()
        empty = http.get("/v1/changes", params={"after": gallery.changes().next, "wait": 0.3}).json()
        assert (empty["changes"], empty["more"]) == ([], False)
        assert http.get("/v1/changes", params={"wait": 31}).status_code == 400


def test_too_many_waiting_readers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_watcher, "MAX_WAITING", 1)
    with served(tmp_path / "g") as (url, gallery):

        def wait() -> None:
            """Wait for a change, again where the request below was the one that waited."""
            while httpx.get(f"{url}/v1/changes", params={"wait": 20}, timeout=60).status_code == 503:
                pass

        thread = threading.Thread(target=wait)
        thread.start()

        def refused() -> bool:
            return httpx.get(f"{url}/v1/changes", params={"wait": 0.1}, timeout=60).status_code == 503

        wait_until(refused)
        gallery.put("x", encoded(drawn(1)))
        thread.join(HANG_SECONDS)
        assert not thread.is_alive()


def test_the_changes_of_all_tenants(tmp_path: Path) -> None:
    with served(tmp_path / "g") as (url, gallery), Client(url) as client:
        gallery.put("a", encoded(drawn(1)))
        gallery.put("b", encoded(drawn(2)), tenant="other")
        for to in (gallery, client):
            assert [(c.tenant, c.key) for c in to.changes(tenant=None).changes] == [("default", "a"), ("other", "b")]
            assert [c.key for c in to.changes(tenant="other").changes] == ["b"]
            assert to.changes(tenant="nobody").changes == ()
