"""`keys create|list|revoke`, for people and for programs."""

import re
from pathlib import Path

import pytest

from lookalike.catalog import Catalog
from lookalike.catalog.api_keys import KeyLimits
from lookalike.config import GallerySettings, from_environment
from lookalike.factory import create_gallery
from tests.support.command import lookalike


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    folder = tmp_path / "gallery"
    create_gallery(folder, GallerySettings(("phash",)), from_environment({}))
    return folder


def test_a_key_is_shown_once(gallery: Path) -> None:
    made = lookalike("keys", "create", "--scope", "write", "--tenant", "alice", "--rate", "2.5", "-g", gallery)
    assert made.code == 0
    assert "require a key, also from this machine" in made.text
    [token] = re.findall(r"lk_[0-9a-f]{12}_[\w-]{43}", made.text)
    with Catalog.open(gallery / "catalog.sqlite") as catalog:
        [key] = catalog.api_keys.list_all()
    assert key.matches(token)
    assert (key.tenant, key.scopes, key.limits) == ("alice", ("read", "write"), KeyLimits(rate=2.5))
    listed = lookalike("keys", "list", "-g", gallery)
    assert key.id in listed.text
    assert "rate 2.5" in listed.text
    assert token.split("_", 2)[2] not in listed.text
    assert token.encode() not in (gallery / "catalog.sqlite").read_bytes()
    assert "not even" not in lookalike("keys", "create", "-g", gallery).text


@pytest.mark.parametrize(
    "arguments",
    [
        ("-g", "GALLERY", "--json", "keys", "create", "--tenant", "bob"),
        ("keys", "-g", "GALLERY", "--json", "create", "--tenant", "bob"),
        ("keys", "--tenant", "bob", "--gallery=GALLERY", "create", "--json"),
        ("keys", "create", "--gallery", "GALLERY", "--tenant", "bob", "--json"),
    ],
)
def test_common_options_stand_anywhere_in_a_group(gallery: Path, arguments: tuple[str, ...]) -> None:
    made = lookalike(*(argument.replace("GALLERY", str(gallery)) for argument in arguments))
    assert (made.code, [key["tenant"] for key in made.lines]) == (0, ["bob"])


def test_other_options_before_a_command_are_named() -> None:
    refused = lookalike("keys", "--scope", "read", "create")
    assert refused.code == 2
    assert "No such option: --scope" in refused.err
    assert "Usage:" in lookalike("keys", "--json").text


def test_json(gallery: Path) -> None:
    made = lookalike(
        "keys", "create", "--any-tenant", "--label", "the shop", "--max-bytes", "1000", "--json", "-g", gallery
    )
    answer = made.line
    token = answer.pop("key")
    assert token.startswith(f"lk_{answer['id']}_")
    assert (answer["scope"], answer["tenant"], answer["label"], answer["revoked"]) == ("read", None, "the shop", None)
    assert answer["limits"] == {"body_bytes": 1000}
    assert lookalike("keys", "list", "--json", "-g", gallery).lines == [answer]
    ended = lookalike("keys", "revoke", answer["id"], "--json", "-g", gallery).line
    assert ended["revoked"] is not None
    again = lookalike("keys", "revoke", answer["id"], "--json", "-g", gallery).line
    assert again == ended  # the first time counts
    assert lookalike("keys", "list", "--json", "-g", gallery).lines == [ended]
    assert lookalike("keys", "revoke", "--forget", answer["id"], "-g", gallery).code == 0
    assert "No keys" in lookalike("keys", "list", "-g", gallery).text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["create", "--scope", "everything"], 2, "read, write, admin"),
        (["create", "--rate", "0"], 2, "rate"),
        (["create", "--rate", "nan"], 2, "rate"),
        (["create", "--rate", "inf"], 2, "rate"),
        (["create", "--burst", "-1"], 2, "burst"),
        (["create", "--tenant", "x" * 201], 2, "tenant"),
        (["create", "--tenant", "a\nb"], 2, "tenant"),
        (["create", "--label", "a\x1b[1m"], 2, "label"),
        (["revoke", "0123456789ab"], 4, "0123456789ab"),
        (["revoke", "a\0b"], 4, "keys list"),
        (["revoke"], 2, "ID"),
    ],
)
def test_what_is_refused(gallery: Path, arguments: list[str], code: int, message: str) -> None:
    ran = lookalike("keys", *arguments, "-g", gallery)
    assert ran.code == code
    assert message in ran.err
    assert not lookalike("keys", "list", "--json", "-g", gallery).lines


def test_no_gallery(tmp_path: Path) -> None:
    ran = lookalike("keys", "list", "-g", tmp_path / "none")
    assert ran.code == 4
    assert "no gallery" in ran.err
