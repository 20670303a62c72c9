"""The gallery: adding, finding, looking, deleting with an undo that is honest."""

import random
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

import lookalike
from tests.browser.conftest import OpenPage, Watch
from tests.support.browser.page_actions import choose, drop, found, said, sample
from tests.support.browser.served_galleries import init, serve
from tests.support.drawn_images import drawn, encoded
from tests.support.waiting import HANG_SECONDS, wait_until

Shot = Callable[[Page, str], None]


def there(url: str, key: str) -> bool:
    """Whether the service has an image of this key."""
    return httpx.get(f"{url}/v1/images/{key.replace('/', '%2F')}", timeout=HANG_SECONDS).status_code == 200


def opened(open_page: OpenPage, url: str, **options: object) -> Page:
    """The gallery, its first images shown."""
    page = open_page(url, "#/gallery", **options)
    page.wait_for_selector(".tile img.loaded")
    return page


def images(folder: Path, *seeds: int) -> Path:
    """A folder with drawn images, one of them in a folder within, and a file that is none."""
    inner = folder / "within"
    inner.mkdir(parents=True)
    for seed in seeds[:-1]:
        (folder / f"{seed}.png").write_bytes(encoded(drawn(seed)))
    (inner / f"{seeds[-1]}.png").write_bytes(encoded(drawn(seeds[-1])))
    (folder / "readme.txt").write_text("no image")
    return folder


def test_many_files_are_added_and_what_fails_says_why(
    workshop: str, open_page: OpenPage, watch: Watch, shot: Shot
) -> None:
    watch.expect("status of 422")
    page = opened(open_page, workshop)
    good = [{"name": f"new-{n}.png", "mimeType": "image/png", "buffer": encoded(drawn(900 + n))} for n in range(5)]
    bad = {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": sample("wine").read_bytes()[:900]}
    choose(page, "Add images", *good, bad)
    panel = page.get_by_role("region", name="Uploads")
    expect(panel.get_by_role("heading")).to_have_text("5 added, 1 failed")
    failed = panel.locator('.upload[data-state="failed"]')
    expect(failed).to_contain_text("broken.jpg")
    expect(failed).to_contain_text(re.compile("truncated|damaged|cannot be read"))
    said(page, "5 added, 1 failed")
    shot(page, "uploads")
    expect(failed.get_by_role("button")).to_have_count(0)  # the same bytes would be rejected again
    expect(panel.get_by_role("button", name="Retry failed")).to_be_hidden()
    assert all(there(workshop, f"new-{n}.png") for n in range(5))
    expect(page.locator('.tile[data-key="new-3.png"]')).to_be_visible()
    panel.get_by_role("button", name="Close the list of uploads").click()
    expect(panel).to_be_hidden()


def test_progress_is_shown_and_what_waits_can_be_stopped(workshop: str, open_page: OpenPage) -> None:
    page = opened(open_page, workshop)
    client = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 50, "downloadThroughput": -1, "uploadThroughput": 60_000}
    client.send("Network.emulateNetworkConditions", slow)
    files = {n: encoded(drawn(950 + n, (500, 400))) for n in range(8)}
    noise = [{"name": f"slow-{n}.png", "mimeType": "image/png", "buffer": data} for n, data in files.items()]
    choose(page, "Add images", *noise)
    page.wait_for_function(
        """() => [...document.querySelectorAll('.upload .progress > span')]
            .some((bar) => Number(bar.style.getPropertyValue('--done')) > 0)"""
    )
    page.get_by_role("button", name="Stop").click()
    expect(page.locator('.upload[data-state="cancelled"]').first).to_be_visible()
    expect(page.get_by_role("region", name="Uploads").get_by_role("heading")).to_contain_text("cancelled")


def test_a_folder_is_added_with_its_paths(workshop: str, open_page: OpenPage, tmp_path: Path) -> None:
    page = opened(open_page, workshop)
    one, two = f"chosen in {tmp_path.name}", f"dropped in {tmp_path.name}"  # tried again, it finds none of them there
    first = 700 + 10 * random.randrange(10**6)
    chosen = images(tmp_path / one, first + 1, first + 2, first + 3)
    dropped = images(tmp_path / two, first + 4, first + 5)
    choose(page, "Add a folder", chosen)
    heading = page.get_by_role("region", name="Uploads").get_by_role("heading")
    expect(heading).to_have_text("3 added")
    expect(page.get_by_role("region", name="Uploads")).to_contain_text("Skipped 1 file that is not an image")
    assert there(workshop, f"{one}/within/{first + 3}.png")
    drop(page, [dropped])
    expect(heading).to_have_text("5 added")
    assert there(workshop, f"{two}/{first + 4}.png")
    assert there(workshop, f"{two}/within/{first + 5}.png")


def test_a_name_that_is_taken_replaces_nothing_unasked(
    workshop: str, open_page: OpenPage, watch: Watch, shot: Shot
) -> None:
    watch.expect("status of 412")
    page = opened(open_page, workshop)
    first, second = encoded(drawn(801)), encoded(drawn(802))
    panel = page.get_by_role("region", name="Uploads")
    under_way = panel.locator(", ".join(f'[data-state="{state}"]' for state in ("waiting", "sending", "working")))
    for rows, data in enumerate((first, first, second), 1):
        choose(page, "Add images", {"name": "taken.png", "mimeType": "image/png", "buffer": data})
        expect(panel.locator(".upload")).to_have_count(rows)
        expect(under_way).to_have_count(0)
    assert panel.locator(".upload").evaluate_all("rows => rows.map((row) => row.dataset.state)") == [
        "exists",
        "added",
        "unchanged",
    ]
    shot(page, "name-taken")
    panel.get_by_role("button", name="Keep both: taken.png").click()
    expect(panel.locator('.upload[data-state="added"]')).to_have_count(2)
    assert there(workshop, "taken%20(2).png")


def test_deleting_can_be_undone_and_is_real_in_the_end(workshop: str, open_page: OpenPage, shot: Shot) -> None:
    page = opened(open_page, workshop)
    key = "photos/mars.jpg"
    card = page.locator(f'.tile[data-key="{key}"]')
    card.locator("[data-main]").focus()
    page.keyboard.press("Delete")
    expect(card).to_have_count(0)
    said(page, "1 image removed from the gallery")
    shot(page, "undo")
    assert there(workshop, key), "nothing is sent while there is an undo"
    page.get_by_role("button", name="Undo").click()
    expect(card).to_have_count(1)
    card.locator("[data-main]").focus()
    page.keyboard.press("Delete")
    with page.expect_response("**/v1/images:delete") as answered:
        page.get_by_role("button", name="Dismiss").first.click()
    assert answered.value.ok
    assert not there(workshop, key)
    page.reload()
    page.wait_for_selector(".tile")
    expect(card).to_have_count(0)


def test_leaving_the_page_deletes_what_waits(workshop: str, open_page: OpenPage) -> None:
    page = opened(open_page, workshop)
    key = "photos/retina.jpg"
    card = page.locator(f'.tile[data-key="{key}"]')
    card.hover()
    card.get_by_role("checkbox").check()
    page.get_by_role("toolbar").get_by_role("button", name="Remove from gallery").click()
    expect(card).to_have_count(0)
    assert there(workshop, key)
    page.goto("about:blank")
    wait_until(lambda: not there(workshop, key), "nothing was deleted")


def test_what_could_not_be_deleted_comes_back(workshop: str, open_page: OpenPage, watch: Watch) -> None:
    watch.expect("ERR_INTERNET_DISCONNECTED")
    page = opened(open_page, workshop)
    card = page.locator('.tile[data-key="photos/gravel.jpg"]')
    card.locator("[data-main]").focus()
    page.keyboard.press("Delete")
    expect(card).to_have_count(0)
    page.context.set_offline(True)
    page.get_by_role("button", name="Dismiss").first.click()
    expect(page.locator(".toast")).to_contain_text("Not removed: The server cannot be reached")
    expect(card).to_have_count(1)
    page.context.set_offline(False)
    assert there(workshop, "photos/gravel.jpg")


def test_a_large_image_has_its_place_before_it_is_loaded(library: str, open_page: OpenPage) -> None:
    page = opened(open_page, library, width=360)
    page.route("**/thumbnail?size=1024", lambda route: page.wait_for_timeout(300) or route.continue_())
    page.locator('.tile[data-key="photos/cat.jpg"] [data-main]').click()
    img = page.locator(".image-large img")
    expect(img).to_have_attribute("alt", re.compile(r"^cat\.jpg, [\d,]+ by [\d,]+$"))
    boxes = lambda: [list((of.bounding_box() or {}).values()) for of in (img, page.locator(".compare-side"))]  # noqa: E731
    before = boxes()
    page.wait_for_selector(".image-large img.loaded")
    after = boxes()
    assert min(before[0]) > 10
    for one, other in zip(before, after, strict=True):
        assert one == pytest.approx(other, abs=1)


def test_several_are_selected_at_once(library: str, open_page: OpenPage, shot: Shot) -> None:
    page = opened(open_page, library)
    boxes = page.get_by_role("checkbox")
    page.locator(".tile").nth(1).hover()
    boxes.nth(1).check()
    page.locator(".tile").nth(4).hover()
    boxes.nth(4).click(modifiers=["Shift"])
    expect(page.get_by_role("toolbar")).to_contain_text("4 selected")
    shot(page, "selected")
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_role("toolbar")).to_have_count(0)


def test_images_are_found_by_name_and_by_filter(library: str, open_page: OpenPage, shot: Shot) -> None:
    page = opened(open_page, library)
    view = page.locator("#gallery")
    name = view.get_by_label("Part of a name or folder")
    keys = lambda: page.locator(".tile").evaluate_all("tiles => tiles.map((tile) => tile.dataset.key)")  # noqa: E731
    name.fill("PIES/Cat")
    expect(page.locator(".tile")).to_have_count(2)
    assert keys() == ["copies/cat-grey.jpg", "copies/cat-scale_half.jpg"]
    said(page, "2 found.")
    shot(page, "gallery-found-by-name")
    name.fill("photos/wine.jpg")
    expect(page.locator(".tile")).to_have_count(1)
    name.fill("no such name")
    expect(view.locator(".state h2")).to_have_text("No images found")
    expect(view.locator(".state")).to_contain_text("No name or folder contains “no such name”.")
    shot(page, "gallery-no-such-name")
    view.get_by_role("button", name="Show all").click()
    page.wait_for_selector(".tile")
    view.get_by_role("button", name="Filter", exact=True).click()
    view.get_by_label("Attribute").fill("kind")
    view.get_by_label("Value", exact=True).fill("painting")
    page.keyboard.press("Enter")
    expect(page.locator(".tile")).to_have_count(4)
    view.get_by_role("button", name="Remove the filter kind = painting").click()
    expect(page.locator(".tile")).to_have_count(43)


def test_images_are_sorted_and_filtered_by_what_is_known_of_files(
    library: str, open_page: OpenPage, shot: Shot
) -> None:
    page = opened(open_page, library)
    view = page.locator("#gallery")
    keys = lambda: page.locator(".tile").evaluate_all("tiles => tiles.map((tile) => tile.dataset.key)")  # noqa: E731
    page.wait_for_selector(".tile")
    by_key = keys()
    view.get_by_label("Sort by").select_option("Largest file first")
    first = "document.querySelector('.tile')?.dataset.key"
    page.wait_for_function(f"key => {first} && {first} !== key", arg=by_key[0])
    expect(page.locator(".tile")).to_have_count(len(by_key))
    largest = keys()
    assert sorted(largest) == sorted(by_key)
    shot(page, "gallery-sorted")
    view.get_by_label("Sort by").select_option("Name")
    page.wait_for_function("key => document.querySelector('.tile')?.dataset.key === key", arg=by_key[0])
    view.get_by_role("button", name="Filter", exact=True).click()
    view.get_by_label("Attribute").fill("file.folder")
    view.get_by_label("Value", exact=True).fill("copies")
    page.keyboard.press("Enter")
    expect(page.locator(".tile")).to_have_count(sum(key.startswith("copies/") for key in by_key))


def test_an_image_is_looked_at_and_searched_with(library: str, open_page: OpenPage, shot: Shot) -> None:
    page = opened(open_page, library)
    page.locator('.tile[data-key="photos/cat.jpg"] [data-main]').click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".facts")).to_contain_text("SHA-256")
    page.wait_for_selector("dialog img.loaded")
    shot(page, "image")
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("heading")).to_have_text("coffee.jpg")
    page.keyboard.press("ArrowLeft")
    dialog.get_by_role("button", name="Find similar").click()
    found(page)
    expect(page.locator(".matches .hit").first).to_have_attribute("data-key", "photos/cat.jpg")


@pytest.mark.parametrize("width", [360, 1440])
def test_an_empty_gallery_says_what_to_do(
    browser: object, open_page: OpenPage, tmp_path: Path, shot: Shot, width: int
) -> None:
    with serve(init(tmp_path / "empty")) as served:
        page = open_page(served.url, width=width)
        expect(page.locator(".hero-lead")).to_contain_text("gallery is empty")
        shot(page, f"empty-search-{width}")
        page.get_by_role("link", name="Add images").click()
        expect(page.locator("#gallery .state h2")).to_have_text("No images yet")
        shot(page, f"empty-gallery-{width}")
        page.goto(f"{served.url}/#/duplicates")
        expect(page.locator("#duplicates .state h2")).to_have_text("No duplicates")
        page.goto(f"{served.url}/#/gallery")
        choose(page, "Add images", sample("cat"))
        page.wait_for_selector(".tile img.loaded")
        expect(page.locator("#gallery .view-head")).to_contain_text("1 image")
        page.close()


def test_what_another_attempt_may_add_is_tried_again(workshop: str, open_page: OpenPage, watch: Watch) -> None:
    watch.expect("status of 422|ERR_FAILED")
    page = opened(open_page, workshop)
    first = {"name": "later.png", "mimeType": "image/png", "buffer": encoded(drawn(7801))}
    empty = {"name": "nothing.png", "mimeType": "image/png", "buffer": b""}
    page.route("**/v1/images/later.png", lambda route: route.abort())
    choose(page, "Add images", first, empty)
    panel = page.get_by_role("region", name="Uploads")
    expect(panel.get_by_role("heading")).to_have_text("2 failed")
    expect(panel.get_by_role("button", name="Try again: nothing.png")).to_have_count(0)
    expect(panel.locator(".upload", has_text="nothing.png")).to_contain_text("Failed · The file is empty (0 bytes)")
    page.unroute("**/v1/images/later.png")
    page.route("**/v1/images/nothing.png", lambda route: pytest.fail("sent again"))
    panel.get_by_role("button", name="Retry failed").click()
    expect(panel.get_by_role("heading")).to_have_text("1 added, 1 failed")
    assert there(workshop, "later.png")


def test_an_upload_that_ends_early_is_said_to_be_truncated(workshop: str, open_page: OpenPage) -> None:
    page = opened(open_page, workshop)
    data = encoded(drawn(7802, (300, 200)), quality=90, format="JPEG")
    short = {"name": "short.jpg", "mimeType": "image/jpeg", "buffer": data[: len(data) * 2 // 3]}
    whole = {"name": "whole.jpg", "mimeType": "image/jpeg", "buffer": data}
    choose(page, "Add images", short, whole)
    panel = page.get_by_role("region", name="Uploads")
    expect(panel.locator(".upload", has_text="short.jpg")).to_contain_text("Added · truncated: pixels are missing")
    expect(panel.locator(".upload", has_text="whole.jpg")).to_contain_text(re.compile("Added$"))


def test_what_others_add_is_shown_when_the_view_is_opened_again(workshop: str, open_page: OpenPage) -> None:
    page = opened(open_page, workshop)
    before = page.locator("#count").inner_text()
    page.get_by_role("link", name="Search", exact=True).click()
    with lookalike.Client(workshop) as client:
        client.put("added-by-another.png", encoded(drawn(7803)))
    page.get_by_role("link", name="Gallery", exact=True).click()
    expect(page.locator('.tile[data-key="added-by-another.png"]')).to_be_attached()
    expect(page.locator("#count")).not_to_have_text(before)
