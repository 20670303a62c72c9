"""Results in words: of a verification, of a backfill."""

from collections.abc import Mapping
from typing import TypeVar

from lookalike.labels import MAX_ADDED, is_covered, is_legible, is_recolored
from lookalike.types import Box, Evidence, Transform, Verification

MIN_STATED_CUT = 0.03
"""Share of an image that is cut off, or covered by a border, from which it is stated; less is a matter of rounding."""
MIN_STATED_ROTATION = 1.0
"""Degrees."""
MAX_STATED_SCALE = 0.9
"""Scale up to which, or above whose inverse, a change of size is stated."""
SCALES = {0.25: "a quarter of the size", 1 / 3: "a third of the size", 0.5: "half the size", 2.0: "twice the size"}
"""Scales that have a name."""
Kind = TypeVar("Kind", bound=str)
SCALE_TOLERANCE = 0.03
"""By which share a scale may differ from one that has a name."""
FAILURES = {
    "no_original": "added as bytes, without an original",
    "gone": "with a file that is gone",
    "changed": "with a file that has changed",
    "unreadable": "that cannot be decoded",
}
"""Words for the images that a backfill could not encode, by kind."""


def describe(evidence: Evidence, verification: Verification) -> str:
    """Return what was found, such as "the same image, cropped to 49%", or "the same template or scene; 9 parts differ".

    Args:
        evidence: What the verification proves.
        verification: The comparison of the pixels, aligned.
    """
    if verification.agreement is None:
        return "too flat to compare"
    if verification.transform is None:
        return "no part in common was found"
    if evidence == "similar":
        return f"{verification.agreement:.0%} of the overlap agrees"
    words, details = ("the same image", "") if evidence != "variant" else _variant(verification)
    return ", ".join([words, *_changes(verification.transform)]) + details


def _variant(verification: Verification) -> tuple[str, str]:
    """What makes two images variants, and the parts that differ, if any do."""
    if verification.separate_captures:
        return "the same scene, taken at another time or with other settings", ""
    if verification.largest:
        parts = len(verification.differences)
        if verification.differing > MAX_ADDED:
            return "the same template or scene", f"; {parts} parts differ" if parts > 1 else "; one part differs"
        # A text that was written on an image looks as another text in its place does.
        return "the same image or template", f"; {parts} parts added or changed" if parts > 1 else (
            "; one part added or changed"
        )
    if is_recolored(verification):
        return "the same shapes in other colors", ""
    if not is_covered(verification):
        return "a part in common", ""
    if not is_legible(verification):
        return "looks the same, too small to compare text", ""
    return "the same template or scene", "; small parts differ"


def _changes(transform: Transform) -> list[str]:
    """What was done to the stored image, in the order of its visibility."""
    changes = ["mirrored"] if transform.mirrored else []
    turn = round(transform.rotation) % 360
    if min(turn, 360 - turn) >= MIN_STATED_ROTATION:
        changes.append(f"turned by {turn if turn <= 180 else turn - 360} degrees")
    if (kept := transform.crop.area) < 1 - MIN_STATED_CUT:
        changes.append(f"cropped to {kept:.0%}")
    if (shown := transform.border.area) < 1 - MIN_STATED_CUT:
        changes.append(_border_text(transform.border, shown))
    if not MAX_STATED_SCALE < transform.scale < 1 / MAX_STATED_SCALE:
        changes.append(_scale_text(transform.scale))
    return changes


def _scale_text(scale: float) -> str:
    for stated, words in SCALES.items():
        if abs(scale / stated - 1) <= SCALE_TOLERANCE:
            return words
    return f"{scale:.0%} of the size" if scale < 1 else f"{scale:.1f} times the size"


def _border_text(border: Box, shown: float) -> str:
    centred = (
        abs(border.left - (1 - border.right)) < MIN_STATED_CUT
        and abs(border.top - (1 - border.bottom)) < MIN_STATED_CUT
    )
    return (
        f"with a border around it ({shown:.0%} of the image)"
        if centred
        else f"inside another image ({shown:.0%} of it)"
    )


def describe_failures(failed: Mapping[Kind, Mapping[str, int]]) -> list[str]:
    """Say what a backfill could not encode, by kind and format: `3 with a file that is gone (2 JPEG, 1 PNG)`."""
    return [
        f"{sum(by_format.values()):,} {FAILURES[kind]} ({', '.join(f'{n:,} {name}' for name, n in by_format.items())})"
        for kind, by_format in failed.items()
    ]
