"""The real service as a process of its own, and the galleries that it serves."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

import lookalike
from lookalike.evaluation.edits import apply
from lookalike.samples import sample_paths
from lookalike.types import Item
from tests.support.drawn_images import drawn, encoded
from tests.support.waiting import HANG_SECONDS

START_SECONDS = 90
COPIES = {"cat": ("scale_half", "grey"), "dogs": ("jpeg15",), "wine": ("jpeg15",)}
"""Copies that lie in the gallery beside their originals, so that there are duplicates."""


@dataclass(frozen=True)
class Served:
    """A running server: where it is, and its process."""

    url: str
    process: subprocess.Popen[str]


@contextmanager
def running(command: Sequence[str]) -> Iterator[Served]:
    """Run a server that says `{"url": ...}` once it is up; it is stopped, gracefully, at the end."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        assert ready, f"the server said nothing within {START_SECONDS} s"
        url = json.loads(process.stdout.readline())["url"]
        yield Served(url.rstrip("/"), process)
    finally:
        process.terminate()
        process.wait(HANG_SECONDS)


def serve(gallery: Path, *options: str) -> "Iterator[Served]":
    """`lookalike serve` over a gallery, at any free port."""
    command = (
        sys.executable,
        "-m",
        "lookalike",
        "serve",
        "--gallery",
        str(gallery),
        "--port",
        "0",
        "--json",
        "--no-log",
    )
    return running([*command, *options])  # type: ignore[return-value]


def init(folder: Path, pipelines: str = "phash") -> Path:
    """An empty gallery."""
    lookalike.open(folder, pipelines=pipelines.split(","), create=True).close()
    return folder


def copy_of(name: str, edit: str) -> bytes:
    """An edited copy of one of the samples."""
    [path] = [p for p in sample_paths() if p.stem == name]
    with Image.open(path) as image:
        return apply(edit, image)


def fill(folder: Path) -> Path:
    """The samples under `photos/`, with attributes, and copies of three of them under `copies/`."""
    items = [
        Item(
            f"photos/{path.name}",
            path.read_bytes(),
            {"number": at, "kind": "painting" if "morisot" in path.stem else "photo"},
        )
        for at, path in enumerate(sample_paths())
    ]
    for name, edits in COPIES.items():
        items += [Item(f"copies/{name}-{edit}.jpg", copy_of(name, edit), {"kind": "copy"}) for edit in edits]
    with lookalike.open(folder) as gallery:
        outcomes = {outcome.outcome for outcome in gallery.add(items)}
    assert outcomes == {"added"}
    return folder


def fill_with_many(folder: Path, count: int) -> Path:
    """Many small images that were drawn."""
    items = (Item(f"many/{seed:05}.jpg", encoded(drawn(seed, (96, 72)), "JPEG", quality=70)) for seed in range(count))
    with lookalike.open(folder) as gallery:
        assert sum(1 for _ in gallery.add_iter(items)) == count
    return folder
