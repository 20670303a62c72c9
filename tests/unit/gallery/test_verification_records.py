"""Verification records of a gallery: who gets one, what a search makes of it, and when it leaves."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import update

from lookalike.catalog.schema import verification_records as table
from lookalike.errors import BadInput, BadSetting
from lookalike.factory import open_gallery
from lookalike.gallery import Gallery
from lookalike.gallery.verification_records import RecordMaker
from lookalike.results import RecordRepair, RecordSetting, StoredImage, StoredRecords
from lookalike.types import Hit, Item
from lookalike.verification import available, from_record
from tests.support.drawn_images import encoded
from tests.unit.verification.drawing import scene

pytestmark = pytest.mark.skipif(not available(), reason="needs lookalike[verify]")
Open = Callable[[RecordSetting], Gallery]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(3):
        scene(seed).save(folder / f"{seed}.jpg", quality=92)
    return folder


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    galleries: list[Gallery] = []

    def open_with(setting: RecordSetting) -> Gallery:
        for gallery in galleries:
            gallery.close()  # one process writes at a time
        galleries.append(
            open_gallery(tmp_path / "gallery", pipelines=("phash",), verification_records=setting, create=True)
        )
        return galleries[-1]

    yield open_with
    for gallery in galleries:
        gallery.close()


def copy_of(seed: int) -> bytes:
    return encoded(scene(seed).resize((480, 360)), "JPEG", quality=60)


def first_hit(gallery: Gallery, seed: int) -> Hit:
    return gallery.search(copy_of(seed)).hits[0]


def count(gallery: Gallery) -> int:
    return gallery.catalog.verification_records.totals().images


def test_a_copy_is_verified_after_its_original_was_deleted(photos: Path, opened: Open) -> None:
    with opened("on") as gallery:
        gallery.add(photos)
        (photos / "1.jpg").unlink()
        (photos / "2.jpg").write_bytes(copy_of(0))  # not what was added
        for seed in range(3):
            hit = first_hit(gallery, seed)
            assert (hit.key, hit.evidence, hit.verified) == (f"{seed}.jpg", "copy", True)
            assert hit.verification is not None
        answer = gallery.search(copy_of(1))
        assert answer.verification is not None
        assert (answer.verification.verified, answer.verification.unavailable) == (1, 0)
        comparison = gallery.compare(copy_of(1), StoredImage("1.jpg"))
        assert (comparison.evidence, comparison.verified) == ("copy", True)


def test_without_a_record_it_is_not(photos: Path, opened: Open) -> None:
    with opened("off") as gallery:
        gallery.add(photos)
        (photos / "1.jpg").unlink()
        hit = first_hit(gallery, 1)
        assert (hit.key, hit.evidence, hit.verified) == ("1.jpg", "copy", False)
        assert first_hit(gallery, 0).verified
        assert gallery.status().verification_records == StoredRecords("off", 0, 0, 'the setting is "off"')
    answer_of = opened("off").search(copy_of(1)).verification
    assert answer_of is not None
    assert answer_of.unavailable == 1


def test_a_record_leaves_with_its_image_and_is_replaced_with_its_bytes(photos: Path, opened: Open) -> None:
    gallery = opened("on")
    gallery.add(photos)
    status = gallery.status().verification_records
    assert (status.setting, status.images, status.off_reason) == ("on", 3, None)
    assert status.nbytes is not None
    assert 3 * 500 < status.nbytes < 3 * 5300
    before = gallery.catalog.verification_records.get(gallery.get("0.jpg").id)
    assert [outcome.outcome for outcome in gallery.add(photos)] == ["unchanged"] * 3
    assert gallery.catalog.verification_records.get(gallery.get("0.jpg").id) == before

    scene(7).save(photos / "0.jpg")
    gallery.add(photos)
    after = gallery.catalog.verification_records.get(gallery.get("0.jpg").id)
    assert after is not None
    assert after != before
    (photos / "0.jpg").unlink()
    assert first_hit(gallery, 7).verified

    gallery.put("1.jpg", photos / "2.jpg")  # the same bytes as another image: its record is copied
    records = [gallery.catalog.verification_records.get(gallery.get(key).id) for key in ("1.jpg", "2.jpg")]
    assert records[0] == records[1]
    gallery.put("2.jpg", copy_of(9))  # bytes have a thumbnail instead
    assert count(gallery) == 2
    assert gallery.catalog.images.thumbnail(gallery.get("2.jpg").id) is not None
    gallery.remove(["0.jpg", "1.jpg"])
    assert count(gallery) == 0


def test_bytes_are_verified_by_their_thumbnail(opened: Open) -> None:
    gallery = opened("on")
    gallery.add([Item(str(seed), encoded(scene(seed))) for seed in range(2)])
    assert count(gallery) == 0
    assert first_hit(gallery, 1).verified


def test_every_size_of_a_file_gives_a_record(tmp_path: Path, opened: Open) -> None:
    """Of a large JPEG the hash needs less than the record, so that it is decoded again for it."""
    gallery = opened("on")
    large = tmp_path / "large.jpg"
    scene(3).resize((2880, 2160), Image.Resampling.BICUBIC).save(large, quality=90)
    small = tmp_path / "small.png"
    scene(4, (90, 70)).save(small)
    gallery.add([Item(path.name, path) for path in (large, small)])
    sizes = {}
    for path in (large, small):
        stored = gallery.catalog.verification_records.get(gallery.get(path.name).id)
        assert stored is not None
        side = from_record(stored)
        sizes[path.name] = side.width, side.height
    assert sizes == {"large.jpg": (2880, 2160), "small.png": (90, 70)}
    large.unlink()
    assert first_hit(gallery, 3).verified


def test_hashes_do_not_depend_on_records(photos: Path, tmp_path: Path) -> None:
    scene(5).resize((2880, 2160), Image.Resampling.BICUBIC).save(photos / "large.jpg", quality=90)
    hashes = []
    settings: tuple[RecordSetting, ...] = ("on", "off")
    for setting in settings:
        with open_gallery(
            tmp_path / setting, pipelines=("phash",), verification_records=setting, create=True
        ) as gallery:
            gallery.add(photos)
            [spec, *_] = gallery.catalog.features.specs()
            hashes.append(gallery.catalog.features.get(spec, range(1, 5)).features.tolist())
    assert hashes[0] == hashes[1]


def test_by_default_files_on_another_file_system_get_one(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    chosen = {
        setting: [RecordMaker(setting, tmp_path).wants(of) for of in (device, device + 1)]
        for setting in ("off", "on", "no-original")
    }
    assert chosen == {"off": [False, False], "on": [True, True], "no-original": [False, True]}
    with open_gallery(tmp_path / "gallery", pipelines=("phash",), create=True) as gallery:
        assert gallery.status().verification_records == StoredRecords("no-original", 0, 0, None)


def test_a_repair_makes_what_is_missing_and_replaces_what_is_damaged(photos: Path, opened: Open) -> None:
    opened("off").add([*photos.iterdir(), Item("bytes", encoded(scene(8)))])
    gallery = opened("on")
    assert gallery.repair().verification_records is None
    assert count(gallery) == 0
    (photos / "2.jpg").unlink()
    assert gallery.repair(verification_records=True).verification_records == RecordRepair(2, 0, 1)
    assert gallery.repair(verification_records=True).verification_records == RecordRepair(0, 0, 1)
    (photos / "1.jpg").unlink()
    assert first_hit(gallery, 1).verified

    with gallery.catalog.database.write() as conn:
        conn.execute(update(table).values(data=b"damaged", nbytes=7))
    gallery = opened("on")
    hit = first_hit(gallery, 1)
    assert (hit.evidence, hit.verified) == ("copy", False)
    assert gallery.repair(verification_records=True).verification_records == RecordRepair(1, 0, 2)
    gallery = opened("off")
    assert gallery.repair(verification_records=True).verification_records == RecordRepair(0, 2, 0)
    assert count(gallery) == 0


def test_without_the_extra_images_are_added_and_the_reason_is_said(
    photos: Path, opened: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("lookalike.gallery.verification_records.is_installed", lambda extra: extra != "verify")
    gallery = opened("on")
    assert {outcome.outcome for outcome in gallery.add(photos)} == {"added"}
    assert len([line for line in caplog.messages if "without verification records" in line]) == 1
    reason = gallery.status().verification_records.off_reason
    assert reason is not None
    assert "lookalike[verify]" in reason
    with pytest.raises(BadInput, match="extra verify"):
        gallery.repair(verification_records=True)


def test_the_setting_is_stored_with_a_new_gallery(tmp_path: Path) -> None:
    open_gallery(tmp_path / "g", pipelines=("phash",), verification_records="on", create=True).close()
    assert 'verification_records = "on"' in (tmp_path / "g" / "gallery.toml").read_text()
    with open_gallery(tmp_path / "g") as gallery:
        assert gallery.status().verification_records.setting == "on"
    with open_gallery(tmp_path / "g", verification_records="off") as gallery:
        assert gallery.status().verification_records.setting == "off"
    (tmp_path / "g" / "gallery.toml").write_text('verification_records = "sometimes"\n')
    with pytest.raises(BadSetting, match=r"verification_records must be one of off, on, no-original, not 'sometimes'"):
        open_gallery(tmp_path / "g")
