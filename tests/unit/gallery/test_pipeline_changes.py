"""Pipelines that come and go: shadow, backfill, promoted, taken back, dropped, while others write and search."""

import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import lookalike
from lookalike.config import Settings, from_environment
from lookalike.errors import BadInput, BadSetting, Conflict, NotFound, UnsupportedQuery
from lookalike.factory import open_gallery
from lookalike.results import GalleryPipeline
from tests.support.command import lookalike as lookalike_command
from tests.support.drawn_images import drawn, encoded
from tests.support.toy_encoders import write_toy_models
from tests.support.waiting import wait_until

NUMBER = 6


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call reads the set of pipelines, and a drop waits for nobody."""
    monkeypatch.setattr("lookalike.gallery.pipeline_pool.REFRESH_SECONDS", -1.0)
    monkeypatch.setattr("lookalike.gallery.pipeline_changes.DROP_SECONDS", 0.0)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LOOKALIKE_MODELS", str(write_toy_models(tmp_path)))
    return replace(from_environment(), gallery=tmp_path / "gallery")


@pytest.fixture
def gallery(settings: Settings, tmp_path: Path) -> Iterator[lookalike.Gallery]:
    """Images with files, and one that was added as bytes."""
    (tmp_path / "photos").mkdir()
    for seed in range(NUMBER):
        drawn(seed).save(tmp_path / "photos" / f"{seed}.png")
    with open_gallery(settings=settings, pipelines=["phash"], create=True) as opened:
        opened.add(tmp_path / "photos")
        yield opened


def state_of(gallery: lookalike.Gallery, name: str) -> GalleryPipeline:
    return next(pipeline for pipeline in gallery.pipeline_states() if pipeline.name == name)


def used(gallery: lookalike.Gallery, **options: object) -> set[str]:
    """The pipelines that a search names."""
    return set(gallery.search(encoded(drawn(1)), **options).exact_within)  # type: ignore[arg-type]


def test_a_shadow_pipeline_gets_features_of_new_images_and_answers_only_by_name(gallery: lookalike.Gallery) -> None:
    added = gallery.add_pipeline("toy")
    assert (added.state, added.ranks, added.missing) == ("shadow", False, NUMBER)
    gallery.put("new", encoded(drawn(77)))
    assert state_of(gallery, "toy").missing == NUMBER
    assert gallery.pipelines == ("phash",)
    assert used(gallery) == {"phash"}
    answer = gallery.search(encoded(drawn(77), "JPEG"), pipelines=["toy"], verify=False)
    assert [hit.key for hit in answer.hits] == ["new"]
    assert gallery.add_pipeline("toy").created == added.created


def test_a_backfill_makes_the_rest_and_notes_what_it_cannot(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    gallery.put("upload", encoded(drawn(50)))
    gallery.add_pipeline("toy")
    (photos / "0.png").unlink()
    drawn(99).save(photos / "1.png")
    (photos / "2.png").write_bytes(b"no image")
    found = gallery.backfill("toy")
    assert found.missing == 4
    assert found.failed == {
        "changed": {"PNG": 1}, "gone": {"PNG": 1}, "no_original": {"PNG": 1}, "unreadable": {"PNG": 1},
    }  # fmt: skip
    assert list(gallery.backfill_iter("toy")) == []  # nothing is tried again
    drawn(0).save(photos / "0.png")
    assert gallery.backfill("toy", retry=True).failures == 3
    assert gallery.search(encoded(drawn(4)), pipelines=["toy"]).hits[0].key == "4.png"
    gallery.put("upload", encoded(drawn(51)))  # an image that is replaced has all features
    assert state_of(gallery, "toy").failures == 2
    gallery.catalog.check()


def test_images_of_a_folder_that_is_away_are_tried_again(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    gallery.add_pipeline("toy")
    (tmp_path / "photos").rename(tmp_path / "unplugged")
    [progress] = gallery.backfill_iter("toy")
    assert (progress.encoded, progress.failed, progress.unreachable) == (0, 0, NUMBER)
    (tmp_path / "unplugged").rename(tmp_path / "photos")
    assert gallery.backfill("toy").missing == 0


def test_a_stopped_backfill_goes_on_with_what_is_left(
    gallery: lookalike.Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.gallery.pipeline_changes.BATCH", 1)
    monkeypatch.setattr("lookalike.catalog.backfills.RANGE_IDS", 2)
    gallery.add_pipeline("toy")
    first = gallery.backfill_iter("toy")
    next(first)
    second = gallery.backfill_iter("toy")  # another worker, at the same time
    assert next(second).total == NUMBER - 1
    second.close()
    first.close()
    rest = list(gallery.backfill_iter("toy"))
    assert rest[-1].encoded == NUMBER - 2
    assert state_of(gallery, "toy").missing == 0


def test_promote_ranks_and_promoting_the_old_one_takes_it_back(gallery: lookalike.Gallery) -> None:
    gallery.add_pipeline("toy")
    with pytest.raises(Conflict, match=f"{NUMBER} images have no features of toy: {NUMBER} to encode"):
        gallery.promote_pipeline("toy")
    gallery.backfill("toy")
    states = {pipeline.name: (pipeline.state, pipeline.ranks) for pipeline in gallery.promote_pipeline("toy")}
    assert states == {"phash": ("active", False), "toy": ("active", True)}
    assert gallery.pipelines == ("phash", "toy")
    assert used(gallery) == {"phash", "toy"}
    gallery.promote_pipeline("phash")
    assert gallery.pipelines == ("phash",)
    assert used(gallery) == {"phash"}
    gallery.promote_pipeline("toy", replace=True)
    assert gallery.pipelines == ("toy",)
    gallery.put("new", encoded(drawn(77)))
    assert state_of(gallery, "phash").missing == 0  # so that it can be taken back at any time
    with pytest.raises(NotFound, match="no pipeline 'vgg16'"):
        gallery.promote_pipeline("vgg16")


def test_promote_names_what_is_missing_unless_told_to_go_on(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    gallery.add_pipeline("toy")
    (tmp_path / "photos" / "0.png").unlink()
    gallery.backfill("toy")
    with pytest.raises(Conflict, match=r"1 with a file that is gone \(1 PNG\)"):
        gallery.promote_pipeline("toy")
    gallery.promote_pipeline("toy", incomplete=True)
    assert gallery.pipelines == ("phash", "toy")


def test_drop_frees_features_and_index(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    gallery.add_pipeline("toy")
    gallery.backfill("toy")
    gallery.add_pipeline("toy-2")
    gallery.promote_pipeline("toy")
    with pytest.raises(BadInput, match="promote another one first"):
        gallery.drop_pipeline("toy")
    gallery.rebuild_indexes()
    assert list((tmp_path / "gallery" / "indexes").glob("toy-????????????-hnsw"))
    gallery.promote_pipeline("phash")
    gallery.drop_pipeline("toy")
    assert [pipeline.name for pipeline in gallery.pipeline_states()] == ["phash", "toy-2"]
    assert not list((tmp_path / "gallery" / "indexes").glob("toy-????????????-hnsw"))
    with pytest.raises(UnsupportedQuery, match="no pipeline 'toy'"):
        used(gallery, pipelines=["toy"])
    assert gallery.add_pipeline("toy").missing == NUMBER
    assert gallery.backfill("toy").missing == 0
    gallery.catalog.check()


def test_the_decoding_processes_of_a_dropped_pipeline_end(settings: Settings, tmp_path: Path) -> None:
    def children() -> set[int]:
        return {child.pid for child in psutil.Process().children(recursive=True)}

    before = children()
    with open_gallery(settings=replace(settings, workers=1), pipelines=["phash"], create=True, serving=True) as gallery:
        gallery.add_pipeline("toy")
        gallery.put("both", encoded(drawn(1)))
        with_toy = children() - before
        assert len(with_toy) == 1
        gallery.drop_pipeline("toy")
        gallery.put("phash alone", encoded(drawn(2)))
        gc.collect()  # a run of adding, which uses them, is part of a reference cycle
        wait_until(lambda: not with_toy & children(), "the processes for both pipelines did not end")
        assert len(children() - before) == 1


def test_a_drop_that_was_interrupted_is_finished(gallery: lookalike.Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery.add_pipeline("toy")
    with monkeypatch.context() as patch:
        patch.setattr(gallery.catalog.features, "clear", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        gallery.put("new", encoded(drawn(77)))
        with pytest.raises(KeyboardInterrupt):
            gallery.drop_pipeline("toy")
    assert state_of(gallery, "toy").state == "dropping"
    gallery.put("newer", encoded(drawn(78)))
    for forbidden in (gallery.add_pipeline, gallery.promote_pipeline):
        with pytest.raises(BadInput, match="is being dropped"):
            forbidden("toy")
    gallery.drop_pipeline("toy")
    assert [pipeline.name for pipeline in gallery.pipeline_states()] == ["phash"]


def test_a_writer_with_an_old_set_encodes_its_batch_again(
    gallery: lookalike.Gallery, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipelines change after a batch was decoded and encoded, before it is written."""
    monkeypatch.setattr("lookalike.gallery.pipeline_pool.REFRESH_SECONDS", 3600.0)
    more = tmp_path / "more"
    more.mkdir()
    for seed in range(10, 16):
        drawn(seed).save(more / f"{seed}.png")
    put, changed = gallery.catalog.images.put, []

    def put_late(*arguments: object, **options: object) -> object:
        if not changed:
            changed.append(True)
            with open_gallery(settings=settings) as other:
                other.add_pipeline("toy")
        return put(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(gallery.catalog.images, "put", put_late)
    outcomes = gallery.add(more)
    assert [outcome.outcome for outcome in outcomes] == ["added"] * 6
    assert gallery.encoded_pipelines == ("phash", "toy")
    assert state_of(gallery, "toy").missing == NUMBER
    changed.clear()
    monkeypatch.setattr(gallery.catalog.images, "put", put)
    with open_gallery(settings=settings) as other:
        other.backfill("toy")
        other.promote_pipeline("toy")
    gallery.put("late", encoded(drawn(30)))  # the same encoders in another state: nothing is decoded again
    assert state_of(gallery, "toy").missing == 0


def test_what_is_invalid_is_refused_before_anything_changes(gallery: lookalike.Gallery) -> None:
    with pytest.raises(BadSetting, match="unknown encoder 'nonsense'"):
        gallery.add_pipeline("nonsense")
    with pytest.raises(BadSetting, match="unknown index engine"):
        gallery.add_pipeline("toy", index="nonsense")
    with pytest.raises(BadSetting, match="LOOKALIKE_INDEX_TOY"):
        gallery.add_pipeline("toy", index="elasticsearch://user:secret@localhost:9200")
    with pytest.raises(UnsupportedQuery, match="no pipeline 'toy'"):
        gallery.backfill("toy")
    gallery.add_pipeline("toy", index="flat")
    with pytest.raises(BadInput, match="another index"):
        gallery.add_pipeline("toy", index="hnsw")
    assert state_of(gallery, "toy").index == "flat"


def test_all_hosts_of_a_gallery_see_its_pipelines(gallery: lookalike.Gallery, settings: Settings) -> None:
    gallery.add_pipeline("toy", index="flat")
    gallery.backfill("toy")
    with open_gallery(settings=settings) as other:
        assert other.encoded_pipelines == ("phash", "toy")
        gallery.promote_pipeline("toy")
        assert used(other) == {"phash", "toy"}
        assert other.search(encoded(drawn(3)), verify=False).hits[0].evidence == "exact"
    with pytest.raises(BadSetting, match="has the pipelines phash, toy"):
        open_gallery(settings=settings, pipelines=["phash"])


def test_a_search_by_key_without_features_names_the_remedy(gallery: lookalike.Gallery) -> None:
    gallery.add_pipeline("toy")
    gallery.promote_pipeline("toy", incomplete=True)
    with pytest.raises(UnsupportedQuery, match=r"no features of toy: .* pipelines backfill toy"):
        gallery.search(lookalike.StoredImage("1.png"))
    assert gallery.search(lookalike.StoredImage("1.png"), pipelines=["phash"]).hits[0].key == "1.png"


def test_the_command_says_what_a_backfill_could_not_encode(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    gallery.put("upload", encoded(drawn(50)))
    gallery.add_pipeline("toy")
    where = ("-g", gallery.folder)
    ran = lookalike_command("pipelines", "backfill", "toy", *where)
    assert (ran.code, "1 image still lack the features of toy" in ran.text) == (1, True)
    assert "1 added as bytes, without an original (1 PNG)" in ran.err
    assert lookalike_command("pipelines", "backfill", "nonsense", *where).code == 2
