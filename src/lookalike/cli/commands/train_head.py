"""`train-head`: learn a head of vgg16-copy on one's own images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import MACHINE, Session, app, command, option
from lookalike.cli.output import counted, emit, print_error, print_line, printable
from lookalike.errors import BadSetting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGE = 1000
"""Records read from the gallery at once."""


@command(app, "train-head", rich_help_panel=MACHINE)
def train_head(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the new model.")],
    photos: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PHOTOS...]", show_default=False, help="Files and folders. [default: the gallery's]"),
    ] = None,
    images: Annotated[int | None, option("--images N", "The number of images to train on. [default: 500]")] = None,
) -> int:
    """Train a head of vgg16-copy on your images, for a new gallery: minutes, on the CPU.

    Each image is compared with six edited copies. After an interruption run the same command again.
    """
    from lookalike.cli.progress import ProgressBar
    from lookalike.encoders import info
    from lookalike.optional import require

    require("openvino", purpose="training a head")
    from lookalike.head_training import MAX_IMAGES, MIN_IMAGES, spread
    from lookalike.head_training import train_head as train

    count = MAX_IMAGES if images is None else images
    if count < MIN_IMAGES:
        raise BadSetting(f"--images must be {MIN_IMAGES} or more, not {count}")
    settings = session.settings
    chosen = spread(list(_files(session, photos or ())), count)
    try:
        with ProgressBar("Training", lambda: chosen, quiet=session.json) as progress:
            trained = train(
                name,
                chosen,
                settings.cache,
                user_file=settings.models,
                max_images=count,
                progress=progress.advance,
            )
    except KeyboardInterrupt:
        print_error("interrupted; run the same command again to continue")
        raise
    fingerprint = info(name, settings.cache, user_file=settings.models).fingerprint
    fields = {"name": name, "path": str(trained.path), "fingerprint": fingerprint, "images": trained.images}
    if session.json:
        emit({**fields, "rejected": trained.rejected, "restored": trained.restored})
        return ExitCode.OK
    print_line(f"Trained {name} on {counted(trained.images, 'image')}: {printable(str(trained.path))}")
    if trained.rejected:
        print_line(f"{counted(trained.rejected, 'file')} could not be read as an image.")
    print_line(f"Use it in a new gallery: lookalike init --pipelines phash,{name} --gallery DIR")
    return ExitCode.OK


def _files(session: Session, photos: Sequence[str]) -> Iterator[Path]:
    """The files named on the command line, or those of the gallery's images."""
    from lookalike.image_files import find_files
    from lookalike.types import FoundFile

    if photos:
        yield from (Path(found.path) for found in find_files(photos) if isinstance(found, FoundFile))
        return
    with session.open() as gallery:
        after = None
        while records := gallery.ls(tenant=session.tenant, after=after, limit=PAGE):
            yield from (Path(record.path) for record in records if record.path is not None)
            after = records[-1].key
