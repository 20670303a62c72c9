"""Writers are killed: nothing acknowledged is lost, nothing deleted revived; each index equals its catalog after."""

import random
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from lookalike.errors import GalleryBusy
from lookalike.factory import open_gallery
from lookalike.gallery import Gallery
from lookalike.types import Item
from lookalike.verification import available, from_record
from tests.support.drawn_images import drawn, encoded
from tests.support.faults.forked_process import Child
from tests.support.faults.rounds import ROUNDS

KILLS = 20 * ROUNDS
KEYS = 60
IMAGES = 12
"""Different images that the keys take in turn; few, for drawing them takes time."""
GONE = "-"

State = dict[str, set[str]]
"""By key, what it may hold: the number of an image, or `GONE`."""


def work(folder: str, seed: int, tenant: str = "default") -> None:
    """Change a tenant's images until killed; say `try KEY IMAGE` before a change, `done KEY IMAGE` after it."""
    rng = random.Random(seed)
    images = [encoded(drawn(n, (48, 36))) for n in range(IMAGES)]
    with open_gallery(folder) as gallery:
        list(gallery.search_many(images[:1]))  # everything is loaded before the clock starts
        print("ready", flush=True)
        while True:
            batch = {str(rng.randrange(KEYS)): rng.randrange(IMAGES) for _ in range(rng.choice((1, 4)))}
            say("try", batch)
            for outcome in gallery.add_iter([Item(key, images[n]) for key, n in batch.items()], tenant=tenant):
                say("done", {outcome.key: batch[outcome.key]})
            gone = {str(rng.randrange(KEYS)): GONE for _ in range(3)}
            say("try", gone)
            gallery.remove(gone, tenant=tenant)
            say("done", gone)
            if rng.random() < 0.3:
                with suppress(GalleryBusy):  # another writer may be at the same
                    gallery.repair()  # so that kills meet the writing of snapshots too


def say(word: str, changes: dict[str, int] | dict[str, str]) -> None:
    """One line a change, out at once."""
    sys.stdout.write("".join(f"{word} {key} {now}\n" for key, now in changes.items()))
    sys.stdout.flush()


def begun(folder: Path, seed: int, tenant: str = "default") -> Child:
    """A child that has begun to work."""
    child = Child(work, str(folder), seed, tenant)
    assert child.said.readline() == "ready\n"
    return child


def killed(child: Child) -> list[list[str]]:
    """Kill a child, and give what it said, whole lines only."""
    return [line.split() for line in child.kill().splitlines(keepends=True) if line.endswith("\n")]


def until_acknowledged(child: Child) -> list[list[str]]:
    """Wait for a child's first acknowledged change; gives what it said."""
    said: list[list[str]] = []
    while not said or said[-1][0] != "done":
        line = child.said.readline()
        assert line.endswith("\n"), "it ended by itself"
        said.append(line.split())
    return said


def killed_run(folder: Path, seed: int) -> list[list[str]]:
    """Let a child work for a random while, kill it, and give what it said; every other one may have done nothing."""
    child = begun(folder, seed)
    said = until_acknowledged(child) if seed % 2 else []
    time.sleep(random.Random(seed).uniform(0.0, 0.4))
    return said + killed(child)


def believe(said: list[list[str]], state: State) -> int:
    """Work out what each key may hold after a run; gives the number of acknowledged changes."""
    for word, key, now in said:
        if word == "done":
            state[key] = {now}
        else:
            state.setdefault(key, {GONE}).add(now)
    return sum(word == "done" for word, *_ in said)


def held(gallery: Gallery, images: list[bytes], tenant: str = "default") -> dict[str, str]:
    """What each key holds, as searching finds it; catalog and index must agree."""
    keys = {record.key for record in gallery.ls(limit=KEYS + 1, tenant=tenant)}
    holds: dict[str, str] = {}
    for n, image in enumerate(images):
        for hit in gallery.search(image, k=KEYS, tenant=tenant, verify=False).hits:
            if hit.evidence == "exact":
                holds[hit.key] = str(n)
    assert set(holds) == keys
    return holds


def compared(state: State, holds: dict[str, str]) -> tuple[int, int]:
    """How many acknowledged changes are lost, and how many keys hold what they may not; `state` is what holds now."""
    now = {key: holds.get(key, GONE) for key in {*state, *holds}}
    wrong = [key for key, may_be in state.items() if now[key] not in may_be]
    lost = sum(now[key] == GONE for key in wrong)
    state.update({key: {what} for key, what in now.items()})
    return lost, len(wrong) - lost


def test_kills_lose_and_revive_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    open_gallery(folder, pipelines=["phash"], create=True).close()
    images = [encoded(drawn(n, (48, 36))) for n in range(IMAGES)]
    acknowledged = lost = revived = 0
    state: State = {}
    for seed in range(KILLS):
        acknowledged += believe(killed_run(folder, seed), state)
        with open_gallery(folder) as gallery:
            holds = held(gallery, images)
            assert gallery.status().pipelines[0].rows == len(holds)
        gone, wrong = compared(state, holds)
        lost, revived = lost + gone, revived + wrong
    print(f"{KILLS} kills, {acknowledged} acknowledged changes, {lost} lost, {revived} revived or wrong")
    assert acknowledged >= KILLS // 2
    assert (lost, revived) == (0, 0)


def replace_files(folder: str, photos: str, first: int) -> None:
    """Replace files by images of other sizes and add them, again and again, until killed."""
    with open_gallery(folder) as gallery:
        print("ready", flush=True)
        for width in range(first, first + 1000):
            for n in range(4):
                drawn(width + n, (width, 36)).save(Path(photos) / f"{n}.png")
            for outcome in gallery.add_iter(photos):
                print(outcome.outcome, flush=True)


@pytest.mark.skipif(not available(), reason="needs lookalike[verify]")
def test_a_kill_leaves_each_image_with_its_own_verification_record(tmp_path: Path) -> None:
    folder, photos = tmp_path / "gallery", tmp_path / "photos"
    photos.mkdir()
    open_gallery(folder, pipelines=["phash"], verification_records="on", create=True).close()
    for seed in range(4 * ROUNDS):
        child = Child(replace_files, str(folder), str(photos), 40 + 100 * seed)
        while child.said.readline() not in ("added\n", "updated\n"):
            pass
        time.sleep(random.Random(seed).uniform(0.0, 0.4))
        child.kill()
        with open_gallery(folder) as gallery:
            images = gallery.ls()
            assert len(images) == gallery.catalog.verification_records.totals().images
            for image in images:
                record = gallery.catalog.verification_records.get(image.id)
                assert record is not None
                assert from_record(record).width == image.width
    assert len(images) == 4
