"""Results of a verification in words."""

from dataclasses import replace

import pytest

from lookalike.descriptions import describe
from lookalike.types import Box, Evidence, Transform, Verification

WHOLE = Box(0, 0, 1, 1)
UNCHANGED = Transform(((1, 0, 0), (0, 1, 0), (0, 0, 1)), False, 0.0, 1.0, WHOLE, WHOLE)


def verification(**changes: object) -> Verification:
    transform = replace(UNCHANGED, **changes)  # type: ignore[arg-type]
    return Verification(0.95, 1.0, 1.0, transform, (), "whole", 0.5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "the same image"),
        ({"mirrored": True, "crop": Box(0.15, 0.15, 0.85, 0.85)}, "the same image, mirrored, cropped to 49%"),
        ({"rotation": 90.0}, "the same image, turned by 90 degrees"),
        ({"rotation": 270.0, "scale": 0.5}, "the same image, turned by -90 degrees, half the size"),
        ({"rotation": 359.8}, "the same image"),
        ({"scale": 1.98}, "the same image, twice the size"),
        ({"scale": 0.332}, "the same image, a third of the size"),
        ({"scale": 0.42}, "the same image, 42% of the size"),
        ({"scale": 3.0}, "the same image, 3.0 times the size"),
        ({"border": Box(0.1, 0.1, 0.9, 0.9)}, "the same image, with a border around it (64% of the image)"),
        ({"border": Box(0.0, 0.1, 0.5, 0.6)}, "the same image, inside another image (25% of it)"),
        ({"crop": Box(0, 0, 0.99, 1)}, "the same image"),
    ],
)
def test_copies(changes: dict[str, object], words: str) -> None:
    assert describe("copy", verification(**changes)) == words


@pytest.mark.parametrize(
    ("evidence", "differences", "words"),
    [
        ("variant", (WHOLE,), "the same template or scene; one part differs"),
        ("variant", (WHOLE, WHOLE), "the same template or scene; 2 parts differ"),
        ("similar", (), "95% of the overlap agrees"),
    ],
)
def test_others(evidence: Evidence, differences: tuple[Box, ...], words: str) -> None:
    assert describe(evidence, replace(verification(), differences=differences)) == words


def test_nothing_to_compare() -> None:
    none = Verification(None, 0.0, 0.0, None, (), None, 0.0)
    assert describe("similar", none) == "no part in common was found"
    assert describe("similar", replace(none, method="whole", transform=UNCHANGED)) == "too flat to compare"
