"""`encode`: the features of images, without storing anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.exit_codes import ExitCode, error_object
from lookalike.cli.options import IMAGES, NullOption, PipelineNamesOption, Session, app, command, option, paths_of
from lookalike.cli.output import emit, print_error, print_line, printable
from lookalike.errors import BadSetting, Unavailable

if TYPE_CHECKING:
    from lookalike.results import ImageFeatures
    from lookalike.types import Features
    from lookalike.wire.search import ImageFeatures as ImageFeaturesObject


@command(app, rich_help_panel=IMAGES)
def encode(
    session: Session,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...", show_default=False, help="Image files, folders, or - to read paths from standard input."
        ),
    ],
    pipeline: PipelineNamesOption = None,
    npy: Annotated[
        Path | None,
        option(
            "--npy FILE",
            "Also write the features of one pipeline as a NumPy array, a row for each image that has one.",
        ),
    ] = None,
    null: NullOption = False,
) -> int:
    """Print the features of images: hashes in hexadecimal digits, vectors in base64. Nothing is stored.

    They can be searched with later, or elsewhere: `search --phash`, `search --features`.
    """
    from lookalike.results import ImageFeatures
    from lookalike.wire.objects import to_dict
    from lookalike.wire.search import ImageFeatures as ImageFeaturesObject

    code = ExitCode.OK
    rows: list[Features] = []
    with session.open() as gallery:
        names = pipeline or list(gallery.pipelines)
        if npy is not None and len(set(names)) != 1:
            raise BadSetting(f"--npy holds the features of one pipeline; choose it: --pipeline {names[0]}")
        for path, found in gallery.encode(paths_of(images, null=null), pipelines=names, tenant=session.tenant):
            assert isinstance(path, str)
            if not isinstance(found, ImageFeatures):
                code = ExitCode.PARTIAL
                if session.json:
                    emit({"query": path, **error_object(found)})
                else:
                    print_error(f"{path}: {found}")
                continue
            row = _add_row(rows, found, names[0]) if npy is not None else None
            if session.json:
                at = {} if npy is None else {"row": row}
                emit({"query": path, **to_dict(ImageFeaturesObject.of(found)), **at})
            else:
                _show(path, ImageFeaturesObject.of(found))
    if npy is not None:
        _write(npy, rows)
    return code


def _add_row(rows: list[Features], found: ImageFeatures, name: str) -> int | None:
    """Add the feature of a pipeline; its number, None where the image has no usable feature."""
    import numpy as np

    value = found.features[name]
    if value is None:
        return None
    assert isinstance(value, np.ndarray)
    rows.append(value)
    return len(rows) - 1


def _show(path: str, found: ImageFeaturesObject) -> None:
    for name, feature in found.features.items():
        value = feature.hex or feature.base64 or "no usable feature: the image is flat"
        print_line(f"{printable(path)}\t{name}\t{value}")


def _write(npy: Path, rows: list[Features]) -> None:
    import numpy as np

    try:
        with npy.open("wb") as file:
            np.save(file, np.stack(rows) if rows else np.empty((0, 0), np.uint8))
    except OSError as error:
        raise Unavailable(f"cannot write {npy}: {error.strerror}") from error
