"""Pipelines over HTTP and by the client: shadow, filled in by a job, promoted, taken back, dropped."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import lookalike
from lookalike.errors import BadInput, Conflict, Unavailable
from lookalike.pipeline_change import PipelineChange
from lookalike.server.app_state import ServeSettings
from tests.support.command import lookalike as command
from tests.support.drawn_images import drawn, encoded
from tests.support.served import served
from tests.support.server.tenant_service import World
from tests.support.toy_encoders import write_toy_models
from tests.support.waiting import wait_until


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKALIKE_MODELS", str(write_toy_models(tmp_path)))
    monkeypatch.setattr("lookalike.gallery.pipeline_changes.DROP_SECONDS", 0.0)


@pytest.fixture
def client(tmp_path: Path, models: None) -> Iterator[lookalike.Client]:
    """A client of a service; one of three images was added as bytes."""
    for seed in range(2):
        drawn(seed).save(tmp_path / f"{seed}.png")
    with served(tmp_path / "gallery") as (url, gallery), lookalike.Client(url) as made:
        gallery.add([tmp_path / "0.png", tmp_path / "1.png"])
        made.put("upload", encoded(drawn(7)))
        yield made


def test_a_pipeline_comes_and_goes(client: lookalike.Client) -> None:
    added = client.add_pipeline("toy")
    assert (added.state, added.missing, client.pipelines) == ("shadow", 3, ("phash",))
    filled = client.backfill("toy")
    assert (filled.missing, filled.failed) == (1, {"no_original": {"PNG": 1}})
    with pytest.raises(Conflict, match="1 added as bytes"):
        client.promote_pipeline("toy")
    client.remove("upload")
    assert [(p.name, p.ranks) for p in client.promote_pipeline("toy")] == [("phash", False), ("toy", True)]
    wait_until(lambda: client.pipelines == ("phash", "toy"))
    query = encoded(drawn(1), "JPEG")
    assert set(client.search(query).exact_within) == {"phash", "toy"}
    client.promote_pipeline("phash")
    assert set(client.search(query).exact_within) == {"phash"}
    client.drop_pipeline("toy")
    assert [p.name for p in client.pipeline_states()] == ["phash"]


def test_pipelines_are_compared_in_a_job_with_a_report(client: lookalike.Client, tmp_path: Path) -> None:
    client.add_pipeline("toy")
    client.put("upload", encoded(drawn(1).point(lambda value: value // 2)))  # a copy by its hash only
    client.backfill("toy")
    change = client.compare_pipelines("toy", sample=10, edits=["jpeg15"])
    assert (change.old, change.new, change.images, change.live, len(change.queries)) == ("phash", "toy", 3, 0, 5)
    assert 0 < change.overlap <= 1
    assert (change.lost, change.gained, change.found() is None) == (3, 0, False)
    assert PipelineChange.of_json(change.as_json()) == change
    html = tmp_path / "change.html"
    ran = command("pipelines", "compare", "toy", "--server", client.url, "--html", html, "--sample", "5")
    assert (ran.code, "overlap@10" in ran.text) == (0, True), ran
    assert "data:image/jpeg" in html.read_text()
    jobs = httpx.get(f"{client.url}/v1/jobs").json()["jobs"]
    reports = {job["kind"]: httpx.get(f"{client.url}/v1/jobs/{job['id']}/report") for job in jobs}
    assert reports["backfill"].status_code == 404
    assert reports["compare_pipelines"].headers["content-disposition"].startswith("attachment")
    assert "sandbox" in reports["compare_pipelines"].headers["content-security-policy"]
    assert "Copies that only the new one finds" in reports["compare_pipelines"].text
    with pytest.raises(BadInput, match="ranks already"):
        client.compare_pipelines("phash")
    with pytest.raises(BadInput, match="nonsense"):
        client.compare_pipelines("toy", edits=["nonsense"])


def test_live_queries_are_compared_by_what_is_kept_of_them(models: None, tmp_path: Path) -> None:
    """The features of as many as the operator has named, by every pipeline; of each tenant its own."""
    with served(tmp_path / "gallery", ServeSettings(live_queries=2)) as (url, _), lookalike.Client(url) as client:
        client.add_pipeline("toy")
        client.put("a", encoded(drawn(1)))
        for seed in (1, 2, 3):
            client.search(encoded(drawn(seed), "JPEG"))
        client.search(lookalike.StoredImage("a"), pipelines=["phash"])
        found: list[int] = []

        def kept() -> bool:
            client.search(encoded(drawn(4), "JPEG"))
            found.append(client.compare_pipelines("toy", sample=1, live=True).live)
            return found[-1] == 2

        wait_until(kept)
        assert max(found) == 2
        assert client.compare_pipelines("toy", sample=1).live == 0
        assert client.compare_pipelines("toy", sample=1, live=True, tenant="other").live == 0


def test_an_index_moves_in_a_job_of_the_server(client: lookalike.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.gallery.index_move.DROP_SECONDS", 0.0)
    moved = client.move_index("phash", "flat")
    assert (moved.before, moved.after, moved.rows, moved.moved, moved.kept) == ("mih", "flat", 3, True, True)
    assert moved.comparison is not None
    assert (moved.comparison.queries, moved.comparison.copies_overlap) == (3, 1.0)
    [pipeline] = client.pipeline_states()
    assert pipeline.other_index == lookalike.OtherIndex("kept", "mih")
    assert client.search(encoded(drawn(1), "JPEG")).hits[0].key == "1.png"
    assert client.drop_index("phash") == "mih"
    assert client.pipeline_states()[0].other_index is None
    with pytest.raises(BadInput, match="only the index that answers"):
        client.drop_index("phash")
    with pytest.raises(BadInput, match="that its own settings name"):
        client.move_index("phash", "elasticsearch://internal:9200")


def test_the_command_moves_an_index(client: lookalike.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.gallery.index_move.DROP_SECONDS", 0.0)
    for address, words in (("flat", "phash is searched in flat now, instead of mih: 3 rows"), ("flat", "flat already")):
        ran = command("index", "move", "phash", "--to", address, "--server", client.url)
        assert (ran.code, words in ran.text) == (0, True), (ran.out, ran.err)
    assert "mih is kept" in command("pipelines", "list", "--server", client.url).text
    ran = command("index", "move", "phash", "--to", "mih", "--drop-old", "--server", client.url, "--json")
    assert [line.get("after", line.get("dropped")) for line in ran.lines] == ["mih", "flat"]
    assert command("index", "drop", "phash", "--server", client.url).code == 2


def test_a_server_connects_to_no_address_that_a_caller_names(client: lookalike.Client) -> None:
    with pytest.raises(BadInput, match="an address that a caller names"):
        client.add_pipeline("toy", index="elasticsearch://internal:9200")
    assert client.add_pipeline("toy", index="flat").index == "flat"


def test_only_admins_of_all_tenants_change_pipelines(tmp_path: Path) -> None:
    with World(tmp_path / "world") as world:
        for who, status in (("alice's admin", 403), ("alice", 403), ("root", 201)):
            answer = world.send(who, "POST", "/v1/pipelines", json={"name": "vgg16-copy"})
            assert answer.status_code == status, (who, answer.text)
        for action in ("promote", "drop", "drop-index"):
            assert world.send("alice's admin", "POST", f"/v1/pipelines/phash:{action}", json={}).status_code == 403
        for job in (
            {"kind": "backfill", "pipeline": "vgg16-copy"},
            {"kind": "move_index", "pipeline": "phash", "to": "flat"},
        ):
            assert world.send("alice's admin", "POST", "/v1/jobs", json=job).status_code == 403
        [_, added] = world.send("alice", "GET", "/v1/pipelines").json()["pipelines"]
        assert (added["name"], added["missing"], added["failed"]) == ("vgg16-copy", None, {})


def test_a_server_connects_to_an_engine_that_its_settings_name(models: None, tmp_path: Path) -> None:
    """It is down here: the move fails, and leaves everything as it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOKALIKE_INDEX_PHASH_NEXT", "elasticsearch://user:secret@127.0.0.1:1?mode=exact")
        with served(tmp_path / "gallery") as (url, gallery), lookalike.Client(url) as client:
            client.put("a", encoded(drawn(1)))
            with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1") as down:
                client.move_index("phash", "elasticsearch://user@127.0.0.1:1?mode=exact")
            assert "secret" not in str(down.value)
            assert client.pipeline_states()[0].other_index is None
            assert gallery.catalog.pipelines.version() == 0
