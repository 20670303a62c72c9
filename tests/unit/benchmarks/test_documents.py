"""Drawn documents: determined by family and seed, of realistic size, with templates where promised."""

import random

import numpy as np
import pytest
from benchmarks.documents import BLOCK, FAMILIES, FLAT, TEMPLATES, draw

SEED = BLOCK * random.Random("documents").randrange(100_000)


def test_the_sets_name_families() -> None:
    assert len(FAMILIES) >= 20
    assert set(FAMILIES) >= TEMPLATES | FLAT


@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_determines_the_document(family: str) -> None:
    image = draw(family, SEED)
    assert image.mode == "RGB"
    assert 600 <= max(image.size) <= 1600
    assert image.tobytes() == draw(family, SEED).tobytes()
    assert image.tobytes() != draw(family, SEED + 1).tobytes()


@pytest.mark.parametrize("family", sorted(TEMPLATES - {"logo_colors", "receipt", "burst"}))
def test_a_template_is_shared_within_a_block_alone(family: str) -> None:
    first, sibling, other = (np.asarray(draw(family, seed), int) for seed in (SEED, SEED + 1, SEED + BLOCK))
    near, far = (np.abs(first - image).sum() for image in (sibling, other))
    assert near < far
