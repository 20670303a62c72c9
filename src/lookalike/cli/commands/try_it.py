"""`try`: index some images, make edited copies of a few, search for them, and show what was found."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from lookalike.cli.commands.add import add
from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import MACHINE, Session, app, command
from lookalike.cli.output import counted, out, print_error, print_line
from lookalike.errors import ImageRejected, LookalikeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.evaluation.contact_sheet import SheetRow
    from lookalike.gallery import Gallery
    from lookalike.types import Answer, Record

SHOWN_EDITS = tuple(
    "jpeg15 scale_quarter black_frame mirror grey watermark crop_50 caption screenshot rotate_5".split()
)
MAX_ORIGINALS = 12
"""Images of which copies are made: with ten edits each, some seconds of searching."""
FOLDER = Path("try")
"""Where the copies, the contact sheet and the sample's gallery are written."""
TITLES = {"phash": "by hash", "vgg16": "by network", "vgg16-copy": "by network"}
HITS = 4


@dataclass(frozen=True, slots=True)
class Copy:
    """An edited copy: its file, the edit, and the original's record."""

    path: Path
    edit: str
    original: Record


@command(app, "try", rich_help_panel=MACHINE)
def try_it(
    session: Session,
    photos: Annotated[
        list[str] | None, typer.Argument(metavar="[PHOTOS...]", show_default=False, help="Image files and folders.")
    ] = None,
) -> int:
    """Index your photos, or a small sample, search for edited copies of some, and show the results."""
    from lookalike.evaluation.contact_sheet import write_html
    from lookalike.samples import sample_paths

    if not photos:
        session = Session(session.gallery or str(FOLDER / "gallery"), session.tenant, session.json)
        print_line("No PHOTOS given: using a small sample that comes with the program.\n")
    print_line(
        "1. Indexing: a digest, a perceptual hash and, with the extra vgg16, the features of a network for each image."
    )
    add(session, list(photos or ()) or [str(sample_paths()[0].parent)])
    with session.open() as gallery:
        originals = _choose_originals(gallery, session.tenant)
        if not originals:
            print_line("No image to search for: name a folder with photos, as in make try PHOTOS=~/Pictures")
            return ExitCode.NOT_FOUND
        images = counted(len(originals), "image")
        print_line(f"\n2. Making {len(SHOWN_EDITS)} edited copies of {images}, in {FOLDER / 'copies'}.")
        copies = _make_copies(originals)
        print_line("\n3. Searching for the original of every copy. Found as the first hit:\n")
        rankings = [None, *([name] for name in gallery.pipelines)]
        answers = {_title(r): _search(gallery, copies, r, session.tenant) for r in rankings}
    out().print(_table(copies, answers))
    sheet = FOLDER / "contact-sheet.html"
    write_html(_rows(copies, answers[_title(None)]), sheet, title="Edited copies, and what was found for them")
    _print_next_steps(session, copies[0], sheet, sample=not photos)
    return ExitCode.OK


def _choose_originals(gallery: Gallery, tenant: str) -> list[Record]:
    """A few images whose files are known, the same in every run."""
    records = [
        r for r in gallery.ls(tenant=tenant, limit=10_000) if r.path is not None and min(r.width, r.height) > 100
    ]
    random.Random(1).shuffle(records)
    return records[:MAX_ORIGINALS]


def _make_copies(records: Sequence[Record]) -> list[Copy]:
    from PIL import Image

    from lookalike.evaluation.edits import EDITS, apply
    from lookalike.imaging import decode, read_bytes

    folder = FOLDER / "copies"
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for number, record in enumerate(records):
        try:
            image = Image.fromarray(decode(read_bytes(str(record.path))).rgb)
        except ImageRejected as error:
            print_error(f"{record.key} can no longer be read: {error}")
            continue
        for edit in SHOWN_EDITS:
            path = folder / f"{Path(record.key).stem}-{edit}{EDITS[edit].encoding.suffix}"
            path.write_bytes(apply(edit, image, seed=number))
            copies.append(Copy(path, edit, record))
    return copies


def _search(gallery: Gallery, copies: Sequence[Copy], pipelines: list[str] | None, tenant: str) -> list[Answer]:
    answers = []
    for _, answer in gallery.search_many([c.path for c in copies], k=HITS, pipelines=pipelines, tenant=tenant):
        if isinstance(answer, LookalikeError):
            raise answer
        answers.append(answer)
    return answers


def _is_original(copy: Copy, answer: Answer) -> list[bool]:
    return [hit.key == copy.original.key for hit in answer.hits]


def _title(pipelines: list[str] | None) -> str:
    return "together" if pipelines is None else TITLES.get(pipelines[0], f"by {pipelines[0]}")


def _table(copies: Sequence[Copy], answers: dict[str, list[Answer]]) -> Table:
    """By edit, how many originals were the first hit of each ranking; red where fewer than half were."""
    from lookalike.evaluation.edits import EDITS

    table = Table("edit", box=None, header_style="bold", pad_edge=False)
    for title in answers:
        table.add_column(title, justify="right")
    for edit in SHOWN_EDITS:
        cells = [Text(EDITS[edit].what)]
        for ranking in answers.values():
            first = [_is_original(c, a)[:1] == [True] for c, a in zip(copies, ranking, strict=True) if c.edit == edit]
            share = sum(first) / max(len(first), 1)
            style = "green" if share > 0.9 else "yellow" if share >= 0.5 else "red"
            cells.append(Text(f"{sum(first)} of {len(first)}", style=style))
        table.add_row(*cells)
    return table


def _rows(copies: Sequence[Copy], answers: Sequence[Answer]) -> list[SheetRow]:
    from lookalike.evaluation.contact_sheet import SheetHit, SheetRow
    from lookalike.evaluation.edits import EDITS

    rows = []
    for copy, answer in zip(copies, answers, strict=True):
        hits = tuple(
            SheetHit(Path(hit.path) if hit.path else None, hit.key, hit.evidence, hit.distance, hit.pipeline, right)
            for hit, right in zip(answer.hits, _is_original(copy, answer), strict=True)
        )
        rows.append(SheetRow(copy.path.read_bytes(), f"{copy.original.key}, {EDITS[copy.edit].what}", hits))
    return rows


def _print_next_steps(session: Session, copy: Copy, sheet: Path, *, sample: bool) -> None:
    gallery = f" --gallery {FOLDER / 'gallery'}" if sample else ""
    program = Path(sys.argv[0]).absolute()
    name = str(program.relative_to(Path.cwd())) if program.is_relative_to(Path.cwd()) else program.name
    print_line(f"\nLook at them: {sheet.absolute().as_uri()}")
    print_line(f"Search again: {name} search{gallery} {copy.path}")
    print_line(f"In a browser: {name} serve{gallery} --open")
    if sample:
        print_line("Your photos:  make try PHOTOS=~/Pictures")
    else:
        print_line(f"Your gallery: {session.folder}")
