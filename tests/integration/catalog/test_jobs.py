"""Jobs are claimed once, survive their process, belong to their tenant, and end where they are cancelled."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lookalike.catalog import Catalog
from lookalike.catalog import jobs as jobs_room
from lookalike.errors import NotFound, Unavailable
from tests.support.catalogs import BACKENDS, fresh


@pytest.fixture(params=list(BACKENDS))
def catalog(request: pytest.FixtureRequest) -> Iterator[Catalog]:
    with fresh(request.param) as catalog:
        yield catalog


def test_from_queue_to_end(catalog: Catalog) -> None:
    job = catalog.add_job("ours", "import", {"urls": ["http://a.example/ü.jpg"]})
    assert (job.state, job.attempts) == ("queued", 0)
    claimed = catalog.claim_job("w1")
    assert claimed is not None
    assert (claimed.id, claimed.state, claimed.worker, claimed.attempts) == (job.id, "running", "w1", 1)
    assert claimed.request == {"urls": ["http://a.example/ü.jpg"]}
    assert catalog.claim_job("w2") is None
    assert catalog.update_job(job.id, "w1", {"done": 3, "attempts": 1})
    assert not catalog.update_job(job.id, "w2", {"done": 9})
    assert catalog.job("ours", job.id).progress == {"done": 3, "attempts": 1}
    assert catalog.update_job(job.id, "w1", {"done": 4}, state="done")
    assert catalog.job("ours", job.id).state == "done"
    assert not catalog.update_job(job.id, "w1", {"done": 5}), "what has ended stays as it is"
    assert catalog.count_jobs() == {"done": 1}


def test_each_job_is_claimed_once(catalog: Catalog) -> None:
    made = [catalog.add_job("ours", "repair", {}).id for _ in range(12)]
    with ThreadPoolExecutor(6) as pool:
        claimed = [job for job in pool.map(lambda n: catalog.claim_job(f"w{n}"), range(20)) if job is not None]
    assert sorted(job.id for job in claimed) == sorted(made)


def test_the_oldest_comes_first(catalog: Catalog) -> None:
    made = [catalog.add_job("ours", "repair", {}).id for _ in range(3)]
    order = [job.id for _ in made if (job := catalog.claim_job("w")) is not None]
    assert order == made


def test_a_job_of_a_dead_process_is_taken_up_and_in_the_end_given_up(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = catalog.add_job("ours", "repair", {})
    assert catalog.claim_job("w1") is not None
    assert catalog.claim_job("w2") is None, "its process lives"
    monkeypatch.setattr(jobs_room, "STALE_SECONDS", -1.0)
    second = catalog.claim_job("w2")
    assert second is not None
    assert second.attempts == 2
    assert not catalog.update_job(job.id, "w1", {}), "the first one lost it"
    assert catalog.claim_job("w3") is not None
    assert catalog.claim_job("w4") is None
    ended = catalog.job("ours", job.id)
    assert ended.state == "failed"
    assert "3 times" in ended.progress["error"]


def test_a_stopping_process_puts_it_back(catalog: Catalog) -> None:
    job = catalog.add_job("ours", "repair", {})
    catalog.claim_job("w1")
    catalog.release_job(job.id, "w2")
    assert catalog.job("ours", job.id).state == "running"
    catalog.release_job(job.id, "w1")
    again = catalog.claim_job("w2")
    assert again is not None
    assert again.attempts == 1


def test_cancelling(catalog: Catalog) -> None:
    waiting = catalog.add_job("ours", "repair", {})
    assert catalog.cancel_job("ours", waiting.id).state == "cancelled"
    assert catalog.claim_job("w") is None
    running = catalog.add_job("ours", "repair", {})
    catalog.claim_job("w")
    catalog.cancel_job("ours", running.id)
    assert not catalog.update_job(running.id, "w", {"done": 1}), "the runner learns of it"
    done = catalog.add_job("ours", "repair", {})
    catalog.claim_job("w")
    catalog.update_job(done.id, "w", {}, state="done")
    assert catalog.cancel_job("ours", done.id).state == "done"


def test_tenants_see_their_own(catalog: Catalog) -> None:
    ours, theirs = catalog.add_job("ours", "repair", {}), catalog.add_job("theirs", "repair", {})
    assert [job.id for job in catalog.list_jobs("ours")] == [ours.id]
    for act in (catalog.job, catalog.cancel_job):
        with pytest.raises(NotFound):
            act("ours", theirs.id)
        with pytest.raises(NotFound):
            act("ours", "nothing")
        with pytest.raises(NotFound):
            act("no\0body", "no\0thing")
    assert catalog.list_jobs("nobody") == []


def test_lists_go_on_where_they_stopped(catalog: Catalog) -> None:
    made = [catalog.add_job("ours", "repair", {}).id for _ in range(7)]
    seen: list[str] = []
    before = None
    while some := catalog.list_jobs("ours", limit=3, before=before):
        seen += [job.id for job in some]
        before = some[-1].created, some[-1].id
    assert seen == made[::-1]


def test_a_queue_has_an_end_for_several_at_once(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_room, "MAX_QUEUED", 5)

    def add(_: int) -> bool:
        try:
            catalog.add_job("ours", "repair", {})
        except Unavailable:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(24))) == 5
    assert len(catalog.list_jobs("ours")) == 5


def test_a_queue_has_an_end_and_old_jobs_are_forgotten(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_room, "MAX_QUEUED", 2)
    first = catalog.add_job("ours", "repair", {})
    catalog.add_job("ours", "repair", {})
    with pytest.raises(Unavailable, match="2 jobs"):
        catalog.add_job("ours", "repair", {})
    catalog.add_job("theirs", "repair", {})
    catalog.cancel_job("ours", first.id)
    monkeypatch.setattr(jobs_room, "KEPT_SECONDS", -1.0)
    catalog.add_job("ours", "repair", {})
    with pytest.raises(NotFound):
        catalog.job("ours", first.id)
