"""The search service over a gallery of hashes: outcomes, evidence, paging, filters, tenants, following, repair."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import lookalike
from lookalike.config import GallerySettings, from_environment
from lookalike.errors import BadSetting, GalleryBusy, ImageRejected, NotFound, UnsupportedQuery
from lookalike.factory import create_gallery, open_gallery
from lookalike.types import Item
from lookalike.verification import available
from tests.support.drawn_images import drawn, encoded
from tests.unit.verification.drawing import scene

HASHES = ("phash",)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight images, two of them in a subfolder, and things that are no images."""
    filter = tmp_path / "photos"
    (filter / "sub").mkdir(parents=True)
    for seed in range(8):
        drawn(seed).save(filter / ("sub" if seed > 5 else ".") / f"{seed}.png")
    (filter / "notes.txt").write_text("not an image")
    (filter / ".hidden.png").write_bytes(b"")
    return filter


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[lookalike.Gallery]:
    with open_gallery(tmp_path / "gallery", pipelines=HASHES, create=True) as opened:
        yield opened


def outcomes(gallery: lookalike.Gallery, what: object, **options: object) -> dict[str, str]:
    return {o.key: o.outcome for o in gallery.add(what, **options)}  # type: ignore[arg-type]


def test_what_is_not_there_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        open_gallery(tmp_path / "nowhere", pipelines=HASHES)
    assert not (tmp_path / "nowhere").exists()


def test_a_gallery_shows_its_folder_and_pipelines(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    assert repr(gallery) == f"Gallery({str(tmp_path / 'gallery')!r}, pipelines=('phash',))"
    assert set(dir(lookalike)) == {*lookalike.__all__, "__version__"}


def test_an_exact_match_is_a_copy_found(gallery: lookalike.Gallery, folder: Path) -> None:
    """Similar candidates are compared only while no copy is found, and a match by digest is one."""
    gallery.add(folder)
    exact, changed = gallery.search(folder / "1.png"), gallery.search(encoded(drawn(99)))
    assert exact.hits[0].evidence == "exact"
    assert exact.verification is not None
    assert changed.verification is not None
    assert exact.verification.verified == 0
    assert changed.verification.verified > 0


@pytest.mark.skipif(not available(), reason="needs lookalike[verify]")
def test_other_copies_of_an_image_of_the_gallery_are_proven_where_asked_for(gallery: lookalike.Gallery) -> None:
    """A crop whose distance tells nothing is compared in a search by key, and in a deep one, although one is found."""
    whole = scene(3)
    images = {"whole": whole, "crop": whole.crop((100, 60, 620, 460)), "other": scene(9)}
    gallery.add([Item(key, encoded(image)) for key, image in images.items()])
    proven = {"whole": "exact", "crop": "copy", "other": "similar"}
    assert {hit.key: hit.evidence for hit in gallery.search(lookalike.StoredImage("whole")).hits} == proven
    shallow, deep = (gallery.search(encoded(whole), deep=deep) for deep in (False, True))
    assert {hit.key: hit.evidence for hit in shallow.hits} == proven | {"crop": "similar"}
    assert {hit.key: hit.evidence for hit in deep.hits} == proven


def test_images_in_memory_are_files_with_the_same_pixels(gallery: lookalike.Gallery) -> None:
    """PIL images and arrays are taken wherever bytes are, and found as the same pixels; others are refused."""
    image = drawn(1)
    pixels = np.asarray(image.convert("RGB"))
    assert [reply.outcome for reply in gallery.add(image, key="pil")] == ["added"]
    assert gallery.put("array", pixels).outcome in ("added", "duplicate")
    turned = image.convert("RGB")
    turned.getexif()[0x0112] = 6
    items = [Item("grey", pixels[:, :, 0]), Item("float", pixels / 255), Item("cmyk", image.convert("CMYK"))]
    reply = {outcome.key: outcome for outcome in gallery.add(items)}  # type: ignore[arg-type]
    assert [reply[key].outcome for key in ("grey", "float", "cmyk")] == ["added", "rejected", "duplicate"]
    assert "float64" in (reply["float"].reason or "")
    for query in (image, pixels, encoded(image)):
        assert {hit.key for hit in gallery.search(query).hits if hit.evidence == "exact"} == {"pil", "array", "cmyk"}
    assert gallery.compare(image, pixels).same_pixels
    assert gallery.preview(turned, size=64) == gallery.preview(image.transpose(Image.Transpose.ROTATE_270), size=64)
    bad = pixels.astype(np.float32)
    results = list(gallery.search_many([pixels, bad, image]))
    assert [isinstance(result, ImageRejected) for _, result in results] == [False, True, False]
    assert results[1][0] is bad
    with pytest.raises(lookalike.BadInput, match="key="):
        gallery.add(image)
    with pytest.raises(TypeError, match="int"):
        gallery.search(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="int"):
        gallery.add([3])  # type: ignore[list-item]


def test_another_process_is_referred_to_the_server(gallery: lookalike.Gallery, folder: Path, tmp_path: Path) -> None:
    gallery.add(folder)
    gallery.announce_server("http://127.0.0.1:8123")
    with open_gallery(tmp_path / "gallery") as other, pytest.raises(GalleryBusy) as caught:
        other.add(folder)
    assert "--server http://127.0.0.1:8123" in str(caught.value)


def test_a_folder_is_added_once(gallery: lookalike.Gallery, folder: Path) -> None:
    keys = {f"{n}.png" for n in range(6)} | {"sub/6.png", "sub/7.png"}
    assert outcomes(gallery, folder) == dict.fromkeys(keys, "added")
    assert outcomes(gallery, folder) == dict.fromkeys(keys, "unchanged")
    assert gallery.status().images == 8


def test_an_items_path_may_be_a_string(gallery: lookalike.Gallery, folder: Path) -> None:
    for source in (str(folder / "0.png"), folder / "0.png"):
        [reply] = gallery.add([Item("a", source)])
        assert reply.outcome == ("added" if isinstance(source, str) else "unchanged")
        assert reply.path == gallery.get("a").path == str(folder / "0.png")


def test_outcomes_tell_what_became_of_each(gallery: lookalike.Gallery, folder: Path) -> None:
    gallery.add(folder)
    drawn(100).save(folder / "0.png")
    shutil.copy(folder / "1.png", folder / "copy.png")
    shutil.copy(folder / "2.png", folder / "2-again.png")
    (folder / "3.png").touch()
    (folder / "bad.jpg").write_bytes(b"\xff\xd8\xff and no more")
    reply = {o.key: o for o in gallery.add(folder)}
    assert reply["0.png"].outcome == "updated"
    assert (reply["copy.png"].outcome, reply["copy.png"].reason) == ("duplicate", "same bytes as 1.png")
    assert reply["2-again.png"].outcome == "duplicate"
    assert reply["3.png"].outcome == "unchanged"
    assert reply["bad.jpg"].outcome == "rejected"
    assert reply["bad.jpg"].reason
    assert gallery.search(folder / "copy.png").hits[0].evidence == "exact"
    assert {h.key for h in gallery.search(folder / "1.png").hits if h.evidence == "exact"} == {"1.png", "copy.png"}
    assert gallery.search(folder / "0.png").hits[0].key == "0.png"


def test_two_same_images_in_one_batch(gallery: lookalike.Gallery) -> None:
    data = encoded(drawn(1))
    reply = gallery.add([Item("a", data), Item("b", data), Item("c", encoded(drawn(2)))])
    assert [(o.key, o.outcome) for o in reply] == [("a", "added"), ("b", "duplicate"), ("c", "added")]
    assert [(h.key, h.evidence) for h in gallery.search(data, k=2).hits] == [("a", "exact"), ("b", "exact")]


def test_a_copy_of_what_the_same_batch_replaces_keeps_its_features(gallery: lookalike.Gallery) -> None:
    a, b = encoded(drawn(1)), encoded(drawn(2))
    gallery.add([Item("x", a)])
    gallery.add([Item("x", b), Item("y", a)])
    assert gallery.status().pipelines[0].rows == 2
    assert gallery.search(encoded(drawn(1), "JPEG", quality=40)).hits[0].key == "y"


def test_a_repeated_key_in_one_run_ends_with_the_last(gallery: lookalike.Gallery) -> None:
    gallery.add([Item("a", encoded(drawn(1))), Item("a", encoded(drawn(2)))])
    assert gallery.status().images == 1
    assert gallery.search(encoded(drawn(2))).hits[0].evidence == "exact"


def test_evidence(gallery: lookalike.Gallery, folder: Path, tmp_path: Path) -> None:
    gallery.add(folder)
    assert gallery.search(folder / "3.png").hits[0].pipeline == "sha256"
    same_pixels = gallery.search(encoded(drawn(3), "BMP")).hits[0]
    assert (same_pixels.key, same_pixels.evidence, same_pixels.pipeline) == ("3.png", "exact", "pixels")
    recompressed = gallery.search(encoded(drawn(3), "JPEG", quality=30)).hits
    assert (recompressed[0].key, recompressed[0].evidence, recompressed[0].pipeline) == ("3.png", "copy", "phash")
    assert {h.evidence for h in recompressed[1:]} == {"similar"}
    assert all(0 <= h.distance <= 1 for h in recompressed)


def test_the_pixels_of_a_jpeg_are_recognised_in_another_format(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    """A large JPEG is decoded at a reduced scale when it is added; its pixels are compared when it matters."""
    path = tmp_path / "large.jpg"
    drawn(1, (1600, 1200)).save(path, quality=90)
    gallery.add([path, *(Item(str(n), encoded(drawn(n))) for n in range(2, 6))])
    assert gallery.get("large.jpg").pixels is None
    with Image.open(path) as image:
        hit = gallery.search(encoded(image)).hits[0]
    assert (hit.key, hit.evidence, hit.pipeline) == ("large.jpg", "exact", "pixels")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 15), seed=st.integers(0, 40), threshold=st.sampled_from([None, 0.1, 0.4, 0.5]))
def test_pages_are_stable_and_complete(many: lookalike.Gallery, size: int, seed: int, threshold: float | None) -> None:
    query = encoded(drawn(seed), "JPEG", quality=40)
    whole = many.search(query, k=100, threshold=threshold)
    assert not whole.more
    paged, page = [], 1
    while True:
        answer = many.search(query, k=size, page=page, threshold=threshold)
        paged += answer.hits
        if not answer.more:
            break
        page += 1
    assert [h.key for h in paged] == [h.key for h in whole.hits]
    assert many.search(query, k=size, page=page + 1, threshold=threshold).hits == ()
    if threshold is not None:
        assert all(h.distance <= threshold + 1e-6 for h in whole.hits)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lookalike.Gallery]:
    with open_gallery(tmp_path_factory.mktemp("many") / "gallery", pipelines=HASHES, create=True) as opened:
        opened.add([Item(f"{n:02}", encoded(drawn(n)), {"n": n, "even": n % 2 == 0}) for n in range(40)])
        yield opened


def test_pages_beyond_the_limit_are_refused(many: lookalike.Gallery) -> None:
    query = encoded(drawn(1))
    assert many.search(query, k=10_000).hits
    with pytest.raises(UnsupportedQuery, match="10000"):
        many.search(query, k=10, page=1001)
    for bad in ({"k": 0}, {"page": 0}, {"threshold": 1.5}, {"threshold": -0.1}):
        with pytest.raises(UnsupportedQuery):
            many.search(query, **bad)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedQuery, match="phash"):
        many.search(query, pipelines=["vgg16"])


def test_filters_reach_every_kind_of_evidence(many: lookalike.Gallery) -> None:
    query = encoded(drawn(8))
    assert many.search(query, filter={"even": True}).hits[0].key == "08"
    odd = many.search(query, filter={"even": False}, k=50).hits
    assert len(odd) == 20
    assert all(h.attributes["n"] % 2 for h in odd)
    few = many.search(query, filter={"n": {"gte": 10, "lt": 13}}).hits
    assert {h.key for h in few} == {"10", "11", "12"}
    assert many.search(query, filter={"n": {"in": [8, 9]}}).hits[0].evidence == "exact"
    assert many.search(query, filter={"missing": 1}).hits == ()
    with pytest.raises(UnsupportedQuery, match="like"):
        many.search(query, filter={"n": {"like": 1}})


def test_tenants_are_sealed_off(gallery: lookalike.Gallery) -> None:
    data = encoded(drawn(1))
    gallery.add([Item("mine", data)], tenant="a")
    reply = gallery.add([Item("yours", data)], tenant="b")
    assert reply[0].outcome == "added"  # that another tenant has it too is not told
    assert [h.key for h in gallery.search(data, tenant="a").hits] == ["mine"]
    assert [h.key for h in gallery.search(data, tenant="b").hits] == ["yours"]
    assert gallery.search(data, tenant="c").hits == ()
    assert {h.key for h in gallery.search(data, tenant=None).hits} == {"mine", "yours"}
    with pytest.raises(NotFound):
        gallery.get("mine", tenant="b")
    assert gallery.remove("mine", tenant="b") == []
    assert list(gallery.duplicates(tenant="a")) == []


def test_flat_images_are_not_each_others_copies(gallery: lookalike.Gallery) -> None:
    grey = {g: encoded(drawn(0).convert("L").point(lambda _, g=g: g)) for g in (10, 128, 250)}
    gallery.add([Item(str(g), data) for g, data in grey.items()])
    hits = gallery.search(grey[10]).hits
    assert [(h.key, h.evidence) for h in hits] == [("10", "exact")]


def test_removed_images_stay_gone(gallery: lookalike.Gallery, folder: Path, tmp_path: Path) -> None:
    gallery.add(folder)
    assert gallery.remove(["1.png", "nothing", "sub/6.png"]) == ["1.png", "sub/6.png"]
    assert "1.png" not in {h.key for h in gallery.search(folder / "1.png", k=50).hits}
    gallery.close()
    with open_gallery(tmp_path / "gallery", create=False) as again:
        assert "1.png" not in {h.key for h in again.search(folder / "1.png", k=50).hits}
        with pytest.raises(NotFound, match=r"1\.png"):
            again.get("1.png")


def test_a_reader_follows_the_writer(gallery: lookalike.Gallery, folder: Path, tmp_path: Path) -> None:
    with open_gallery(tmp_path / "gallery") as reader:
        assert reader.search(folder / "2.png").hits == ()
        gallery.add(folder)
        answer = reader.search(folder / "2.png")
        assert answer.hits[0].key == "2.png"
        assert answer.sequence == 8
        gallery.remove("2.png")
        assert reader.search(folder / "2.png").hits[0].key != "2.png"
        with pytest.raises(GalleryBusy, match="writing"):
            reader.remove("3.png")
        gallery.close()
        assert reader.remove("3.png") == ["3.png"]


@pytest.mark.parametrize("harm", ["truncate", "flip", "remove"])
def test_a_damaged_index_is_built_anew(folder: Path, tmp_path: Path, harm: str) -> None:
    with open_gallery(tmp_path / "gallery", pipelines=HASHES, create=True) as gallery:
        gallery.add(folder)
        gallery.repair()  # saves the index
    files = [p for p in (tmp_path / "gallery" / "indexes").rglob("*") if p.is_file()]
    assert files
    for path in files:
        data = path.read_bytes()
        if harm == "remove":
            path.unlink()
        elif harm == "truncate":
            path.write_bytes(data[: len(data) // 2])
        else:
            path.write_bytes(bytes(b ^ 0xFF for b in data))
    with open_gallery(tmp_path / "gallery") as reader:
        assert reader.search(folder / "4.png").hits[0].key == "4.png"
    with open_gallery(tmp_path / "gallery") as writer:
        assert writer.repair().rebuilt == {"phash": 8}
        assert writer.search(encoded(drawn(4), "JPEG", quality=50)).hits[0].key == "4.png"


def test_repair_forgets_deletions_and_readers_notice(folder: Path, tmp_path: Path) -> None:
    with (
        open_gallery(tmp_path / "gallery", pipelines=HASHES, create=True) as writer,
        open_gallery(tmp_path / "gallery") as reader,
    ):
        writer.add(folder)
        assert reader.search(folder / "4.png").hits[0].key == "4.png"
        writer.remove("4.png")
        deleted = writer.catalog.changes.last_sequence()
        writer.put("late.png", encoded(drawn(30), "PNG"))
        assert writer.catalog.changes.pruned_through() == 0
        writer.repair()
        assert writer.catalog.changes.pruned_through() >= deleted
        assert "4.png" not in {hit.key for hit in reader.search(folder / "4.png", k=20).hits}
        assert reader.search(encoded(drawn(30), "JPEG")).hits[0].key == "late.png"


def test_attributes(gallery: lookalike.Gallery, folder: Path) -> None:
    gallery.add(folder / "1.png", attributes={"album": "Alps"})
    assert gallery.get("1.png").attributes == {"album": "Alps"}
    assert gallery.add(folder / "1.png")[0].outcome == "unchanged"
    assert gallery.get("1.png").attributes == {"album": "Alps"}
    assert gallery.add(folder / "1.png", attributes={"album": "Sea"})[0].outcome == "updated"
    assert gallery.get("1.png").attributes == {"album": "Sea"}
    assert gallery.set_attributes("1.png", {"year": 2020}).attributes == {"album": "Sea", "year": 2020}
    assert [r.key for r in gallery.ls(filter={"year": 2020})] == ["1.png"]


def test_bad_queries_and_paths(gallery: lookalike.Gallery, folder: Path) -> None:
    gallery.add(folder)
    with pytest.raises(ImageRejected):
        gallery.search(folder / "notes.txt")
    with pytest.raises(ImageRejected, match="nowhere"):
        gallery.search(folder / "nowhere.png")
    with pytest.raises(NotFound, match="nowhere"):
        gallery.add(folder / "nowhere")
    queries = [folder / "1.png", folder / "notes.txt", *(folder / f"{n}.png" for n in range(6)), folder / "gone.png"]
    answers = [a for _, a in gallery.search_many(queries)]
    assert [isinstance(a, ImageRejected) for a in answers] == [False, True, *[False] * 6, True]


def test_duplicates_come_in_clusters(gallery: lookalike.Gallery) -> None:
    gallery.add([Item(str(n), encoded(drawn(n))) for n in range(20)])
    gallery.add([Item(f"{n}-small", encoded(drawn(n, (80, 60)), "JPEG", quality=60)) for n in range(3)])
    gallery.add([Item("0-same", encoded(drawn(0)))])
    found = {frozenset(p.key for p in c.images): c.evidence for c in gallery.duplicates()}
    assert found == {
        frozenset({"0", "0-small", "0-same"}): "copy",
        frozenset({"1", "1-small"}): "copy",
        frozenset({"2", "2-small"}): "copy",
    }


def test_compare(gallery: lookalike.Gallery) -> None:
    a, b = drawn(1), drawn(2)
    assert gallery.compare(encoded(a), encoded(a)).evidence == "exact"
    assert gallery.compare(encoded(a), encoded(a, "BMP")).same_pixels
    assert gallery.compare(encoded(a), encoded(a, "JPEG", quality=40)).evidence == "copy"
    assert gallery.compare(encoded(a), encoded(b)).evidence == "similar"


def test_settings_are_checked(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no gallery"):
        open_gallery(tmp_path / "none", create=False)
    with pytest.raises(BadSetting, match="nonsense"):
        open_gallery(tmp_path / "bad", pipelines=["nonsense"], create=True)
    open_gallery(tmp_path / "good", pipelines=HASHES, create=True).close()
    with pytest.raises(BadSetting, match="lookalike pipelines"):
        open_gallery(tmp_path / "good", pipelines=["vgg16"], create=True)
    (tmp_path / "good" / "gallery.toml").write_text("pipelines = 3")
    with pytest.raises(BadSetting, match=r"gallery\.toml"):
        open_gallery(tmp_path / "good")


def test_answers_can_be_written_as_json(many: lookalike.Gallery) -> None:
    answer = many.search(encoded(drawn(1)), k=3)
    assert json.dumps([h.distance for h in answer.hits])
    assert answer.exact_within == {"phash": 1.0}
    assert set(answer.took_ms) >= {"decode", "digest", "phash", "merge"}


def test_a_gallery_of_exact_hashes(folder: Path, tmp_path: Path) -> None:
    create_gallery(tmp_path / "exact", GallerySettings(HASHES, exact_phash=True), from_environment())
    with (
        open_gallery(tmp_path / "exact") as exact,
        open_gallery(tmp_path / "fast", pipelines=HASHES, create=True) as fast,
    ):
        exact.add(folder)
        fast.add(folder)
        assert exact.search(folder / "2.png").hits[0].key == "2.png"
        fingerprints = {g.status().pipelines[0].fingerprint for g in (exact, fast)}
        assert len(fingerprints) == 2


def test_a_reader_that_becomes_the_writer_closes_cleanly(tmp_path: Path) -> None:
    """Its index was opened for reading; what it has to save by then is left to the next opening."""
    with open_gallery(tmp_path / "gallery", pipelines=HASHES, create=True) as first:
        first.add([Item(str(n), encoded(drawn(n, (40, 30)))) for n in range(12)])
    with open_gallery(tmp_path / "gallery") as gallery, mock.patch("lookalike.gallery.index_sync.MIN_UNSAVED_ROWS", 0):
        gallery.search(encoded(drawn(1)))
        gallery.remove([str(n) for n in range(6)])
        gallery.search(encoded(drawn(1)))
    with open_gallery(tmp_path / "gallery") as again:
        assert again.status().pipelines[0].rows == 6
