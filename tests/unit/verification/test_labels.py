"""Labels of drawn documents, and descriptions for people."""

import random
import re
from dataclasses import replace
from io import BytesIO

import pytest
from benchmarks.documents import BLOCK, FAMILIES, FLAT, TEMPLATES, draw
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from lookalike.descriptions import describe
from lookalike.evaluation.edits import apply
from lookalike.verification import Verification, Verifier, available, label
from tests.unit.verification.drawing import scene, side

needs_local = pytest.mark.skipif(not available(), reason="needs lookalike[verify]")
BLOCKS = random.Random("labels of documents")
SEED = 50_000 + BLOCK * BLOCKS.randrange(1000)
TEXTURED = sorted(set(FAMILIES) - FLAT)


def words(found: Verification) -> str:
    return describe(label(found)[0], found)


def copied(edit: str, image: Image.Image) -> Image.Image:
    """An edited copy."""
    return Image.open(BytesIO(apply(edit, image, 3)))


@pytest.mark.parametrize("family", TEXTURED)
def test_a_compressed_document_is_a_copy_and_another_one_is_not(family: str) -> None:
    document, other = draw(family, SEED), draw(family, SEED + 1)
    compressed = side(copied("jpeg15", document))
    if family != "night_sky":  # sparse stars may be lost at this quality: then nothing is claimed
        assert label(Verifier().verify(compressed, side(document)))[0] == "copy"
    assert label(Verifier().verify(compressed, side(other)))[0] != "copy"


@needs_local
@pytest.mark.parametrize("family", ["invoice", "meme", "chat", "qr_code", "line_chart", "icon", "ruled_note"])
def test_a_cropped_document_is_a_copy_and_a_cropped_other_one_is_not(family: str) -> None:
    document, other = draw(family, SEED), draw(family, SEED + 1)
    cropped = side(copied("crop_70", document))
    assert label(Verifier().verify(cropped, side(document)))[0] == "copy"
    assert label(Verifier().verify(cropped, side(other)))[0] != "copy"


@pytest.mark.parametrize("family", sorted(TEMPLATES & {"monthly_invoice", "dashboard", "meme", "burst"}))
def test_documents_of_one_template_are_variants_that_say_where(family: str) -> None:
    found = Verifier().verify(side(draw(family, SEED)), side(draw(family, SEED + 1)))
    assert label(found)[0] == "variant"
    assert found.differences
    assert re.search("differ|changed", words(found))


@pytest.mark.parametrize("family", ["invoice", "monthly_invoice", "chat", "dashboard", "burst", "product"])
def test_whether_two_images_are_copies_is_what_their_label_says(family: str) -> None:
    document, other = draw(family, SEED), draw(family, SEED + 1)
    queries = [copied(edit, document) for edit in ("jpeg40", "scale_half", "mirror", "crop_90")]
    decided = [Verifier().is_copy(side(query), side(document)) for query in (*queries, other)]
    labels = [label(Verifier().verify(side(query), side(document)))[0] for query in (*queries, other)]
    assert decided == [label == "copy" for label in labels]
    assert decided[0]
    assert not decided[-1]


def test_a_document_too_small_to_read_is_no_copy() -> None:
    document = draw("monthly_invoice", SEED)
    small = document.resize((document.width // 5, document.height // 5), Image.Resampling.LANCZOS)
    found = Verifier().verify(side(small), side(document))
    assert label(found)[0] == "variant"
    assert "too small" in words(found)


@needs_local
@pytest.mark.parametrize("seed", range(3))
def test_a_part_that_two_images_share_makes_no_copy(seed: int) -> None:
    one, other, shared = scene(seed), scene(seed + 20), scene(seed + 40, (280, 220))
    one.paste(shared, (0, 0))
    other.paste(shared, (440, 320))
    assert label(Verifier().verify(side(one), side(other)))[0] != "copy"


@needs_local
def test_descriptions_name_what_was_done() -> None:
    image = scene(5)
    assert words(Verifier().verify(side(image), side(image))) == "the same image"
    cropped = ImageOps.mirror(image.crop((0, 0, 504, 378)))
    assert words(Verifier().verify(side(cropped), side(image))) == "the same image, mirrored, cropped to 49%"
    assert words(Verifier().verify(side(scene(6)), side(image))).endswith("of the overlap agrees")


shares = st.floats(0, 1)
evidence = st.builds(
    Verification,
    agreement=shares,
    query_coverage=shares,
    stored_coverage=shares,
    transform=st.none(),
    differences=st.just(()),
    method=st.just("whole"),
    textured=shares,
    differing=shares,
    largest=st.integers(0, 9),
    color=st.none() | st.floats(-1, 1),
    tone=st.none() | st.floats(-1, 1),
    detail=st.integers(0, 600),
    resolution=shares,
)


@given(found=evidence, more=shares)
def test_more_agreement_never_lowers_the_probability(found: Verification, more: float) -> None:
    better = replace(found, agreement=max(found.agreement or 0.0, more))
    assert label(better)[1] >= label(found)[1]
    assert 0 <= label(found)[1] <= 1


@given(found=evidence, asked=shares)
def test_a_copy_has_the_probability_that_was_asked_for(found: Verification, asked: float) -> None:
    kind, probability = label(found, min_probability=asked)
    assert kind != "copy" or probability >= asked
    if found.largest:
        assert label(found)[0] != "copy", "where something differs, nothing is called a copy by default"
