"""Many threads that write, search, list and delete at the same time, over a real socket."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.support.drawn_images import drawn, encoded
from tests.support.server.api import at, lines, live

THREADS = 8
ROUNDS = 16
DATA = [encoded(drawn(n, (64, 48))) for n in range(40)]


class Owner:
    """A thread with keys of its own, so that it knows what must be there; all share one gallery and its indexes."""

    def __init__(self, number: int, url: str) -> None:
        self.mine: dict[str, int] = {}
        self._number = number
        self._rng = random.Random(number)
        self._client = httpx.Client(base_url=url, timeout=120)

    def work(self) -> dict[str, int]:
        """Do this and that, checking each answer; gives the number of the image under each key."""
        acts = (self.put, self.put, self.batch, self.search, self.patch, self.delete, self.listed)
        with self._client:
            for _ in range(ROUNDS):
                key, which = f"{self._number}/{self._rng.randrange(8)}", self._rng.randrange(len(DATA))
                self._rng.choice(acts)(key, which)
        return self.mine

    def put(self, key: str, which: int) -> None:
        answer = self._client.put(at(key), content=DATA[which])
        assert answer.status_code in (200, 201), answer.text
        self._is_found(key, which, answer.json()["sequence"])

    def batch(self, key: str, which: int) -> None:
        [reply] = lines(self._client.post("/v1/images:batch", files=[("file", (key, DATA[which]))]))
        assert reply["outcome"] != "rejected", reply
        self._is_found(key, which, reply["sequence"])

    def _is_found(self, key: str, which: int, sequence: int) -> None:
        self.mine[key] = which
        options = {"k": 500, "min_sequence": sequence, "verify": False}
        found = self._client.post("/v1/search", content=DATA[which], params=options).json()
        assert key in {hit["key"] for hit in found["hits"]}

    def search(self, _: str, which: int) -> None:
        self._client.post("/v1/search", content=DATA[which], params={"k": 5}).raise_for_status()

    def patch(self, key: str, which: int) -> None:
        answer = self._client.patch(at(key), json={"attributes": {"n": which}})
        assert answer.status_code == (200 if key in self.mine else 404)

    def delete(self, key: str, _: int) -> None:
        known = self.mine.pop(key, None) is not None
        assert self._client.delete(at(key)).status_code == (204 if known else 404)

    def listed(self, *_: object) -> None:
        page = self._client.get("/v1/images", params={"limit": 1000}).json()
        own = {image["key"] for image in page["images"] if image["key"].startswith(f"{self._number}/")}
        assert own == self.mine.keys()


def test_mixed_work_of_many_threads_ends_as_each_was_told(tmp_path: Path) -> None:
    with live(tmp_path / "g") as (url, gallery):
        with ThreadPoolExecutor(THREADS) as pool:
            owned = list(pool.map(lambda number: Owner(number, url).work(), range(THREADS)))
        expected = {key: which for mine in owned for key, which in mine.items()}
        records = {record.key: record for record in gallery.ls(limit=10_000)}
        assert records.keys() == expected.keys()
        assert all(records[key].nbytes == len(DATA[which]) for key, which in expected.items())
        [pipeline] = gallery.status().pipelines
        assert pipeline.rows == len(expected)
        gallery.catalog.check()
