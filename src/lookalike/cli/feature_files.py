"""Queries by features on the command line: hashes, lines of `encode --json`, and NumPy arrays."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from lookalike.cli.output import print_error
from lookalike.errors import BadInput, BadSetting, NotFound
from lookalike.results import ImageFeatures, Query
from lookalike.wire.objects import parse
from lookalike.wire.search import ImageFeatures as ImageFeaturesObject

NPY_MAGIC = b"\x93NUMPY"
PHASH = "phash"


def feature_runs(
    hashes: Sequence[str], file: Path | None, pipelines: Sequence[str], fingerprint: str | None
) -> Iterator[tuple[list[str], Iterator[Query]]]:
    """Yield runs of queries with features of the same pipelines, with the names of those to search.

    Raises BadSetting for options that do not fit the file, BadInput for a line that `encode` did not write, NotFound
    where there is no such file.
    """

    def queries() -> Iterator[ImageFeatures]:
        yield from (ImageFeatures({PHASH: digits}, name=digits) for digits in hashes)
        if file is not None:
            yield from _read(file, pipelines, fingerprint)

    def names_of(query: ImageFeatures) -> tuple[str, ...]:
        return tuple(name for name in query.features if not pipelines or name in pipelines) or tuple(pipelines)

    for names, run in groupby(queries(), names_of):
        yield list(names), iter(run)


def _read(file: Path, pipelines: Sequence[str], fingerprint: str | None) -> Iterator[ImageFeatures]:
    if str(file) == "-":
        yield from _of_lines(sys.stdin.buffer, "standard input")
        return
    try:
        with file.open("rb") as stream:
            if stream.read(len(NPY_MAGIC)) == NPY_MAGIC:
                yield from _of_array(file, pipelines, fingerprint)
                return
            stream.seek(0)
            yield from _of_lines(stream, str(file))
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}") from None
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from error


def _of_array(file: Path, pipelines: Sequence[str], fingerprint: str | None) -> Iterator[ImageFeatures]:
    if len(pipelines) != 1:
        raise BadSetting(f"{file} is an array, which does not say of what: name the pipeline of its rows by --pipeline")
    try:
        rows = np.load(file, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise BadInput(f"{file} is not a NumPy array of numbers: {error}") from None
    if rows.ndim != 2:
        raise BadInput(f"{file} has the shape {rows.shape}; features are rows, (n, width)")
    fingerprints = {} if fingerprint is None else {pipelines[0]: fingerprint}
    for number, row in enumerate(rows):
        yield ImageFeatures({pipelines[0]: np.array(row)}, fingerprints, f"{file}[{number}]")


def _of_lines(lines: Iterable[bytes], name: str) -> Iterator[ImageFeatures]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
            if "error" in found:
                print_error(f"line {number} of {name} has no features: {found.get('query')} could not be encoded")
                continue
            query = parse(ImageFeaturesObject, found).query(str(found.get("query") or f"{name}:{number}"))
        except (ValueError, TypeError, BadInput):
            raise BadInput(f"line {number} of {name} is not a line of `lookalike encode --json`") from None
        yield query
