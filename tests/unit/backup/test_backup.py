"""Backups of whole galleries: what a restored one has, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest

import lookalike
from lookalike.backup import compare_backup, make_backup, read_manifest, restore_backup, verify_backup
from lookalike.backup.manifest import CATALOG_FILE, MANIFEST_FILE
from lookalike.config import GALLERY_FILE, GallerySettings, from_environment, read_gallery
from lookalike.errors import BadInput, BadSetting, Damaged, LookalikeError, NotFound
from lookalike.factory import create_gallery, open_catalog
from lookalike.gallery import Gallery
from tests.support.command import lookalike as command
from tests.support.drawn_images import drawn, encoded

IMAGES = 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A gallery with a file, uploads, a deletion, a removal, feedback and an API key."""
    settings = GallerySettings(("phash",), {"phash": "mih?m=5"}, {"phash": 0.1}, exact_phash=True)
    create_gallery(tmp_path / "gallery", settings, from_environment({}))
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(encoded(drawn(50)))
    with lookalike.open(tmp_path / "gallery") as gallery:
        gallery.add(photos)
        gallery.add([lookalike.Item(f"{n}.png", encoded(drawn(n)), {"n": n}) for n in range(IMAGES)])
        gallery.add([lookalike.Item("other.png", encoded(drawn(60)))], tenant="other")
        gallery.remove(["3.png"])
        gallery.not_a_match(["1.png", "2.png"])
        gallery.catalog.api_keys.create("read")
    return tmp_path / "gallery"


def answers(gallery: Gallery) -> list[list[tuple[str, str, float]]]:
    queries = [encoded(drawn(n), "JPEG", quality=70) for n in (0, 3, 5)]
    return [[(h.key, h.evidence, h.distance) for h in gallery.search(query, k=20).hits] for query in queries]


def test_a_restored_gallery_answers_as_the_original(folder: Path, tmp_path: Path) -> None:
    settings = from_environment({})
    with lookalike.open(folder) as gallery:
        before = answers(gallery)
        manifest = make_backup(folder, tmp_path / "backup", settings)  # while the gallery is open
        assert (manifest.images, manifest.tenants) == (IMAGES + 1, {"default": IMAGES, "other": 1})
        assert manifest.sequence == gallery.status().sequence
    assert verify_backup(tmp_path / "backup") == manifest == read_manifest(tmp_path / "backup")
    restored = restore_backup(tmp_path / "backup", tmp_path / "new", settings)
    assert restored.rebuilt == {"phash": IMAGES + 1}
    assert read_gallery(tmp_path / "new") == read_gallery(folder)
    with lookalike.open(tmp_path / "new") as copy, lookalike.open(folder) as original:
        assert answers(copy) == before
        assert copy.ls() == original.ls()
        assert copy.get_thumbnail("1.png") == original.get_thumbnail("1.png")
        assert len(copy.catalog.api_keys.list_all()) == 1
        assert copy.catalog.gallery_id() != original.catalog.gallery_id()
        assert compare_backup(tmp_path / "backup", copy.catalog) == []
        copy.put("new.png", encoded(drawn(99)))
        [images, *others] = [d for d in compare_backup(tmp_path / "backup", copy.catalog) if d.table == "images"]
        assert (images.backup, images.gallery, others) == (IMAGES + 1, IMAGES + 2, [])
    assert not any(path.suffix == ".restoring" for path in (tmp_path / "new").iterdir())


def test_an_interrupted_backup_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    settings, backup = from_environment({}), tmp_path / "backup"
    make_backup(folder, backup, settings)
    (backup / MANIFEST_FILE).rename(backup / f"{MANIFEST_FILE}.partial")
    for refused in (verify_backup, lambda path: restore_backup(path, tmp_path / "new", settings)):
        with pytest.raises(NotFound, match=r"incomplete: manifest\.json"):
            refused(backup)
    with pytest.raises(NotFound, match="no backup"):
        verify_backup(tmp_path)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", [CATALOG_FILE, GALLERY_FILE, MANIFEST_FILE])
@pytest.mark.parametrize("how", ["a changed byte", "cut", "gone"])
def test_a_damaged_backup_is_refused(folder: Path, tmp_path: Path, name: str, how: str) -> None:
    settings, backup = from_environment({}), tmp_path / "backup"
    make_backup(folder, backup, settings)
    path = backup / name
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    kinds = (NotFound, Damaged) if name == MANIFEST_FILE else Damaged
    for refused in (verify_backup, lambda path: restore_backup(path, tmp_path / "new", settings)):
        with pytest.raises(kinds):
            refused(backup)
    assert not (tmp_path / "new" / GALLERY_FILE).exists()


def test_nothing_is_overwritten(folder: Path, tmp_path: Path) -> None:
    settings, backup = from_environment({}), tmp_path / "backup"
    make_backup(folder, backup, settings)
    before = {path.name: path.read_bytes() for path in backup.iterdir()}
    with pytest.raises(BadInput, match="not empty"):
        make_backup(folder, backup, settings)
    with pytest.raises(BadInput, match="already"):
        restore_backup(backup, folder, settings)
    assert {path.name: path.read_bytes() for path in backup.iterdir()} == before
    (tmp_path / "half").mkdir()
    shutil.copy(folder / "catalog.sqlite", tmp_path / "half")
    with pytest.raises(BadInput, match="already"):
        restore_backup(backup, tmp_path / "half", settings)
    with pytest.raises(BadSetting, match="vgg19"):
        restore_backup(backup, tmp_path / "new", settings, index={"vgg19": "flat"})
    (tmp_path / "file").touch()
    with pytest.raises(LookalikeError, match="file"):
        make_backup(folder, tmp_path / "file", settings)


def test_addresses_of_servers_are_left_out(folder: Path, tmp_path: Path) -> None:
    settings = from_environment({"LOOKALIKE_INDEX_PHASH": "elasticsearch://me:secret@127.0.0.1:1"})
    manifest = make_backup(folder, tmp_path / "backup", settings)
    assert manifest.engines == {"phash": "elasticsearch://me:***@127.0.0.1:1"}
    for path in (tmp_path / "backup").iterdir():
        assert b"secret" not in path.read_bytes()
    restore_backup(tmp_path / "backup", tmp_path / "new", from_environment({}), index={"phash": "flat"})
    assert read_gallery(tmp_path / "new").index == {"phash": "flat"}


def test_a_restored_gallery_has_the_index_that_answered_and_no_other(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kept one is that of the original, on its server or in its folder."""
    monkeypatch.setattr("lookalike.gallery.index_move.DROP_SECONDS", 0.0)
    with lookalike.open(folder) as gallery:
        gallery.move_index("phash", "flat")
        make_backup(folder, tmp_path / "backup", from_environment({}))
    restore_backup(tmp_path / "backup", tmp_path / "new", from_environment({}))
    with lookalike.open(tmp_path / "new") as copy:
        [pipeline] = copy.pipeline_states()
        assert (pipeline.index, pipeline.other_index) == ("flat", None)
        assert copy.move_index("phash", "mih?m=5").rows == IMAGES + 1


def test_commands(folder: Path, tmp_path: Path) -> None:
    backup, new = tmp_path / "backup", tmp_path / "new"
    made = command("backup", backup, "-g", folder, "--json")
    assert (made.code, made.lines[0]["images"]) == (0, IMAGES + 1)
    assert command("backup", backup, "-g", folder).code == 2
    assert command("verify", backup).code == 0
    restored = command("restore", backup, "-g", new, "--json")
    assert (restored.code, restored.lines[0]["rebuilt"]) == (0, {"phash": IMAGES + 1})
    assert command("verify", backup, "--compare", "-g", new, "--json").lines[0]["differences"] == []
    with open_catalog(new, from_environment({})) as catalog:
        catalog.images.delete(catalog.tenants.get_or_create("default"), ["1.png"])
    differs = command("verify", backup, "--compare", "-g", new, "--json")
    assert differs.code == 1
    assert {"table": "images", "backup": IMAGES + 1, "gallery": IMAGES} in differs.lines[0]["differences"]
    manifest = json.loads((backup / MANIFEST_FILE).read_text())
    (backup / MANIFEST_FILE).write_text(json.dumps({**manifest, "format": 2}))
    assert command("verify", backup).code == 2
