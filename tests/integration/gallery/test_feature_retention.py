"""A gallery whose catalog leaves features to the engine, on real servers: what goes on as ever, and what is refused."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import pytest

from lookalike.catalog import Catalog
from lookalike.config import GallerySettings, from_environment
from lookalike.errors import BadSetting, Damaged, UnsupportedQuery
from lookalike.factory import create_gallery, open_gallery
from lookalike.gallery import Gallery
from lookalike.results import StoredImage
from lookalike.types import FeatureSpec, Item
from tests.support.command import lookalike
from tests.support.drawn_images import drawn, encoded
from tests.support.engines import elasticsearch, milvus, postgresql

IMAGES = 12


def image(n: int) -> bytes:
    return encoded(drawn(n, (64, 48)))


def item(n: int, album: str = "drawn") -> Item:
    return Item(f"k{n:02}", image(n), {"album": album})


@pytest.fixture
def catalog_url() -> Iterator[str]:
    with postgresql.database() as url:
        yield f"{url}?features=engine"


@pytest.fixture
def prefix() -> Iterator[str]:
    """What the names of this test's indexes begin with."""
    own = f"test-left-{os.urandom(4).hex()}"
    yield own
    elasticsearch.sweep(own)


@pytest.fixture
def folder(catalog_url: str, prefix: str, tmp_path: Path) -> Path:
    index = f"{elasticsearch.server()}/{prefix}?mode=exact"
    made_with = GallerySettings(("phash",), {"phash": index}, catalog=catalog_url)
    create_gallery(tmp_path / "gallery", made_with, from_environment())
    return tmp_path / "gallery"


@pytest.fixture
def gallery(folder: Path) -> Iterator[Gallery]:
    with open_gallery(folder) as opened:
        yield opened


def spec_of(catalog: Catalog, name: str = "phash") -> FeatureSpec:
    [found] = [spec for spec in catalog.features.specs() if spec.name == name]
    return found


def left(catalog_url: str, name: str = "phash") -> tuple[int, int]:
    """Images whose features the catalog has, and those whose features it has left to the engine."""
    with Catalog.open(catalog_url) as catalog:
        spec = spec_of(catalog, name)
        ids = catalog.images.ids_matching(None, ())
        stored = catalog.features.get(spec, ids.tolist())
        assert len(stored.released) == len(catalog.features.only_in_engine(spec, 0, 1000))
        return len(stored.ids), len(stored.released)


def found(gallery: Gallery, n: int, **options: object) -> list[str]:
    """The key of the best hit for a damaged copy of an image, seen at once."""
    copy = encoded(drawn(n, (64, 48)), "JPEG", quality=80)
    sequence = gallery.status().sequence
    answer = gallery.search(copy, k=1, min_sequence=sequence, verify=False, **options)  # type: ignore[arg-type]
    assert not answer.failed
    return [hit.key for hit in answer.hits]


def test_a_gallery_goes_on_without_features_of_its_own(gallery: Gallery, catalog_url: str) -> None:
    gallery.add([item(n) for n in range(IMAGES)])
    assert left(catalog_url) == (0, IMAGES)
    assert found(gallery, 3) == ["k03"]
    gallery.set_attributes("k03", {"album": "changed"})
    assert found(gallery, 3, filter={"album": "changed"}) == ["k03"]
    filtered = {"elasticsearch": {"match_all": {}}}  # so that the engine, not the catalog, is who filters
    assert found(gallery, 3, filter={"album": "changed"}, engine_filter=filtered) == ["k03"]
    assert found(gallery, 3, filter={"album": "drawn"}, threshold=0.01) == []
    gallery.remove("k04")
    assert found(gallery, 4, threshold=0.01) == []
    [outcome] = gallery.add([Item("another key", image(5))])
    assert outcome.outcome == "duplicate"
    assert left(catalog_url) == (0, IMAGES)
    gallery.remove("k05")
    assert found(gallery, 5, threshold=0.1) == ["another key"]  # it was encoded, for there was nothing to copy
    gallery.add([Item("k06", image(60))])
    assert found(gallery, 60, threshold=0.1) == ["k06"]
    [pipeline] = gallery.status().pipelines
    assert (pipeline.rows, pipeline.behind, pipeline.error) == (IMAGES - 1, 0, None)


def test_several_processes_leave_the_same_features(folder: Path, catalog_url: str) -> None:
    """Each brings the index up to date after what it added; what one of them has not seen applied is not lost."""

    def add(first: int) -> None:
        with open_gallery(folder) as own:
            for n in range(first, IMAGES, 3):
                own.add([item(n)])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(add, range(3)))
    with open_gallery(folder) as gallery:
        gallery.add([item(IMAGES)])
        assert [found(gallery, n) for n in range(IMAGES + 1)] == [[f"k{n:02}"] for n in range(IMAGES + 1)]
        assert [p.rows for p in gallery.status().pipelines] == [IMAGES + 1]
    assert left(catalog_url) == (0, IMAGES + 1)


def test_what_needs_stored_features_is_refused(gallery: Gallery, folder: Path) -> None:
    gallery.add([item(n) for n in range(IMAGES)])
    with pytest.raises(UnsupportedQuery, match="image's file instead of its key"):
        gallery.search(StoredImage("k01"))
    with pytest.raises(UnsupportedQuery, match="features=engine"):
        gallery.compare(StoredImage("k01"), image(1))
    with pytest.raises(UnsupportedQuery, match="features=engine"):
        list(gallery.duplicates())
    with pytest.raises(UnsupportedQuery, match=rf"cannot be rebuilt.* {IMAGES} images \('k00', 'k01', 'k02', "):
        gallery.repair()
    ran = lookalike("repair", "-g", folder)
    assert ran.code == 2
    assert "lookalike add" in ran.err
    assert found(gallery, 7) == ["k07"]


def test_a_lost_index_is_said_to_be_lost_and_filled_by_adding_again(
    folder: Path, catalog_url: str, prefix: str
) -> None:
    with open_gallery(folder) as gallery:
        gallery.add([item(n) for n in range(IMAGES)])
    elasticsearch.sweep(prefix)
    with open_gallery(folder) as gallery:
        with pytest.raises(Damaged, match=rf"only at change 0.* {IMAGES} images"):
            gallery.search(image(1))
        [pipeline] = gallery.status().pipelines
        assert "encodes them" in (pipeline.error or "")
        keys = [f"k{n:02}" for n in range(IMAGES)]
        assert gallery.remove(keys) == keys
        assert {o.outcome for o in gallery.add([item(n) for n in range(IMAGES)])} == {"added"}
        assert [found(gallery, n) for n in range(IMAGES)] == [[key] for key in keys]
        [pipeline] = gallery.status().pipelines
        assert (pipeline.rows, pipeline.behind, pipeline.error) == (IMAGES, 0, None)
    assert left(catalog_url) == (0, IMAGES)


def test_an_index_that_holds_too_little_is_refused(folder: Path, catalog_url: str, prefix: str) -> None:
    """As a backup of the engine from before the last images would be, or a catalog from before them."""
    with open_gallery(folder) as gallery:
        gallery.add([item(n) for n in range(4)])
        gallery.add([item(n) for n in range(4, 6)])
    with elasticsearch.raw(elasticsearch.server()) as client:
        [name] = client.indices.get_alias(index=f"{prefix}*")
        [mapping] = client.indices.get_mapping(index=name).values()
        meta = mapping["mappings"]["_meta"]["lookalike"]
        for sequence, reply in ((4, "only at change 4.* 2 images"), (1000, "change 1000, from which.* 6 images")):
            client.indices.put_mapping(index=name, meta={"lookalike": {**meta, "sequence": sequence}})
            with open_gallery(folder) as gallery, pytest.raises(Damaged, match=reply):
                gallery.search(image(1))
    assert left(catalog_url) == (0, 6)


def test_vectors_in_milvus(catalog_url: str, cache: Path, tmp_path: Path) -> None:
    """Attributes are changed beside vectors that only Milvus has."""
    made_with = GallerySettings(("vgg16",), {"vgg16": f"{milvus.milvus_url()}?index=FLAT"}, catalog=catalog_url)
    with mock.patch.dict(os.environ, {"LOOKALIKE_CACHE": str(cache)}):
        create_gallery(tmp_path / "gallery", made_with, from_environment())
        with open_gallery(tmp_path / "gallery") as gallery:
            gallery.add([item(n) for n in range(4)])
            assert left(catalog_url, "vgg16") == (0, 4)
            gallery.set_attributes("k02", {"album": "changed"})
            assert found(gallery, 2, filter={"album": "changed"}) == ["k02"]
            assert found(gallery, 2, filter={"album": "drawn"}) != ["k02"]
            assert [p.rows for p in gallery.status().pipelines] == [4]


@pytest.mark.parametrize(
    ("index", "reply"),
    [({}, "server for phash"), ({"phash": "mih"}, "server for phash"), ("existing", "another application")],
)
def test_features_are_left_to_engines_of_their_own_alone(
    catalog_url: str, tmp_path: Path, index: dict[str, str] | str, reply: str
) -> None:
    if isinstance(index, str):
        index = {"phash": f"{elasticsearch.server()}?index=theirs&id_attribute=doc"}
    made_with = GallerySettings(("phash",), index, catalog=catalog_url)
    with pytest.raises(BadSetting, match=reply):
        create_gallery(tmp_path / "gallery", made_with, from_environment())
    assert not (tmp_path / "gallery").exists()
    plain = GallerySettings(("phash",), index, catalog=catalog_url)
    (tmp_path / "gallery").mkdir()
    plain_text = "".join(f'phash = "{address}"\n' for address in index.values())
    (tmp_path / "gallery" / "gallery.toml").write_text(
        f'pipelines = ["phash"]\ncatalog = "{plain.catalog}"\n[index]\n{plain_text}'
    )
    with pytest.raises(BadSetting, match=reply):
        open_gallery(tmp_path / "gallery")
