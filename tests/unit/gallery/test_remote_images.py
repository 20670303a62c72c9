"""Images of object stores and archives: keys, unchanged ones, thumbnails, searches, missing ones, and failures."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import lookalike
from lookalike.errors import NotFound, Unavailable
from lookalike.factory import open_gallery
from lookalike.gallery import item_lookup
from lookalike.gallery.originals import READ_THREADS
from lookalike.image_files import FolderScan, find_files, with_keys
from lookalike.imaging import Limits
from lookalike.optional import is_installed
from lookalike.sources import objects
from lookalike.types import FoundObject, Item, Outcome
from tests.support.drawn_images import drawn, encoded
from tests.support.object_stores import failing, json_bytes, new_bucket, put, remove, tar, throttled, zipped
from tests.support.waiting import HANG_SECONDS

SIZE = (240, 180)


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "FIRST_RETRY_SECONDS", 0.0)


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[lookalike.Gallery]:
    with open_gallery(tmp_path / "gallery", pipelines=("phash",), create=True) as opened:
        yield opened


def image(seed: int) -> bytes:
    return encoded(drawn(seed, SIZE), "JPEG", quality=95)


def fill(*seeds: int, prefix: str = "pics/") -> str:
    """A bucket of drawn images, named by their seeds."""
    bucket = new_bucket()
    put(bucket, {f"{prefix}{seed}.jpg": image(seed) for seed in seeds})
    return bucket


def kinds(found: list[Outcome]) -> dict[str, str]:
    return {one.key: one.outcome for one in found}


def requests_of(gallery: lookalike.Gallery, url: str) -> tuple[dict[str, str], int]:
    """The outcomes of adding a URL, and how many objects were read."""
    with failing() as requests:
        found = kinds(gallery.add(url))
    return found, requests["cat_file"]


def test_a_prefix_is_added_as_a_folder_and_then_unchanged_without_being_read(gallery: lookalike.Gallery) -> None:
    bucket = fill(1, 2, 3)
    put(bucket, {"pics/sub/notes.txt": b"text", "pics/.hidden.jpg": image(9), "pics/bad.jpg": b"no image"})
    found, reads = requests_of(gallery, f"failing://{bucket}/pics/")
    assert found == {"1.jpg": "added", "2.jpg": "added", "3.jpg": "added", "bad.jpg": "rejected"}
    assert reads == 4
    put(bucket, {"pics/2.jpg": image(5), "pics/bad.jpg": image(6), "pics/4.jpg": image(4)})
    found, reads = requests_of(gallery, f"failing://{bucket}/pics")
    assert found == {
        "1.jpg": "unchanged",
        "2.jpg": "updated",
        "3.jpg": "unchanged",
        "4.jpg": "added",
        "bad.jpg": "added",
    }
    assert reads == 3
    assert gallery.get("2.jpg").path == f"failing://{bucket}/pics/2.jpg"


def test_prefixes_of_equal_names_are_told_apart(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    first, second = fill(1), fill(2)
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "1.jpg").write_bytes(image(3))
    for what in (f"memory://{first}/pics", f"memory://{second}/pics", str(tmp_path / "pics")):
        gallery.add(what)
    assert [record.key for record in gallery.ls()] == ["1.jpg", "pics-2/1.jpg", "pics/2.jpg"]


def test_objects_and_items_are_added_by_url(gallery: lookalike.Gallery) -> None:
    bucket = fill(1, 2)
    assert kinds(gallery.add(f"memory://{bucket}/pics/1.jpg")) == {"1.jpg": "added"}
    assert kinds(gallery.add(f"memory://{bucket}/pics/2.jpg", key="mine")) == {"mine": "added"}
    assert kinds(gallery.add([Item("own", f"memory://{bucket}/pics/1.jpg")])) == {"own": "duplicate"}
    assert kinds(gallery.add([Item("own", f"memory://{bucket}/pics/1.jpg")])) == {"own": "unchanged"}
    with pytest.raises(NotFound):
        gallery.add(f"memory://{bucket}/none.jpg")


def test_originals_thumbnails_and_searches_read_the_url(gallery: lookalike.Gallery) -> None:
    bucket = fill(*range(6))
    put(bucket, {"s/0.tar": tar({"t.jpg": image(11), "u.jpg": image(12)}), "s/a.zip": zipped({"z.jpg": image(13)})})
    gallery.add([f"memory://{bucket}/pics", f"memory://{bucket}/s/0.tar", f"memory://{bucket}/s/a.zip"])
    for key, seed in (("3.jpg", 3), ("t.jpg", 11), ("u.jpg", 12), ("z.jpg", 13)):
        assert gallery.get_original(key) == image(seed)
        assert max(Image.open(io.BytesIO(gallery.get_thumbnail(key, size=64))).size) == 64
        hit = gallery.search(encoded(drawn(seed, SIZE), "JPEG", quality=40)).hits[0]
        assert (hit.key, hit.evidence, hit.verified) == (key, "copy", True)
        recoded = Image.open(io.BytesIO(image(seed)))
        assert gallery.search(encoded(recoded, "PNG")).hits[0].evidence == "exact"
        comparison = gallery.compare(encoded(recoded, "PNG"), lookalike.StoredImage(key))
        assert (comparison.same_bytes, comparison.same_pixels) == (False, True)


def test_an_object_that_has_changed_or_is_gone_is_not_shown(gallery: lookalike.Gallery) -> None:
    bucket = fill(1, 2)
    gallery.add(f"memory://{bucket}/pics")
    put(bucket, {"pics/1.jpg": image(3)})
    remove(bucket, "pics/2.jpg")
    for key, why in (("1.jpg", "has changed"), ("2.jpg", "cannot be read")):
        with pytest.raises(NotFound, match=why):
            gallery.get_thumbnail(key)
        hit = gallery.search(encoded(drawn(int(key[0]), SIZE), "JPEG", quality=40)).hits[0]
        assert (hit.key, hit.verified) == (key, is_installed("verify"))  # by its verification record


@pytest.mark.skipif(not is_installed("verify"), reason="needs lookalike[verify]")
def test_images_have_verification_records_and_repair_completes_them(gallery: lookalike.Gallery) -> None:
    bucket = fill(1, 2, 3)
    put(bucket, {"a.tar": tar({"t.jpg": image(4)})})
    gallery.add([f"memory://{bucket}/pics", f"memory://{bucket}/a.tar"])
    assert gallery.catalog.verification_records.totals().images == 4
    assert gallery.catalog.verification_records.delete_all() == 4
    remove(bucket, "pics/3.jpg")
    completed = gallery.repair(verification_records=True).verification_records
    assert completed is not None
    assert (completed.made, completed.unreadable) == (3, 1)


def test_a_store_that_is_down_is_unavailable_and_searches_go_on(gallery: lookalike.Gallery) -> None:
    bucket = fill(1, 2)
    with failing():
        gallery.add(f"failing://{bucket}/pics")
    with failing(lambda *_: ConnectionError("no route")) as requests:
        with pytest.raises(Unavailable, match="no route"):
            gallery.get_thumbnail("1.jpg")
        asked = requests.total()
        assert gallery.search(encoded(drawn(1, SIZE), "JPEG", quality=40)).hits[0].key == "1.jpg"
        assert requests.total() == asked  # it is not asked again at once


def test_missing_objects_are_reported_and_pruned(gallery: lookalike.Gallery) -> None:
    bucket = fill(*range(5))
    gallery.add(f"memory://{bucket}/pics")
    remove(bucket, "pics/3.jpg")
    found = kinds(gallery.add(f"memory://{bucket}/pics"))
    assert found == {"3.jpg": "missing", **{f"{n}.jpg": "unchanged" for n in (0, 1, 2, 4)}}
    assert gallery.missing().keys == ("3.jpg",)
    assert gallery.missing(remote=False).keys == ()
    assert gallery.prune(dry_run=False).keys == ("3.jpg",)
    put(bucket, {"pics/3.jpg": image(3)})
    assert kinds(gallery.add(f"memory://{bucket}/pics"))["3.jpg"] == "added"


def test_nothing_is_forgotten_of_a_store_that_cannot_be_reached(gallery: lookalike.Gallery) -> None:
    bucket = fill(1, 2, 3)
    with failing():
        gallery.add(f"failing://{bucket}/pics")
    root = f"failing://{bucket}/pics"
    for error in (ConnectionError("no route"), PermissionError("denied")):
        with failing(lambda *_, error=error: error):
            found = gallery.prune(dry_run=False)
        assert (found.keys, dict(found.away)) == ((), {root: 3})
    assert len(gallery.ls()) == 3


def test_an_empty_prefix_is_away_as_a_whole(gallery: lookalike.Gallery) -> None:
    bucket = fill(1, 2)
    gallery.add(f"memory://{bucket}/pics")
    put(bucket, {"pics/other.txt": b"text"})
    for seed in (1, 2):
        remove(bucket, f"pics/{seed}.jpg")
    [outcome] = gallery.add(f"memory://{bucket}/pics")
    assert (outcome.outcome, "2 images were added" in (outcome.reason or "")) == ("rejected", True)
    assert dict(gallery.prune(dry_run=False).away) == {f"memory://{bucket}/pics": 2}
    assert gallery.prune(dry_run=False, whole_folder=True).keys == ("1.jpg", "2.jpg")
    assert gallery.catalog.roots.of_tenant(None) == []


def test_members_of_archives_are_keyed_by_name_with_attributes(gallery: lookalike.Gallery) -> None:
    bucket = new_bucket()
    shards = {f"{n:02d}.tar": tar({f"{n}.jpg": image(n), f"{n}.json": json_bytes({"n": n})}) for n in range(3)}
    put(bucket, shards)
    found, reads = requests_of(gallery, f"failing://{bucket}/{{00..02}}.tar")
    assert found == {"0.jpg": "added", "1.jpg": "added", "2.jpg": "added"}
    assert {record.key: record.attributes["n"] for record in gallery.ls()} == {f"{n}.jpg": n for n in range(3)}
    with failing() as requests:
        assert set(kinds(gallery.add(f"failing://{bucket}/*.tar")).values()) == {"unchanged"}
    assert (reads, requests["cat_file"]) == (0, 0)


def test_an_archive_is_read_again_where_it_or_its_images_have_changed(gallery: lookalike.Gallery) -> None:
    bucket = new_bucket()
    url = f"memory://{bucket}/a.tar"
    put(bucket, {"a.tar": tar({"1.jpg": image(1), "2.jpg": image(2), "bad.jpg": b"no image"})})
    first = kinds(gallery.add(url))
    assert first == {"1.jpg": "added", "2.jpg": "added", "bad.jpg": "rejected"}
    assert kinds(gallery.add(url)) == {"1.jpg": "unchanged", "2.jpg": "unchanged", url: "rejected"}
    gallery.prune_paths([])
    gallery.catalog.images.delete(1, ["2.jpg"], remember=False)
    assert kinds(gallery.add(url))["2.jpg"] == "added"
    put(bucket, {"a.tar": tar({"3.jpg": image(3), "1.jpg": image(1)})})
    assert kinds(gallery.add(url)) == {"3.jpg": "added", "1.jpg": "unchanged", "2.jpg": "missing"}
    assert gallery.get_original("1.jpg") == image(1)  # at its new place in the archive
    assert gallery.missing().keys == ("2.jpg",)
    assert kinds(gallery.add(url, attributes={"x": 1})) == {"3.jpg": "updated", "1.jpg": "updated", "2.jpg": "missing"}


def test_the_part_of_an_archive_and_other_archives_keep_their_images(gallery: lookalike.Gallery) -> None:
    bucket = new_bucket()
    put(bucket, {"a.zip": zipped({"x/1.jpg": image(1), "y/2.jpg": image(2)}), "b.zip": zipped({"x/1.jpg": image(3)})})
    assert kinds(gallery.add(f"zip://x::memory://{bucket}/a.zip")) == {"x/1.jpg": "added"}
    assert kinds(gallery.add(f"memory://{bucket}/b.zip")) == {"x/1.jpg": "rejected"}
    assert kinds(gallery.add(f"zip://::memory://{bucket}/a.zip")) == {"x/1.jpg": "unchanged", "y/2.jpg": "added"}
    remove(bucket, "a.zip")
    assert gallery.missing().keys == ()  # all of it is gone: away
    assert gallery.prune(dry_run=False, whole_folder=True).keys == ("x/1.jpg", "y/2.jpg")


def test_objects_are_read_in_parallel_within_a_bound(gallery: lookalike.Gallery) -> None:
    bucket = fill(*range(60))
    lock, several, reading = threading.Lock(), threading.Event(), [0, 0]

    def failure(name: str, path: str) -> Exception | None:
        if name == "cat_file":
            with lock:
                reading[0] += 1
                reading[1] = max(reading)
                if reading[0] > 1:
                    several.set()
            several.wait(HANG_SECONDS)  # the first one waits for a second one
            with lock:
                reading[0] -= 1
        return None

    with failing(failure):
        found = gallery.add(f"failing://{bucket}/pics")
    assert [one.key for one in found] == sorted(one.key for one in found)
    assert len(found) == 60
    assert 1 < reading[1] <= READ_THREADS


def test_one_bad_object_never_stops_the_run(gallery: lookalike.Gallery) -> None:
    bucket = fill(*range(40))

    def failure(name: str, path: str) -> Exception | None:
        if name == "cat_file" and path.endswith("/7.jpg"):
            return throttled()
        return PermissionError("denied") if name == "cat_file" and path.endswith("/9.jpg") else None

    with failing(failure):
        found = kinds(gallery.add(f"failing://{bucket}/pics"))
    assert {key for key, kind in found.items() if kind == "rejected"} == {"7.jpg", "9.jpg"}
    assert sum(kind == "added" for kind in found.values()) == 38


def test_a_run_ends_where_the_store_is_down_and_goes_on_later(gallery: lookalike.Gallery) -> None:
    bucket = fill(*range(item_lookup.MAX_CONSECUTIVE_FAILURES + 8))
    down = {"now": False}

    def failure(name: str, path: str) -> Exception | None:
        down["now"] = down["now"] or path.endswith("/15.jpg")
        return ConnectionError("no route") if down["now"] and name == "cat_file" else None

    with failing(failure), pytest.raises(Unavailable, match="in a row"):
        gallery.add(f"failing://{bucket}/pics")
    with failing():
        found = kinds(gallery.add(f"failing://{bucket}/pics"))
    assert set(found.values()) <= {"added", "unchanged"}
    assert len(gallery.ls(limit=1000)) == len(found) == item_lookup.MAX_CONSECUTIVE_FAILURES + 8


def test_a_listing_that_breaks_off_forgets_nothing(gallery: lookalike.Gallery) -> None:
    bucket = fill(1, 2)
    put(bucket, {"pics/sub/3.jpg": image(3)})
    with failing():
        gallery.add(f"failing://{bucket}/pics")
    with failing(lambda name, path: PermissionError("denied") if name == "ls" and path.endswith("/sub") else None):
        found = kinds(gallery.add(f"failing://{bucket}/pics"))
    assert found == {"1.jpg": "unchanged", "2.jpg": "unchanged", f"failing://{bucket}/pics": "rejected"}


def test_entries_of_a_manifest_replace_their_key_and_are_recognised(gallery: lookalike.Gallery) -> None:
    bucket = fill(1, 2)

    def entry(seed: int, etag: str | None) -> FoundObject:
        url = f"failing://{bucket}/pics/{seed}.jpg"
        return FoundObject(url, None, {"n": seed}, key="product", etag=etag, nbytes=len(image(seed)), replaces=True)

    with failing() as requests:
        assert kinds(gallery.add([entry(1, "e1")])) == {"product": "added"}
        assert kinds(gallery.add([entry(1, "e1")])) == {"product": "unchanged"}
        assert requests["cat_file"] == 1
        assert kinds(gallery.add([entry(2, "e2")])) == {"product": "updated"}
        assert (gallery.get("product").path or "").endswith("/2.jpg")
        assert kinds(gallery.add([entry(2, None)])) == {"product": "unchanged"}  # its ETag is asked for, and is another
        assert kinds(gallery.add([entry(2, None)])) == {"product": "unchanged"}
        assert requests["cat_file"] == 3


def test_a_server_reads_only_below_the_prefixes_of_its_operator(tmp_path: Path) -> None:
    bucket, other = fill(1), fill(2, prefix="pics2/")
    with open_gallery(tmp_path / "g", pipelines=("phash",), create=True) as writer:
        writer.add([f"memory://{bucket}/pics", f"memory://{other}/pics2"])
        keys = sorted(record.key for record in writer.ls())
    assert keys == ["pics/1.jpg", "pics2/2.jpg"]
    with open_gallery(tmp_path / "g", serving=True, source_prefixes=[f"memory://{bucket}/pics"]) as server:
        assert server.get_thumbnail("pics/1.jpg")
        with pytest.raises(NotFound, match="--source-prefix"):
            server.get_thumbnail("pics2/2.jpg")
        assert server.search(encoded(drawn(2, SIZE), "JPEG", quality=40)).hits[0].key == "pics2/2.jpg"
    with open_gallery(tmp_path / "g", serving=True) as server, pytest.raises(NotFound, match="--source-prefix"):
        server.get_thumbnail("pics/1.jpg")


def test_no_credentials_are_stored(gallery: lookalike.Gallery) -> None:
    with pytest.raises(lookalike.errors.BadInput, match="password"):
        gallery.add("s3://name:hunter2@bucket/a.jpg")
    [outcome] = gallery.add([Item("k", "s3://name:hunter2@bucket/a.jpg")])
    assert outcome.outcome == "rejected"
    assert "hunter2" not in repr(outcome)
    assert gallery.ls() == []


def test_names_are_passed_over_as_in_folders() -> None:
    bucket = fill(1)
    put(bucket, {"pics/@eaDir/1.jpg": image(1), "pics/a.tar": b"", "pics/x.PNG": image(2), "pics/noext": image(3)})
    scan = FolderScan(limits=Limits())
    found = [one.relative for one in find_files([f"memory://{bucket}/pics"], scan=scan) if isinstance(one, FoundObject)]
    assert sorted(found) == ["1.jpg", "noext", "x.PNG"]
    assert (dict(scan.passed_over), dict(scan.others)) == ({"tar": 1}, {"hidden or excluded": 1})


def test_without_a_gallery_objects_and_members_become_items_with_their_bytes() -> None:
    bucket = fill(1)
    put(bucket, {"a.tar": tar({"t.jpg": image(2), "t.json": json_bytes({"n": 1})}), "pics/gone.jpg": image(3)})
    found = list(find_files([f"memory://{bucket}/pics", f"memory://{bucket}/a.tar"]))
    remove(bucket, "pics/gone.jpg")
    items = list(with_keys(found, lambda one: "p/" if one.root is not None and "pics" in one.root else ""))
    assert [(one.key, one.source, one.attributes) for one in items if isinstance(one, Item)] == [
        ("p/1.jpg", image(1), None),
        ("t.jpg", image(2), {"n": 1}),
    ]
    assert [one.key for one in items if isinstance(one, Outcome)] == ["p/gone.jpg"]
