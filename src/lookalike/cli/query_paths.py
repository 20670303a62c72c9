"""Paths of images that a command searches with or encodes: files, folders, and lists on standard input."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from lookalike.cli.options import read_entries
from lookalike.cli.output import print_error


def paths_of(images: Sequence[str], *, null: bool) -> Iterator[str]:
    """Paths of images: files as given, files below folders, and paths listed on standard input."""
    for image in images:
        for path in read_entries(sys.stdin.buffer, null=null) if image == "-" else [image]:
            yield from _below(path) if Path(path).is_dir() else [path]


def _below(folder: str) -> Iterator[str]:
    from lookalike.image_files import FolderScan  # noqa: PLC0415 - loads numpy and Pillow
    from lookalike.types import Outcome  # noqa: PLC0415

    found = False
    for file in FolderScan().files_below(folder):
        found = True
        # an unreadable folder becomes a query, which fails with the reason like any other
        yield file.key if isinstance(file, Outcome) else file
    if not found:
        print_error(f"no images below {folder}")
