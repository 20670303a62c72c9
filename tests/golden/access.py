"""The only place where the tests of old galleries touch the package: later renamings are followed here alone.

What it gives are plain values as JSON has them, under names of the recorded answers' own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

import lookalike
from lookalike.errors import LookalikeError
from lookalike.indexes.hnsw.index import HnswIndex
from lookalike.results import StoredImage
from lookalike.types import Answer, FeatureSpec, Item, Record
from tests.support.command import PROGRAM, Ran, program

Object = dict[str, Any]


class Gallery:
    """An open gallery; every method gives plain values."""

    def __init__(self, folder: Path) -> None:
        self._gallery = lookalike.open(folder, create=False)

    def close(self) -> None:
        self._gallery.close()

    # -- asking

    def search(self, file: Path, **options: Any) -> Object:
        """Search with an image file; each hit as id, key, evidence, pipeline and distance."""
        return _answer(self._gallery.search(file, **_options(options)))

    def search_in_full(self, file: Path, **options: Any) -> list[Object]:
        """The same, and every field of each hit but its distance."""
        return [
            {
                "id": hit.id,
                "key": hit.key,
                "path": hit.path,
                "evidence": hit.evidence,
                "pipeline": hit.pipeline,
                "size": [hit.width, hit.height],
                "attributes": dict(hit.attributes),
            }
            for hit in self._gallery.search(file, **_options(options)).hits
        ]

    def search_key(self, key: str, of: str | None = None, **options: Any) -> Object:
        """Search with a stored image, of a tenant, as it lies: version 0.1 knew no other orientations of it."""
        return _answer(self._gallery.search(StoredImage(key, of), **_options({"orientations": False, **options})))

    def compare(self, a: Path, b: Path) -> Object:
        return _comparison(self._gallery.compare(a, b))

    def compare_keys(self, a: str, b: str) -> Object:
        return _comparison(self._gallery.compare(StoredImage(a), StoredImage(b)))

    def duplicates(self, **options: Any) -> list[Object]:
        return [
            {
                "id": cluster.id,
                "evidence": cluster.evidence,
                "distance": cluster.distance,
                "keys": sorted(image.key for image in cluster.images),
            }
            for cluster in self._gallery.duplicates(**options)
        ]

    def records(self, **options: Any) -> list[Object]:
        return [_record(record) for record in self._gallery.ls(**_options(options))]

    def record(self, key: str, **options: Any) -> Object:
        return _record(self._gallery.get(key, **options))

    def thumbnail(self, key: str, **options: Any) -> bytes:
        return self._gallery.get_thumbnail(key, **options)

    def status(self) -> Object:
        found = self._gallery.status()
        pipelines = [
            {
                "name": one.name,
                "fingerprint": one.fingerprint,
                "metric": one.metric,
                "rows": one.rows,
                "saved_at": one.saved_at,
                "behind": one.behind,
                "threshold": one.threshold,
                "shared": one.shared,
                "failed": one.error is not None,
            }
            for one in found.pipelines
        ]
        return {
            "images": found.images,
            "bytes": found.nbytes,
            "tenants": dict(found.tenants),
            "formats": dict(found.formats),
            "sequence": found.sequence,
            "pipelines": pipelines,
        }

    # -- changing

    def add_files(self, files: Mapping[str, Path], attributes: Mapping[str, Object], tenant: str) -> list[Object]:
        """Add image files under these keys."""
        return self._add([Item(key, file, attributes.get(key)) for key, file in files.items()], tenant)

    def add_bytes(self, files: Mapping[str, Path], attributes: Mapping[str, Object], tenant: str) -> list[Object]:
        """Add images as bytes under these keys."""
        return self._add([Item(key, file.read_bytes(), attributes.get(key)) for key, file in files.items()], tenant)

    def _add(self, items: Sequence[Item], tenant: str) -> list[Object]:
        return [
            {"key": one.key, "outcome": one.outcome, "reason": one.reason, "sequence": one.sequence}
            for one in self._gallery.add(items, tenant=tenant)
        ]

    def remove(self, keys: Sequence[str], tenant: str = "default") -> list[str]:
        return self._gallery.remove(keys, tenant=tenant)

    def set_attributes(self, key: str, attributes: Object) -> Object:
        return _record(self._gallery.set_attributes(key, attributes))

    def not_a_match(self, keys: Sequence[str]) -> None:
        self._gallery.not_a_match(keys)

    def not_a_match_undo(self, keys: Sequence[str]) -> None:
        self._gallery.not_a_match_undo(keys)

    def repair(self) -> None:
        self._gallery.repair()

    def sync_indexes(self) -> None:
        """Bring the indexes up to the catalog."""
        self._gallery.sync_indexes()


@contextmanager
def opened(folder: Path) -> Iterator[Gallery]:
    """The gallery that is in this folder."""
    gallery = Gallery(folder)
    try:
        yield gallery
    finally:
        gallery.close()


def refused(ask: Callable[[], object]) -> bool:
    """Whether this ends with an error of the package."""
    try:
        ask()
    except LookalikeError:
        return True
    return False


def command(*arguments: str | Path) -> Ran:
    """Run the program."""
    plain = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "LOOKALIKE_WORKERS": "1"}
    return program(*arguments, environment={**os.environ, **plain})


def key_of(*arguments: str | Path) -> Object:
    """A new access key."""
    made = command("keys", "create", "--json", *arguments)
    assert made.code == 0, made.err
    return made.line


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL of a server on this gallery."""
    words = [*PROGRAM, "serve", "--gallery", str(folder), "--port", "0", "--json", "--no-log"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=sys.stderr) as server:
        try:
            assert server.stdout is not None
            at = urlsplit(json.loads(server.stdout.readline())["url"])  # with a way in for the page behind it
            yield f"{at.scheme}://{at.netloc}"
        finally:
            server.terminate()
            server.wait(60)


def graph_neighbours(folder: Path, spec: Object, queries: NDArray[np.float32], k: int) -> Object:
    """What the graph of an hnsw snapshot finds, however few rows there are; nothing is written."""
    index = HnswIndex(FeatureSpec(**spec), folder, writable=False, exact_below=1)
    try:
        view, graph = index._table.view, index._graph
        assert graph is not None, f"no graph in {folder}"
        # asked directly, for a search scans where that is quicker
        found = index._search_graph(graph, view, queries, k, 64, None, None)
        return {"sequence": index.sequence, "ids": found.ids.tolist(), "distances": found.distances.tolist()}
    finally:
        index.close()


def _options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a search or a list, under the package's names."""
    return dict(options)


def _answer(answer: Answer) -> Object:
    assert not answer.failed
    return {
        "hits": [[hit.id, hit.key, hit.evidence, hit.pipeline, round(hit.distance, 7)] for hit in answer.hits],
        "more": answer.more,
        "exact_within": dict(answer.exact_within),
        "sequence": answer.sequence,
    }


def _comparison(found: Any) -> Object:
    measured = [
        {"pipeline": m.pipeline, "distance": m.distance, "threshold": m.threshold, "copy": m.is_copy}
        for m in found.pipelines
    ]
    return {
        "evidence": found.evidence,
        "same_bytes": found.same_bytes,
        "same_pixels": found.same_pixels,
        "measured": measured,
    }


def _record(record: Record) -> Object:
    border = record.border
    return {
        "id": record.id,
        "key": record.key,
        "tenant": record.tenant,
        "path": record.path,
        "sha256": record.sha256.hex(),
        "pixels": None if record.pixels is None else record.pixels.hex(),
        "bytes": record.nbytes,
        "size": [record.width, record.height],
        "format": record.format,
        "border": [border.left, border.top, border.right, border.bottom],
        "attributes": dict(record.attributes),
        "created": record.created,
        "updated": record.updated,
        "sequence": record.sequence,
    }
