"""Writers of several hosts on one catalog, killed again and again: nothing acknowledged lost, nothing deleted found."""

import random
import time
from pathlib import Path

from lookalike.config import GallerySettings, from_environment
from lookalike.factory import create_gallery, open_gallery
from tests.faults.test_kill import IMAGES, State, begun, believe, compared, held, killed, until_acknowledged
from tests.support.drawn_images import drawn, encoded
from tests.support.engines import postgresql
from tests.support.faults.rounds import ROUNDS

KILLS = 3 * ROUNDS
TENANTS = ("anna", "ben", "carla")


def test_writers_on_several_hosts(tmp_path: Path) -> None:
    """Anna and Ben work in one folder, Carla in another; each round all three are killed and both folders compared."""
    images = [encoded(drawn(n, (48, 36))) for n in range(IMAGES)]
    states: dict[str, State] = {tenant: {} for tenant in TENANTS}
    acknowledged = lost = revived = 0
    with postgresql.database() as url:
        folders = [tmp_path / "first host", tmp_path / "second host"]
        for folder in folders:
            create_gallery(folder, GallerySettings(("phash",), catalog=url), from_environment())
        for turn in range(KILLS):
            children = {
                tenant: begun(folders[place // 2], 10 * turn + place, tenant) for place, tenant in enumerate(TENANTS)
            }
            for tenant, child in children.items():
                acknowledged += believe(until_acknowledged(child), states[tenant])
            time.sleep(random.Random(turn).uniform(0.0, 0.7))
            for tenant, child in children.items():
                acknowledged += believe(killed(child), states[tenant])
            with open_gallery(folders[turn % 2]) as gallery, open_gallery(folders[1 - turn % 2]) as other:
                for tenant, state in states.items():
                    holds = held(gallery, images, tenant)
                    assert held(other, images, tenant) == holds
                    gone, wrong = compared(state, holds)
                    lost, revived = lost + gone, revived + wrong
                there = sum(len(gallery.ls(tenant=tenant, limit=1000)) for tenant in TENANTS)
                assert {g.status().pipelines[0].rows for g in (gallery, other)} == {there}
    print(f"{KILLS * len(TENANTS)} kills, {acknowledged} acknowledged changes, {lost} lost, {revived} revived or wrong")
    assert acknowledged >= KILLS * len(TENANTS)
    assert (lost, revived) == (0, 0)
