"""Results of a verification in words."""

from dataclasses import replace

import pytest

from lookalike.descriptions import describe
from lookalike.labels import label
from lookalike.types import Box, Transform, Verification

WHOLE = Box(0, 0, 1, 1)
UNCHANGED = Transform(((1, 0, 0), (0, 1, 0), (0, 0, 1)), False, 0.0, 1.0, WHOLE, WHOLE)


def verification(**changes: object) -> Verification:
    transform = replace(UNCHANGED, **changes)  # type: ignore[arg-type]
    return Verification(0.95, 1.0, 1.0, transform, (), "whole", 0.5, detail=480, resolution=1.0)


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
    ("found", "words"),
    [
        ({"differences": (WHOLE,), "largest": 9}, "the same image or template; one part added or changed"),
        ({"differences": (WHOLE,) * 2, "largest": 9}, "the same image or template; 2 parts added or changed"),
        ({"differences": (WHOLE,), "largest": 9, "differing": 0.4}, "the same template or scene; one part differs"),
        ({"differences": (WHOLE,) * 2, "largest": 9, "differing": 0.4}, "the same template or scene; 2 parts differ"),
        ({"color": 0.2}, "the same shapes in other colors"),
        ({"tone": -0.6}, "the same shapes in other colors"),
        ({"query_coverage": 0.3, "stored_coverage": 0.2}, "a part in common"),
        ({"detail": 200, "resolution": 0.3}, "looks the same, too small to compare text"),
        ({"agreement": 0.61}, "the same template or scene; small parts differ"),
    ],
)
def test_variants(found: dict[str, object], words: str) -> None:
    variant = replace(verification(), **found)  # type: ignore[arg-type]
    assert label(variant)[0] == "variant"
    assert describe("variant", variant) == words
    assert variant.transform is not None
    mirrored = replace(variant, transform=replace(variant.transform, mirrored=True))
    assert ", mirrored" in describe("variant", mirrored)


def test_others() -> None:
    assert describe("similar", verification()) == "95% of the overlap agrees"
    flat = Verification(None, 0.0, 0.0, None, (), None, 0.0)
    assert describe("similar", flat) == "too flat to compare"
    assert describe("similar", replace(flat, agreement=0.0)) == "no part in common was found"
