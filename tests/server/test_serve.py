"""`lookalike serve` as a process: what it acknowledged is there after a kill, and it stays up under any load."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from lookalike.factory import open_gallery
from tests.support.command import PROGRAM, lookalike
from tests.support.drawn_images import drawn, encoded
from tests.support.server.api import at
from tests.support.waiting import HANG_SECONDS

TIMEOUT = 90.0
"""Seconds for what takes one on an idle machine."""
DATA = [encoded(drawn(n, (64, 48))) for n in range(60)]
IMPORTED = 150
"""Images of a job that is interrupted: importing them takes seconds on any machine."""


@dataclass
class Served:
    """A server process, its URL, and what it has written to standard error."""

    url: str
    process: "subprocess.Popen[bytes]"
    errors: list[bytes]


@contextmanager
def process(folder: Path, *options: str) -> Iterator[Served]:
    """A server process over this gallery; killed in the end if it is still there."""
    command = [*PROGRAM, "serve", "--gallery", str(folder), "--port", "0", "--json", *options]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert started.stdout is not None
    assert started.stderr is not None
    served = Served("", started, [])
    drain = threading.Thread(target=served.errors.extend, args=(started.stderr,))  # a full pipe would stop it
    drain.start()
    try:
        line = started.stdout.readline()
        assert line, b"".join(served.errors).decode()
        served.url = json.loads(line)["url"].rstrip("/")
        yield served
    finally:
        started.kill()
        started.wait(TIMEOUT)
        drain.join(TIMEOUT)
        started.stdout.close()
        started.stderr.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert lookalike("init", "--gallery", tmp_path / "g", "--pipelines", "phash").code == 0
    return tmp_path / "g"


def ready(served: Served) -> str:
    """The URL of the server, once it is ready."""
    url, until = served.url, time.monotonic() + TIMEOUT
    while time.monotonic() < until:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{url}/readyz", timeout=20).status_code == 200:
                return url
        time.sleep(0.1)
    raise AssertionError("the server did not get ready")


class Writers:
    """Threads that put, search and delete until told to stop, or the server is gone.

    `acknowledged` are the images whose putting was answered with success, by key; `deleting` those whose deletion
    was asked for, `deleted` those for which it was acknowledged.
    """

    def __init__(self, url: str, threads: int = 6) -> None:
        self.acknowledged: dict[str, int] = {}
        self.deleting: set[str] = set()
        self.deleted: set[str] = set()
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def _write(self, number: int) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as client, suppress(httpx.HTTPError):
            for count in range(100_000):
                if self._stop.is_set():
                    return
                key, which = f"{number}/{count}", (number + count) % len(DATA)
                if client.put(at(key), content=DATA[which]).status_code in (200, 201):
                    self.acknowledged[key] = which
                client.post("/v1/search", content=DATA[which], params={"k": 1, "verify": False})
                if count % 5 == 4:
                    self.deleting.add(gone := f"{number}/{count - 1}")
                    if client.delete(at(gone)).status_code == 204:
                        self.deleted.add(gone)

    def wait_for(self, acknowledged: int) -> None:
        """Wait until so many images were acknowledged."""
        until = time.monotonic() + TIMEOUT
        while len(self.acknowledged) < acknowledged:
            assert time.monotonic() < until
            time.sleep(0.02)

    def stop(self) -> None:
        """End them."""
        self._stop.set()
        for thread in self._threads:
            thread.join(TIMEOUT)

    def check(self, folder: Path) -> None:
        """Everything acknowledged is in the gallery and found, and nothing deleted is."""
        with open_gallery(folder) as gallery:
            there = {record.key for record in gallery.ls(limit=100_000)}
            assert self.acknowledged.keys() - self.deleting <= there
            assert not self.deleted & there
            for key in [key for key in self.acknowledged if key in there][-20:]:
                hits = gallery.search(DATA[self.acknowledged[key]], k=1000, verify=False).hits
                assert key in {hit.key for hit in hits}


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(folder: Path) -> None:
    """Once, for tests/faults/test_kill.py kills writers many times."""
    with process(folder) as served:
        writers = Writers(ready(served))
        writers.wait_for(30)
        served.process.send_signal(signal.SIGKILL)
        served.process.wait(TIMEOUT)
        writers.stop()
    writers.check(folder)


def test_a_stop_finishes_what_is_under_way(folder: Path) -> None:
    with process(folder) as served:
        url = ready(served)
        writers = Writers(url)
        writers.wait_for(10)
        sending = threading.Event()
        slow = ThreadPoolExecutor(1).submit(
            lambda: httpx.put(f"{url}{at('slow')}", content=slowly(DATA[0], 2.0, sending), timeout=TIMEOUT)
        )
        assert sending.wait(TIMEOUT)
        ready(served)  # over a later connection, so that the server has read from the former
        served.process.send_signal(signal.SIGTERM)
        assert slow.result(60).status_code in (200, 201), "it had begun before the signal"
        assert served.process.wait(TIMEOUT) == 0
        writers.stop()
    writers.check(folder)
    with open_gallery(folder) as gallery:
        assert gallery.get("slow").nbytes == len(DATA[0])


def slowly(data: bytes, seconds: float, sending: threading.Event) -> Iterator[bytes]:
    step = max(len(data) // 10, 1)
    for start in range(0, len(data), step):
        yield data[start : start + step]
        sending.set()
        time.sleep(seconds / 10)


def test_ten_times_the_load_is_refused_quickly_and_loses_nothing(folder: Path) -> None:
    """While the decoding processes stand still, both threads are busy and the queue fills, at any speed."""
    with process(folder, "--threads", "2") as served:
        url = ready(served)
        assert httpx.put(f"{url}{at('first')}", content=DATA[0], timeout=60).status_code == 201
        statuses: list[int] = []
        acknowledged: list[str] = ["first"]
        lock = threading.Lock()
        refused = threading.Event()

        def flood(number: int) -> None:
            with httpx.Client(base_url=url, timeout=60) as client:
                answer = client.put(at(str(number)), content=DATA[number % len(DATA)])
                with lock:
                    statuses.append(answer.status_code)
                    if answer.status_code in (429, 503):
                        assert int(answer.headers["retry-after"]) >= 1
                        assert answer.headers["content-type"] == "application/problem+json"
                        refused.set()
                    else:
                        acknowledged.append(str(number))

        workers = descendants(served.process.pid)
        assert workers, "a server decodes in processes of its own"
        with ThreadPoolExecutor(160) as pool:
            signal_all(workers, signal.SIGSTOP)
            try:
                sent = pool.map(flood, range(160))
                assert refused.wait(TIMEOUT), "more than it can take at once"
            finally:
                signal_all(workers, signal.SIGCONT)
            list(sent)
        assert set(statuses) <= {200, 201, 429, 503}, sorted(set(statuses))
        assert httpx.get(f"{url}/healthz", timeout=20).status_code == 200
        assert httpx.post(f"{url}/v1/search", content=DATA[0], timeout=60).status_code == 200
        assert served.process.poll() is None
    with open_gallery(folder) as gallery:
        there = {record.key for record in gallery.ls(limit=100_000)}
        assert set(acknowledged) <= there


def descendants(pid: int) -> list[int]:
    """The processes that this one started, and theirs."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *descendants(child)]
    return found


def signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def test_a_job_survives_its_process(folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for n in range(IMPORTED):
        (photos / f"{n}.png").write_bytes(encoded(drawn(n, (200, 150))))
    with process(folder, "--import-from", str(photos)) as served:
        url = ready(served)
        job = httpx.post(f"{url}/v1/jobs", json={"kind": "import", "paths": [str(photos)]}, timeout=60).json()
        until = time.monotonic() + TIMEOUT
        while httpx.get(f"{url}/v1/jobs/{job['id']}", timeout=60).json()["state"] == "queued":
            assert time.monotonic() < until
        served.process.send_signal(signal.SIGTERM)
        served.process.wait(TIMEOUT)
    with process(folder, "--import-from", str(photos)) as served:
        url = ready(served)
        until = time.monotonic() + TIMEOUT
        while (reply := httpx.get(f"{url}/v1/jobs/{job['id']}", timeout=60).json())["state"] in ("queued", "running"):
            assert time.monotonic() < until, reply
            time.sleep(0.1)
        assert reply["state"] == "done", reply
        assert httpx.get(f"{url}/v1/images", params={"limit": 1}, timeout=60).json()["total"] == IMPORTED


def test_where_it_may_not_listen_it_says_so(folder: Path) -> None:
    refused = lookalike("serve", "--gallery", folder, "--host", "0.0.0.0", "--port", "0")
    assert refused.code != 0
    assert "keys create" in refused.err
    with process(folder) as served:
        taken = lookalike("serve", "--gallery", folder, "--port", served.url.rpartition(":")[2])
        assert taken.code != 0
        assert "--port" in taken.err
    missing = lookalike("serve", "--gallery", folder, "--port", "0", "--import-from", folder / "nothing")
    assert "nothing" in missing.err


def test_the_log_is_json_and_the_page_is_there(folder: Path) -> None:
    with process(folder) as served:
        url = ready(served)
        page = httpx.get(f"{url}/", headers={"X-Request-Id": "the-page"}, timeout=HANG_SECONDS)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        httpx.put(
            f"{url}{at('my secret key')}", content=DATA[0], headers={"X-Request-Id": "the-put"}, timeout=HANG_SECONDS
        )
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(TIMEOUT) == 0
    lines = [json.loads(line) for line in served.errors]
    reply = {line["id"]: line for line in lines if "id" in line}
    assert (reply["the-page"]["route"], reply["the-page"]["status"]) == ("/", 200)
    assert (reply["the-put"]["method"], reply["the-put"]["route"]) == ("PUT", "/v1/images/{key}")
    assert reply["the-put"]["received"] == len(DATA[0])
    assert "secret" not in b"".join(served.errors).decode()
