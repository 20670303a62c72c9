"""Evaluations of galleries of drawn images: what is right, what is left out, and what is reported."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import lookalike
from lookalike.evaluation.edits import EDITS
from lookalike.evaluation.measurement import STANDARD_EDITS, QueryResult, ScoredHit, Search, confidence, searches
from lookalike.evaluation.report import Report, write_report
from lookalike.evaluation.runner import Original, Runner, outside_images
from lookalike.evaluation.summary import predictions, summarise
from lookalike.gallery import Gallery
from tests.support.drawn_images import drawn, encoded

SEARCHES = (Search("phash", {"pipelines": ["phash"], "verify": False}),)
NAMES = [f"{n}.png" for n in range(7)]


@pytest.fixture(scope="module")
def drawn_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    for n, name in enumerate(NAMES):
        (folder / name).write_bytes(encoded(drawn(n, (160, 120))))
    return folder


@pytest.fixture
def folder(drawn_files: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn_files, tmp_path / "images"))


@pytest.fixture
def gallery(folder: Path, tmp_path: Path) -> Iterator[Gallery]:
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"], create=True) as gallery:
        gallery.add(folder)
        yield gallery


def runner_of(gallery: Gallery, *edits: str, groups: dict[str, str] | None = None) -> Runner:
    calibrations = gallery.pipeline_calibrations()
    return Runner(gallery, "default", confidence(calibrations), SEARCHES, edits, groups=groups)


def originals_of(gallery: Gallery, n: int = len(NAMES)) -> list[Original]:
    return [Original(record.key, str(record.path)) for record in gallery.sample(n)]


def results_of(runner: Runner, originals: list[Original]) -> list[QueryResult]:
    return [result for results in runner.run(originals) for result in results]


def test_there_are_27_standard_edits_of_all_severities() -> None:
    assert len(set(STANDARD_EDITS)) == 27
    assert {EDITS[name].severity for name in STANDARD_EDITS} == {"light", "medium", "heavy"}


def test_copies_find_their_originals_and_nothing_changes(gallery: Gallery) -> None:
    before = gallery.status()
    runner = runner_of(gallery, "jpeg40", "mirror")
    results = results_of(runner, originals_of(gallery))
    assert len(results) == 2 * len(NAMES)
    assert {result.rank for result in results} == {1}
    assert all(hit.key != result.image for result in results for hit in result.without_original)
    assert gallery.status() == before
    summary = summarise(results, search="phash")
    assert (summary.images, summary.queries, summary.negatives) == (len(NAMES), 2 * len(NAMES), 2 * len(NAMES))
    assert summary.recall[1].value == 1
    assert summary.wrong_copies.value == 0
    assert summary.recall_at_false[0.001].value is None  # 14 queries cannot show one in a thousand


def test_results_do_not_depend_on_the_order_of_images(gallery: Gallery) -> None:
    runner, originals = runner_of(gallery, "noise", "stickers", "crop_80"), originals_of(gallery)
    one, two = results_of(runner, originals), results_of(runner, originals[::-1])
    assert sorted(one, key=repr) == sorted(two, key=repr)


def test_the_same_image_under_another_key_is_right(gallery: Gallery, folder: Path) -> None:
    gallery.put("again.png", (folder / NAMES[0]).read_bytes())
    original = Original(NAMES[0], folder / NAMES[0])
    [result] = results_of(runner_of(gallery, "jpeg40"), [original])
    assert {hit.key for hit in result.hits if hit.right} == {NAMES[0], "again.png"}
    assert not {NAMES[0], "again.png"} & {hit.key for hit in result.without_original}


def test_images_of_one_group_are_the_same_image(gallery: Gallery, folder: Path) -> None:
    gallery.put("small.jpg", encoded(drawn(0, (160, 120)).resize((120, 90)), "JPEG"))
    original = Original(NAMES[0], folder / NAMES[0])
    [plain] = results_of(runner_of(gallery, "jpeg40"), [original])
    assert {hit.key for hit in plain.hits if hit.right} == {NAMES[0], "small.jpg"}  # proven by their pixels
    groups = {NAMES[0]: "a", NAMES[1]: "a", NAMES[2]: "b"}
    [grouped] = results_of(runner_of(gallery, "jpeg40", groups=groups), [original])
    assert {hit.key for hit in grouped.hits if hit.right} <= {NAMES[0], NAMES[1]}
    assert "small.jpg" in {hit.key for hit in grouped.without_original}


def test_hard_images_are_those_with_the_nearest_neighbour(gallery: Gallery) -> None:
    gallery.put("small.jpg", encoded(drawn(3, (160, 120)).resize((120, 90)), "JPEG"))  # a copy, so no neighbour
    blended = Image.blend(drawn(5, (160, 120)), drawn(77, (160, 120)), 0.4)
    gallery.put("blended.png", encoded(blended))
    records = [record for record in gallery.sample(100) if record.path is not None]
    [hard] = runner_of(gallery, "jpeg40").hard_originals(records, 1)
    assert (hard.name, hard.sample) == (NAMES[5], "hard")


def test_an_image_whose_file_is_gone_is_skipped_with_the_reason(gallery: Gallery, folder: Path) -> None:
    originals = originals_of(gallery)
    (folder / NAMES[5]).unlink()
    (folder / NAMES[6]).write_bytes(b"no image")
    runner = runner_of(gallery, "jpeg40")
    results = results_of(runner, originals)
    assert set(runner.skipped) == {NAMES[5], NAMES[6]}
    assert {result.image for result in results} == set(NAMES) - {NAMES[5], NAMES[6]}


def test_an_image_outside_the_gallery_has_only_false_hits(gallery: Gallery, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(encoded(drawn(99)))
    assert outside_images(gallery, [folder / NAMES[0], other], tenant="default") == [other]
    results = results_of(runner_of(gallery, "jpeg40"), [*originals_of(gallery), Original("other", other, "outside")])
    summary = summarise(results, search="phash")
    assert (summary.queries, summary.negatives) == (len(NAMES), len(NAMES) + 1)


def test_a_sample_is_of_one_tenant_and_depends_on_the_seed(gallery: Gallery) -> None:
    gallery.put("theirs.png", encoded(drawn(50)), tenant="other")
    assert {record.key for record in gallery.sample(1000)} == set(NAMES)
    orders = {tuple(record.key for record in gallery.sample(10, seed=seed)) for seed in (0, 0, 1, 2)}
    assert len(orders) == 3
    assert gallery.sample(3, tenant="nobody") == []


def test_with_pixels_compared_copies_are_proven(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.gallery.verification.MAX_SIMILAR_VERIFIED", 10)
    both = searches(gallery.pipelines)
    runner = Runner(
        gallery, "default", confidence(gallery.pipeline_calibrations()), both, ("jpeg40", "crop_50", "mirror")
    )
    results = results_of(runner, originals_of(gallery, 4))
    verified, by_distance = (summarise(results, search=search.name) for search in both)
    assert (verified.queries, by_distance.queries) == (12, 12)
    assert verified.labelled.value is not None
    assert by_distance.labelled.value is not None
    assert verified.labelled.value >= by_distance.labelled.value - 0.1
    assert verified.wrong_copies.value == 0


def test_a_deep_evaluation_also_searches_with_windows(gallery: Gallery) -> None:
    shallow, deep = searches(gallery.pipelines), searches(gallery.pipelines, deep=True)
    assert [search for search in deep if search not in shallow] == [
        Search("with windows", {"pipelines": ["phash"], "verify": True, "deep": True})
    ]
    runner = Runner(gallery, "default", confidence(gallery.pipeline_calibrations()), deep, ("jpeg40",))
    results = results_of(runner, originals_of(gallery, 2))
    assert {result.search for result in results} == {"verified", "with windows", "phash"}
    assert all(result.rank == 1 for result in results)


def test_the_radius_of_an_answer_is_the_distance_of_the_fourth_nearest_image(gallery: Gallery, folder: Path) -> None:
    data = (folder / "1.png").read_bytes()
    answer = gallery.search(data, k=2, verify=False)
    distances = [hit.distance for hit in gallery.search(data, k=5, verify=False).hits]
    assert answer.radius == pytest.approx(distances[3])
    [(_, without)] = gallery.search_without([(data, ["1.png"])], k=2, verify=False)
    assert without.radius == pytest.approx(distances[4])
    near = gallery.search(data, threshold=distances[2], verify=False)
    assert near.radius == pytest.approx(distances[2])  # at least so far
    assert gallery.search(encoded(Image.new("RGB", (64, 64))), verify=False).radius is None


def test_a_search_without_images_answers_as_if_they_were_gone(gallery: Gallery, folder: Path) -> None:
    data = [(folder / name).read_bytes() for name in NAMES[:3]]
    left_out = [{NAMES[0]}, {NAMES[1], NAMES[5]}, set()]
    answers = [answer for _, answer in gallery.search_without(list(zip(data, left_out, strict=True)), k=5)]
    for keys, answer, file in zip(left_out, answers, data, strict=True):
        before = {record.key: record for record in gallery.ls()}
        for key in keys:
            gallery.remove(key)
        gone = gallery.search(file, k=5)
        assert not keys & {hit.key for hit in answer.hits}
        assert [hit.distance for hit in answer.hits] == [hit.distance for hit in gone.hits]  # ties are in order of ids
        for key in keys:
            gallery.put(key, Path(str(before[key].path)))


def test_half_of_the_predictions_are_without_an_original() -> None:
    hits = (hit("a", right=False, score=3), hit("me", right=True, score=2), hit("b", right=False, score=1))
    others = tuple(found for found in hits if not found.right)
    found = predictions([QueryResult("s", "jpeg40", "me", "random", hits, others)])
    assert sorted(zip(found.scores, found.correct, found.weights, strict=True)) == [
        (1, False, 2), (2, True, 1), (3, False, 2),
    ]  # fmt: skip
    assert found.positives.tolist() == [1]


def hit(key: str, *, right: bool, score: float = 1.0) -> ScoredHit:
    return ScoredHit(key, None, "similar", 0.3, "phash", score, right)


def test_a_report_is_one_file_without_foreign_content(gallery: Gallery, tmp_path: Path) -> None:
    hostile = '<script>alert(1)</script>"&\udcff\n'
    runner = runner_of(gallery, "jpeg40", "crop_50", "pasted_25")
    originals = {original.name: original for original in originals_of(gallery)}
    results = results_of(runner, list(originals.values()))
    results.append(QueryResult("phash", "jpeg40", hostile, "random", (hit(hostile, right=False),), ()))
    path = tmp_path / "report.html"

    def copy(image: str, edit: str) -> bytes | None:
        return runner.copies(originals[image], [edit])[0] if image in originals else None

    report = Report(
        hostile, 12, results, ["phash"], runner.edits, gallery.pipeline_calibrations(), {hostile: hostile}, [hostile]
    )
    write_report(report, copy, path)
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.findall(r'(?:src|href)="(?!data:image/jpeg;base64,)', text)
    assert text.count("<svg") == 2
    for edit in runner.edits:
        assert EDITS[edit].what in text
    assert "Worst misses" in text
    assert Image.open(path.with_name("images") / NAMES[0]).size == (160, 120)


def test_confidence_falls_along_the_hits_of_an_answer(gallery: Gallery, folder: Path) -> None:
    of = confidence(gallery.pipeline_calibrations())
    for name in NAMES:
        scores = [of(found) for found in gallery.search(folder / name).hits]
        assert scores == sorted(scores, reverse=True)
