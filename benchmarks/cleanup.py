"""Time of planning, applying and undoing a clean-up: clusters of three small files, two of them with the same bytes.

python -m benchmarks.cleanup [--clusters 5000] [--folder DIR]: seconds, and seconds of processor time. Files are moved
into a folder on the same disk; finding the clusters is not measured.
"""

import argparse
import io
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import lookalike
from benchmarks.machine import write_rows
from lookalike.cleanup import CleanupOptions, CleanupPlan, Planner, apply_cleanup, undo_cleanup
from lookalike.gallery import Gallery
from lookalike.results import Cluster

PAGE = 1000


def main() -> None:
    """Measure, and print a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, default=5000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=given.folder) as work,
        lookalike.open(Path(work) / "gallery", pipelines=["phash"], create=True) as gallery,
    ):
        make_files(Path(work) / "photos", given.clusters)
        gallery.add(Path(work) / "photos")
        clusters = clusters_of(gallery)
        options = CleanupOptions(to=f"{work}/duplicates")
        rows: list[dict[str, Any]] = []

        def measure(step: str, work: Callable[[], Any]) -> Any:
            with timed(step, given.clusters, rows):
                return work()

        plan = measure("plan", lambda: CleanupPlan(options, tuple(Planner(gallery, options).plan(clusters))))
        report = measure("apply", lambda: apply_cleanup(gallery, plan))
        undone = measure("undo", lambda: undo_cleanup(gallery))
    assert len(report.outcomes) == len(undone.outcomes) == 2 * given.clusters
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    print(f"{len(report.outcomes):,} files removed and restored; memory at most {peak:,.0f} MiB")
    write_rows("cleanup", rows)


@contextmanager
def timed(step: str, clusters: int, rows: list[dict[str, Any]]) -> Iterator[None]:
    """Measure a step."""
    wall, processor = time.perf_counter(), time.process_time()
    yield
    seconds, used = time.perf_counter() - wall, time.process_time() - processor
    print(f"{step}: {seconds:.1f} s, {used:.1f} s of processor time")
    rows.append({"step": step, "clusters": clusters, "seconds": seconds, "processor_seconds": used})


def make_files(folder: Path, clusters: int) -> None:
    """Write the files of each cluster: the same bytes twice, and a version that is compressed more."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(clusters):
        coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
        image = coarse.resize((96, 72), Image.Resampling.BICUBIC)
        for name, quality in (("a", 90), ("b", 90), ("c", 50)):
            file = io.BytesIO()
            image.save(file, "JPEG", quality=quality)
            (folder / f"{number:06d}{name}.jpg").write_bytes(file.getvalue())


def clusters_of(gallery: Gallery) -> list[Cluster]:
    """The clusters, by name."""
    found = defaultdict(list)
    after = None
    while page := gallery.ls(after=after, limit=PAGE):
        for record in page:
            found[record.key[:6]].append(record)
        after = page[-1].key
    return [Cluster(tuple(records), "copy", 0.0) for records in found.values()]


if __name__ == "__main__":
    main()
