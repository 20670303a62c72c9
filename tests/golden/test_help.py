"""Every command, option, field of JSON, and part of the HTTP API of 0.1.0 is there, if under a new name."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.golden.questions import DATA, IMAGES, unpacked
from tests.golden.surface import commands, described, json_fields, options, parts, renamed
from tests.support.command import lookalike

RENAMED_COMMANDS: Mapping[str, str] = {}
"""`old words: new words`, such as `"keys create": "keys add"`."""
RENAMED_OPTIONS: Mapping[str, str] = {"plan --pictures": "--images"}
"""`command and old option: new option`, in the command's old words, such as `"search --where": "--filter"`."""
REMOVED_OPTIONS = {f"plan --{name}" for name in ("catalog", "features", "thumbnails", "sources")}
"""Options that went in 0.2.0 (CHANGELOG.md)."""
REMOVED_JSON = {"plan --images 1M"}
"""Commands whose JSON was redesigned in 0.2.0 (CHANGELOG.md)."""
RENAMED_PARTS: Mapping[str, str] = {
    "schema StatusModel .pictures": "schema StatusModel .images",
    "schema StatusModel": "schema Status",
    "schema HitModel": "schema Hit",
    "schema ComparisonModel": "schema Comparison",
    "schema MeasuredModel": "schema PipelineComparison",
    "schema PipelineComparison .rarity": "schema PipelineComparison .false_match_rate",
    "schema ClusterModel": "schema Cluster",
    "schema PipelineModel": "schema PipelineStatus",
    "schema JobModel": "schema Job",
    "schema ProgressModel": "schema JobProgress",
    "schema PutResult": "schema Outcome",
    "schema BatchLine": "schema Outcome",
    "schema Image .border is object": "schema Image .border is Border",
    "schema Image .border [] is integer": "schema Border .left is integer",
}
"""Of the API: an old part, as a failure names it, or the beginning of some, and its new name; later lines see what
earlier ones made of a part. `"schema Hit": "schema Match"` holds wherever a body is one."""

RENAMED_FIELDS: Mapping[str, str] = {
    "pictures": "images",
    "stages_ms": "took_ms",
    "error.message": "error.detail",
    "measured": "pipelines",
    "pipelines[].pipeline": "pipelines[].name",
    "pipelines[].rarity": "pipelines[].false_match_rate",
}
"""Of what commands print with --json: an old field, or the beginning of its path, and its new name in every command,
such as `"pictures": "images"`."""

HELP = {file.stem: file.read_text() for file in sorted((DATA / "help").glob("*.txt"))}


def words_of(old: str) -> list[str]:
    """The words of a command of old, as they are now."""
    words = [] if old == "lookalike" else old.split("-")
    return RENAMED_COMMANDS.get(" ".join(words), " ".join(words)).split()


def test_the_recorded_help_is_whole() -> None:
    """What was recorded was understood: some commands and options that are known to be there."""
    assert len(HELP) > 20
    assert {"add", "search", "keys", "models"} <= set(commands(HELP["lookalike"]))
    assert commands(HELP["keys"]) == ["create", "list", "revoke"]
    assert {"--key", "--k", "-k", "--no-orientations", "-0", "--gallery", "-g"} <= set(options(HELP["search"]))
    assert options(HELP["lookalike"])[:2] == ["--version", "--help"]
    assert sum(len(options(text)) for text in HELP.values()) > 150


@pytest.mark.parametrize("old", HELP)
def test_commands_and_options_are_there_still(old: str) -> None:
    words = words_of(old)
    ran = lookalike(*words, "--help")
    assert ran.code == 0, f"{old} is no command any more: {ran.err}"
    refused = []
    for option in options(HELP[old]):
        if f"{old.replace('-', ' ')} {option}" in REMOVED_OPTIONS:
            continue
        name = RENAMED_OPTIONS.get(f"{old.replace('-', ' ')} {option}", option)
        given = [f"{name}=x"] if name.startswith("--") else [name, "x"]
        ran = lookalike(*words, *given, "--help")
        known = ran.code == 0 or "does not take a value" in ran.err
        if not known:
            refused.append(f"{option}: {ran.err}")
    assert not refused


def test_an_unknown_option_would_be_noticed() -> None:
    ran = lookalike("search", "--nonsense=x", "--help")
    assert ran.code != 0
    assert "does not take a value" not in ran.err


def test_json_has_the_fields_that_it_had(tmp_path: Path) -> None:
    old = json.loads((DATA / "help" / "json.json").read_text())
    new = json_fields(unpacked(DATA / "hashes" / "gallery.tar.gz", tmp_path), IMAGES)
    assert sum(map(len, old.values())) > 150
    lacking = {
        command: [field for field in fields if field_now(field) not in new[command]]
        for command, fields in old.items()
        if command not in REMOVED_JSON
    }
    assert {command: fields for command, fields in lacking.items() if fields} == {}


def field_now(field: str) -> str:
    """A field of old under its new name."""
    for old, new in RENAMED_FIELDS.items():
        if field == old or field.startswith((f"{old}.", f"{old}[")):
            field = new + field.removeprefix(old)
    return field


def test_the_api_has_all_that_it_had() -> None:
    old, new = parts(json.loads((DATA / "help" / "openapi.json").read_text())), parts(described())
    assert len(old) > 300
    assert sorted(part for part in old if renamed(part, RENAMED_PARTS) not in new) == []


def test_a_part_under_its_new_name() -> None:
    table = {"schema Hit": "schema Match", "schema Match .key": "schema Match .name", "GET /a": "GET /b"}
    assert renamed("schema Hit .key is string", table) == "schema Match .name is string"
    assert renamed("schema Answer .hits [] is Hit", table) == "schema Answer .hits [] is Match"
    assert renamed("GET /a query limit", table) == "GET /b query limit"
    assert renamed("GET /a/c", table) == "GET /a/c"
