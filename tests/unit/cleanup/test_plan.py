"""Plans: what is kept and removed, and what is left alone, with its reason."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lookalike
from lookalike.cleanup import CleanupOptions, CleanupPlan, apply_cleanup, plan, plan_cleanup, revise_plan
from lookalike.errors import BadInput, NotFound
from lookalike.gallery import Gallery
from lookalike.types import Item
from tests.faults.test_mutated_files import raw
from tests.support.cleanup_files import blocks, content, tree
from tests.support.drawn_images import drawn, encoded

Marks = dict[str, tuple[str, str]]


def marks(made: CleanupPlan) -> Marks:
    """By key: mark and reason."""
    return {i.image.key: (i.mark, i.reason) for group in made.groups for i in group.images}


def of(made: CleanupPlan, mark: str) -> set[str]:
    return {key for key, (found, _) in marks(made).items() if found == mark}


def test_a_plan_changes_nothing(full: Gallery, folder: Path) -> None:
    before = tree(folder), content(full)
    made = plan_cleanup(full)
    assert (tree(folder), content(full)) == before
    assert of(made, "keep") == {f"{n}.jpg" for n in range(3)}
    assert made.removed == 9
    assert made.frees == sum((folder / key).stat().st_size for key in of(made, "remove"))
    found = marks(made)
    assert found["0 small.png"] == ("remove", "fewer pixels")
    assert found["0 low.jpg"] == ("remove", "more compressed")
    assert all(group.images[0].mark == "keep" for group in made.groups)


def test_references_are_never_removed(full: Gallery, folder: Path) -> None:
    made = plan_cleanup(full, CleanupOptions(references=[folder / "card"]))
    assert {f"card/{n}.jpg" for n in range(3)} <= of(made, "keep")
    assert "0.jpg" in of(made, "remove")  # the same bytes are in the reference folder
    small = plan_cleanup(full, CleanupOptions(keep=["format=png"], references=[folder / "card"]))
    assert {"0 small.png", "card/0.jpg"} <= of(small, "keep")  # the best is kept beside the references
    with pytest.raises(NotFound, match="nowhere"):
        plan_cleanup(full, CleanupOptions(references=[folder / "nowhere"]))


def test_what_is_not_there_is_neither_kept_nor_removed(full: Gallery, folder: Path) -> None:
    full.add([Item("as bytes", encoded(drawn(0, (640, 480))))])
    (folder / "1.jpg").unlink()
    (folder / "2.jpg").write_bytes((folder / "2.jpg").read_bytes() + b"more")
    found = marks(plan_cleanup(full))
    assert found["as bytes"] == ("skip", plan.NO_FILE)
    assert found["1.jpg"] == ("skip", plan.MISSING)
    assert found["2.jpg"] == ("skip", plan.CHANGED)
    assert {found[f"card/{n}.jpg"][0] for n in (1, 2)} == {"keep"}
    shutil.rmtree(folder)
    gone = plan_cleanup(full)
    assert gone.removed == 0
    assert gone.skipped == {plan.MISSING: 12, plan.NO_FILE: 1}


def test_symbolic_links_free_nothing(gallery: Gallery, folder: Path) -> None:
    links = {"link.jpg": "0 low.jpg", "other link.jpg": "1.jpg"}
    for link, target in links.items():
        shutil.copy2(folder / target, folder / link)
    gallery.add(folder)
    for link, target in links.items():
        (folder / link).unlink()
        (folder / link).symlink_to(target)
    found = marks(plan_cleanup(gallery))
    assert found["link.jpg"] == ("skip", plan.IS_LINK)
    assert found["0 low.jpg"] == ("skip", plan.LINKED)
    assert found["1.jpg"][0] == "keep"
    assert found["other link.jpg"] == ("skip", plan.SAME_FILE)


def test_a_folder_by_two_paths_is_one(gallery: Gallery, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "second")
    for name in ("photos", "second"):
        paths = sorted(path.name for path in folder.glob("*.*"))
        gallery.add([Item(f"{name}/{path}", tmp_path / name / path) for path in paths])
    shutil.rmtree(tmp_path / "second")
    (tmp_path / "second").symlink_to(folder, target_is_directory=True)
    made = plan_cleanup(gallery)
    assert made.removed == 0
    assert set(made.skipped) == {plan.LINKED, plan.SAME_FILE}


def test_hard_links_are_one_file(gallery: Gallery, folder: Path, tmp_path: Path) -> None:
    links = {"0 second.jpg": "0 low.jpg", "2 second.jpg": "2.jpg"}
    for link, target in links.items():
        shutil.copy2(folder / target, folder / link)
    (folder / "card" / "2.jpg").unlink()
    gallery.add(folder)
    for link, target in links.items():
        (folder / link).unlink()
        os.link(folder / target, folder / link)
    os.link(folder / "1 low.jpg", tmp_path / "outside.jpg")
    made = plan_cleanup(gallery)
    found = marks(made)
    assert {found["0 low.jpg"][0], found["0 second.jpg"][0]} == {"remove"}
    assert found["1 low.jpg"] == ("skip", plan.HARD_LINKED)
    assert sorted(found[name][0] for name in ("2.jpg", "2 second.jpg")) == ["keep", "skip"]
    before = blocks(folder)
    apply_cleanup(gallery, plan_cleanup(gallery, CleanupOptions(to="delete")))
    assert before - blocks(folder) == made.frees


def test_read_only_files_are_protected(full: Gallery, folder: Path) -> None:
    (folder / "0 low.jpg").chmod(0o444)
    (folder / "1.jpg").chmod(0o444)
    found = marks(plan_cleanup(full))
    assert found["0 low.jpg"] == ("skip", plan.READ_ONLY)
    assert found["1.jpg"][0] == "keep"


def test_scopes(full: Gallery, folder: Path) -> None:
    exact = plan_cleanup(full, CleanupOptions(exact_only=True))
    assert of(exact, "remove") == {f"card/{n}.jpg" for n in range(3)}
    assert all(group.evidence == "exact" for group in exact.groups)
    assert exact.out_of_scope == 6
    across = plan_cleanup(full, CleanupOptions(across_folders=True))
    assert of(across, "remove") == {f"card/{n}.jpg" for n in range(3)}
    assert across.skipped == {plan.SAME_FOLDER: 6}
    least = (folder / "0 low.jpg").stat().st_size + 1
    sized = plan_cleanup(full, CleanupOptions(min_bytes=least))
    assert all((folder / key).stat().st_size >= least for key in of(sized, "remove"))
    assert sized.skipped[plan.TOO_SMALL] >= 1
    everything = sorted(content(full))
    some = {"n": {"lt": everything.index("1 low.jpg")}}  # attributes are numbers in the order of keys
    filtered = plan_cleanup(full, CleanupOptions(filter=some))
    assert set(marks(filtered)) == {"0 low.jpg", "0 small.png", "0.jpg"}
    assert filtered.out_of_scope == 12 - 3
    for wrong in ({"min_bytes": -1}, {"max_distance": 1.5}, {"max_distance": float("nan")}):
        with pytest.raises(BadInput):
            CleanupOptions(**wrong)  # type: ignore[arg-type]


def test_copies_up_to_a_distance(gallery: Gallery, tmp_path: Path) -> None:
    image = drawn(1, (320, 240))
    changed = image.crop((16, 12, 320, 240))
    for name, version in {"a.png": image, "b.png": changed}.items():
        (tmp_path / name).write_bytes(encoded(version))
        gallery.add(tmp_path / name)
    [cluster] = gallery.duplicates()
    assert 0 < cluster.distance < 1
    near = plan_cleanup(gallery, CleanupOptions(max_distance=cluster.distance / 2))
    assert near.skipped == {plan.TOO_FAR: 1}
    assert plan_cleanup(gallery, CleanupOptions(max_distance=cluster.distance)).removed == 1


def pages(kind: str, seeds: list[int]) -> bytes:
    """A file of several frames or pages."""
    images = [drawn(seed, (320, 240)) for seed in seeds]
    return encoded(images[0], kind, save_all=True, append_images=images[1:])


@pytest.mark.parametrize(("kind", "suffix"), [("TIFF", "tif"), ("GIF", "gif"), ("PNG", "png"), ("WEBP", "webp")])
def test_frames_that_were_not_compared_are_left_alone(gallery: Gallery, tmp_path: Path, kind: str, suffix: str) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name, seeds in {"a": [1, 2, 3], "b": [1, 4], "the first alone": [1], "c": [1, 2, 3]}.items():
        (folder / f"{name}.{suffix}").write_bytes(pages(kind, seeds))
    gallery.add(folder)
    found = marks(plan_cleanup(gallery, CleanupOptions(keep=["folder=" + str(folder), "oldest"])))
    left = {key: reason for key, (mark, reason) in found.items() if mark == "skip"}
    assert set(left.values()) == {plan.OTHER_FRAMES}
    assert f"b.{suffix}" in {key for key, (mark, _) in found.items() if mark != "remove"}
    removed = {key for key, (mark, _) in found.items() if mark == "remove"}
    assert removed <= {f"the first alone.{suffix}", f"a.{suffix}", f"c.{suffix}"}
    assert not {f"a.{suffix}", f"c.{suffix}"} <= removed  # the same bytes: one of them at the most
    [kept] = of(plan_cleanup(gallery, CleanupOptions(exact_only=True)), "keep")
    assert kept in (f"a.{suffix}", f"c.{suffix}")


def test_a_camera_raw_file_is_no_copy_of_its_preview(gallery: Gallery, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    jpeg = encoded(drawn(1, (320, 240)), "JPEG", quality=90)
    data = raw(drawn(1, (320, 240)), jpeg)
    for name in ("IMG_1.dng", "IMG_1 (2).dng"):
        (folder / name).write_bytes(data)
    (folder / "IMG_1.jpg").write_bytes(encoded(drawn(1, (1280, 960)), "JPEG", quality=90))
    gallery.add(folder)
    found = marks(plan_cleanup(gallery))
    assert found["IMG_1.jpg"] == ("keep", "most pixels")
    assert {found[name] for name in ("IMG_1.dng", "IMG_1 (2).dng")} == {("skip", plan.IS_RAW)}
    made = marks(plan_cleanup(gallery, CleanupOptions(keep=["format=raw"])))
    assert sorted(mark for mark, _ in made.values()) == ["keep", "remove", "remove"]
    assert made["IMG_1.jpg"][0] == "remove"


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_a_truncated_image_loses_to_a_complete_one_that_is_as_large(
    gallery: Gallery, tmp_path: Path, format_: str
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    data = encoded(drawn(1, (640, 480)), format_)
    (folder / "cut.png").write_bytes(data[: len(data) * 199 // 200])
    (folder / "small.jpg").write_bytes(encoded(drawn(1, (160, 120)), "JPEG"))
    gallery.add(folder)
    assert marks(plan_cleanup(gallery)) == {
        "small.jpg": ("keep", "complete"),
        "cut.png": ("skip", plan.LARGER),
    }
    (folder / "whole.jpg").write_bytes(encoded(drawn(1, (640, 480)), "JPEG", quality=50))
    gallery.add(folder)
    found = marks(plan_cleanup(gallery))
    assert found["whole.jpg"][0] == "keep"
    assert found.get("cut.png", ("remove", "no copy of it"))[0] == "remove"
    assert found["small.jpg"] == ("remove", "fewer pixels")


def test_what_was_marked_as_no_duplicate_is_not_removed(full: Gallery) -> None:
    full.not_a_match(["0.jpg", "0 low.jpg"])
    found = marks(plan_cleanup(full))
    assert found["0.jpg"][0] == "keep"
    assert "0 low.jpg" not in found  # it is in no cluster of the kept one
    assert found["0 small.png"][0] == "remove"


def test_choices_of_a_person(full: Gallery, folder: Path) -> None:
    made = plan_cleanup(full)
    first, second, third = made.groups
    revised = revise_plan(full, made, {first.id: ["0 small.png", "card/0.jpg"], third.id: None})
    assert [group.id for group in revised.groups] == [first.id, third.id]
    found = marks(revised)
    assert {found[key][0] for key in ("0 small.png", "card/0.jpg")} == {"keep"}
    assert of(revised, "remove") >= {"0.jpg", "0 low.jpg"}
    assert marks(CleanupPlan(made.options, revised.groups[1:])) == marks(CleanupPlan(made.options, (third,)))
    for wrong in ({"0" * 16: None}, {second.id: ["0.jpg"]}, {second.id: []}):
        with pytest.raises(BadInput):
            revise_plan(full, made, wrong)  # type: ignore[arg-type]
    (folder / "1.jpg").unlink()
    left = revise_plan(full, made, {second.id: ["1.jpg"], third.id: None})
    assert {mark for mark, _ in marks(CleanupPlan(left.options, left.groups[:1])).values()} == {"skip"}
    assert of(left, "remove") == of(CleanupPlan(made.options, (third,)), "remove")


def test_actions_that_cannot_be(full: Gallery, folder: Path, tmp_path: Path) -> None:
    for wrong in ("shred", "", str(folder / "0.jpg")):
        with pytest.raises(BadInput):
            plan_cleanup(full, CleanupOptions(to=wrong))
    assert plan_cleanup(full, CleanupOptions(to=f"{tmp_path}/new")).removed == 9
    assert not (tmp_path / "new").exists()
    links = plan_cleanup(full, CleanupOptions(to="hardlink"))
    assert of(links, "remove") == {f"card/{n}.jpg" for n in range(3)}
    assert links.skipped == {"not the same bytes as the kept one: a link would lose them": 6}
    inside = plan_cleanup(full, CleanupOptions(to=folder / "card"))
    assert inside.skipped == {"in that folder already": 3}


file_kinds = st.sampled_from(["plain", "plain", "plain", "link", "hard link", "read-only", "missing", "reference"])


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(1, 3), file_kinds), min_size=2, max_size=9),
    st.sampled_from(["pixels", "quality", "format=png", "format=jpeg"]),
)
def test_no_plan_removes_the_last_copy(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[int, int, str]], rule: str
) -> None:
    """Whatever the files are: deleting leaves a copy of each image in a file, and all that is protected."""
    base = tmp_path_factory.mktemp("files")
    folder, reference = base / "photos", base / "photos" / "reference"
    reference.mkdir(parents=True)
    items, last = [], folder / "none"
    links: list[tuple[Path, Path, str]] = []  # made when the gallery knows both paths: `add` stores no links
    for number, (seed, version, kind) in enumerate(files):
        image = drawn(seed, (64 * version, 48 * version))
        path = (reference if kind == "reference" else folder) / f"{number}.png"
        if kind in ("link", "hard link") and last.exists():
            shutil.copy2(last, path)
            links.append((path, last, kind))
        else:
            path.write_bytes(encoded(image, "JPEG" if number % 2 else "PNG"))
            if kind == "read-only":
                path.chmod(0o444)
        last = path
        items.append(Item(str(number), path, {"seed": seed}))
    with lookalike.open(base / "gallery", pipelines=["phash"], create=True) as gallery:
        gallery.add(items)
        for path, target, kind in links:
            path.unlink()
            path.symlink_to(target) if kind == "link" else os.link(target, path)
        for number, (_, _, kind) in enumerate(files):
            if kind == "missing":
                (folder / f"{number}.png").unlink()
        before, used = tree(folder), blocks(folder)
        readable = {name for name in before if (folder / name).exists()}
        clusters = [[image.path for image in cluster.images] for cluster in gallery.duplicates()]
        there = [{path for path in paths if path and Path(path).exists()} for paths in clusters]
        made = plan_cleanup(gallery, CleanupOptions(keep=[rule], to="delete", references=[reference]))
        report = apply_cleanup(gallery, made)
    assert Counter(outcome.outcome for outcome in report.outcomes)["failed"] == 0
    after = tree(folder)
    assert used - blocks(folder) == made.frees == report.frees
    for paths in there:
        assert not paths or any(Path(path).exists() for path in paths)
    for name in before.keys() - after.keys():
        assert not name.startswith("reference/")
        assert before[name][1] != 0o444
        assert not before[name][0].startswith("link")
    assert all(after[name] == before[name] for name in after)
    assert all((folder / name).exists() for name in readable & after.keys())  # no link has lost its target
