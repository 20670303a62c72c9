"""What a contact sheet shows: plain values, and the few words about them that every kind of sheet uses."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lookalike.types import Evidence

Verdict = Literal["first", "later", "missed", "none"]


@dataclass(frozen=True, slots=True)
class Shown:
    """One hit on a sheet: the file to show (or its bytes, or None), and whether it is the `right` answer."""

    path: Path | bytes | None
    key: str
    evidence: Evidence
    distance: float
    pipeline: str
    right: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One query: the bytes of its image, a title that says what was done to it, its hits, best first.

    `expected` is False for a query that has no original in the gallery, for which no answer is right.
    """

    query: bytes
    title: str
    hits: tuple[Shown, ...]
    expected: bool = True


def verdict(row: Row) -> tuple[Verdict, str]:
    """How the search did: a word for style sheets, and a few words for people."""
    if not row.expected:
        return "none", "nothing to find"
    place = next((number for number, hit in enumerate(row.hits, 1) if hit.right), None)
    if place is None:
        return "missed", "not found"
    return ("first", "found first") if place == 1 else ("later", f"found at place {place}")


def clean(text: str) -> str:
    """Text that can be written and read: control characters and undecodable bytes of a file's name are spelled out."""
    readable = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
    return readable.encode("utf-8", "backslashreplace").decode("utf-8")
