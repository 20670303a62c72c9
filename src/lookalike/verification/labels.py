"""What the evidence of a verification proves (copy, variant, similar), and the same in words."""

from typing import Final

from lookalike.verification.types import Box, Label, Transform, Verification

MIN_VARIANT: Final = 0.6
"""Agreement from which two images are of one template or scene."""
MIN_COPY: Final = 0.9
MAX_DIFFERING: Final = 0.01
NEARLY_ALL: Final = 0.97
"""Share of an area that counts as all of it."""
STRAIGHT: Final = 2.0
"""Degrees of rotation that are not worth mentioning."""


def label(verification: Verification, *, min_probability: float = 0.5) -> tuple[Label, float]:
    """The label of a verified pair, and the probability that it is a copy."""
    if verification.agreement is None or verification.agreement < MIN_VARIANT:
        return "similar", 0.0
    if verification.differing > MAX_DIFFERING or verification.agreement < MIN_COPY:
        return "variant", 0.1
    return "copy", 1.0


def describe(verification: Verification) -> str:
    """The result in words, for people: "the same image, mirrored, cropped to 49 %".

    Args:
        verification: The evidence.
    """
    transform = verification.transform
    if verification.agreement is None:
        return "nothing to compare: flat"
    kind, _ = label(verification)
    if transform is None or kind == "similar":
        return "no common content found"
    if kind == "variant":
        return ", ".join(["the same template or scene", *_changes(transform)]) + _where(verification.differences)
    return ", ".join(["the same image", *_changes(transform)])


def _changes(transform: Transform) -> list[str]:
    """What was done to the stored image to get the query."""
    changes = ["mirrored"] if transform.mirrored else []
    if abs(transform.rotation) > STRAIGHT:
        changes.append(
            f"turned by {abs(transform.rotation):.0f}° to the {'right' if transform.rotation > 0 else 'left'}"
        )
    if transform.crop.area < NEARLY_ALL:
        changes.append(f"cropped to {transform.crop.area:.0%}".replace("%", " %"))
    if transform.border.area < NEARLY_ALL:
        changes.append(f"inside a larger image ({transform.border.area:.0%})".replace("%", " %"))
    if not 0.9 <= transform.scale <= 1.1:
        changes.append(f"scaled to {transform.scale:.0%}".replace("%", " %"))
    return changes


def _where(differences: tuple[Box, ...]) -> str:
    if not differences:
        return ""
    places = "one place" if len(differences) == 1 else f"{len(differences)} places"
    return f"; differs in {places}"
