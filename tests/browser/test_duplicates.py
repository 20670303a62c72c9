"""Duplicates: what is kept and why, what becomes of the others, keys, comparison, and thousands of groups."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, expect

import lookalike
from tests.browser.conftest import OpenPage, Watch
from tests.support.browser.page_actions import COLORS_JS
from tests.support.browser.served_galleries import init, serve
from tests.support.drawn_images import drawn, encoded
from tests.support.waiting import HANG_SECONDS

Shot = Callable[[Page, str], None]
NAMES = ("bay", "cow", "dune", "elm")
SIZE = (480, 360)


@pytest.fixture(scope="module")
def disk(browser: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server on this machine, with a trash of its own, and its folder: four images, each with a copy or two."""
    place = tmp_path_factory.mktemp("disk")
    folder = place / "photos"
    for part in ("camera", "sent"):
        (folder / part).mkdir(parents=True)
    for number, name in enumerate(NAMES):
        image = drawn(number + 3, SIZE)
        image.save(folder / "camera" / f"{name}.png")
        image.resize((SIZE[0] // 2, SIZE[1] // 2)).save(folder / "sent" / f"{name}-half.jpg", quality=85)
        if name in ("bay", "cow"):
            (folder / "sent" / f"{name}-same.png").write_bytes((folder / "camera" / f"{name}.png").read_bytes())
    gallery = init(place / "gallery")
    with lookalike.open(gallery) as opened:
        assert {outcome.outcome for outcome in opened.add(folder)} <= {"added", "duplicate"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(place / "data"))
        with serve(gallery) as served:
            yield served.url, folder


def opened(open_page: OpenPage, url: str, **options: object) -> Page:
    """The groups, all of them."""
    page = open_page(url, "#/duplicates", **options)
    page.wait_for_selector(".member img.loaded")
    expect(page.get_by_role("button", name="Apply to all")).to_be_visible()
    return page


def group(page: Page, name: str) -> Locator:
    """The group that has this image."""
    return page.locator(".cluster").filter(has=page.locator(f'.member[data-key$="{name}"]'))


def kept(where: Locator) -> list[str]:
    """The names of the images that are kept."""
    keys = where.locator(".member.kept").evaluate_all("cards => cards.map((card) => card.dataset.key)")
    return sorted(key.rsplit("/", 1)[-1] for key in keys)


def files(folder: Path) -> list[str]:
    """The names of all files below a folder."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_rules_choose_and_say_why(disk: tuple[str, Path], open_page: OpenPage, shot: Shot) -> None:
    page = opened(open_page, disk[0])
    expect(page.locator(".cluster")).to_have_count(4)
    assert kept(group(page, "dune.png")) == ["dune.png"]
    dune = group(page, "dune.png")
    expect(dune.locator(".member.kept .member-reason")).to_have_text("most pixels")
    expect(dune.locator(".member:not(.kept) .member-reason")).to_have_text("not kept: fewer pixels")
    page.get_by_role("combobox", name="Keep", exact=True).select_option("In a folder …")
    page.get_by_label("Preferred folder").fill("sent")
    page.get_by_label("Preferred folder").press("Enter")
    expect(dune.locator(".member.kept .member-reason")).to_have_text("in the preferred folder")
    assert kept(page.locator(".clusters")) == ["bay-same.png", "cow-same.png", "dune-half.jpg", "elm-half.jpg"]
    shot(page, "duplicates")


def test_scopes_narrow_the_groups(disk: tuple[str, Path], open_page: OpenPage) -> None:
    page = opened(open_page, disk[0])
    page.get_by_role("combobox", name="Groups", exact=True).select_option("Exact copies only")
    expect(page.locator(".cluster")).to_have_count(2)
    expect(page.locator(".member")).to_have_count(4)
    expect(page.get_by_role("button", name="Apply to all 2 groups")).to_be_visible()
    page.get_by_role("combobox", name="Groups", exact=True).select_option("One folder …")
    page.get_by_label("Only in").fill("sent/")
    page.get_by_label("Only in").press("Enter")
    expect(page.locator(".cluster")).to_have_count(2)
    page.get_by_label("Only in").fill("camera")
    page.get_by_label("Only in").press("Enter")
    expect(page.locator(".state h2")).to_have_text("No groups in this scope")
    page.get_by_role("combobox", name="Groups", exact=True).select_option("All copies")
    expect(page.locator(".cluster")).to_have_count(4)


def test_keys_choose_and_move(disk: tuple[str, Path], open_page: OpenPage, shot: Shot) -> None:
    page = opened(open_page, disk[0])
    bay = group(page, "bay.png")
    bay.locator("[data-main]").first.focus()
    first = kept(bay)
    page.keyboard.press("3")
    expect(bay.locator(".member").nth(2)).to_have_class(re.compile("kept"))
    expect(bay.locator(".member.kept")).to_have_count(1)
    assert kept(bay) != first
    page.keyboard.press("Shift+Digit1")
    expect(bay.locator(".member.kept")).to_have_count(2)
    expect(bay.locator(".cluster-head")).to_contain_text("2 images kept, 1 not")
    page.keyboard.press("ArrowRight")
    expect(bay.locator("[data-main]").nth(1)).to_be_focused()
    page.keyboard.press("Space")
    expect(bay.locator(".member.kept")).to_have_count(3)
    expect(bay.locator(".cluster-head")).to_contain_text("All are kept")
    for _ in range(3):
        page.keyboard.press("Space")
    bay.locator("[data-main]").nth(1).focus()
    page.keyboard.press("2")
    bay.get_by_role("checkbox").nth(1).click()  # the last one that is kept stays so
    expect(bay.locator(".member.kept")).to_have_count(1)
    page.keyboard.press("j")
    expect(group(page, "cow.png").locator("[data-main]").first).to_be_focused()
    page.keyboard.press("k")
    expect(bay.locator("[data-main]").first).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog").get_by_role("heading", name="Keys")).to_be_visible()
    shot(page, "duplicates-keys")


def test_what_is_no_duplicate_is_never_grouped_again(workshop: str, open_page: OpenPage) -> None:
    page = opened(open_page, workshop)
    dogs = group(page, "photos/dogs.jpg")
    dogs.get_by_role("button", name="Not duplicates").click()
    expect(dogs).to_have_count(0)
    page.reload()
    page.wait_for_selector(".cluster")
    expect(dogs).to_have_count(0)
    cat = group(page, "photos/cat.jpg")
    cat.get_by_role("button", name="cat-grey.jpg is not a duplicate").click()
    expect(cat.locator(".member")).to_have_count(2)
    page.get_by_role("button", name="Undo").click()
    expect(cat.locator(".member")).to_have_count(3)
    cat.get_by_role("button", name="cat-grey.jpg is not a duplicate").click()
    expect(cat.locator(".member")).to_have_count(2)
    page.reload()
    page.wait_for_selector(".cluster")
    expect(cat.locator(".member")).to_have_count(2)


def test_uploaded_images_leave_the_gallery_and_the_trash_is_not_offered(
    workshop: str, open_page: OpenPage, shot: Shot
) -> None:
    page = opened(open_page, workshop)
    wine = group(page, "photos/wine.jpg")
    expect(wine.get_by_role("button", name="Move to trash")).to_have_count(0)
    wine.get_by_role("button", name="Remove from gallery").click()
    expect(wine).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(wine).to_have_count(1)
    page.get_by_role("button", name="Apply to all").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("radio", name=re.compile("Move to trash"))).to_be_disabled()
    expect(dialog).to_contain_text("they were uploaded")
    shot(page, "duplicates-review-uploaded")
    page.keyboard.press("Escape")
    wine.locator("[data-main]").first.focus()
    page.keyboard.press("x")
    expect(wine).to_have_count(0)
    with page.expect_response("**/v1/images:delete"):
        page.get_by_role("button", name="Dismiss").first.click()
    assert httpx.get(f"{workshop}/v1/images/copies%2Fwine-jpeg15.jpg", timeout=HANG_SECONDS).status_code == 404
    assert httpx.get(f"{workshop}/v1/images/photos%2Fwine.jpg", timeout=HANG_SECONDS).status_code == 200


def test_a_server_that_does_not_give_its_files_says_so(filled: Path, open_page: OpenPage, browser: object) -> None:
    with serve(filled, "--no-local-files") as served:
        page = opened(open_page, served.url)
        page.get_by_role("button", name="Apply to all").click()
        expect(page.get_by_role("dialog")).to_contain_text("--local-files")
        page.close()


def test_the_images_of_a_group_are_compared_at_full_size(
    disk: tuple[str, Path], open_page: OpenPage, shot: Shot
) -> None:
    page = opened(open_page, disk[0])
    group(page, "elm.png").locator('.member[data-key$="elm-half.jpg"] [data-main]').click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".verdict")).to_contain_text("A copy")
    expect(dialog.locator(".pair")).to_contain_text("480 × 360")
    expect(dialog.locator(".stage.aligned")).to_be_visible()
    with page.expect_response("**/original") as answered:
        page.keyboard.press("+")
    assert answered.value.ok
    page.keyboard.press("+")
    pans = "stages => stages.map((pan) => getComputedStyle(pan).transform)"
    before = dialog.locator(".stage-pan").evaluate_all(pans)
    assert before[0] == before[1] != "none"
    page.keyboard.press("Shift+ArrowRight")
    after = dialog.locator(".stage-pan").evaluate_all(pans)
    assert after[0] == after[1] != before[0]
    shot(page, "duplicates-zoom")
    expect(dialog.locator(".group-foot")).to_contain_text("of 4")
    page.keyboard.press("k")
    expect(dialog.get_by_role("heading", name=re.compile("dune-half.jpg"))).to_be_visible()
    dialog.get_by_role("button", name="Keep only this one").click()
    page.keyboard.press("Escape")
    assert kept(group(page, "dune.png")) == ["dune-half.jpg"]


def test_the_list_is_exported(disk: tuple[str, Path], open_page: OpenPage) -> None:
    page = opened(open_page, disk[0])
    with page.expect_download() as saving:
        page.get_by_role("button", name="Export list").click()
    text = Path(saving.value.path()).read_text("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 10
    assert {row["path"] for row in rows} == {str(p) for p in disk[1].rglob("*") if p.is_file()}
    assert sorted(row["key"] for row in rows if row["action"] == "keep") == [f"camera/{name}.png" for name in NAMES]


def test_files_go_to_the_trash_after_a_review_and_one_undo_brings_them_back(
    disk: tuple[str, Path], open_page: OpenPage, shot: Shot
) -> None:
    url, folder = disk
    before = files(folder)
    (folder / "sent" / "elm-half.jpg").chmod(0o444)
    page = opened(open_page, url)
    page.get_by_role("button", name=re.compile(r"Apply to all 4 groups \(frees ")).click()
    dialog = page.get_by_role("dialog")
    act = dialog.get_by_role("button", name="Move 5 files to trash")
    expect(act).to_be_enabled()
    expect(dialog).to_contain_text("Left alone: 1 (read-only")
    expect(dialog.locator(".mark-skip")).to_have_count(1)
    shot(page, "duplicates-review")
    assert files(folder) == before
    act.click()
    panel = page.get_by_role("region", name="Last clean-up")
    expect(panel).to_contain_text("5 files of")
    expect(panel).to_contain_text("1 left alone")
    assert files(folder) == sorted([*(f"{name}.png" for name in NAMES), "elm-half.jpg"])
    expect(page.locator(".view-head:visible")).to_contain_text("moved to the trash in this session")
    shot(page, "duplicates-trashed")
    panel.get_by_role("button", name="Undo").click()
    expect(panel).to_contain_text("5 files restored")
    assert files(folder) == before
    expect(page.locator(".cluster")).to_have_count(4)


def test_images_leave_the_gallery_after_a_review_and_their_files_stay(
    disk: tuple[str, Path], open_page: OpenPage
) -> None:
    url, folder = disk
    before = files(folder)
    page = opened(open_page, url)
    page.get_by_role("button", name="Apply to all").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("radio", name=re.compile("Remove from gallery")).check()
    dialog.get_by_role("button", name="Remove 6 images from gallery").click()
    expect(page.locator("#duplicates .state h2")).to_have_text("No duplicates")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".cluster")).to_have_count(4)
    page.get_by_role("button", name="Apply to all").click()
    dialog.get_by_role("radio", name=re.compile("Remove from gallery")).check()
    dialog.get_by_role("button", name="Remove 6 images from gallery").click()
    with page.expect_response("**/v1/images:delete") as answered:
        page.get_by_role("button", name="Dismiss").first.click()
    assert answered.value.json()["deleted"] == 6
    assert files(folder) == before


def clusters(number: int) -> list[dict[str, object]]:
    """So many clusters as the server lists them."""
    made = []
    for at in range(number):
        images = [
            {
                "key": f"{folder}/{at:05}.jpg",
                "width": width,
                "height": width * 3 // 4,
                "format": "JPEG",
                "bytes": 900 * width,
                "sha256": f"{at:063}{place}",
                "border": {"left": 0, "top": 0, "right": 0, "bottom": 0},
                "attributes": {},
                "created": "2026-01-31T09:30:00Z",
                "updated": "2026-01-31T09:30:00Z",
                "sequence": 1,
                "thumbnail": "/page/icons/logo.svg",
                "frames": 1,
                "truncated": False,
                "exif": {},
                "path": None,
            }
            for place, (folder, width) in enumerate((("a", 4000), ("b", 2000)))
        ]
        made.append({"id": f"{at:016}", "evidence": "copy", "distance": 0.03, "images": images, "same": [0, 1]})
    return made


def test_of_thousands_of_groups_only_those_near_the_window_are_in_the_document(
    library: str, open_page: OpenPage, watch: Watch
) -> None:
    listed = clusters(3000)

    def answer(route: Route) -> None:
        first = "cursor" not in route.request.url
        body = {"clusters": listed[:20] if first else listed[20:], "next": "on" if first else None}
        route.fulfill(status=200, content_type="application/json", body=json.dumps(body))

    page = open_page(library)
    page.route("**/v1/duplicates?**", answer)
    page.get_by_role("link", name="Duplicates").click()
    expect(page.get_by_role("button", name=re.compile("Apply to all 3,000 groups"))).to_be_enabled()
    assert 0 < page.locator(".cluster").count() < 200
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator('.cluster[data-id="0000000000002999"]')).to_be_attached()
    assert page.locator(".cluster").count() < 300
    expect(page.locator('.cluster[data-id="0000000000000000"]')).to_have_count(0)
    page.get_by_role("button", name="Apply to all").click()
    expect(page.get_by_role("dialog")).to_contain_text("3,000 images of 3,000 groups leave the gallery")
    assert page.locator(".review-group").count() < 300


@pytest.mark.parametrize(("border", "reason"), [(1, "more compressed"), (4, "most pixels")])
def test_a_border_that_is_measured_a_little_otherwise_decides_nothing(
    library: str, open_page: OpenPage, border: int, reason: str
) -> None:
    page = open_page(library)
    uncut = {"left": 0, "top": 0, "right": 0, "bottom": 0}
    common = {"format": "JPEG", "truncated": False, "created": "2026-01-01T00:00:00Z", "exif": {}}
    original = common | {"key": "a", "width": 40, "height": 30, "bytes": 900, "border": uncut | {"bottom": border}}
    copy = common | {"key": "b", "width": 30, "height": 40, "bytes": 300, "border": uncut}
    suggested = page.evaluate(
        """async (images) => {
            const {suggest} = await import("/page/js/keep-rules.js");
            const {kept, reasons} = suggest(images, new Map([["a", 1], ["b", 2]]), "best");
            return [kept, reasons.get("b")];
        }""",
        [original, copy],
    )
    assert suggested == ["a" if border == 1 else "b", reason]


def test_originals_that_the_browser_does_not_show_are_compared_at_full_size(
    open_page: OpenPage, browser: object, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    image = drawn(7950, (1800, 1200))
    image.save(folder / "scan.tif")
    short = encoded(image, "WEBP", quality=95)
    (folder / "short.webp").write_bytes(short[: len(short) * 39 // 40])
    gallery = init(tmp_path / "gallery")
    with lookalike.open(gallery) as added:
        added.add(folder)
    with serve(gallery) as served:
        page = opened(open_page, served.url)
        page.locator(".member:not(.kept) [data-main]").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.locator(".stage img.loaded")).to_have_count(2)
        page.keyboard.press("z")
        expect(dialog.locator(".stage-percent")).to_have_text("100%")
        for side in ("yours", "found"):
            shown = dialog.locator(f".stage-{side} img")
            expect(shown).to_have_js_property("naturalWidth", 1800)
            assert len({tuple(color) for color in shown.evaluate(COLORS_JS)}) > 100
        expect(dialog.locator(".stage-zoom")).not_to_contain_text("preview")
        page.close()
