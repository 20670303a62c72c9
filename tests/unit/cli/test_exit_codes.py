"""Exit codes and messages: one row of docs/cli.md at a time."""

import inspect
import sqlite3
from pathlib import Path

import pytest
from filelock import FileLock

from lookalike import errors
from lookalike.cli.exit_codes import EXIT_CODES, ExitCode, exit_code
from tests.support.command import lookalike
from tests.support.drawn_images import drawn


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """One image."""
    drawn(1).save(tmp_path / "a.png")
    lookalike("init", "--pipelines", "phash", "-g", tmp_path / "gallery")
    assert lookalike("add", tmp_path / "a.png", "-g", tmp_path / "gallery").code == 0
    return tmp_path / "gallery"


def test_every_error_has_an_exit_code() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
    assert len(kinds) >= 10
    for kind in kinds:
        if kind is not errors.LookalikeError:
            assert any(issubclass(kind, listed) for listed, _ in EXIT_CODES), kind
    assert exit_code(errors.ImageRejected("empty", "no bytes")) == ExitCode.PARTIAL
    assert exit_code(errors.UnsupportedQuery("no")) == ExitCode.USAGE
    assert exit_code(errors.GalleryBusy("wait")) == ExitCode.RETRY
    assert exit_code(errors.NotFound("nothing")) == ExitCode.NOT_FOUND
    assert exit_code(errors.FeatureMismatch("other")) == exit_code(errors.Damaged("bad")) == ExitCode.DAMAGED


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["frobnicate"], "usage-error"),
        (["search"], "usage-error"),
        (["search", "a.png", "-k", "many"], "usage-error"),
        (["search", "a.png", "-k", "0"], "usage-error"),
        (["search", "a.png", "-k", "100", "--page", "101"], "unsupported-query"),
        (["search", "a.png", "--threshold", "7"], "usage-error"),
        (["search", "a.png", "--pipeline", "vgg61"], "unsupported-query"),
        (["search", "a.png", "--where", "year"], "unsupported-query"),
        (["add", "a.png", "--attr", "year"], "bad-setting"),
        (["add", ".", "--key", "one"], "bad-input"),
        (["models", "pull", "phash"], "bad-setting"),
    ],
)
def test_2_what_makes_no_sense(gallery: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], kind: str) -> None:
    monkeypatch.chdir(gallery.parent)
    ran = lookalike(*arguments, "--json", "-g", gallery)
    assert ran.code == 2
    assert set(ran.line) == {"error"}
    assert ran.line["error"]["type"] == f"urn:lookalike:error:{kind}"
    assert {"type", "title", "status", "detail"} <= set(ran.line["error"])
    assert ran.err.startswith(f"lookalike: {ran.line['error']['detail'].splitlines()[0]}")
    plain = lookalike(*arguments, "-g", gallery)
    assert (plain.code, plain.out) == (2, b"")


def test_a_page_too_deep_is_refused_with_the_limit(gallery: Path) -> None:
    ran = lookalike("search", gallery.parent / "a.png", "-k", 100, "--page", 101, "-g", gallery)
    assert "10000" in ran.err


def test_3_busy_while_readers_go_on(gallery: Path) -> None:
    with FileLock(gallery / "writer.lock"):
        for command in (["add", gallery.parent / "a.png"], ["rm", "a.png"], ["repair"]):
            ran = lookalike(*command, "-g", gallery, "--json")
            assert (ran.code, ran.line["error"]["type"]) == (3, "urn:lookalike:error:gallery-busy")
            assert "writing to the gallery" in ran.err
        assert lookalike("search", gallery.parent / "a.png", "-g", gallery, "--json").line["hits"]
        assert lookalike("ls", "-g", gallery).code == 0
    assert lookalike("repair", "-g", gallery).code == 0


@pytest.mark.parametrize(
    "arguments", [["ls"], ["search", "x.png"], ["rm", "x"], ["status"], ["repair"], ["duplicates"], ["show", "x"]]
)
def test_4_no_gallery(tmp_path: Path, arguments: list[str]) -> None:
    ran = lookalike(*arguments, "-g", tmp_path / "nowhere", "--json")
    assert (ran.code, ran.line["error"]["type"]) == (4, "urn:lookalike:error:not-found")
    assert "no gallery at" in ran.err
    assert not (tmp_path / "nowhere").exists()


def test_4_no_image(gallery: Path) -> None:
    assert lookalike("show", "nobody", "-g", gallery).code == 4
    assert lookalike("show", "a.png", "--tenant", "other", "-g", gallery).code == 4
    ran = lookalike("add", gallery / "no such folder", "-g", gallery, "--json")
    assert (ran.code, ran.line["error"]["type"]) == (4, "urn:lookalike:error:not-found")
    assert lookalike("models", "info", "vgg61").code == 4


def test_adding_what_is_not_there_makes_no_gallery(tmp_path: Path) -> None:
    assert lookalike("add", tmp_path / "nothing", "-g", tmp_path / "gallery").code == 4
    assert not (tmp_path / "gallery").exists()


def test_5_a_damaged_catalog(gallery: Path) -> None:
    for name in ("catalog.sqlite-wal", "catalog.sqlite-shm"):
        (gallery / name).unlink(missing_ok=True)
    (gallery / "catalog.sqlite").write_bytes(b"this is no database at all" * 1000)
    ran = lookalike("ls", "-g", gallery, "--json")
    assert (ran.code, ran.line["error"]["type"]) == (5, "urn:lookalike:error:damaged")


def test_a_bad_gallery_file_is_named(gallery: Path) -> None:
    (gallery / "gallery.toml").write_text("pipelines = 7")
    ran = lookalike("ls", "-g", gallery)
    assert ran.code == 2
    assert "gallery.toml" in ran.err


def test_a_bad_environment_is_named(gallery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKALIKE_WORKERS", "many")
    ran = lookalike("ls", "-g", gallery)
    assert ran.code == 2
    assert "LOOKALIKE_WORKERS" in ran.err


def test_our_own_faults_keep_their_traceback(gallery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise sqlite3.IntegrityError("a bug")

    monkeypatch.setattr("lookalike.factory.open_gallery", fails)
    ran = lookalike("ls", "-g", gallery)
    assert ran.code == ExitCode.BUG
    assert "Traceback" in ran.err
    assert "a bug" in ran.err
