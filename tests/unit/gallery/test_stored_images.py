"""What the service does by key: searching and comparing with stored images, changes on condition, thumbnails."""

import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import lookalike
from lookalike.errors import BadInput, Conflict, ImageRejected, NotFound, UnsupportedQuery
from lookalike.gallery import Gallery
from lookalike.results import StoredImage
from lookalike.types import Answer, Item
from tests.support.drawn_images import drawn, encoded


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"], create=True) as service:
        yield service


@pytest.fixture
def filled(gallery: Gallery, tmp_path: Path) -> Gallery:
    """Six images by path, copies of 1 as path and as bytes, a flat one, and another tenant's image."""
    for seed in range(6):
        drawn(seed).save(tmp_path / f"{seed}.png")
    drawn(1).save(tmp_path / "same pixels.bmp")
    gallery.add([tmp_path / f"{seed}.png" for seed in range(6)], attributes={"kind": "file"})
    gallery.add(tmp_path / "same pixels.bmp")
    gallery.add([Item("copy of 1", encoded(drawn(1), "JPEG", quality=40)), Item("flat", encoded(flat()))])
    gallery.add([Item("1.png", encoded(drawn(1))), Item("theirs", encoded(drawn(9)))], tenant="other")
    return gallery


def flat() -> Image.Image:
    return Image.new("RGB", (60, 40), "teal")


def shown(answer: Answer) -> list[tuple[str, str, float]]:
    return [(hit.key, hit.evidence, hit.distance) for hit in answer.hits]


def test_a_key_finds_what_its_image_finds(filled: Gallery, tmp_path: Path) -> None:
    for key in ("0.png", "1.png", "5.png"):
        asked = filled.search(StoredImage(key), k=20)
        assert shown(asked) == shown(filled.search(tmp_path / key, k=20))
        assert asked.hits[0].key == key
        assert asked.hits[0].evidence == "exact"
    found = {key: evidence for key, evidence, _ in shown(filled.search(StoredImage("1.png"), k=3))}
    assert found == {"1.png": "exact", "same pixels.bmp": "exact", "copy of 1": "copy"}
    assert shown(filled.search(StoredImage("copy of 1"), k=1)) == [("copy of 1", "exact", 0.0)]
    assert filled.search(StoredImage("1.png"), k=1, page=2).hits[0].key == "same pixels.bmp"
    assert [hit.key for hit in filled.search(StoredImage("copy of 1"), filter={"kind": "file"}, k=1).hits] == ["1.png"]


def test_a_key_finds_turned_and_mirrored_copies(gallery: Gallery) -> None:
    image = drawn(7)
    turns = {turn.name: image.transpose(turn) for turn in Image.Transpose}
    gallery.add([Item(key, encoded(turned)) for key, turned in {"upright": image, "other": drawn(8), **turns}.items()])
    for key in ("upright", "ROTATE_90", "TRANSVERSE"):
        found = {hit.key: hit for hit in gallery.search(StoredImage(key), k=20).hits}
        assert {name for name, hit in found.items() if hit.evidence in ("exact", "copy")} == {"upright", *turns}
        assert max(found[name].distance for name in ("upright", *turns)) <= 0.125
        as_stored = gallery.search(StoredImage(key), k=20, orientations=False, verify=False)
        assert [hit.evidence for hit in as_stored.hits].count("similar") >= 2
    assert gallery.compare(StoredImage("upright"), StoredImage("FLIP_LEFT_RIGHT")).pipelines[0].distance == 0


def test_a_key_needs_no_file(filled: Gallery, tmp_path: Path) -> None:
    for file in tmp_path.glob("*.*"):
        file.unlink()
    assert [key for key, _, _ in shown(filled.search(StoredImage("copy of 1"), k=3))][:1] == ["copy of 1"]
    assert {key for key, _, _ in shown(filled.search(StoredImage("1.png"), k=3))} == {
        "1.png",
        "copy of 1",
        "same pixels.bmp",
    }
    compared = filled.compare(StoredImage("1.png"), StoredImage("copy of 1"))
    assert compared.evidence == "copy"


def test_a_flat_image_finds_itself_alone(filled: Gallery) -> None:
    assert shown(filled.search(StoredImage("flat"))) == [("flat", "exact", 0.0)]
    assert filled.compare(StoredImage("flat"), StoredImage("1.png")).pipelines[0].distance is None


def test_keys_are_a_tenant_s_own(filled: Gallery) -> None:
    for query in (StoredImage("theirs"), StoredImage("nothing"), StoredImage("nul\0")):
        with pytest.raises(NotFound):
            filled.search(query)
        with pytest.raises(NotFound):
            filled.compare(query, StoredImage("1.png"))
    assert filled.search(StoredImage("theirs"), tenant="other").hits[0].key == "theirs"
    assert next(h.key for h in filled.search(StoredImage("1.png"), tenant="other").hits) == "1.png"
    with pytest.raises(NotFound):
        filled.search(StoredImage("0.png"), tenant="nobody")
    everyone = filled.search(StoredImage("theirs", tenant="other"), tenant=None, k=1)
    assert everyone.hits[0].key == "theirs"
    across = filled.search(StoredImage("1.png", tenant="other"), tenant="default", k=1)
    assert across.hits[0].evidence == "exact"


def test_keys_and_images_mixed_keep_their_order(filled: Gallery, tmp_path: Path) -> None:
    queries = [
        StoredImage("0.png"),
        StoredImage("nothing"),
        tmp_path / "1.png",
        b"no image",
        encoded(drawn(2)),
        StoredImage("3.png"),
        StoredImage("flat"),
    ]
    answers = list(filled.search_many(queries, k=1))
    assert [query for query, _ in answers] == queries
    first = [answer.hits[0].key if isinstance(answer, Answer) else type(answer) for _, answer in answers]
    assert first == ["0.png", NotFound, "1.png", ImageRejected, "2.png", "3.png", "flat"]
    many = [StoredImage(f"{n % 6}.png") for n in range(200)]
    found = [answer.hits[0].key for _, answer in filled.search_many(many, k=1) if isinstance(answer, Answer)]
    assert found == [query.key for query in many]


def test_comparing_by_key_and_by_file(filled: Gallery, tmp_path: Path) -> None:
    pairs = [("1.png", "copy of 1"), ("1.png", "2.png"), ("1.png", "same pixels.bmp"), ("3.png", "3.png")]
    for a, b in pairs:
        stored = filled.compare(StoredImage(a), StoredImage(b))
        mixed = [filled.compare(tmp_path / a, StoredImage(b)), filled.compare(StoredImage(b), tmp_path / a)]
        alignments = [replace(found, verification=None) for found in mixed]  # of the one onto the other
        assert alignments[0] == alignments[1]
        assert (mixed[0].same_bytes, mixed[0].same_pixels) == (stored.same_bytes, stored.same_pixels)
        assert mixed[0].evidence == stored.evidence
    assert filled.compare(StoredImage("1.png"), StoredImage("same pixels.bmp")).same_pixels
    assert filled.compare(StoredImage("3.png"), StoredImage("3.png")).same_bytes


def test_features_of_another_encoder_are_no_query(filled: Gallery, tmp_path: Path) -> None:
    other = lookalike.open(tmp_path / "exact", pipelines=["phash"], create=True)
    with other:
        other.add([Item("a", encoded(drawn(1)))])
        spec = other.catalog.features.specs()[0]
        record = other.get("a")
        other.catalog.features.put(spec, [record.id], [record.sha256], [None])
        assert shown(other.search(StoredImage("a"))) == [("a", "exact", 0.0)]
    toml = tmp_path / "exact" / "gallery.toml"
    toml.write_text(toml.read_text().replace("[index]", "exact_phash = true\n[index]", 1))
    with lookalike.open(tmp_path / "exact") as other, pytest.raises(UnsupportedQuery, match="add it again"):
        other.search(StoredImage("a"))


# -- changes on condition


def test_put_says_where_the_image_stands(gallery: Gallery) -> None:
    first = gallery.put("a/b c", encoded(drawn(1)), attributes={"n": 1}, expected="absent")
    assert (first.outcome, first.sequence) == ("added", 1)
    assert gallery.put("a/b c", encoded(drawn(1))) == lookalike.Outcome("a/b c", None, "unchanged", None, 1)
    renamed = gallery.put("a/b c", encoded(drawn(1)), attributes={"n": 2})
    assert (renamed.outcome, renamed.sequence) == ("updated", 2)
    other = gallery.put("a/b c", encoded(drawn(2)), expected=2)
    assert (other.outcome, other.sequence) == ("updated", 3)
    twin = gallery.put("twin", encoded(drawn(2)))
    assert (twin.outcome, twin.reason, twin.sequence) == ("duplicate", "same bytes as a/b c", 4)
    assert gallery.get("a/b c").attributes == {"n": 2}
    assert gallery.search(encoded(drawn(2)), min_sequence=4).sequence == 4


def test_put_on_a_condition_that_does_not_hold(gallery: Gallery) -> None:
    gallery.put("a", encoded(drawn(1)))
    for data in (encoded(drawn(1)), encoded(drawn(2)), b"no image"):
        for expected in ("absent", 7):
            with pytest.raises(Conflict) as raised:
                gallery.put("a", data, expected=expected)  # type: ignore[arg-type]
            assert raised.value.sequence == 1
    with pytest.raises(Conflict):
        gallery.put("b", encoded(drawn(1)), expected=1)
    with pytest.raises(ImageRejected):
        gallery.put("c", b"no image")
    with pytest.raises(BadInput, match="not empty"):
        gallery.put("", encoded(drawn(1)))
    with pytest.raises(BadInput, match="JSON"):
        gallery.put("c", encoded(drawn(1)), attributes={"n": float("nan")})
    assert [record.key for record in gallery.ls()] == ["a"]


def test_of_many_who_put_at_once_one_wins(gallery: Gallery) -> None:
    gallery.put("a", encoded(drawn(0)))
    done: list[int] = []
    start = threading.Barrier(6)

    def put(seed: int) -> None:
        data = encoded(drawn(seed))
        start.wait()
        try:
            gallery.put("a", data, expected=1)
        except Conflict:
            return
        done.append(seed)

    threads = [threading.Thread(target=put, args=(seed,)) for seed in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [winner] = done
    assert gallery.search(encoded(drawn(winner))).hits[0].evidence == "exact"


def test_removing_on_condition_and_by_filter(gallery: Gallery) -> None:
    gallery.add([Item(str(n), encoded(drawn(n)), {"n": n}) for n in range(6)])
    with pytest.raises(Conflict):
        gallery.remove("1", expected=1)
    assert gallery.remove("1", expected=2) == ["1"]
    assert gallery.remove("1", expected=2) == []
    removed = gallery.remove_by_filter({"n": {"gte": 3}})
    assert removed == (["3", "4", "5"], 10, 3)
    assert gallery.remove_by_filter({"n": 77}) == ([], 0, 0)
    assert gallery.remove_by_filter({"n": 0}, tenant="nobody") == ([], 0, 0)
    with pytest.raises(BadInput):
        gallery.remove_by_filter({})
    with pytest.raises(Conflict):
        gallery.set_attributes("2", {}, expected=1)
    assert gallery.set_attributes("2", {"x": 1}, expected=3).attributes == {"n": 2, "x": 1}
    assert [record.key for record in gallery.ls()] == ["0", "2"]


# -- thumbnails


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_thumbnails_of_bytes_and_of_files(gallery: Gallery, tmp_path: Path) -> None:
    drawn(1, (800, 600)).save(tmp_path / "file.png")
    gallery.add(tmp_path / "file.png")
    gallery.put("bytes", encoded(drawn(1, (800, 600))))
    assert opened(gallery.get_thumbnail("file.png")).size == opened(gallery.get_thumbnail("bytes")).size == (384, 288)
    assert gallery.get_thumbnail("file.png") == gallery.get_thumbnail("bytes")
    assert opened(gallery.get_thumbnail("file.png", size=1024)).size == (800, 600)
    assert opened(gallery.get_thumbnail("bytes", size=1024)).size == (384, 288)  # no more is kept
    assert opened(gallery.get_thumbnail("bytes", size=100)).size == (100, 75)
    for size in (0, 15, 1025):
        with pytest.raises(BadInput):
            gallery.get_thumbnail("bytes", size=size)
    for key, tenant in (("none", "default"), ("bytes", "other")):
        with pytest.raises(NotFound):
            gallery.get_thumbnail(key, tenant=tenant)


def test_a_changed_or_vanished_file_has_no_thumbnail(gallery: Gallery, tmp_path: Path) -> None:
    file = tmp_path / "file.png"
    drawn(1, (800, 600)).save(file)
    gallery.add(file)
    drawn(2, (800, 600)).save(file)
    with pytest.raises(NotFound, match="changed"):
        gallery.get_thumbnail("file.png")
    file.unlink()
    with pytest.raises(NotFound, match="cannot be read"):
        gallery.get_thumbnail("file.png")
    gallery.put("file.png", encoded(drawn(1, (800, 600))))  # as bytes: unchanged, and known by its old path
    with pytest.raises(NotFound):
        gallery.get_thumbnail("file.png")


def test_thumbnails_are_remembered_within_bounds(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn(1, (800, 600)).save(tmp_path / "file.png")
    gallery.add(tmp_path / "file.png")
    made = gallery.get_thumbnail("file.png", size=200)
    (tmp_path / "file.png").unlink()
    assert gallery.get_thumbnail("file.png", size=200) == made  # the bytes are known by their digest
    monkeypatch.setattr("lookalike.gallery.thumbnails.CACHE_BYTES", len(made) + 10)
    gallery.put("bytes", encoded(drawn(2, (800, 600))))
    gallery.get_thumbnail("bytes", size=190)
    with pytest.raises(NotFound):
        gallery.get_thumbnail("file.png", size=200)
