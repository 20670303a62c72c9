"""Jobs are claimed once, survive their process, belong to their tenant, and end where they are cancelled."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from lookalike.catalog import Catalog
from lookalike.catalog import jobs as jobs_module
from lookalike.errors import NotFound, Unavailable


def test_from_queue_to_end(catalog: Catalog) -> None:
    job = catalog.jobs.add("ours", "import", {"urls": ["http://a.example/ü.jpg"]})
    assert (job.state, job.attempts) == ("queued", 0)
    claimed = catalog.jobs.start_next("w1")
    assert claimed is not None
    assert (claimed.id, claimed.state, claimed.worker, claimed.attempts) == (job.id, "running", "w1", 1)
    assert claimed.request == {"urls": ["http://a.example/ü.jpg"]}
    assert catalog.jobs.start_next("w2") is None
    assert catalog.jobs.update(job.id, "w1", {"done": 3, "attempts": 1})
    assert not catalog.jobs.update(job.id, "w2", {"done": 9})
    assert catalog.jobs.get("ours", job.id).progress == {"done": 3, "attempts": 1}
    assert catalog.jobs.update(job.id, "w1", {"done": 4}, state="done")
    assert catalog.jobs.get("ours", job.id).state == "done"
    assert not catalog.jobs.update(job.id, "w1", {"done": 5}), "what has ended stays as it is"
    assert catalog.jobs.count_by_state() == {"done": 1}


def test_each_job_is_claimed_once(catalog: Catalog) -> None:
    made = [catalog.jobs.add("ours", "repair", {}).id for _ in range(12)]
    with ThreadPoolExecutor(6) as pool:
        claimed = [job for job in pool.map(lambda n: catalog.jobs.start_next(f"w{n}"), range(20)) if job is not None]
    assert sorted(job.id for job in claimed) == sorted(made)


def test_the_oldest_comes_first(catalog: Catalog) -> None:
    made = [catalog.jobs.add("ours", "repair", {}).id for _ in range(3)]
    order = [job.id for _ in made if (job := catalog.jobs.start_next("w")) is not None]
    assert order == made


def test_a_job_of_a_dead_process_is_taken_up_and_in_the_end_given_up(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = catalog.jobs.add("ours", "repair", {})
    assert catalog.jobs.start_next("w1") is not None
    assert catalog.jobs.start_next("w2") is None, "its process lives"
    monkeypatch.setattr(jobs_module, "STALE_SECONDS", -1.0)
    second = catalog.jobs.start_next("w2")
    assert second is not None
    assert second.attempts == 2
    assert not catalog.jobs.update(job.id, "w1", {}), "the first one lost it"
    assert catalog.jobs.start_next("w3") is not None
    assert catalog.jobs.start_next("w4") is None
    ended = catalog.jobs.get("ours", job.id)
    assert ended.state == "failed"
    assert "3 times" in ended.progress["error"]


def test_a_stopping_process_puts_it_back(catalog: Catalog) -> None:
    job = catalog.jobs.add("ours", "repair", {})
    catalog.jobs.start_next("w1")
    catalog.jobs.requeue(job.id, "w2")
    assert catalog.jobs.get("ours", job.id).state == "running"
    catalog.jobs.requeue(job.id, "w1")
    again = catalog.jobs.start_next("w2")
    assert again is not None
    assert again.attempts == 1


def test_cancelling(catalog: Catalog) -> None:
    waiting = catalog.jobs.add("ours", "repair", {})
    assert catalog.jobs.cancel("ours", waiting.id).state == "cancelled"
    assert catalog.jobs.start_next("w") is None
    running = catalog.jobs.add("ours", "repair", {})
    catalog.jobs.start_next("w")
    catalog.jobs.cancel("ours", running.id)
    assert not catalog.jobs.update(running.id, "w", {"done": 1}), "the runner learns of it"
    done = catalog.jobs.add("ours", "repair", {})
    catalog.jobs.start_next("w")
    catalog.jobs.update(done.id, "w", {}, state="done")
    assert catalog.jobs.cancel("ours", done.id).state == "done"


def test_tenants_see_their_own(catalog: Catalog) -> None:
    ours, theirs = catalog.jobs.add("ours", "repair", {}), catalog.jobs.add("theirs", "repair", {})
    assert [job.id for job in catalog.jobs.list_page("ours")] == [ours.id]
    for act in (catalog.jobs.get, catalog.jobs.cancel):
        with pytest.raises(NotFound):
            act("ours", theirs.id)
        with pytest.raises(NotFound):
            act("ours", "nothing")
        with pytest.raises(NotFound):
            act("no\0body", "no\0thing")
    assert catalog.jobs.list_page("nobody") == []


def test_lists_go_on_where_they_stopped(catalog: Catalog) -> None:
    made = [catalog.jobs.add("ours", "repair", {}).id for _ in range(7)]
    seen: list[str] = []
    before = None
    while some := catalog.jobs.list_page("ours", limit=3, before=before):
        seen += [job.id for job in some]
        before = some[-1].created, some[-1].id
    assert seen == made[::-1]


def test_a_queue_has_an_end_for_several_at_once(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "MAX_QUEUED", 5)

    def add(_: int) -> bool:
        try:
            catalog.jobs.add("ours", "repair", {})
        except Unavailable:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(24))) == 5
    assert len(catalog.jobs.list_page("ours")) == 5


def test_a_queue_has_an_end_and_old_jobs_are_forgotten(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "MAX_QUEUED", 2)
    first = catalog.jobs.add("ours", "repair", {})
    catalog.jobs.add("ours", "repair", {})
    with pytest.raises(Unavailable, match="2 jobs"):
        catalog.jobs.add("ours", "repair", {})
    catalog.jobs.add("theirs", "repair", {})
    catalog.jobs.cancel("ours", first.id)
    monkeypatch.setattr(jobs_module, "RETENTION_SECONDS", -1.0)
    catalog.jobs.add("ours", "repair", {})
    with pytest.raises(NotFound):
        catalog.jobs.get("ours", first.id)
