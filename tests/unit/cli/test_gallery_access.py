"""`--server` and its environment: which gallery is meant, and what cannot be one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import lookalike
from tests.support.drawn_images import drawn
from tests.support.served import served


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("service") / "gallery") as (found, _):
        yield found


def test_all_of_it_over_a_service(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        drawn(seed).save(tmp_path / f"{seed}.png")
    (tmp_path / "none.jpg").write_bytes(b"no image")
    monkeypatch.setenv("LOOKALIKE_GALLERY", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("LOOKALIKE_SERVER", url)
    added = lookalike("add", tmp_path)
    assert added.code == 1
    assert "3 added, 1 rejected" in added.text
    assert f"Gallery: {url}" in added.text
    searched = lookalike("search", tmp_path / "1.png", "-k", "1")
    assert searched.code == 0
    assert "exact" in searched.text
    assert (
        lookalike("search", "-", "--json", stdin=f"{tmp_path / '2.png'}\n".encode()).line["hits"][0]["key"] == "2.png"
    )
    by_key = lookalike("search", "--key", "2.png", "--key", "none", "--json")
    assert (by_key.code, by_key.lines[0]["hits"][0]["key"]) == (1, "2.png")
    assert by_key.lines[1]["error"]["type"] == "urn:lookalike:error:not-found"
    shown = lookalike("show", "1.png")
    assert "160" in shown.text
    assert "unknown: the image was added as bytes" in shown.text
    assert lookalike("ls", "--json").lines[0]["key"] == "0.png"
    assert lookalike("status", "--json").line["gallery"] == url
    assert f"Gallery   {url}" in lookalike("status").text
    assert lookalike("compare", tmp_path / "1.png", tmp_path / "2.png").code == 0
    assert lookalike("duplicates").code == 0
    assert lookalike("repair", "--json").line["rebuilt"] == {"phash": 3}
    assert lookalike("rm", "0.png", "nothing").code == 1
    assert not (tmp_path / "elsewhere").exists()
    tenants = lookalike("ls", "--tenant", "somebody else", "--json")
    assert (tenants.code, tenants.lines) == (0, [])


def test_a_gallery_that_is_named_is_meant(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKALIKE_SERVER", url)
    ran = lookalike("ls", "-g", tmp_path / "none", "--json")
    assert ran.code == 4
    both = lookalike("ls", "-g", tmp_path / "none", "--server", url, "--json")
    assert (both.code, both.line["error"]["type"]) == (2, "urn:lookalike:error:bad-setting")
    assert lookalike("--server", url, "ls").code == 0


def test_what_works_on_this_machine_alone(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lookalike("init", "--server", url).code == 2
    refused = lookalike("--server", url, "init", "-g", tmp_path / "new")
    assert refused.code == 2
    assert "remove --server" in refused.err
    monkeypatch.setenv("LOOKALIKE_SERVER", url)
    assert lookalike("init", "--pipelines", "phash", "-g", tmp_path / "new").code == 0


def test_no_service_and_no_access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.client.transport.BACKOFF", 0.01)
    assert (
        lookalike("ls", "--server", "http://127.0.0.1:1", "--json").line["error"]["type"]
        == "urn:lookalike:error:unavailable"
    )
    assert lookalike("ls", "--server", "http://127.0.0.1:1").code == 3
    assert lookalike("ls", "--server", "nonsense").code == 2
    with served(tmp_path / "gallery") as (url, gallery):
        _, token = gallery.catalog.api_keys.create("read")
        denied = lookalike("ls", "--server", url, "--json")
        assert (denied.code, denied.line["error"]["type"]) == (2, "urn:lookalike:error:access-denied")
        monkeypatch.setenv("LOOKALIKE_KEY", token)
        assert lookalike("ls", "--server", url).code == 0
        forbidden = lookalike("rm", "a", "--server", url)
        assert forbidden.code == 2
        assert token not in forbidden.err
