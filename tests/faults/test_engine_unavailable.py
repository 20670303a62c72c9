"""A gallery while its engine is away: images are taken, searches say what is missing, and nothing is lost."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.elasticsearch import Node

from lookalike.config import GallerySettings, from_environment
from lookalike.errors import Unavailable
from lookalike.factory import create_gallery, open_gallery
from lookalike.gallery import Gallery
from lookalike.types import Item
from tests.faults.test_kill import IMAGES, State, begun, believe, compared, held, killed, until_acknowledged
from tests.support.drawn_images import drawn, encoded
from tests.support.engines import elasticsearch, postgresql
from tests.support.faults.rounds import ROUNDS
from tests.support.waiting import HANG_SECONDS

BACK_SECONDS = 120
TENANTS = ("anna", "ben")


@pytest.fixture
def folder(node: Node, tmp_path: Path) -> Iterator[Path]:
    """A gallery of hashes in PostgreSQL and Elasticsearch, with short time-outs."""
    with postgresql.database() as catalog:
        index = f"{elasticsearch.url_of(node)}?mode=exact&timeout=2&bulk_timeout=4"
        made_with = GallerySettings(("phash",), {"phash": index}, catalog=catalog)
        create_gallery(tmp_path / "gallery", made_with, from_environment())
        yield tmp_path / "gallery"


def image(n: int) -> bytes:
    return encoded(drawn(n, (48, 36)))


def caught_up(gallery: Gallery, sequence: int) -> None:
    """Wait until the index has reached a change."""
    until = time.monotonic() + BACK_SECONDS
    while gallery.sync_indexes() < sequence:
        assert time.monotonic() < until, "the index never caught up"
        time.sleep(0.2)


def test_taking_images_while_the_engine_is_frozen_or_dead(node: Node, folder: Path) -> None:
    with open_gallery(folder) as gallery:
        gallery.add([Item("before", image(1)), *(Item(f"gone {number}", image(20 + number)) for number in range(2))])
        assert gallery.search(image(1)).hits[0].key == "before"
        for number, (away, back) in enumerate([(node.freeze, node.thaw), (node.kill, node.start)]):
            away()
            began = time.monotonic()
            [outcome] = gallery.add([Item(f"while away {number}", image(10 + number))])
            assert outcome.outcome == "added"
            gallery.remove([f"gone {number}"])
            with pytest.raises(Unavailable):
                gallery.search(image(1))
            assert time.monotonic() - began < HANG_SECONDS
            quick = time.monotonic()
            for _ in range(5):  # the circuit is open by now: nobody waits for a server that does not answer
                with pytest.raises(Unavailable):
                    gallery.search(image(1))
            assert time.monotonic() - quick < HANG_SECONDS
            assert gallery.get(f"while away {number}").key == f"while away {number}"
            back()
            node.wait()
            caught_up(gallery, gallery.status().sequence)
            hit = gallery.search(image(10 + number)).hits[0]
            assert (hit.key, hit.evidence) == (f"while away {number}", "exact")
            hits = gallery.search(image(20 + number)).hits
            assert f"gone {number}" not in {hit.key for hit in hits}
            assert gallery.status().pipelines[0].rows == 3  # one more and one less each time


def test_a_gallery_is_opened_and_written_while_the_engine_is_away(node: Node, folder: Path) -> None:
    node.freeze()
    try:
        with open_gallery(folder) as gallery:
            assert gallery.add([Item("blind", image(30))])[0].outcome == "added"
            assert "did not answer" in (gallery.status().pipelines[0].error or "")
    finally:
        node.thaw()
    with open_gallery(folder) as gallery:
        node.wait()
        assert gallery.search(image(30)).hits[0].key == "blind"


def test_writers_and_engine_are_killed_together(node: Node, folder: Path) -> None:
    """Each round both writers and the engine die while they work; then `repair` makes index and catalog equal."""
    images = [image(n) for n in range(IMAGES)]
    states: dict[str, State] = {tenant: {} for tenant in TENANTS}
    acknowledged = lost = revived = 0
    for turn in range(ROUNDS):
        children = {tenant: begun(folder, 10 * turn + place, tenant) for place, tenant in enumerate(TENANTS)}
        for tenant, child in children.items():
            acknowledged += believe(until_acknowledged(child), states[tenant])
        time.sleep(random.Random(turn).uniform(0.0, 1.0))
        node.kill()
        time.sleep(0.3)
        for tenant, child in children.items():
            acknowledged += believe(killed(child), states[tenant])
        node.start()
        node.wait()
        with open_gallery(folder) as gallery:
            report = gallery.repair()
            there = sum(len(gallery.ls(tenant=tenant, limit=1000)) for tenant in TENANTS)
            assert report.rebuilt == {"phash": there}
            for tenant, state in states.items():
                gone, wrong = compared(state, held(gallery, images, tenant))
                lost, revived = lost + gone, revived + wrong
    print(f"{ROUNDS} kills of everything, {acknowledged} acknowledged changes, {lost} lost, {revived} revived or wrong")
    assert acknowledged >= ROUNDS * len(TENANTS)
    assert (lost, revived) == (0, 0)
