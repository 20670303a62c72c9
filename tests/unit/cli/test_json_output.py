"""The JSON of every command, key by key, over a gallery of hashes."""

import os
import re
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import ImageOps

from lookalike.cli import run
from tests.support.command import Ran, lookalike
from tests.support.drawn_images import drawn, encoded

RECORD = {
    *("key", "path", "tenant", "sha256", "width", "height", "format", "bytes", "border", "attributes"),
    *("created", "updated", "sequence", "thumbnail", "frames", "truncated", "exif", "missing"),
}
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five images with awkward names, one of them in a subfolder, and one that is broken."""
    photos = tmp_path / "my photos"
    (photos / "sub").mkdir(parents=True)
    for seed, name in enumerate(["a.png", "b c.png", "grüße 🌄.png", "[bold]x.png", "sub/d.png"]):
        drawn(seed).save(photos / name)
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    return photos


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    path = tmp_path / "gallery"
    assert lookalike("init", "--pipelines", "phash", "--gallery", path).code == 0
    return path


@pytest.fixture
def full(gallery: Path, folder: Path) -> Path:
    """A gallery that holds the folder."""
    assert lookalike("add", folder, "--gallery", gallery).code == 1  # one is broken
    return gallery


def copy_of(seed: int, path: Path) -> Path:
    """An edited copy of a drawn image: half the size, JPEG."""
    path.write_bytes(encoded(drawn(seed).resize((80, 60)), "JPEG", quality=60))
    return path


def test_init_says_what_it_made(tmp_path: Path) -> None:
    path = tmp_path / "made"
    ran = lookalike("init", "--pipelines", "phash", "--index", "phash=flat", "-g", path, "--json")
    assert ran.code == 0
    rest = {"catalog": None, "precision": None, "exact_phash": False, "verification_records": "no-original"}
    assert ran.line == {"gallery": str(path), "pipelines": ["phash"], "index": {"phash": "flat"}, **rest}
    again = lookalike("init", "-g", path, "--json")
    assert (again.code, again.line["error"]["type"]) == (2, "urn:lookalike:error:bad-setting")


def test_init_takes_lists_and_repetitions(tmp_path: Path) -> None:
    a = lookalike("init", "--pipelines", "phash,vgg16", "-g", tmp_path / "a", "--json")
    b = lookalike("init", "--pipelines", "phash", "--pipelines", "vgg16", "-g", tmp_path / "b", "--json")
    assert a.line["pipelines"] == b.line["pipelines"] == ["phash", "vgg16"]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--pipelines", "phahs"],
        ["--index", "phash=fast"],
        ["--index", "phash"],
        ["--precision", "half"],
        ["--pipelines", "phash", "--index", "vgg16=flat"],
        ["--pipelines", "phash,phash"],
    ],
)
def test_init_refuses_settings_that_make_no_sense(tmp_path: Path, wrong: list[str]) -> None:
    ran = lookalike("init", *wrong, "-g", tmp_path / "g", "--json")
    assert (ran.code, ran.line["error"]["type"]) == (2, "urn:lookalike:error:bad-setting")
    assert not (tmp_path / "g").exists()


def test_add_tells_of_each_image(gallery: Path, folder: Path) -> None:
    ran = lookalike("add", folder, "-g", gallery, "--json")
    assert ran.code == 1
    assert all(set(line) == {"key", "path", "outcome", "reason", "sequence", "truncated"} for line in ran.lines)
    answer = {line["key"]: line for line in ran.lines}
    assert set(answer) == {"a.png", "b c.png", "grüße 🌄.png", "[bold]x.png", "sub/d.png", "broken.jpg"}
    assert answer["sub/d.png"] == {
        "key": "sub/d.png",
        "path": str(folder / "sub/d.png"),
        "outcome": "added",
        "reason": None,
        "sequence": 5,
        "truncated": False,
    }
    assert (answer["broken.jpg"]["outcome"], answer["broken.jpg"]["sequence"]) == ("rejected", None)
    assert "grüße 🌄.png".encode() in ran.out  # as it stands, not in escapes
    again = lookalike("add", folder, "-g", gallery, "--json")
    assert {line["outcome"] for line in again.lines} == {"unchanged", "rejected"}


def test_add_one_file_under_a_key_with_attributes(gallery: Path, folder: Path) -> None:
    arguments = ["--key", "holiday/1", "--attr", "year=2019", "--attr", 'tags=["x"]', "--attr", "place=St. Ives=West"]
    ran = lookalike("add", folder / "a.png", *arguments, "-g", gallery, "--json")
    assert ran.line["key"] == "holiday/1"
    record = lookalike("show", "holiday/1", "-g", gallery, "--json").line
    assert record["attributes"] == {"year": 2019, "tags": ["x"], "place": "St. Ives=West"}


def test_add_names_duplicates_and_changes(full: Path, folder: Path) -> None:
    shutil.copy(folder / "a.png", folder / "z.png")
    drawn(50).save(folder / "b c.png")
    answer = {line["key"]: line for line in lookalike("add", folder, "-g", full, "--json").lines}
    assert (answer["z.png"]["outcome"], answer["b c.png"]["outcome"]) == ("duplicate", "updated")
    assert "a.png" in answer["z.png"]["reason"]


def test_search_finds_the_original(full: Path, tmp_path: Path) -> None:
    query = copy_of(2, tmp_path / "query.jpg")
    ran = lookalike("search", query, "-g", full, "--json")
    assert ran.code == 0
    line = ran.line
    assert {"query", "hits", "exact_within", "took_ms"} <= set(line)
    assert line["query"] == str(query)
    names = {"key", "path", "evidence", "distance", "pipeline", "attributes", "width", "height", "thumbnail", "tenant"}
    names |= {"frames", "truncated", "verified", "verification", "probability", "missing", "false_match_rate"}
    assert all(set(h) == names for h in line["hits"])
    best = line["hits"][0]
    assert (best["key"], best["evidence"], best["pipeline"]) == ("grüße 🌄.png", "copy", "phash")
    assert 0 <= best["distance"] <= 1
    assert set(line["exact_within"]) == {"phash"}
    assert all(ms >= 0 for ms in line["took_ms"].values())
    assert {"digest", "phash"} <= set(line["took_ms"])


def test_search_knows_the_very_file(full: Path, folder: Path) -> None:
    best = lookalike("search", folder / "a.png", "-g", full, "--json").line["hits"][0]
    assert (best["key"], best["evidence"], best["distance"], best["pipeline"]) == ("a.png", "exact", 0.0, "sha256")
    assert best["path"] == str(folder / "a.png")


def test_search_a_folder_and_a_list(full: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    below = lookalike("search", "my photos/", "-g", full, "--json")
    assert below.code == 1
    names = ["[bold]x.png", "a.png", "b c.png", "broken.jpg", "grüße 🌄.png", "sub/d.png"]
    assert [line["query"] for line in below.lines] == [f"my photos/{name}" for name in names]
    lines = "".join(f"my photos/{name}\n" for name in names).encode()
    assert [(q["query"], q.get("hits")) for q in lookalike("search", "-", "-g", full, "--json", stdin=lines).lines] == [
        (q["query"], q.get("hits")) for q in below.lines
    ]
    separated = lookalike("search", "-", "-0", "-g", full, "--json", stdin=lines.replace(b"\n", b"\0"))
    assert len(separated.lines) == len(names)


def test_search_goes_on_after_a_bad_query(full: Path, folder: Path) -> None:
    ran = lookalike("search", folder / "broken.jpg", "/no/such.jpg", folder / "a.png", "-g", full, "--json")
    assert ran.code == 1
    broken, missing, good = ran.lines
    assert set(broken) == set(missing) == {"query", "error"}
    assert broken["error"]["type"] == missing["error"]["type"] == "urn:lookalike:error:image-rejected"
    assert missing["error"]["detail"]
    assert good["hits"]


def test_search_options(full: Path, folder: Path, tmp_path: Path) -> None:
    def hits(*options: object) -> list[str]:
        ran = lookalike("search", folder / "a.png", "-g", full, "--json", *options)
        assert ran.code == 0
        return [hit["key"] for hit in ran.line["hits"]]

    everything = hits("-k", 5)
    assert len(everything) == 5
    assert hits("-k", 2, "--page", 2) == everything[2:4]
    assert hits("--threshold", 0) == ["a.png"]
    assert hits("--where", "year>=2019") == []
    assert hits("--tenant", "somebody else") == []
    assert hits("--pipeline", "phash") == everything
    lookalike("add", folder / "a.png", "--key", "theirs", "--tenant", "x", "-g", full)
    assert set(hits("--all-tenants", "--threshold", 0)) == {"a.png", "theirs"}
    assert hits("--tenant", "x") == ["theirs"]
    turned = tmp_path / "mirrored.png"
    ImageOps.mirror(drawn(1)).save(turned)
    found = lookalike("search", turned, "-g", full, "--json").line["hits"][0]
    assert (found["key"], found["evidence"]) == ("b c.png", "copy")
    arguments = ("--no-orientations", "--no-verify")  # pixels are compared in every orientation
    plain = lookalike("search", turned, "-g", full, "--json", *arguments).line["hits"]
    assert not plain or plain[0]["evidence"] == "similar"


def test_show_is_the_whole_record(full: Path, folder: Path) -> None:
    line = lookalike("show", "sub/d.png", "-g", full, "--json").line
    assert set(line) == RECORD
    data = (folder / "sub/d.png").read_bytes()
    assert line["sha256"] == sha256(data).hexdigest()
    assert (line["bytes"], line["width"], line["height"], line["format"]) == (len(data), 160, 120, "PNG")
    assert line["border"] == {"left": 0, "top": 0, "right": 0, "bottom": 0}
    assert (line["tenant"], line["attributes"]) == ("default", {})
    assert STAMP.fullmatch(line["created"])
    assert STAMP.fullmatch(line["updated"])
    assert line["sequence"] > 0


def test_ls_lists_by_key(full: Path, folder: Path) -> None:
    lines = lookalike("ls", "-g", full, "--json").lines
    assert [line["key"] for line in lines] == sorted(["[bold]x.png", "a.png", "b c.png", "grüße 🌄.png", "sub/d.png"])
    assert all(set(line) == RECORD for line in lines)
    assert lookalike("ls", "--limit", 2, "-g", full, "--json").lines == lines[:2]
    assert lookalike("ls", "--limit", 0, "-g", full, "--json").lines == []
    lookalike("add", folder / "a.png", "--attr", "year=2020", "-g", full)
    assert [line["key"] for line in lookalike("ls", "--where", "year>=2019", "-g", full, "--json").lines] == ["a.png"]


def test_rm_forgets(full: Path, folder: Path) -> None:
    ran = lookalike("rm", "a.png", "nobody", "a.png", "-g", full, "--json")
    assert ran.code == 1
    assert ran.lines == [
        {"key": "a.png", "outcome": "removed"},
        {"key": "nobody", "outcome": "missing"},
        {"key": "a.png", "outcome": "missing"},
    ]
    listed = lookalike("rm", "-", "-0", "-g", full, "--json", stdin="grüße 🌄.png\0sub/d.png".encode())
    assert (listed.code, [line["outcome"] for line in listed.lines]) == (0, ["removed", "removed"])
    assert (folder / "a.png").exists()
    assert len(lookalike("ls", "-g", full, "--json").lines) == 2


def test_duplicates_are_clusters(full: Path, folder: Path) -> None:
    shutil.copy(folder / "a.png", folder / "a again.png")
    copy_of(1, folder / "b small.jpg")
    lookalike("add", folder, "-g", full)
    ran = lookalike("duplicates", "-g", full, "--json")
    assert ran.code == 0
    assert all(set(line) == {"id", "evidence", "distance", "frees", "images"} for line in ran.lines)
    marked = RECORD | {"mark", "reason", "frees"}
    assert all(set(image) == marked for line in ran.lines for image in line["images"])
    found = {frozenset(p["key"] for p in line["images"]): line["evidence"] for line in ran.lines}
    assert found == {frozenset({"a.png", "a again.png"}): "exact", frozenset({"b c.png", "b small.jpg"}): "copy"}


def test_search_by_key_needs_no_file(full: Path, folder: Path) -> None:
    copy_of(1, folder / "b small.jpg")
    lookalike("add", folder / "b small.jpg", "-g", full)
    shutil.rmtree(folder)
    ran = lookalike("search", "--key", "b small.jpg", "--key", "nothing", "-k", "2", "-g", full, "--json")
    assert ran.code == 1
    found, missing = ran.lines
    assert [(hit["key"], hit["evidence"]) for hit in found["hits"]] == [("b small.jpg", "exact"), ("b c.png", "copy")]
    assert (found["query"], missing["error"]["type"]) == ("b small.jpg", "urn:lookalike:error:not-found")
    assert "b c.png" in lookalike("search", "--key", "b small.jpg", "-g", full).text
    nothing = lookalike("search", "-g", full)
    assert nothing.code == 2
    assert "--key" in nothing.err


def test_compare_two_files(full: Path, folder: Path, tmp_path: Path) -> None:
    small = copy_of(0, tmp_path / "small.jpg")
    line = lookalike("compare", folder / "a.png", small, "-g", full, "--json").line
    assert (line["a"], line["b"]) == (str(folder / "a.png"), str(small))
    assert (line["evidence"], line["same_bytes"], line["same_pixels"]) == ("copy", False, False)
    [measured] = line["pipelines"]
    assert set(measured) == {"name", "distance", "threshold", "false_match_rate", "copy"}
    assert (measured["name"], measured["copy"]) == ("phash", True)
    assert 0 < measured["false_match_rate"] < 1e-3
    assert lookalike("compare", small, small, "-g", full, "--json").line["evidence"] == "exact"
    broken = lookalike("compare", folder / "a.png", folder / "broken.jpg", "-g", full, "--json")
    assert (broken.code, broken.line["error"]["type"]) == (1, "urn:lookalike:error:image-rejected")


def test_status_and_repair(full: Path) -> None:
    line = lookalike("status", "-g", full, "--json").line
    contents = {"gallery", "images", "bytes", "tenants", "formats", "sequence", "pipelines", "recall"}
    assert set(line) == contents | {"missing", "away", "verification_records"}
    assert (line["verification_records"]["setting"], line["verification_records"]["images"]) == ("no-original", 0)
    assert (line["missing"], line["away"]) == (0, {})
    assert (line["images"], line["tenants"], line["formats"]) == (5, {"default": 5}, {"PNG": 5})
    [pipeline] = line["pipelines"]
    assert (pipeline["name"], pipeline["metric"], pipeline["rows"], pipeline["error"]) == ("phash", "hamming", 5, None)
    ran = lookalike("repair", "-g", full, "--json")
    assert (ran.code, ran.line) == (0, {"images": 5, "rebuilt": {"phash": 5}, "verification_records": None})


def test_models_are_listed() -> None:
    ran = lookalike("models", "list", "--json")
    assert ran.code == 0
    models = {line["name"]: line for line in ran.lines}
    assert {"name", "title", "licence", "source", "pulled"} <= set(models["vgg16"])


def test_common_options_stand_before_the_command_too(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after = lookalike("ls", "--gallery", full, "--json").lines
    assert lookalike("--gallery", full, "--json", "ls").lines == after
    monkeypatch.setenv("LOOKALIKE_GALLERY", str(full))
    assert lookalike("ls", "--json").lines == after
    assert lookalike("--tenant", "other", "ls", "--json").lines == []


def outputs(gallery: Path, folder: Path) -> list[Ran]:
    """Commands as people run them."""
    commands: list[list[object]] = [
        ["add", folder],
        ["search", folder / "a.png", folder / "broken.jpg", "--all"],
        ["show", "b c.png"],
        ["ls"],
        ["duplicates"],
        ["compare", folder / "a.png", folder / "b c.png"],
        ["status"],
        ["repair"],
        ["rm", "a.png"],
    ]
    return [lookalike(*command, "-g", gallery) for command in commands]


def test_people_read_plain_text(full: Path, folder: Path) -> None:
    added, searched, shown, listed, duplicates, compared, status, repaired, removed = outputs(full, folder)
    assert "6 images: 5 unchanged, 1 rejected" in added.text
    assert "broken.jpg" in added.text
    [best] = [line for line in searched.text.splitlines() if line.lstrip().startswith("exact")]
    assert best.split()[:4] == ["exact", "0.000", "sha256", "a.png"]
    assert "[bold]x.png" in searched.text
    assert "broken.jpg" in searched.err
    assert "160" in shown.text
    assert len(listed.text.splitlines()) == 5
    assert "0 clusters" in duplicates.text
    assert "different images" in compared.text
    assert "5 of 5" in status.text
    assert "5 rows" in repaired.text
    assert "1 removed" in removed.text
    assert not any(b"\x1b" in ran.out for ran in (added, searched, shown, listed, status))  # no colours in a pipe


def test_names_cannot_command_the_terminal(gallery: Path, tmp_path: Path) -> None:
    drawn(1).save(tmp_path / "red\x1b[31m\n.png")
    path = os.fspath(tmp_path / "red\x1b[31m\n.png")
    assert lookalike("add", path, "-g", gallery).code == 0
    for ran in (lookalike("ls", "-g", gallery), lookalike("search", path, "-g", gallery)):
        assert b"\x1b" not in ran.out
        assert "red\\x1b[31m\\n.png" in ran.text
    assert lookalike("ls", "-g", gallery, "--json").line["key"] == "red\x1b[31m\n.png"


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert re.fullmatch(r"lookalike \d+\.\d+\.\d+\n", capsys.readouterr().out)
    assert run(["--help"]) == 0
    answer = capsys.readouterr().out
    commands = "add search show rm ls duplicates compare init status repair models doctor".split()
    assert all(command in answer for command in commands)
