"""What docs/privacy.md says is kept: of a query nothing, of a removed image no more than is listed there."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, inspect, select, table

import lookalike
from lookalike.factory import open_gallery
from tests.support.drawn_images import drawn, encoded

SECRET = "a-name-that-occurs-nowhere-else"


def rows(gallery: lookalike.Gallery) -> Counter[str]:
    """The number of rows of each table that has any."""
    engine = gallery.catalog.images._database.engine
    with engine.connect() as conn:
        names = inspect(conn).get_table_names()
        return Counter(
            {name: conn.execute(select(func.count()).select_from(table(name))).scalar_one() for name in names}
        )


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("writer."))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with open_gallery(tmp_path / "gallery", pipelines=("phash",), verification_records="on", create=True) as gallery:
        for n in range(3):
            gallery.put(f"{n}.png", encoded(drawn(n)), attributes={"note": "common"})
    return tmp_path / "gallery"


def test_nothing_of_a_query_is_kept(folder: Path) -> None:
    with open_gallery(folder) as gallery:
        gallery.search(encoded(drawn(1)))  # the index is read
        before = rows(gallery)
        for query in (encoded(drawn(1), "JPEG", quality=50), encoded(drawn(77))):
            gallery.search(query, deep=True)
        gallery.compare(encoded(drawn(78)), encoded(drawn(79)))
        assert rows(gallery) == before
    files = digests(folder)
    with open_gallery(folder) as gallery:
        gallery.search(encoded(drawn(80)))
    assert digests(folder) == files


def test_what_a_removed_image_leaves_behind(folder: Path) -> None:
    with open_gallery(folder) as gallery:
        before = rows(gallery)
        gallery.put("removed.png", encoded(drawn(50)), attributes={"note": SECRET})
        gallery.remove("removed.png")
        left = rows(gallery)
        assert left - before == Counter(deletions=1, removals=1)
        gallery.repair()
        assert rows(gallery) - before == Counter(removals=1)
        gallery.catalog.checkpoint()
    for path in folder.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), f"what is deleted is overwritten in {path.name}"
