"""Pipelines over HTTP and by the client: shadow, filled in by a job, promoted, taken back, dropped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import lookalike
from lookalike.errors import BadInput, Conflict
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
