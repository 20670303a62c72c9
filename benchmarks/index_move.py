"""Moving the index of a gallery's hashes from `mih` to Elasticsearch, back, and there again.

    python -m benchmarks.index_move [--count 100000] [--url elasticsearch://HOST:PORT]

Random hashes in a gallery of this machine; nothing else is searched or written meanwhile. The time includes the wait
of 3 seconds until all processes know of a move.
"""

import argparse
import contextlib
import hashlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scripts.elasticsearch import running

import lookalike
from benchmarks.machine import describe
from lookalike.catalog import NewImage

BATCH = 2000


def images(gallery: lookalike.Gallery, count: int) -> Iterator[list[NewImage]]:
    """Batches of images with random hashes."""
    rng = np.random.default_rng(1)
    tenant = gallery.catalog.tenants.get_or_create("default")
    specs = list(gallery.feature_specs())
    for start in range(0, count, BATCH):
        yield [
            NewImage(
                *(tenant, f"{n}.jpg", None, hashlib.sha256(str(n).encode()).digest(), 1000, 40, 30, "JPEG"),
                features={spec: rng.integers(0, 256, spec.width, np.uint8) for spec in specs},
            )
            for n in range(start, min(start + BATCH, count))
        ]


def main() -> None:
    """Print a line for each move."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--url")
    options = parser.parse_args()
    print(describe())
    with contextlib.ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory()))
        url = options.url or f"elasticsearch://127.0.0.1:{ends.enter_context(running())[0].port}"
        gallery = ends.enter_context(lookalike.open(folder / "gallery", pipelines=["phash"], create=True))
        for _ in gallery.put_encoded(images(gallery, options.count)):
            pass
        for to in (f"{url}?mode=exact", "mih", f"{url}?mode=exact"):
            began, used = time.monotonic(), time.process_time()
            moved = gallery.move_index("phash", to)
            took, cpu = time.monotonic() - began, time.process_time() - used
            print(f"{moved.before} to {moved.after}: {took:.1f} s, {cpu:.1f} s of this process; {moved}", flush=True)


if __name__ == "__main__":
    main()
