"""The decoding processes: in order, bounded, and hard to bring down."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from lookalike.errors import BadSetting, ImageRejected
from lookalike.imaging import DecodePool, Limits, Source, Unchanged, prepare
from lookalike.types import InputSpec, Prepared
from tests.support.waiting import HANG_SECONDS, wait_until

HASH = InputSpec(32, 32, "L", "lanczos", oversample=1.0)
NETWORK = InputSpec(64, 64, "RGB", "nearest")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs Unix signals")


def jpeg(seed: int, width: int = 120, height: int = 90) -> bytes:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    file = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.fixture(scope="module")
def slow() -> bytes:
    """An image that takes a decoder a second or so: a large, well compressed PNG."""
    file = io.BytesIO()
    Image.new("L", (12_000, 12_000), 77).save(file, "PNG", compress_level=1)
    return file.getvalue()


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool([HASH, NETWORK], workers=2) as pool:
        yield pool


def workers() -> list[psutil.Process]:
    """The decoding processes that this process started and that live."""
    return [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]


def same(a: Prepared, b: Prepared) -> bool:
    scalars = ("sha256", "pixels", "nbytes", "width", "height", "format", "border")
    return all(getattr(a, name) == getattr(b, name) for name in scalars) and all(
        np.array_equal(x, y) for x, y in zip(a.inputs, b.inputs, strict=True)
    )


def test_results_equal_prepare_and_keep_the_order(pool: DecodePool, tmp_path: Path) -> None:
    sources, expected = [], []
    for i in range(60):
        data = jpeg(i, 60 + 17 * (i % 7), 50 + 23 * (i % 5))
        path = tmp_path / f"{i} ü.jpg"
        path.write_bytes(data)
        sources.append(Source(path=path) if i % 2 else Source(data=data))
        expected.append(prepare(data, [HASH, NETWORK]))
    results = list(pool.map(sources))
    assert len(results) == 60
    for got, wanted in zip(results, expected, strict=True):
        assert isinstance(got, Prepared)
        assert same(got, wanted)


def test_a_bad_image_costs_only_itself(pool: DecodePool, tmp_path: Path) -> None:
    good = jpeg(1)
    forbidden = tmp_path / "forbidden.jpg"
    forbidden.write_bytes(good)
    forbidden.chmod(0)
    sources = [
        Source(data=good),
        Source(path=tmp_path / "vanished.jpg"),
        Source(path=tmp_path),
        Source(path=forbidden),
        Source(data=b"not an image"),
        Source(data=b""),
        Source(data=good[:64]),
        Source(data=good),
    ]
    results = list(pool.map(sources))
    reasons = [r.reason if isinstance(r, ImageRejected) else "fine" for r in results]
    allowed = os.access(forbidden, os.R_OK)  # the superuser may read it all the same
    assert reasons == [
        "fine",
        "unreadable",
        "unreadable",
        "fine" if allowed else "unreadable",
        "not_an_image",
        "empty",
        "truncated",
        "fine",
    ]
    assert "vanished.jpg" in str(results[1])


def test_known_bytes_are_not_decoded(pool: DecodePool) -> None:
    garbage = b"\xff\xd8\xff these bytes would be rejected"
    digest = hashlib.sha256(garbage).digest()
    assert list(pool.map([Source(data=garbage, known=digest)])) == [Unchanged(digest, len(garbage))]
    changed = list(pool.map([Source(data=jpeg(1), known=digest)]))
    assert isinstance(changed[0], Prepared)


def test_pixels_on_demand(pool: DecodePool) -> None:
    data = jpeg(2, 1000, 800)
    plain, of_source, of_map = (
        next(pool.map([Source(data=data)])),
        next(pool.map([Source(data=data, want_pixels=True)])),
        next(pool.map([Source(data=data)], want_pixels=True)),
    )
    assert isinstance(plain, Prepared)
    assert isinstance(of_source, Prepared)
    assert isinstance(of_map, Prepared)
    assert plain.pixels is None
    assert of_source.pixels == of_map.pixels == prepare(data, (), want_pixels=True).pixels is not None


def test_sources_are_consumed_as_results_are(pool: DecodePool) -> None:
    data = jpeg(3)
    consumed = 0

    def endless() -> Iterator[Source]:
        nonlocal consumed
        while True:
            consumed += 1
            yield Source(data=data)

    results = pool.map(endless())
    assert consumed == 0
    for count in range(1, 1501):
        next(results)
        assert consumed <= count + pool.ahead
    results.close()
    before = consumed
    assert isinstance(next(pool.map([Source(data=data)])), Prepared)
    assert consumed == before


def test_bytes_underway_are_bounded() -> None:
    blob = b"\x00" * (16 * 1024 * 1024)
    consumed = 0

    def heavy() -> Iterator[Source]:
        nonlocal consumed
        for _ in range(40):
            consumed += 1
            yield Source(data=blob)

    with DecodePool([HASH], workers=1) as pool:
        results = pool.map(heavy())
        for count in range(1, 41):
            assert isinstance(next(results), ImageRejected)
            assert consumed <= count + 5


def test_two_threads_share_a_pool(pool: DecodePool) -> None:
    found: dict[int, list[bytes]] = {}

    def run(name: int) -> None:
        data = [jpeg(1000 * name + i) for i in range(40)]
        found[name] = [r.sha256 for r in pool.map(Source(data=d) for d in data) if isinstance(r, Prepared)]
        assert found[name] == [hashlib.sha256(d).digest() for d in data]

    threads = [threading.Thread(target=run, args=(name,)) for name in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(found[name]) for name in (1, 2)] == [40, 40]


def test_an_iterable_that_fails_leaves_the_pool_usable(pool: DecodePool) -> None:
    def failing() -> Iterator[Source]:
        yield Source(data=jpeg(1))
        raise KeyError("the catalog is gone")

    with pytest.raises(KeyError):
        list(pool.map(failing()))
    assert isinstance(next(pool.map([Source(data=jpeg(1))])), Prepared)


def test_processes_start_late_and_end_quickly(slow: bytes) -> None:
    before = set(workers())
    pool = DecodePool([HASH], workers=2)
    assert set(workers()) == before
    list(pool.map([]))
    assert set(workers()) == before
    assert isinstance(next(pool.map([Source(data=jpeg(1))])), Prepared)
    assert len(set(workers()) - before) == 1
    results = pool.map([Source(data=jpeg(1)), Source(data=slow), Source(data=slow)])
    next(results)
    pool.close()
    pool.close()
    assert set(workers()) == before
    with pytest.raises(BadSetting):
        next(pool.map([Source(data=jpeg(1))]))


def test_arguments_are_checked() -> None:
    with pytest.raises(BadSetting):
        DecodePool([HASH], workers=0)
    with pytest.raises(BadSetting):
        Source()
    with pytest.raises(BadSetting):
        Source(path=Path("a"), data=b"a")


def run_with(pool: DecodePool, sources: list[Source], meanwhile: Callable[[], None]) -> list[object]:
    """Map the sources in a thread, and do something meanwhile."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.extend(pool.map(sources)))
    thread.start()
    meanwhile()
    thread.join()
    return results


def busy_worker() -> psutil.Process:
    """The decoding process started last, once it is at work on a big image; other suites may have left some."""
    wait_until(lambda: bool(workers()))
    newest = max(workers(), key=lambda p: p.create_time())
    wait_until(lambda: newest.memory_info().rss > 150 * 1024 * 1024)
    return newest


def test_a_killed_decoder_costs_one_image(slow: bytes) -> None:
    sources = [Source(data=d) for d in (jpeg(1), jpeg(2), slow, jpeg(3), jpeg(4))]
    with DecodePool([HASH], workers=1) as pool:
        first = list(pool.map([sources[0]] * 30))  # from here on, several images make a chunk
        assert all(isinstance(r, Prepared) for r in first)
        results = run_with(pool, sources, lambda: busy_worker().send_signal(signal.SIGKILL))
        kinds = [r.reason if isinstance(r, ImageRejected) else "fine" for r in results]
        assert kinds == ["fine", "fine", "crashed", "fine", "fine"]
        assert "signal 9" in str(results[2])


def test_a_decoder_that_hangs_is_ended(slow: bytes) -> None:
    sources = [Source(data=d) for d in (jpeg(1), slow, jpeg(2))]
    with DecodePool([HASH], limits=Limits(seconds=2), workers=1) as pool:
        list(pool.map([sources[0]] * 5))
        results = run_with(pool, sources, lambda: busy_worker().send_signal(signal.SIGSTOP))
        kinds = [r.reason if isinstance(r, ImageRejected) else "fine" for r in results]
        assert kinds == ["fine", "timeout", "fine"]


def test_memory_is_bounded(slow: bytes) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux limits the memory of a process")
    with DecodePool([HASH], limits=Limits(max_memory=200 * 1024 * 1024), workers=1) as pool:
        results = list(pool.map([Source(data=jpeg(1)), Source(data=slow), Source(data=jpeg(2))]))
    kinds = [r.reason if isinstance(r, ImageRejected) else "fine" for r in results]
    assert kinds[0] == kinds[2] == "fine"
    assert kinds[1] in {"too_many_pixels", "crashed"}


SCRIPT = """
import sys, time
from lookalike.imaging import DecodePool, Source
from lookalike.types import InputSpec
data = open(sys.argv[1], "rb").read()
pool = DecodePool([InputSpec(32, 32, "L")], workers=2)
results = pool.map(Source(data=data) for _ in range(10**9))
for count, result in enumerate(results):
    if count == 4:
        print("ready", flush=True)
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], list[psutil.Process]]]:
    """A script without a main guard that decodes for ever, in a process group of its own, and its workers."""
    image, script = tmp_path / "a.jpg", tmp_path / "script.py"
    image.write_bytes(jpeg(1, 2000, 1500))
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script), str(image)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        children = psutil.Process(process.pid).children(recursive=True)
        assert 1 <= len(children) <= 2
        yield process, children
    finally:
        process.kill()
        process.communicate()


def gone(children: list[psutil.Process]) -> bool:
    return not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def test_no_orphans_after_the_parent_is_killed(
    running: tuple[subprocess.Popen[bytes], list[psutil.Process]],
) -> None:
    process, children = running
    process.kill()
    process.wait()
    wait_until(lambda: gone(children))


def test_no_orphans_and_no_noise_after_ctrl_c(running: tuple[subprocess.Popen[bytes], list[psutil.Process]]) -> None:
    process, children = running
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=HANG_SECONDS)
    assert said.count(b"Traceback") == 1  # the script's own
    assert b"KeyboardInterrupt" in said
    wait_until(lambda: gone(children))


def test_nothing_printed_by_a_library_disturbs_the_answers(tmp_path: Path) -> None:
    """A damaged TIFF has libtiff write to standard error, past Python."""
    file = io.BytesIO()
    Image.open(io.BytesIO(jpeg(1))).save(file, "TIFF", compression="tiff_lzw")
    damaged = bytearray(file.getvalue())
    damaged[200:260] = b"\xff" * 60
    with DecodePool([HASH], workers=1) as pool:
        results = list(pool.map([Source(data=bytes(damaged)), Source(data=jpeg(1))]))
    assert isinstance(results[1], Prepared)
