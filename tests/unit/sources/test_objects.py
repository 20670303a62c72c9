"""Objects of a store: listing, reading within limits, retries, and what each failure becomes."""

import pytest

from lookalike.errors import BadInput, BadSetting, ImageRejected, LookalikeError, NotFound, Unavailable
from lookalike.imaging import Limits
from lookalike.sources import objects
from lookalike.sources.objects import exists, expand_glob, list_objects, read_object, read_range, stat_object
from tests.support.object_stores import failing, new_bucket, put, throttled


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "FIRST_RETRY_SECONDS", 0.0)


@pytest.fixture
def bucket() -> str:
    name = new_bucket()
    put(name, {"b.jpg": b"two", "a/z.jpg": b"one", "a/b/c.jpg": b"three", "ab.jpg": b"beside"})
    return name


def test_a_prefix_is_listed_as_a_folder(bucket: str) -> None:
    assert [o.url for o in list_objects(f"memory://{bucket}/a")] == [
        f"memory://{bucket}/a/z.jpg",
        f"memory://{bucket}/a/b/c.jpg",
    ]
    found = {o.url: o for o in list_objects(f"memory://{bucket}")}
    assert len(found) == 4
    assert found[f"memory://{bucket}/ab.jpg"].nbytes == 6


def test_a_listing_and_an_object_have_the_same_etag_until_it_changes(bucket: str) -> None:
    listed = {o.url: o for o in list_objects(f"memory://{bucket}")}
    for url, info in listed.items():
        assert info.etag
        assert stat_object(url) == info
    url = f"memory://{bucket}/b.jpg"
    put(bucket, {"b.jpg": b"new"})
    assert stat_object(url).etag != listed[url].etag


def test_folders_and_absence_are_told_apart(bucket: str) -> None:
    assert stat_object(f"memory://{bucket}/a").is_folder
    assert not stat_object(f"memory://{bucket}/b.jpg").is_folder
    with pytest.raises(NotFound, match=r"nothing\.jpg"):
        stat_object(f"memory://{bucket}/nothing.jpg")
    assert exists(f"memory://{bucket}/b.jpg")
    assert not exists(f"memory://{bucket}/nothing.jpg")


def test_globs_are_expanded(bucket: str) -> None:
    assert expand_glob(f"memory://{bucket}/*.jpg") == [f"memory://{bucket}/{name}.jpg" for name in ("ab", "b")]
    with pytest.raises(NotFound, match="nothing matches"):
        expand_glob(f"memory://{bucket}/*.tar")


def test_reading_keeps_the_limits(bucket: str) -> None:
    url = f"memory://{bucket}/ab.jpg"
    assert read_object(url, Limits()) == read_object(url, Limits(), 6) == b"beside"
    assert read_range(url, 2, 3) == b"sid"
    for known in (None, 6):
        with pytest.raises(ImageRejected) as raised:
            read_object(url, Limits(max_bytes=5), known)
        assert raised.value.reason == "too_many_bytes"
    put(bucket, {"empty.jpg": b""})
    with pytest.raises(ImageRejected, match="empty"):
        read_object(f"memory://{bucket}/empty.jpg", Limits())


def test_an_object_that_has_grown_is_read_whole_within_the_limits(bucket: str) -> None:
    url = f"memory://{bucket}/ab.jpg"
    assert read_object(url, Limits(), 2) == b"beside"
    with pytest.raises(ImageRejected, match="more than the limit"):
        read_object(url, Limits(max_bytes=4), 2)


@pytest.mark.parametrize("failures", [1, objects.MAX_ATTEMPTS - 1])
def test_a_busy_store_is_asked_again(bucket: str, failures: int) -> None:
    left = {"info": failures, "cat_file": failures, "ls": failures}

    def failure(name: str, path: str) -> Exception | None:
        left[name] -= 1
        return throttled() if left[name] >= 0 else None

    with failing(failure) as requests:
        assert read_object(f"failing://{bucket}/b.jpg", Limits(), 3) == b"two"
        assert stat_object(f"failing://{bucket}/b.jpg").nbytes == 3
        assert next(list_objects(f"failing://{bucket}/a")).nbytes == 3
    assert requests["cat_file"] == requests["info"] == failures + 1


def test_a_store_that_stays_busy_is_unavailable(bucket: str) -> None:
    with failing(lambda *_: throttled()) as requests, pytest.raises(Unavailable, match="reduce your request rate"):
        read_object(f"failing://{bucket}/b.jpg", Limits(), 3)
    assert requests["cat_file"] == objects.MAX_ATTEMPTS


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PermissionError("denied"), BadInput),
        (FileNotFoundError("gone"), NotFound),
        (ValueError("odd"), ImageRejected),
        (type("NoCredentialsError", (Exception,), {})("none"), BadSetting),
    ],
)
def test_what_no_retry_mends_is_not_tried_again(bucket: str, error: Exception, kind: type[LookalikeError]) -> None:
    with failing(lambda *_: error) as requests, pytest.raises(kind):
        read_object(f"failing://{bucket}/b.jpg", Limits(), 3)
    assert requests["cat_file"] == 1


def test_errors_of_this_program_are_not_hidden(bucket: str) -> None:
    with failing(lambda *_: TypeError("a bug")), pytest.raises(TypeError, match="a bug"):
        stat_object(f"failing://{bucket}/b.jpg")


def test_packages_and_schemes_that_are_unknown_are_named() -> None:
    with pytest.raises(BadInput, match="nosuchstore"):
        stat_object("nosuchstore://bucket/a.jpg")
    with pytest.raises(BadInput, match=r"adlfs"):
        stat_object("abfs://container/a.jpg")
