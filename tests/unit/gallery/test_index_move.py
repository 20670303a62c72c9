"""Moving the index of a pipeline to another engine and back: built beside, compared, switched, dropped."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lookalike
from lookalike.catalog import StoredIndex
from lookalike.config import Settings, from_environment
from lookalike.errors import BadInput, BadSetting, Conflict, NotFound
from lookalike.factory import open_gallery
from lookalike.gallery import index_move
from lookalike.results import GalleryPipeline
from tests.support.drawn_images import drawn, encoded
from tests.support.toy_encoders import write_toy_models

NUMBER = 12


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call reads the set of pipelines, and nothing waits for other processes."""
    monkeypatch.setattr("lookalike.gallery.pipeline_pool.REFRESH_SECONDS", -1.0)
    monkeypatch.setattr("lookalike.gallery.index_move.DROP_SECONDS", 0.0)
    monkeypatch.setattr("lookalike.gallery.pipeline_changes.DROP_SECONDS", 0.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(from_environment(), gallery=tmp_path / "gallery")


@pytest.fixture
def gallery(settings: Settings) -> Iterator[lookalike.Gallery]:
    with open_gallery(settings=settings, pipelines=["phash"], create=True) as opened:
        for seed in range(NUMBER):
            opened.put(str(seed), encoded(drawn(seed)))
        yield opened


def own(gallery: lookalike.Gallery) -> GalleryPipeline:
    return gallery.pipeline_states()[0]


def engine(gallery: lookalike.Gallery) -> str:
    """What the index that answers runs on."""
    assert gallery.search(encoded(drawn(5), "JPEG"), verify=False).hits[0].key == "5"
    return gallery.status().pipelines[0].engine


def folders(gallery: lookalike.Gallery) -> set[str]:
    return {path.name.split("-", 2)[2] for path in (gallery.folder / "indexes").iterdir()}


def other(gallery: lookalike.Gallery) -> tuple[str, str] | None:
    found = own(gallery).other_index
    return None if found is None else (found.state, found.address)


def test_an_index_moves_and_moves_back_with_what_was_changed_meanwhile(
    gallery: lookalike.Gallery, settings: Settings
) -> None:
    moved = gallery.move_index("phash", "flat")
    assert (moved.before, moved.after, moved.rows, moved.moved, moved.kept) == ("mih", "flat", NUMBER, True, True)
    assert moved.comparison is not None
    assert (moved.comparison.overlap, moved.comparison.unfound, moved.comparison.missing_rows) == (1.0, 0, 0)
    assert (engine(gallery), other(gallery)) == ("flat", ("kept", "mih"))
    gallery.put("new", encoded(drawn(50)))
    gallery.remove("0")
    with open_gallery(settings=settings) as elsewhere:
        assert engine(elsewhere) == "flat"
        back = gallery.move_index("phash", "mih")
        assert (back.after, back.rows, other(gallery)) == ("mih", NUMBER, ("kept", "flat"))
        assert engine(elsewhere) == engine(gallery) == "mih"
    assert gallery.search(encoded(drawn(50))).hits[0].key == "new"
    assert own(gallery).index == ""  # the default one, as in the beginning
    assert not gallery.move_index("phash", "mih").moved
    assert gallery.drop_index("phash") == "flat"
    assert (other(gallery), folders(gallery)) == (None, {"mih"})
    again = gallery.move_index("phash", "flat")
    assert (again.rows, folders(gallery)) == (NUMBER, {"mih", "flat-2"})  # a generation never comes twice


def test_a_move_that_was_stopped_anywhere_leaves_an_index_that_answers(
    gallery: lookalike.Gallery, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipelines = gallery.catalog.pipelines
    for owner, name in (
        (pipelines, "start_index_move"),
        (index_move, "compare_indexes"),
        (pipelines, "switch_index"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, stop)
            with pytest.raises(KeyboardInterrupt):
                gallery.move_index("phash", "flat")
        assert engine(gallery) == "mih"
        with open_gallery(settings=settings) as elsewhere:
            assert engine(elsewhere) == "mih"
    assert other(gallery) == ("building", "flat")
    assert gallery.status().pipelines[0].moving_to == "flat"
    with pytest.raises(BadInput, match="another index, at flat, which is being built; drop it first"):
        gallery.move_index("phash", "mih?m=5")
    assert gallery.move_index("phash", "flat").moved
    assert gallery.status().pipelines[0].moving_to is None
    for owner, name in ((pipelines, "start_index_drop"), (pipelines, "finish_index_drop")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, stop)
            with pytest.raises(KeyboardInterrupt):
                gallery.drop_index("phash")
        assert engine(gallery) == "flat"
    assert other(gallery) == ("dropping", "mih")
    with pytest.raises(BadInput, match="drop that first"):
        gallery.move_index("phash", "mih")
    assert gallery.drop_index("phash") == "mih"
    with pytest.raises(BadInput, match="has only the index that answers"):
        gallery.drop_index("phash")


def stop(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_an_unfinished_index_can_be_given_up(gallery: lookalike.Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(gallery.catalog.pipelines, "switch_index", stop)
        with pytest.raises(KeyboardInterrupt):
            gallery.move_index("phash", "flat")
    assert gallery.drop_index("phash") == "flat"
    assert (engine(gallery), folders(gallery)) == ("mih", {"mih"} & folders(gallery))
    assert gallery.move_index("phash", "mih?m=5").after == "mih"  # the same engine with other options


def test_an_index_that_lacks_rows_does_not_answer(gallery: lookalike.Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    real = index_move.compare_indexes

    def after_a_loss(catalog: Any, old: Any, new: Any, sequence: int) -> Any:
        new.index.delete(np.array([3, 4]))
        return real(catalog, old, new, sequence)

    monkeypatch.setattr(index_move, "compare_indexes", after_a_loss)
    with pytest.raises(Conflict, match=r"lacks 2 rows; 2 of 12 images are not found .*; it finds 8.* % of") as refused:
        gallery.move_index("phash", "flat")
    assert "--force" in str(refused.value)
    assert (engine(gallery), other(gallery)) == ("mih", ("building", "flat"))
    forced = gallery.move_index("phash", "flat", force=True)
    assert forced.comparison is not None
    assert (forced.comparison.missing_rows, engine(gallery)) == (2, "flat")


def test_a_server_answers_by_the_old_index_until_the_new_one_is_filled(
    gallery: lookalike.Gallery, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.search(encoded(drawn(1)))
    with open_gallery(settings=settings) as server:
        server.open_pipelines()
        server.sync_indexes()
        monkeypatch.setattr("lookalike.gallery.pipeline_pool.PREPARE_SECONDS", -1.0)  # it fills nothing
        gallery.move_index("phash", "flat")
        [snapshot] = (gallery.folder / "indexes").glob("phash-*-flat-1")
        snapshot.rename(snapshot.with_name("elsewhere"))  # as on another machine, where it was not built
        server.sync_indexes()
        [opened] = server._pipelines.open()
        assert opened.pipeline.engine == "mih"
        gallery.put("new", encoded(drawn(50)))
        assert server.search(encoded(drawn(50))).hits[0].key == "new"
        monkeypatch.setattr("lookalike.gallery.pipeline_pool.PREPARE_SECONDS", 60.0)
        server.sync_indexes()
        [opened] = server._pipelines.open()
        assert (opened.pipeline.engine, opened.pipeline.index.count()) == ("flat", NUMBER + 1)


def test_what_cannot_be_is_refused_before_anything_changes(gallery: lookalike.Gallery) -> None:
    with pytest.raises(NotFound, match="no pipeline 'toy'"):
        gallery.move_index("toy", "flat")
    with pytest.raises(BadSetting, match="unknown index engine"):
        gallery.move_index("phash", "nonsense")
    for secret in ("elasticsearch://user:secret@localhost:9200", "elasticsearch://localhost:9200?api_key=secret"):
        with pytest.raises(BadSetting, match="LOOKALIKE_INDEX_PHASH_NEXT") as refused:
            gallery.move_index("phash", secret)
        assert "secret" not in str(refused.value)
    assert (other(gallery), gallery.catalog.pipelines.version()) == (None, 0)


def test_a_dropped_pipeline_takes_both_of_its_indexes_along(settings: Settings, tmp_path: Path) -> None:
    settings = replace(settings, models=write_toy_models(tmp_path))
    with open_gallery(settings=settings, pipelines=["phash", "toy"], create=True) as gallery:
        gallery.put("a", encoded(drawn(1)))
        gallery.move_index("toy", "flat")
        gallery.update_indexes()
        gallery.promote_pipeline("phash")
        gallery.drop_pipeline("toy")
        assert not list((gallery.folder / "indexes").glob("toy-*"))
        assert gallery.catalog.pipelines.next_generation("toy") == 1


def test_the_environment_adds_the_password_of_an_index_that_was_moved_to(settings: Settings) -> None:
    whole = "elasticsearch://user:secret@localhost:9200?mode=exact"
    before = replace(settings, index={"PHASH": "flat", "PHASH_NEXT": whole})
    with open_gallery(settings=before, pipelines=["phash"], create=True) as gallery:
        builder = gallery._pipelines.builder
        assert builder.is_at("phash", StoredIndex(), "flat")
        to = StoredIndex("elasticsearch://user@localhost:9200?mode=exact", 1)
        assert builder._address("phash", to) == whole  # type: ignore[attr-defined]
        assert builder.is_named(to.address or "")
        assert not builder.is_named("elasticsearch://elsewhere:9200")
        assert builder._address("phash", StoredIndex("mih", 2)) == "mih"  # type: ignore[attr-defined]
