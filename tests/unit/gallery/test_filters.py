"""Filters: what is refused before anything is looked for."""

from pathlib import Path

import pytest

import lookalike
from lookalike.catalog.built_in_attributes import BUILT_IN
from lookalike.errors import UnsupportedQuery
from lookalike.gallery import conditions_of
from tests.support.drawn_images import drawn, encoded


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("file.fromat", "file.format"),
        ("file.byte", "file.bytes"),
        ("file.Name", "file.name"),
        ("exif.capture", "exif.captured"),
        ("exif.lattitude", "exif.latitude"),
    ],
)
@pytest.mark.parametrize("op", ["eq", "ne", "gte", "exists"])
def test_a_misspelled_built_in_attribute_is_refused(written: str, meant: str, op: str) -> None:
    with pytest.raises(UnsupportedQuery, match=f"no built-in attribute '{written}'; did you mean '{meant}'"):
        conditions_of({written: {op: True}})


@pytest.mark.parametrize("name", [*sorted(BUILT_IN), "file.owner", "exif.iso", "format", "album", "profile.name"])
def test_built_in_and_own_attributes_are_taken(name: str) -> None:
    [condition] = conditions_of({name: 1})
    assert condition.attribute == name


def test_a_misspelled_attribute_removes_nothing(tmp_path: Path) -> None:
    """`ne` is true where there is no such attribute: of every image."""
    with lookalike.open(tmp_path, pipelines=["phash"], create=True) as gallery:
        gallery.put("a", encoded(drawn(1)), attributes={"file.owner": "ann"})
        for filter in ({"file.fromat": {"ne": "JPEG"}}, {"exif.camra": {"exists": False}}):
            with pytest.raises(UnsupportedQuery):
                gallery.remove_by_filter(filter)
            with pytest.raises(UnsupportedQuery):
                gallery.ls(filter=filter)
        assert [record.key for record in gallery.ls(filter={"file.owner": "ann"})] == ["a"]
