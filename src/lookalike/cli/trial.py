"""`try`: index some photos, make edited copies of a few, search for them, and show what was found."""

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from rich.table import Table
from rich.text import Text

from lookalike.cli.adding import add
from lookalike.cli.failures import ExitCode
from lookalike.cli.options import Session
from lookalike.cli.output import out, print_line, printable
from lookalike.errors import ImageRejected, LookalikeError
from lookalike.evaluation.contact_sheet import SheetHit, SheetRow, write_html
from lookalike.evaluation.edits import EDITS, apply
from lookalike.gallery import Gallery
from lookalike.imaging import decode, read_bytes
from lookalike.samples import sample_paths
from lookalike.types import Answer, Record

SHOWN_EDITS = tuple(
    "jpeg15 scale_quarter black_frame mirror grey watermark crop_50 caption screenshot rotate_5".split()
)
IMAGES = 12
"""Images of which copies are made: with ten edits each, some seconds of searching."""
FOLDER = Path("try")
"""Where the copies, the sheet and the sample's gallery go."""
WORDS = {"phash": "by hash", "vgg16": "by network"}
HITS = 4


@dataclass(frozen=True, slots=True)
class Copy:
    """An edited copy: its file, what was done, and the image it was made of."""

    path: Path
    edit: str
    original: Record


def trial(session: Session, photos: Sequence[str]) -> int:
    """Index `photos` in the user's gallery (or the samples in one of their own), and search for edited copies."""
    if not photos:
        session = Session(session.gallery or str(FOLDER / "gallery"), session.tenant, session.json)
        print_line("No PHOTOS given, so this uses a small sample that comes with the program.\n")
    print_line("1. Indexing: every image gets a digest, a perceptual hash and the features of a network.")
    add(session, [str(p) for p in photos] or [str(sample_paths()[0].parent)], None, None)
    with session.open() as gallery:
        chosen = _choose(gallery, session.tenant)
        if not chosen:
            print_line("There is no image to search for: give a folder with photos, as in make try PHOTOS=~/Pictures")
            return ExitCode.NOT_FOUND
        print_line(f"\n2. Making {len(SHOWN_EDITS)} edited copies of {len(chosen)} of them, in {FOLDER / 'copies'}.")
        copies = _make_copies(chosen)
        print_line("\n3. Searching for the original of every copy. Found first:\n")
        rankings = [None, *([name] for name in gallery.pipelines)]
        answers = {_title(r): _search(gallery, copies, r, session.tenant) for r in rankings}
    out().print(_table(copies, answers))
    sheet = FOLDER / "contact-sheet.html"
    write_html(_rows(copies, answers[_title(None)]), sheet, title="Edited copies, and what was found for them")
    _what_next(session, copies[0], sheet, sample=not photos)
    return ExitCode.OK


def _choose(gallery: Gallery, tenant: str) -> list[Record]:
    """A few images whose files can be read, the same at every run."""
    records = [
        r for r in gallery.ls(tenant=tenant, limit=10_000) if r.path is not None and min(r.width, r.height) > 100
    ]
    random.Random(1).shuffle(records)
    return records[:IMAGES]


def _make_copies(records: Sequence[Record]) -> list[Copy]:
    folder = FOLDER / "copies"
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for number, record in enumerate(records):
        try:
            image = Image.fromarray(decode(read_bytes(str(record.path))).rgb)
        except ImageRejected as error:
            print(f"lookalike: {printable(record.key)} can no longer be read: {error}", file=sys.stderr)
            continue
        for edit in SHOWN_EDITS:
            path = folder / f"{Path(record.key).stem}-{edit}{EDITS[edit].encoding.suffix}"
            path.write_bytes(apply(edit, image, seed=number))
            copies.append(Copy(path, edit, record))
    return copies


def _search(gallery: Gallery, copies: Sequence[Copy], pipelines: list[str] | None, tenant: str) -> list[Answer]:
    found = []
    for _, answer in gallery.search_many([c.path for c in copies], k=HITS, pipelines=pipelines, tenant=tenant):
        if isinstance(answer, LookalikeError):
            raise answer
        found.append(answer)
    return found


def _right(copy: Copy, answer: Answer) -> list[bool]:
    """Which hits are the original, or a file with the same bytes."""
    same = {hit.key for hit in answer.hits if hit.key == copy.original.key}
    return [hit.key in same for hit in answer.hits]


def _title(pipelines: list[str] | None) -> str:
    return "together" if pipelines is None else WORDS.get(pipelines[0], f"by {pipelines[0]}")


def _table(copies: Sequence[Copy], answers: dict[str, list[Answer]]) -> Table:
    """By edit, how many originals came first in each ranking; red where fewer than half did."""
    table = Table("the copy was ...", box=None, header_style="bold", pad_edge=False)
    for title in answers:
        table.add_column(title, justify="right")
    for edit in SHOWN_EDITS:
        cells = [Text(EDITS[edit].what)]
        for of_ranking in answers.values():
            first = [_right(c, a)[:1] == [True] for c, a in zip(copies, of_ranking, strict=True) if c.edit == edit]
            share = sum(first) / max(len(first), 1)
            style = "green" if share > 0.9 else "yellow" if share >= 0.5 else "red"
            cells.append(Text(f"{sum(first)} of {len(first)}", style=style))
        table.add_row(*cells)
    return table


def _rows(copies: Sequence[Copy], answers: Sequence[Answer]) -> list[SheetRow]:
    rows = []
    for copy, answer in zip(copies, answers, strict=True):
        hits = tuple(
            SheetHit(Path(hit.path) if hit.path else None, hit.key, hit.evidence, hit.distance, hit.pipeline, right)
            for hit, right in zip(answer.hits, _right(copy, answer), strict=True)
        )
        rows.append(SheetRow(copy.path.read_bytes(), f"{copy.original.key}, {EDITS[copy.edit].what}", hits))
    return rows


def _what_next(session: Session, copy: Copy, sheet: Path, *, sample: bool) -> None:
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
