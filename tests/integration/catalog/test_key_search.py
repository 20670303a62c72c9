"""Images by a part of their keys in every database."""

import random

import pytest

from lookalike.catalog import Catalog
from lookalike.catalog.filters import MAX_CONTAINS
from lookalike.errors import BadInput
from tests.support.catalogs import entry

LETTERS = "abAB/_%\\. 12"


def test_every_character_stands_for_itself_and_case_is_ignored(catalog: Catalog, tenant: int) -> None:
    rng = random.Random(7)
    keys = sorted({"".join(rng.choices(LETTERS, k=rng.randrange(1, 12))) for _ in range(300)})
    catalog.images.put([entry(tenant, key, number) for number, key in enumerate(keys)])
    for _ in range(60):
        text = "".join(rng.choices(LETTERS, k=rng.randrange(1, 4)))
        expected = [key for key in keys if text.lower() in key.lower()]
        assert [r.key for r in catalog.images.list_page(tenant, contains=text)] == expected, text


def test_pages_prefixes_and_orders(catalog: Catalog, tenant: int) -> None:
    keys = [f"{folder}/IMG_{n:03}.jpg" for folder in ("Alps", "alps", "sea") for n in range(30)]
    catalog.images.put([entry(tenant, key, number) for number, key in enumerate(keys)])
    find = catalog.images.list_page
    expected = [key for key in keys if "alps/img_01" in key.lower()]
    first = find(tenant, contains="alps/IMG_01", limit=12)
    second = find(tenant, contains="alps/IMG_01", limit=12, after=first[-1].key)
    assert [r.key for r in (*first, *second)] == expected
    assert [r.key for r in find(tenant, contains="img_01", prefix="alps/")] == expected[10:]
    assert [r.key for r in find(tenant, contains="alps/img_01", sort="-file.name", limit=2)] == [
        "alps/IMG_019.jpg",
        "Alps/IMG_019.jpg",
    ]
    assert find(tenant, contains="a\0") == find(tenant, contains="\udcff") == []
    with pytest.raises(BadInput, match="1,000"):
        find(tenant, contains="x" * (MAX_CONTAINS + 1))


def test_letters_beyond_ascii(catalog: Catalog, tenant: int) -> None:
    if catalog.database.is_postgresql:
        pytest.skip("depends on the locale of the database")
    keys = ["\u00c4rger/Gro\u00dfe Stra\u00dfe.jpg", "\u0391\u03b8\u03ae\u03bd\u03b1.png", "\u00e4pfel.jpg"]
    catalog.images.put([entry(tenant, key, number) for number, key in enumerate(keys)])
    for text, found in (
        ("\u00e4R", [keys[0]]),
        ("\u00c4", [keys[0], keys[2]]),
        ("STRA\u00dfE", [keys[0]]),
        ("\u0391\u0398\u0389\u039d\u0391", [keys[1]]),
    ):
        listed = [r.key for r in catalog.images.list_page(tenant, contains=text)]
        assert sorted(listed) == sorted(found), text
