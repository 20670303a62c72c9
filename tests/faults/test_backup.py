"""Backups while writers run: what was acknowledged before one began is in it. Killed ones are no backups."""

import json
import random
import threading
import time
from pathlib import Path

import pytest

import lookalike
from lookalike.backup import compare_backup, make_backup, restore_backup, verify_backup
from lookalike.backup.manifest import CATALOG_FILE
from lookalike.catalog import Catalog
from lookalike.config import GallerySettings, from_environment
from lookalike.encoders.phash import PHash
from lookalike.errors import NotFound
from lookalike.factory import create_gallery, open_catalog
from tests.support.catalogs import BACKENDS, digest, entry, hash_row
from tests.support.faults.forked_process import Child
from tests.support.waiting import HANG_SECONDS, wait_until

WRITERS = 2
BACKUPS = 3
KILLS = 15
SPEC = PHash().spec


def write(target: str, seed: int) -> None:
    """Put and delete images, and say each batch before and after."""
    dice = random.Random(seed)
    with Catalog.open(target) as catalog:
        tenant = catalog.tenants.get_or_create("default")
        present: list[str] = []
        for step in range(1_000_000):
            if len(present) > 50 and dice.random() < 0.3:
                keys = [present.pop(dice.randrange(len(present))) for _ in range(5)]
                say("deleting", keys)
                catalog.images.delete(tenant, keys)
                say("deleted", keys)
                continue
            keys = [f"{seed}-{step}-{n}" for n in range(dice.randrange(1, 30))]
            catalog.images.put([entry(tenant, key, key, features={SPEC: hash_row(key)}) for key in keys])
            say("put", keys)
            present += keys


def say(word: str, keys: list[str]) -> None:
    print(json.dumps([word, keys]), flush=True)


class Witness:
    """What a writer has acknowledged, heard as it says it."""

    def __init__(self, writer: Child) -> None:
        self.put: set[str] = set()
        self.deleting: set[str] = set()
        self.deleted: set[str] = set()
        self._writer = writer
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()

    def _hear(self) -> None:
        for line in self._writer.said:
            if line.endswith("\n"):
                word, keys = json.loads(line)
                getattr(self, word).update(keys)

    def end(self) -> None:
        """Wait for the last word of a writer that was killed."""
        self._thread.join(HANG_SECONDS)


def backed_up(folder: Path, destination: Path) -> None:
    make_backup(folder, destination, from_environment({}))


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_acknowledged_before_a_backup_began_is_in_it(backend: str, tmp_path: Path) -> None:
    settings = from_environment({})
    with BACKENDS[backend]() as url, BACKENDS[backend]() as restored_url:
        server = None if backend == "sqlite" else url
        folder = tmp_path / "gallery"
        create_gallery(folder, GallerySettings(("phash",), catalog=server), settings)
        target = url if server else str(folder / CATALOG_FILE)
        writers = [Child(write, target, seed) for seed in range(WRITERS)]
        witnesses = [Witness(writer) for writer in writers]
        moments: list[tuple[set[str], set[str]]] = []
        try:
            wait_until(lambda: all(len(witness.put) > 100 for witness in witnesses))
            for number in range(BACKUPS):
                put = set().union(*(set(witness.put) for witness in witnesses))
                moments.append((put, set().union(*(set(witness.deleted) for witness in witnesses))))
                make_backup(folder, tmp_path / f"backup {number}", settings)
            busy = sum(len(witness.put) for witness in witnesses)
            wait_until(lambda: sum(len(witness.put) for witness in witnesses) > busy)  # they still write
        finally:
            for writer in writers:
                writer.end()
            for witness in witnesses:
                witness.end()
        deleting = set().union(*(witness.deleting for witness in witnesses))
        for number, (put, deleted) in enumerate(moments):
            backup = tmp_path / f"backup {number}"
            verify_backup(backup)
            new = tmp_path / f"new {number}"
            into = restored_url if server and number == BACKUPS - 1 else None
            restored = restore_backup(backup, new, settings, catalog=into)
            with open_catalog(new, settings) as catalog:
                assert compare_backup(backup, catalog) == []
                catalog.check()
                tenant = catalog.tenants.find("default")
                assert tenant is not None
                there = {record.key: record for record in catalog.images.list_page(tenant, limit=1_000_000)}
            assert put - deleting <= there.keys(), "an acknowledged image is missing"
            assert not deleted & there.keys(), "a deleted image is back"
            assert all(record.sha256 == digest(key) for key, record in there.items())
            assert restored.rebuilt == {"phash": len(there)}
            some = random.Random(number).choice(sorted(put - deleting))
            with lookalike.open(new) as gallery:
                query = lookalike.ImageFeatures({"phash": hash_row(some)})
                assert some in {hit.key for hit in gallery.search(query, k=3).hits}
        print(f"{backend}: {len(put)} images acknowledged before the last backup, {len(deleting)} deleted")


def test_a_killed_backup_is_none(tmp_path: Path) -> None:
    """Killed at random moments; the manifest, written last, decides."""
    settings = from_environment({})
    folder = tmp_path / "gallery"
    create_gallery(folder, GallerySettings(("phash",)), settings)
    with Catalog.open(folder / CATALOG_FILE) as catalog:
        tenant = catalog.tenants.get_or_create("default")
        for batch in range(8):
            keys = [f"{batch}-{n}" for n in range(1000)]
            catalog.images.put([entry(tenant, key, key, features={SPEC: hash_row(key)}) for key in keys])
    began = time.monotonic()
    make_backup(folder, tmp_path / "whole", settings)
    usual = time.monotonic() - began
    dice = random.Random(1)
    found: dict[str, int] = {"none": 0, "incomplete": 0, "complete": 0}
    for number in range(KILLS):
        backup = tmp_path / f"killed {number}"
        child = Child(backed_up, folder, backup)
        wait_until(lambda: backup.exists(), "the backup never began")  # noqa: B023 - called within this turn
        time.sleep(dice.uniform(0, usual))
        child.kill()
        found[judged(backup)] += 1
    print(f"killed backups: {found}")
    assert found["incomplete"]


def judged(backup: Path) -> str:
    try:
        verify_backup(backup)
    except NotFound as error:
        with pytest.raises(NotFound):
            restore_backup(backup, backup.with_name("never"), from_environment({}))
        assert not backup.with_name("never").exists()
        return "incomplete" if "incomplete" in str(error) else "none"
    return "complete"
