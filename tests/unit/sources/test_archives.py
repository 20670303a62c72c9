"""Archives: images of tar and zip files, attributes beside them as in WebDataset, members read again, damage."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lookalike.errors import ImageRejected, NotFound
from lookalike.imaging import Limits
from lookalike.sources.archives import MAX_JSON_BYTES, archive_images, read_member
from lookalike.types import Found, FoundObject, Outcome
from tests.support.drawn_images import drawn, encoded
from tests.support.object_stores import json_bytes, new_bucket, put, tar, zipped

Pack = Callable[[dict[str, bytes]], bytes]
PACKS: dict[str, Pack] = {
    ".tar": tar,
    ".tar.gz": lambda members: tar(members, "w:gz"),
    ".zip": zipped,
}
ONE, TWO = encoded(drawn(1)), encoded(drawn(2))


def stored(suffix: str, members: dict[str, bytes]) -> str:
    bucket = new_bucket()
    put(bucket, {f"a{suffix}": PACKS[suffix](members)})
    return f"memory://{bucket}/a{suffix}"


def is_no_png(name: str) -> bool:
    return not name.endswith(".png")


def images(url: str, limits: Limits | None = None, **given: object) -> list[Found]:
    return list(archive_images(url, "1", limits or Limits(), is_no_png, given or None))


@pytest.mark.parametrize("suffix", PACKS)
def test_members_are_found_with_their_bytes_and_read_again(suffix: str) -> None:
    url = stored(suffix, {"x/1.png": ONE, "notes.txt": b"text", "x/2.png": TWO})
    found = images(url)
    assert all(isinstance(one, FoundObject) for one in found)
    assert [(one.key, one.url, one.data) for one in found if isinstance(one, FoundObject)] == [
        ("x/1.png", f"{url}!/x/1.png", ONE),
        ("x/2.png", f"{url}!/x/2.png", TWO),
    ]
    for one in found:
        assert isinstance(one, FoundObject)
        assert (one.etag, one.nbytes) == ("1", len(one.data or b""))
        assert (one.offset is not None) == (suffix == ".tar")
        assert read_member(one.url, Limits(), one.offset, one.nbytes) == one.data
        assert read_member(one.url, Limits(), None, None) == one.data


@pytest.mark.parametrize("suffix", PACKS)
def test_archives_of_this_machine_are_read_alike(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a{suffix}").write_bytes(PACKS[suffix]({"1.png": ONE}))
    [found] = images(f"file://{tmp_path}/a{suffix}")
    assert isinstance(found, FoundObject)
    assert read_member(found.url, Limits(), found.offset, found.nbytes) == ONE


@pytest.mark.parametrize("suffix", PACKS)
def test_members_and_archives_that_are_gone_are_not_found(suffix: str) -> None:
    url = stored(suffix, {"1.png": ONE})
    for gone in (f"{url}!/2.png", f"memory://none/a{suffix}!/1.png", f"file:///none/a{suffix}!/1.png"):
        with pytest.raises(NotFound):
            read_member(gone, Limits(), None, None)


@pytest.mark.parametrize("order", [("a.png", "a.json", "b.png"), ("a.json", "a.png", "b.png")])
def test_json_beside_an_image_is_its_attributes(order: tuple[str, ...]) -> None:
    members = {"a.png": ONE, "a.json": json_bytes({"caption": "é", "n": 1}), "b.png": TWO}
    found = images(stored(".tar", {name: members[name] for name in order}))
    assert {o.key: o.attributes for o in found if isinstance(o, FoundObject)} == {
        "a.png": {"caption": "é", "n": 1},
        "b.png": None,
    }


def test_given_attributes_count_before_those_beside() -> None:
    url = stored(".tar", {"a.json": json_bytes({"n": 1, "m": 2}), "a.png": ONE, "a.mask.png": TWO, "x/a.png": TWO})
    found = {o.key: o.attributes for o in images(url, n=5) if isinstance(o, FoundObject)}
    assert found == {"a.png": {"n": 5, "m": 2}, "a.mask.png": {"n": 5, "m": 2}, "x/a.png": {"n": 5}}


@pytest.mark.parametrize("beside", [b"{", b"[1]", b'"text"', b"\xff\xfe", b" " * (MAX_JSON_BYTES + 1), b"[" * 100_000])
def test_attributes_that_cannot_be_read_reject_their_image_alone(beside: bytes) -> None:
    found = images(stored(".tar", {"a.png": ONE, "a.json": beside, "b.png": TWO}))
    rejected, kept = found
    assert isinstance(rejected, Outcome)
    assert "a.json" in (rejected.reason or "")
    assert isinstance(kept, FoundObject)


@pytest.mark.parametrize("suffix", PACKS)
def test_members_beyond_the_limits_are_rejected_and_the_others_found(suffix: str) -> None:
    large = encoded(drawn(3, (900, 700)))
    url = stored(suffix, {"large.png": large, "empty.png": b"", "1.png": ONE})
    limits = Limits(max_bytes=len(large) - 1)
    large_one, empty, small = images(url, limits)
    assert isinstance(large_one, Outcome)
    assert isinstance(empty, Outcome)
    assert (large_one.reason or "").startswith("too_many_bytes")
    assert (empty.reason or "").startswith("empty")
    assert isinstance(small, FoundObject)
    with pytest.raises(ImageRejected, match="limit"):
        read_member(f"{url}!/large.png", limits, None, None)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
def test_a_damaged_archive_gives_what_comes_before(suffix: str) -> None:
    whole = PACKS[suffix]({"1.png": ONE, "2.png": TWO})
    bucket = new_bucket()
    put(bucket, {f"cut{suffix}": whole[: len(whole) * 2 // 3], f"none{suffix}": b"no archive" * 100})
    *_, last = images(f"memory://{bucket}/cut{suffix}")
    assert isinstance(last, Outcome)
    assert last.path == f"memory://{bucket}/cut{suffix}"
    [only] = images(f"memory://{bucket}/none{suffix}")
    assert isinstance(only, Outcome)
    assert (only.reason or "").startswith("damaged")


def test_an_archive_that_is_gone_is_one_outcome() -> None:
    [outcome] = images("memory://none/a.tar")
    assert isinstance(outcome, Outcome)
    assert (outcome.reason or "").startswith("unreadable")
