"""Makes what tests/golden/data holds; run with the version whose galleries are to be recorded, here 0.1.0.

    python -m tests.golden.make_goldens [images] [gallery] [hashes] [engines] [help]

Makes the named goldens, by default all; existing files are replaced. It needs VGG16's weights, and for
`engines` PostgreSQL, Elasticsearch and Milvus, which it starts as the suites do. It calls the package by the names that
it had in 0.1.0: check that version out, rather than adapt this file.

Paths of the machine do not stay in what is recorded: an image added as a file has the path `/photos/KEY` afterwards.
The hnsw index makes its graph from 4 rows on here (`exact_below`), where the program scans below 6,000, and the mih
index its sorted runs from 8 on: with the program's own numbers the snapshots would hold megabytes, or none of either.
The snapshots are of the state before the last changes, which are thus replayed by whoever opens the gallery.
"""

import gzip
import io
import json
import os
import platform
import shutil
import sqlite3
import sys
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from lookalike.stores import mih_state
from lookalike.stores.hnsw import HnswIndex

from lookalike import wiring
from tests.golden import raw
from tests.golden.access import command, graph_neighbours, key_of, opened
from tests.golden.drawing import draw_all
from tests.golden.questions import DATA, IMAGES, fill, questions, unpacked
from tests.golden.surface import described, helps, json_fields

BOTH = ("phash", "vgg16")
SMALL_RUNS = mock.patch.object(mih_state, "ROOM", 8)
"""Has an mih index sort its rows into runs from 8 on, instead of 32,768."""


def small_graph(*arguments: Any, **options: Any) -> HnswIndex:
    """An hnsw index that makes its graph of a few rows."""
    return HnswIndex(*arguments, exact_below=4, **options)


def record(name: str, folder: Path, pipelines: tuple[str, ...], *, keys: bool = True) -> None:
    """Ask a gallery everything, and write the answers down, a line each."""
    with opened(folder) as gallery:
        asked = questions(pipelines, keys=keys)
        answers = [f"{_json(title)}: {_json(ask(gallery))}" for title, ask in asked.items()]
    (DATA / name / "answers.json").write_text("{\n" + ",\n".join(answers) + "\n}\n")


def _json(answer: Any) -> str:
    return json.dumps(answer, ensure_ascii=False)


def images() -> None:
    draw_all(IMAGES)


def gallery() -> None:
    """The default pipelines and indexes, filled; an access key, and what the graph finds."""
    to, folder = _emptied("gallery"), Path(tempfile.mkdtemp()) / "gallery"
    _init(folder)
    hnsw = mock.patch.dict(wiring.INDEXES, {"hnsw": wiring.Embedded(f"{__spec__.name}:small_graph")})
    with hnsw, SMALL_RUNS, opened(folder) as made:
        outcomes = fill(made)
    key = key_of("--gallery", folder, "--scope", "admin", "--label", "of the tests")
    _neutral(folder / "catalog.sqlite")
    _kept(folder, to / "gallery.tar.gz")
    folder = _copy(to / "gallery.tar.gz")
    record("gallery", folder, BOTH)
    [index] = (folder / "indexes").glob("vgg16-*-hnsw")
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as catalog:
        number, fingerprint = catalog.execute(
            "SELECT id, fingerprint FROM fingerprints WHERE name = 'vgg16'"
        ).fetchone()
        rows = catalog.execute(f"SELECT vector FROM features_{number} ORDER BY image_id LIMIT 3").fetchall()
    queries = np.array([np.frombuffer(row, np.float16) for (row,) in rows]).astype(np.float32)
    spec = {"name": "vgg16", "metric": "cosine", "width": 512, "fingerprint": fingerprint}
    found = graph_neighbours(index, spec, queries, 5)
    answer = {"outcomes": outcomes, "key": key, "spec": spec, "graph": found}
    (to / "made.json").write_text(_json(answer) + "\n")


def hashes() -> None:
    """Hashes alone, from every pixel, found as published, with a threshold of its own."""
    to, folder = _emptied("hashes"), Path(tempfile.mkdtemp()) / "gallery"
    _init(folder, "--pipelines", "phash", "--index", "phash=mih?m=5", "--exact-phash")
    settings = folder / "gallery.toml"
    settings.write_text(settings.read_text() + '"phash" = 0.1\n')
    with SMALL_RUNS, opened(folder) as made:
        outcomes = fill(made)
    _neutral(folder / "catalog.sqlite")
    _kept(folder, to / "gallery.tar.gz")
    record("hashes", _copy(to / "gallery.tar.gz"), ("phash",))
    (to / "made.json").write_text(_json({"outcomes": outcomes}) + "\n")


def engines() -> None:
    """The same on PostgreSQL, Elasticsearch and Milvus, in two ways of keeping things."""
    for name, (catalog_options, hashes_, vectors) in raw.WAYS.items():
        to, folder = _emptied(name), Path(tempfile.mkdtemp()) / "gallery"
        with raw.database() as url:
            catalog = url + catalog_options
            index = {"phash": raw.elasticsearch_url() + hashes_, "vgg16": raw.milvus_url() + vectors}
            words = [word for pipeline, address in index.items() for word in ("--index", f"{pipeline}={address}")]
            _init(folder, "--catalog", catalog, *words)
            left = "features=engine" in catalog_options
            with opened(folder) as made:
                outcomes = fill(made, repair=not left)
            with raw.connected(url) as conn:
                conn.execute("UPDATE images SET path = '/photos/' || key WHERE path IS NOT NULL")
                conn.execute("UPDATE followers SET worker = 'host:1:00000000'")
            names = raw.names(url)
            raw.dump_postgresql(url, to / "postgresql.sql")
            raw.dump_elasticsearch(names, to / "elasticsearch.json")
            raw.dump_milvus(names, to / "milvus.json")
            text = (folder / "gallery.toml").read_text()
            addresses = {url: "CATALOG", raw.elasticsearch_url(): "ELASTICSEARCH", raw.milvus_url(): "MILVUS"}
            for address, word in addresses.items():
                text = text.replace(address, word)
            (to / "gallery.toml").write_text(text)
            record(name, folder, BOTH, keys=not left)
            (to / "made.json").write_text(_json({"outcomes": outcomes}) + "\n")
            raw.sweep(names)


def help() -> None:  # noqa: A001 - as the command line calls it
    """What every command says of itself, and the description of the HTTP API."""
    to = _emptied("help")
    for name, text in helps(command).items():
        (to / f"{name.replace(' ', '-') or 'lookalike'}.txt").write_text(text)
    folder = _copy(DATA / "hashes" / "gallery.tar.gz")
    fields = json_fields(folder, IMAGES)
    (to / "json.json").write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n")
    (to / "openapi.json").write_text(json.dumps(described(), indent=1, ensure_ascii=False) + "\n")


def _emptied(name: str) -> Path:
    shutil.rmtree(DATA / name, ignore_errors=True)
    (DATA / name).mkdir(parents=True)
    return DATA / name


def _init(folder: Path, *words: str) -> None:
    made = command("init", "--gallery", folder, *words)
    assert made.code == 0, made.err


def _neutral(catalog: Path) -> None:
    with closing(sqlite3.connect(catalog, isolation_level=None)) as conn:
        conn.execute("UPDATE images SET path = '/photos/' || key WHERE path IS NOT NULL")
        conn.execute("UPDATE followers SET worker = 'host:1:00000000'")
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        conn.execute("VACUUM")
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _kept(made: Path, to: Path) -> None:
    """Pack a gallery, without what only a running process needs, and without owners and times."""
    with gzip.GzipFile(to, "wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for file in sorted(made.rglob("*")):
            if file.is_dir() or file.name.startswith("writer.") or file.name.endswith(("-wal", "-shm", ".lock")):
                continue
            data = file.read_bytes()
            assert platform.node().encode() not in data, file
            assert str(made.parent).encode() not in data, file
            about = tarfile.TarInfo(str(file.relative_to(made)))
            about.size, about.mode = len(data), 0o600
            tar.addfile(about, io.BytesIO(data))
    shutil.rmtree(made.parent)


def _copy(packed: Path) -> Path:
    return unpacked(packed, Path(tempfile.mkdtemp()))


if __name__ == "__main__":
    os.environ["LOOKALIKE_PRECISION"] = "fp32"
    PARTS = (images, gallery, hashes, engines, help)
    for part in PARTS:
        if part.__name__ in sys.argv[1:] or not sys.argv[1:]:
            part()
