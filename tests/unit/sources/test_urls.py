"""URLs: their stored form, archives and members, and credentials, which are refused."""

import pytest

from lookalike.errors import BadInput
from lookalike.sources.urls import (
    canonical_url,
    default_key,
    expand_numbers,
    is_archive,
    is_below,
    is_url,
    parent_of,
    split_member,
)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("s3://bucket/a/", "s3://bucket/a"),
        ("S3A://bucket/a?b#c.jpg", "s3://bucket/a?b#c.jpg"),
        ("gcs://bucket", "gs://bucket"),
        ("file:///pics/a.jpg", "/pics/a.jpg"),
        ("zip:///pics/a.zip", "/pics/a.zip"),
        ("zip://sub/a.jpg::s3://bucket/a.zip", "s3://bucket/a.zip!/sub/a.jpg"),
        ("zip://::memory://a.zip", "memory://a.zip"),
        ("zip://*::file:///pics/a.zip", "/pics/a.zip"),
        ("tar://0.jpg::/pics/0.tar", "file:///pics/0.tar!/0.jpg"),
        ("file:///pics/0.tar!/0.jpg", "file:///pics/0.tar!/0.jpg"),
        ("abfs://container@account.dfs.core.windows.net/a.jpg", "abfs://container@account.dfs.core.windows.net/a.jpg"),
        ("sftp://ann@host/a:b@c.jpg", "sftp://ann@host/a:b@c.jpg"),
        ("https://host/a.jpg?width=200", "https://host/a.jpg?width=200"),
    ],
)
def test_a_url_is_stored_in_one_form(given: str, stored: str) -> None:
    assert canonical_url(given) == stored
    assert canonical_url(stored) == stored if is_url(stored) else True


@pytest.mark.parametrize(
    "given",
    [
        "s3://name:hunter2@bucket/a.jpg",
        "sftp://ann:hunter2@host/a.jpg",
        "ftp://:hunter2@host/a.jpg",
        "zip://a.jpg::s3://name:hunter2@bucket/a.zip",
        "https://host/a.jpg?X-Amz-Signature=hunter2",
        "https://host/a.jpg?width=2&token=hunter2",
        "https://host/a.jpg?sig=hunter2&sv=1",
        "s3://bucket/a?secret=hunter2",
        "abfs://container/a.jpg?account_key=hunter2",
    ],
)
def test_credentials_are_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(BadInput, match="stored with every image") as raised:
        canonical_url(given)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "given", ["s3://bucket/../other/a.jpg", "simplecache::s3://bucket/a.jpg", "zip://a::tar://b::c.tar", "zip://a.jpg"]
)
def test_what_cannot_be_read_is_refused(given: str) -> None:
    with pytest.raises(BadInput):
        canonical_url(given)


def test_paths_are_no_urls() -> None:
    assert not any(map(is_url, ("/a/b", "a", "C://x", "", None, b"s3://b", "a b://c")))


def test_members_belong_to_archives() -> None:
    assert split_member("s3://b/0.tar!/a/b.jpg") == ("s3://b/0.tar", "a/b.jpg")
    assert split_member("s3://b/wow!/a.jpg") == ("s3://b/wow!/a.jpg", None)
    assert split_member("s3://b/wow!/a.zip!/c.jpg") == ("s3://b/wow!/a.zip", "c.jpg")
    assert [name for name in ("a.TAR", "a.tar.gz", "a.tgz", "a.zip", "a.jpg", "tar") if is_archive(name)] == [
        *("a.TAR", "a.tar.gz", "a.tgz", "a.zip")
    ]


def test_a_prefix_ends_at_a_name() -> None:
    inside = ("s3://b/pics", "s3://b/pics/a.jpg", "s3://b/pics/0.tar!/a.jpg")
    outside = ("s3://b/pics2/a.jpg", "s3://b", "gs://b/pics/a.jpg", "s3://b/pic")
    assert all(is_below(url, prefix) for url in inside for prefix in ("s3://b/pics", "s3://b/pics/"))
    assert not any(is_below(url, "s3://b/pics") for url in outside)
    assert is_below("s3://b/0.tar!/a.jpg", "s3://b/0.tar")


def test_numbers_of_shards_are_expanded() -> None:
    assert expand_numbers("s3://b/{008..011}.tar") == [f"s3://b/{n}.tar" for n in ("008", "009", "010", "011")]
    assert expand_numbers("{0..1}-{1..2}") == ["0-1", "0-2", "1-1", "1-2"]
    assert expand_numbers("{a,b}") == ["{a,b}"]
    with pytest.raises(BadInput, match="more than"):
        expand_numbers("{0..99999999}")


def test_keys_of_urls_are_without_the_bucket() -> None:
    assert default_key("s3://bucket/a/b.jpg") == "a/b.jpg"
    assert default_key("s3://bucket") == "bucket"
    assert default_key("/pics/a.jpg") == "pics/a.jpg"
    assert parent_of("s3://bucket/a/b.jpg") == "s3://bucket/a"
