"""Options of a clean-up, and the rules that choose which image of a cluster to keep."""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lookalike.cleanup.conversion import is_converted
from lookalike.cleanup.files import ExifFacts, FileStatus, Folders, exif_facts
from lookalike.errors import BadInput
from lookalike.results import DEFAULT_TENANT, Filter
from lookalike.types import Record

DEFAULT_RULES = ("pixels", "exif", "conversion", "quality", "oldest", "format")
FORMAT_ORDER = ("TIFF", "PNG", "BMP", "HEIF", "JPEG", "AVIF", "WEBP", "GIF")
"""Formats without loss first, then in the order in which cameras rather than web sites make them."""
LOSSLESS = ("TIFF", "PNG", "BMP", "PPM", "TGA")
"""Formats that keep all pixels, in many more bytes than a JPEG."""
_PALETTE = "GIF"
"""Without loss for a drawing, which takes fewer bytes than as a JPEG; a photo takes more, and loses most colors."""
_FORMAT_NAMES = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": "HEIF"}
MAX_BORDER_NOISE = 0.05
"""Images of one size have equally many pixels where their borders differ by less than this share of the area."""
NEVER = "9999"
"""Sorts after the capture time of every image that has one."""


class Candidate:
    """A file that could be kept: one or more names of it in the gallery, represented by the first."""

    def __init__(self, names: Sequence[tuple[Record, FileStatus]], reference: str | None) -> None:
        self.names = names
        self.record, self.status = names[0]
        self.reference = reference

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode."""
        return self.status.identity

    @property
    def has_aliases(self) -> bool:
        """Whether some names are not names of its own, but lead to it by a symbolic link or a second mount."""
        paths = {os.path.realpath(status.path) for _, status in self.names} if len(self.names) > 1 else set()
        return len(self.names) > self.status.names or 0 < len(paths) < len(self.names)

    @property
    def size(self) -> tuple[int, ...]:
        """Shorter and longer side: the same for a turned copy."""
        return tuple(sorted((self.record.width, self.record.height)))

    @property
    def pixels(self) -> int:
        """Pixels without added borders."""
        border = self.record.border
        width = self.record.width - border.left - border.right
        return width * (self.record.height - border.top - border.bottom)

    @property
    def bytes_per_pixel(self) -> float:
        """Bytes of the file by pixel of the whole image: the more, the less it was compressed."""
        return self.record.nbytes / max(self.record.width * self.record.height, 1)

    def is_converted_from(self, jpegs: Sequence["Candidate"]) -> bool:
        """Whether all pixels are those of one of these; they are compared where the records do not say it."""
        of_size = [jpeg for jpeg in jpegs if jpeg.size == self.size]
        if self.record.pixels is not None and any(self.record.pixels == jpeg.record.pixels for jpeg in of_size):
            return True
        return is_converted(self.status.path, [jpeg.status.path for jpeg in of_size])

    @cached_property
    def exif(self) -> ExifFacts:
        """EXIF facts, read from the file when a rule first needs them."""
        return exif_facts(self.status.path)


Values = Callable[[Sequence[Candidate]], Sequence[Any]]
"""What a rule compares: the value of each of the candidates that are left."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: the candidates with the highest value stay; `won` and `lost` explain the decision."""

    name: str
    values: Values
    won: str
    lost: str


def _each(value: Callable[[Candidate], Any]) -> Values:
    """The values of a rule that looks at one candidate at a time."""
    return lambda candidates: [value(candidate) for candidate in candidates]


def _of_bytes(value: Callable[[Candidate], Any]) -> Values:
    """The same, where it depends on the bytes of the file alone: what is read from the same bytes is read once."""

    def values(candidates: Sequence[Candidate]) -> list[Any]:
        by_digest = {candidate.record.sha256: candidate for candidate in candidates}
        found = {digest: value(one) for digest, one in by_digest.items()} if len(by_digest) > 1 else {}
        return [found.get(candidate.record.sha256) for candidate in candidates]

    return values


def _pixels(candidates: Sequence[Candidate]) -> list[int]:
    """Pixels without added borders; of images of one size the most that any has, where the borders hardly differ.

    How wide a border is differs a little with compression, and with the scale at which a JPEG was read.
    """
    most: dict[tuple[int, ...], int] = {}
    for one in candidates:
        most[one.size] = max(most.get(one.size, 0), one.pixels)
    return [
        most[one.size] if one.pixels >= (1 - MAX_BORDER_NOISE) * most[one.size] else one.pixels for one in candidates
    ]


def _not_converted(candidates: Sequence[Candidate]) -> list[bool]:
    """Whether a file was not made from another one by a conversion that adds bytes, but no quality.

    A lossless file with exactly the pixels of a JPEG was converted from it; the other way round they would differ.
    """
    jpegs = [candidate for candidate in candidates if candidate.record.format == "JPEG"]
    return [
        candidate.record.format not in LOSSLESS or not candidate.is_converted_from(jpegs) for candidate in candidates
    ]


def _qualities(candidates: Sequence[Candidate]) -> list[tuple[int, float]]:
    """Formats without loss before others, and then by bytes for the pixels: the more, the less was compressed."""
    lossless = (*LOSSLESS, _PALETTE)
    lossy = [candidate.bytes_per_pixel for candidate in candidates if candidate.record.format not in lossless]
    least = min(lossy, default=math.inf)
    return [(_loss_rank(candidate, least), candidate.bytes_per_pixel) for candidate in candidates]


def _loss_rank(candidate: Candidate, least_lossy: float) -> int:
    if candidate.record.format == _PALETTE:
        return 2 if candidate.bytes_per_pixel < least_lossy else 0
    return 2 if candidate.record.format in LOSSLESS else 1


_COMPLETE = Rule("complete", _each(lambda c: not c.record.truncated), "complete", "truncated: pixels are missing")
"""Comes before all other rules: what is missing in one file may be nowhere else."""
_RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("pixels", _pixels, "most pixels", "fewer pixels"),
        Rule("exif", _of_bytes(lambda c: c.exif.has_exif), "has EXIF data", "no EXIF data"),
        Rule("conversion", _not_converted, "the JPEG that was converted", "converted from a JPEG"),
        Rule("quality", _qualities, "least compressed", "more compressed"),
        Rule("oldest", _of_bytes(lambda c: _Earlier(c.exif.taken or NEVER)), "taken first", "taken later, or unknown"),
    )
}
RULE_NAMES = (*_RULES, "format", "format=A/B/...", "folder=DIR")


class _Earlier(str):
    """Text that compares as larger the earlier it sorts, so that the highest value of a rule is the earliest time."""

    __slots__ = ()

    def __gt__(self, other: str) -> bool:
        return str.__lt__(self, other)

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


def parse_rules(texts: Iterable[str]) -> tuple[Rule, ...]:
    """Parse rules such as `pixels,exif`, `format=heif/jpeg` and `folder=~/Archive`.

    A text with several rules separates them by commas, except that of a folder, whose name may contain them. Raises
    BadInput for an unknown rule, and NotFound for a folder that does not exist.
    """
    rules = []
    for text in texts:
        for part in [text] if text.strip().startswith("folder=") else text.split(","):
            rules.append(_parse_rule(part.strip()))
    return tuple(rules)


def _parse_rule(text: str) -> Rule:
    name, equals, value = text.partition("=")
    if name in _RULES and not equals:
        return _RULES[name]
    if name == "format":
        return _format_rule([part for part in value.split("/") if part] if equals else FORMAT_ORDER)
    if name == "folder" and value:
        folders = Folders([value])
        return Rule(
            "folder",
            _each(lambda candidate: folders.containing(candidate.status.path) is not None),
            f"in {value}",
            f"not in {value}",
        )
    raise BadInput(f"unknown rule {text!r}; the rules are {', '.join(RULE_NAMES)}")


def _format_rule(names: Sequence[str]) -> Rule:
    order = [_FORMAT_NAMES.get(name.upper(), name.upper()) for name in names]
    if not order:
        raise BadInput("format= names no format; write them in order, such as format=heif/jpeg/png")
    places = {name: -place for place, name in reversed(list(enumerate(order)))}
    return Rule(
        "format",
        _each(lambda candidate: places.get(candidate.record.format, -len(order))),
        "preferred format",
        "other format",
    )


_SAME = "the same by every rule; "
_TIE_BREAKERS = (
    Rule(
        "reference",
        _each(lambda c: c.reference is not None),
        "in a reference folder",
        "a copy is in a reference folder",
    ),
    Rule("link", _each(lambda c: not c.status.is_link), "a file, not a link", "a link"),
    Rule("added", _each(lambda c: -c.record.created), _SAME + "added first", _SAME + "added later"),
    Rule("path", _each(lambda c: -len(c.status.path)), _SAME + "shortest path", _SAME + "longer path"),
    Rule("key", _each(lambda c: _Earlier(c.record.key)), _SAME + "first by name", _SAME + "later by name"),
)


def choose(candidates: Sequence[Candidate], rules: Sequence[Rule]) -> tuple[Candidate, dict[Candidate, str]]:
    """Return the candidate to keep, and for each candidate why it is kept or not."""
    reasons: dict[Candidate, str] = {}
    left = list(candidates)
    for rule in (_COMPLETE, *rules, *_TIE_BREAKERS):
        if len(left) == 1:
            break
        values = rule.values(left)
        best = max(values) if len(set(values)) > 1 else values[0]
        losers = [candidate for candidate, value in zip(left, values, strict=True) if value != best]
        if losers:
            reasons.update(dict.fromkeys(losers, rule.lost))
            left = [candidate for candidate, value in zip(left, values, strict=True) if value == best]
            reasons.update(dict.fromkeys(left, rule.won))
    reasons.setdefault(left[0], "the only file")
    return left[0], reasons


@dataclass(frozen=True, slots=True)
class CleanupOptions:
    """Options of a clean-up, all optional; raises BadInput for an invalid value.

    Args:
        keep: Rules in order; the first that tells two images apart decides (see `rules.parse_rules`).
        to: What happens to the files of the others: "trash", "hardlink", "reflink", "delete", or a folder to move
            them to.
        references: Folders whose files are never touched, only compared against.
        exact_only: Only images with the same bytes or pixels.
        across_folders: Remove an image only if the kept one is in another folder.
        min_bytes: Remove only files of at least this size.
        max_distance: Remove an image only up to this distance (0..1) from the kept one.
        filter: Only images with these attributes take part: the others are neither removed nor kept instead of one.
        pipelines: Pipelines to find copies with, by name; all of the gallery's by default.
        tenant: Owner of the images.
    """

    keep: Sequence[str] = DEFAULT_RULES
    to: str | Path = "trash"
    references: Sequence[str | Path] = ()
    exact_only: bool = False
    across_folders: bool = False
    min_bytes: int = 0
    max_distance: float | None = None
    filter: Filter | None = None
    pipelines: Sequence[str] | None = None
    tenant: str = DEFAULT_TENANT

    def __post_init__(self) -> None:
        if self.min_bytes < 0:
            raise BadInput(f"the minimum size must be 0 bytes or more, not {self.min_bytes}")
        if self.max_distance is not None and not (math.isfinite(self.max_distance) and 0 <= self.max_distance <= 1):
            raise BadInput(f"the maximum distance must be 0 to 1, not {self.max_distance}")
