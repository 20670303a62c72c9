"""Searching: every way to hand in an image, and what is done with the answer."""

import re
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

import lookalike
from lookalike.types import Item
from tests.browser.conftest import OpenPage, Watch
from tests.support.browser.page_actions import (
    COLORS_JS,
    choose,
    copy_to_clipboard,
    drop,
    found,
    hit,
    said,
    sample,
    search_with,
)
from tests.support.browser.served_galleries import copy_of, init, running, serve
from tests.support.drawn_images import drawn, encoded

Shot = Callable[[Page, str], None]


def test_a_chosen_copy_finds_its_original(library: str, open_page: OpenPage, tmp_path: Path) -> None:
    copy = tmp_path / "mirrored.jpg"
    copy.write_bytes(copy_of("wine", "mirror"))
    page = open_page(library)
    search_with(page, copy)
    first = page.locator(".matches .hit").first
    expect(first).to_have_attribute("data-key", "photos/wine.jpg")
    expect(first.locator(".badge")).to_have_text("Copy")
    expect(first.locator(".hit-found")).to_have_text("Mirrored")
    expect(first.locator(".hit-names")).to_contain_text("photos")
    expect(first.locator(".hit-numbers")).to_have_count(0)
    first.get_by_role("button", name="Numbers: wine.jpg").click()
    expect(first.locator(".hit-numbers")).to_contain_text(re.compile(r"Distance\s*0\.\d{3} by the hash"))
    with Image.open(sample("wine")) as original:
        size = f"{original.width:,} × {original.height:,}"
        expect(first.locator(".hit-where")).to_have_text(size)
        kept = [round(side * 384 / max(original.size)) for side in original.size]
    assert first.locator("img").evaluate("img => [+img.getAttribute('width'), +img.getAttribute('height')]") == kept
    expect(page.locator(".found-title")).to_contain_text("Found: ")
    said(page, "Found: ")
    expect(page.locator(".query-name")).to_have_text("mirrored.jpg")


def test_the_same_file_is_exact(library: str, open_page: OpenPage) -> None:
    page = open_page(library)
    search_with(page, sample("cat"))
    expect(page.locator(".matches .hit").first.locator(".badge")).to_have_text("Exact copy")
    expect(page.locator(".found-title")).to_have_text("Found: the same image and 2 copies")


def test_a_dropped_image_is_searched_for(library: str, open_page: OpenPage) -> None:
    page = open_page(library)
    page.wait_for_selector(".drop-zone")
    drop(page, [sample("dogs")])
    found(page)
    expect(page.locator(".matches .hit").first).to_have_attribute("data-key", "photos/dogs.jpg")


def test_a_pasted_image_is_searched_for(library: str, open_page: OpenPage) -> None:
    page = open_page(library, permissions=["clipboard-read", "clipboard-write"])
    with Image.open(sample("fig")) as image:
        copy_to_clipboard(page, encoded(image))
    page.locator("#main").focus()
    page.keyboard.press("Control+V")
    found(page)
    expect(page.locator(".matches .hit").first).to_have_attribute("data-key", "photos/fig.jpg")
    page.goto(f"{library}/#/")
    page.get_by_role("button", name="Paste").click()
    found(page)
    expect(page.locator(".query-name")).to_have_text("Pasted image")


def test_a_photo_is_taken_with_the_camera(library: str, open_page: OpenPage, shot: Shot) -> None:
    page = open_page(library, permissions=["camera"])
    page.get_by_role("button", name="Take a photo").click()
    take = page.get_by_role("dialog").get_by_role("button", name="Take the photo")
    expect(take).to_be_enabled()
    shot(page, "camera")
    take.click()
    expect(page.locator(".query-name")).to_have_text("Photo")
    found(page)


def test_without_a_camera_the_phones_own_is_asked(library: str, open_page: OpenPage) -> None:
    page = open_page(library, permissions=[])
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotFoundError')); }"
    )
    with page.expect_file_chooser() as opening:
        page.get_by_role("button", name="Take a photo").click()
    assert opening.value.element.get_attribute("capture") == "environment"
    opening.value.set_files(sample("wine"))
    found(page)


@pytest.fixture(scope="module")
def web_host() -> Iterator[int]:
    """The port of a host on the web that has the samples."""
    folder = str(sample("cat").parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder)) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        yield host.server_port
        host.shutdown()


@pytest.mark.parametrize("width", [360, 1440])
def test_an_image_on_the_web_is_searched_for_shown_and_cropped(
    filled: Path, web_host: int, open_page: OpenPage, browser: object, shot: Shot, width: int
) -> None:
    with running([sys.executable, "-m", "tests.support.browser.serve_with_urls", str(filled), str(web_host)]) as served:
        page = open_page(served.url, width=width)
        elsewhere: list[str] = []
        page.on("request", lambda asked: elsewhere.append(asked.url) if f":{web_host}/" in asked.url[:40] else None)
        page.get_by_label("Address of an image").fill(f"http://127.0.0.1:{web_host}/soldier.jpg")
        page.locator(".url-form").get_by_role("button", name="Search").click()
        found(page)
        expect(page.locator(".matches .hit").first).to_have_attribute("data-key", "photos/soldier.jpg")
        mine = page.locator(".query-frame img")
        expect(mine).to_have_attribute("src", re.compile("^blob:"))
        with Image.open(sample("soldier")) as original:
            kept = [round(side * min(1.0, 1024 / max(original.size))) for side in original.size]
        page.wait_for_function("document.querySelector('.query-frame img').naturalWidth > 0")
        assert mine.evaluate("img => [img.naturalWidth, img.naturalHeight]") == kept
        shot(page, f"url-{width}")
        page.get_by_role("button", name="Crop").click()
        expect(page.get_by_role("slider", name="Crop frame")).to_be_focused()
        shot(page, f"url-crop-{width}")
        with page.expect_request("**/v1/search**") as asking:
            page.get_by_role("button", name="Search with the crop").click()
        assert asking.value.headers["content-type"] == "image/png"
        found(page)
        expect(page.locator(".query-name")).to_have_text(re.compile("^Crop of .*soldier.jpg"))
        page.get_by_role("button", name="Whole image").click()
        expect(page.locator(".matches .hit").first).to_have_attribute("data-key", "photos/soldier.jpg")
        expect(mine).to_have_attribute("src", re.compile("^blob:"))
        page.locator(".hit [data-main]").first.click()
        expect(page.locator(".stage-yours img")).to_have_attribute("src", re.compile("^blob:"))
        expect(page.locator(".verdict")).to_have_text("Identical file: the same bytes.")
        page.keyboard.press("Escape")
        page.reload()
        found(page)
        expect(mine).to_have_attribute("src", re.compile("^blob:"))
        assert elsewhere == [], "the page itself asks the other host for nothing"
        page.close()


def test_an_address_that_may_not_be_fetched_is_refused_in_words(
    library: str, open_page: OpenPage, watch: Watch
) -> None:
    watch.expect("status of 400")
    page = open_page(library)
    page.get_by_label("Address of an image").fill("http://127.0.0.1/private.jpg")
    page.keyboard.press("Enter")
    expect(page.locator(".state.error h2")).to_have_text("Invalid address")
    expect(page.locator(".state.error")).to_contain_text("public")


@pytest.mark.parametrize(("name", "kind"), [("notes.jpg", "image/jpeg"), ("notes.txt", "text/plain")])
def test_what_is_no_image_is_refused_in_words(
    library: str, open_page: OpenPage, watch: Watch, shot: Shot, name: str, kind: str
) -> None:
    watch.expect("status of 422")
    page = open_page(library)
    choose(page, "Choose images", {"name": name, "mimeType": kind, "buffer": b"not an image at all"})
    expect(page.locator(".state.error h2")).to_have_text("Not an image")
    said(page, "Not an image")
    shot(page, "refused")


def distances_of(page: Page, selector: str) -> list[float]:
    """The distances of hits."""
    return [
        float(d) for d in page.locator(selector).evaluate_all("cards => cards.map((card) => card.dataset.distance)")
    ]


def test_the_threshold_filters_at_once(library: str, open_page: OpenPage, shot: Shot) -> None:
    page = open_page(library)
    search_with(page, sample("cat"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/v1/search" in request.url else None)
    assert page.locator(".matches .hit").count() == 3
    slider = page.get_by_role("slider", name="Threshold")
    slider.fill("0")
    expect(page.locator(".found-title")).to_contain_text("within the threshold")
    assert set(distances_of(page, ".matches .hit")) == {0.0}
    slider.fill("0.6")
    expect(page.locator(".beyond .hit")).to_have_count(0)
    assert page.locator(".matches .hit").count() > 3
    slider.fill("0.4")
    slider.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"0\.395, \d+ of \d+ within"))
    distances = distances_of(page, ".beyond .hit")
    assert distances
    assert min(distances) > 0.395
    shot(page, "threshold")
    page.get_by_role("button", name="Automatic").click()
    expect(page.locator(".matches .hit")).to_have_count(3)
    few = page.locator(".beyond .hit").count()
    page.get_by_role("button", name=re.compile("less similar")).click()
    expect(page.locator(".beyond .hit").nth(few)).to_be_attached()
    page.get_by_role("button", name="Show fewer").click()
    expect(page.locator(".beyond .hit")).to_have_count(few)
    assert asked == []


def test_a_badge_explains_itself_on_hover_and_focus(library: str, open_page: OpenPage, shot: Shot) -> None:
    page = open_page(library)
    search_with(page, sample("cat"))
    tip = page.get_by_role("tooltip")
    page.locator(".matches .badge.copy").first.hover()
    expect(tip).to_contain_text("The pixels of both images were compared")
    shot(page, "badge")
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.mouse.move(0, 0)
    page.locator(".hit [data-main]").first.focus()
    page.keyboard.press("Tab")
    expect(page.locator(".badge.exact").first).to_be_focused()
    expect(tip).to_contain_text("the same bytes")


def test_filters_narrow_the_search(library: str, open_page: OpenPage, shot: Shot) -> None:
    page = open_page(library)
    search_with(page, sample("cat"))
    view = page.locator("#search")
    view.get_by_role("button", name="Filter", exact=True).click()
    view.get_by_label("Attribute").fill("kind")
    view.get_by_label("Value", exact=True).fill("copy")
    view.get_by_role("button", name="Add filter").click()
    expect(page.locator(".chip")).to_have_text("kind = copy")
    expect(page.locator(".hit").first).to_have_attribute("data-key", re.compile("^copies/"))
    expect(page.locator('.hit[data-key^="photos/"]')).to_have_count(0)
    view.get_by_role("button", name="Filter", exact=True).click()
    view.get_by_label("Attribute").fill("number")
    view.get_by_label("Comparison").select_option("gte")
    view.get_by_label("Value", exact=True).fill("1000")
    page.keyboard.press("Enter")
    expect(page.locator(".state h2")).to_have_text("No results")
    shot(page, "no-hits")
    page.get_by_role("button", name="Remove the filters").click()
    found(page)
    expect(page.locator(".chip")).to_have_count(0)
    expect(hit(page, "photos/cat.jpg")).to_be_visible()  # type: ignore[arg-type]


def test_a_part_is_cut_out_and_searched_for(library: str, open_page: OpenPage, shot: Shot) -> None:
    page = open_page(library)
    search_with(page, sample("wine"))
    page.get_by_role("button", name="Crop").click()
    frame = page.get_by_role("slider", name="Crop frame")
    expect(frame).to_be_focused()
    before = frame.get_attribute("aria-valuetext")
    for key in ("ArrowLeft", "Shift+ArrowRight", "Shift+ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
    expect(frame).not_to_have_attribute("aria-valuetext", before or "")
    stage = page.locator(".crop-stage").bounding_box()
    assert stage is not None
    at = lambda x, y: (stage["x"] + stage["width"] * x, stage["y"] + stage["height"] * y)  # noqa: E731
    page.mouse.move(*at(0.02, 0.02))
    page.mouse.down()
    page.mouse.move(*at(0.5, 0.5), steps=4)
    page.mouse.up()
    with Image.open(sample("wine")) as image:
        half = round(image.width * 0.48)
    expect(frame).to_have_attribute(
        "aria-valuetext", re.compile(rf"^({half - 2}|{half - 1}|{half}|{half + 1}|{half + 2}) by ")
    )
    shot(page, "crop")
    with page.expect_request("**/v1/search**") as asking:
        page.get_by_role("button", name="Search with the crop").click()
    assert asking.value.headers["content-type"] == "image/png"
    expect(page.locator(".query-name")).to_have_text("Crop of wine.jpg")
    found(page)
    page.get_by_role("button", name="Whole image").click()
    expect(page.locator(".matches .hit").first).to_have_attribute("data-key", "photos/wine.jpg")


def test_a_hit_is_searched_with_and_back_leads_back(library: str, open_page: OpenPage) -> None:
    page = open_page(library)
    search_with(page, sample("dogs"))
    other = page.locator(".beyond .hit").first
    key = other.get_attribute("data-key") or ""
    other.get_by_role("button", name=re.compile("Find similar")).click()
    expect(page.locator(".query-name")).to_have_text(key.split("/")[-1])
    expect(page.locator(".matches .hit").first).to_have_attribute("data-key", key)
    page.reload()
    found(page)
    expect(page.locator(".matches .hit").first).to_have_attribute("data-key", key)
    page.go_back()
    expect(page.locator(".drop-zone, .query-name").first).to_be_visible()


def test_two_images_are_compared(library: str, open_page: OpenPage, shot: Shot) -> None:
    page = open_page(library)
    search_with(page, sample("cat"))
    first = page.locator(".hit [data-main]").first
    first.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".verdict")).to_have_text("Identical file: the same bytes.")
    swipe = dialog.get_by_role("slider")
    expect(swipe).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(swipe).to_have_value("51")
    box = swipe.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2)
    assert 23 <= int(swipe.input_value()) <= 27
    wiped = dialog.locator(".stage-yours").evaluate("(e) => getComputedStyle(e).clipPath")
    assert re.match(r"inset\(0px calc\(7\d%|inset\(0px 7\d", wiped.replace("100% - 2", "7")), wiped
    shot(page, "compare-swipe")
    dialog.get_by_role("button", name="Next image").click()
    expect(dialog.locator(".verdict")).to_contain_text("A copy")
    dialog.get_by_role("button", name="Side by side").click()
    boxes = [dialog.locator(f".stage-{side}").bounding_box() for side in ("yours", "found")]
    assert boxes[0] and boxes[1] and boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"] + 1  # noqa: PT018
    shot(page, "compare-sides")
    dialog.get_by_role("button", name="Difference").click()
    expect(dialog.locator(".stage-yours")).to_have_css("mix-blend-mode", "difference")
    dialog.get_by_role("button", name="Swipe").click()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.locator(".hit [data-main]").nth(1)).to_be_focused()


def test_arrow_keys_go_through_the_hits(library: str, open_page: OpenPage) -> None:
    page = open_page(library)
    search_with(page, sample("cat"))
    cards = page.locator(".hit [data-main]")
    cards.first.focus()
    page.keyboard.press("ArrowRight")
    expect(cards.nth(1)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".beyond .hit [data-main]:focus")).to_have_count(1)
    page.keyboard.press("End")
    expect(cards.last).to_be_focused()
    page.keyboard.press("Home")
    expect(cards.first).to_be_focused()
    inside = page.evaluate("[...document.querySelectorAll('.hit button')].filter((b) => b.tabIndex === 0).length")
    assert inside == 4, "one card alone is in the tab order: its image, its badge, its search, its numbers"


def test_the_network_finds_a_crop(open_page: OpenPage, tmp_path: Path, browser: object) -> None:
    folder = init(tmp_path / "gallery", "phash,vgg16-copy")
    names = ("cat", "wine", "dogs", "fig", "soldier", "mars")
    with lookalike.open(folder) as gallery:
        gallery.add([Item(f"{name}.jpg", sample(name)) for name in names])
    copy = tmp_path / "captioned.jpg"
    copy.write_bytes(copy_of("wine", "caption"))
    with serve(folder) as served:
        page = open_page(served.url)
        search_with(page, copy)
        expect(page.locator(".hit").first).to_have_attribute("data-key", "wine.jpg")
        page.locator(".hit [data-main]").first.click()
        expect(page.locator(".measure")).to_have_count(2)
        expect(page.locator(".measures")).to_contain_text("The network (vgg16-copy)")
        page.close()


def unshown_files() -> dict[str, bytes]:
    """Files that browsers do not show, or not as they are."""
    image = drawn(7900, (320, 240))
    planes = np.asarray(image).transpose(2, 0, 1).tobytes()
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, image.height, image.width, 8, 3)
    webp = encoded(image, "WEBP", quality=95)
    names = {"TIFF": "tif", "TGA": "tga", "PPM": "ppm", "JPEG2000": "jp2", "HEIF": "heic"}
    return {f"image.{extension}": encoded(image, name) for name, extension in names.items()} | {
        "image.psd": header + bytes(12) + struct.pack(">H", 0) + planes,
        "short.webp": webp[: len(webp) * 3 // 4],
    }


def test_the_server_shows_what_browsers_do_not(library: str, open_page: OpenPage) -> None:
    page = open_page(library)
    files = unshown_files()
    choose(page, "Choose images", *[{"name": n, "mimeType": "", "buffer": data} for n, data in files.items()])
    expect(page.locator(".batch-title")).to_contain_text(re.compile(f"^{len(files)} images searched"))
    thumbnails = page.locator(".batch-image img")
    expect(thumbnails).to_have_count(len(files))
    for name, thumbnail in zip(files, thumbnails.all(), strict=True):
        thumbnail.scroll_into_view_if_needed()
        assert len({tuple(color) for color in thumbnail.evaluate(COLORS_JS)}) > 100, name
        page.locator(".batch-item", has_text=name[-8:]).click()
        expect(page.locator(".query-words")).to_contain_text("320 × 240")
        assert len({tuple(color) for color in page.locator(".query-frame img").evaluate(COLORS_JS)}) > 100, name
        expect(page.get_by_role("button", name="Crop", exact=True)).to_be_visible()
    expect(page.locator(".query-words")).to_contain_text("truncated: pixels are missing")
    page.locator(".hit [data-main]").first.click()
    yours = page.locator(".stage-yours img")
    expect(yours).to_be_visible()
    assert len({tuple(color) for color in yours.evaluate(COLORS_JS)}) > 100


def test_a_transparent_image_is_shown_on_what_it_can_be_seen_on(library: str, open_page: OpenPage) -> None:
    page = open_page(library)
    logo = Image.new("RGBA", (200, 200), (255, 255, 255, 0))
    logo.paste((255, 255, 255, 255), (60, 40, 140, 160))
    choose(page, "Choose images", {"name": "logo.png", "mimeType": "image/png", "buffer": encoded(logo)})
    expect(page.locator(".query-words")).to_contain_text("200 × 200")
    expect(page.locator(".found-title")).not_to_have_text("Searching …")
    colors = page.locator(".query-frame img").evaluate(COLORS_JS)
    assert colors[0][3] == 255
    assert max(colors[0][:3]) < 30 < 225 < min(colors[8 * 16 + 8][:3])


def test_what_is_no_image_is_not_said_to_be_searched(library: str, open_page: OpenPage, watch: Watch) -> None:
    watch.expect("status of 422")
    page = open_page(library)
    choose(page, "Choose images", {"name": "notes.jpg", "mimeType": "image/jpeg", "buffer": b"not an image at all"})
    expect(page.locator(".state.error h2")).to_have_text("Not an image")
    expect(page.locator(".state.error p").first).to_contain_text(re.compile("^This is text"))
    expect(page.locator(".no-image")).to_have_text("This browser cannot display this file.")
    expect(page.get_by_role("button", name="Crop", exact=True)).to_be_hidden()


def test_an_image_that_is_not_there_has_no_preview(library: str, open_page: OpenPage, watch: Watch) -> None:
    watch.expect("status of 404")
    page = open_page(library, "#/like/gone.jpg")
    expect(page.locator(".state.error h2")).to_have_text("Not found")
    expect(page.locator(".no-image")).to_have_text("There is no preview of this image.")
    expect(page.get_by_role("button", name="Crop", exact=True)).to_be_hidden()


def test_an_image_smaller_than_the_stage_is_shown_at_its_size(library: str, open_page: OpenPage, watch: Watch) -> None:
    watch.expect("status of 404")  # of originals: the images of this gallery were added as bytes
    page = open_page(library)
    image = drawn(7901, (150, 100))
    choose(page, "Choose images", {"name": "small.png", "mimeType": "image/png", "buffer": encoded(image)})
    found(page)
    page.locator(".hit [data-main]").first.click()
    yours = page.locator(".stage-yours img")
    expect(yours).to_be_visible()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="100%").click()
    expect(dialog.locator(".stage-percent")).to_have_text("100%")
    box, pan = yours.bounding_box(), dialog.locator(".stage-yours").bounding_box()
    assert box
    assert pan
    style = "e => parseFloat(getComputedStyle(e).paddingLeft)"
    inner = [box[side] * (1 - 2 * yours.evaluate(style) / pan[side]) for side in ("width", "height")]
    assert min(inner[0], inner[1] * 1.5) == pytest.approx(150, abs=1.5)
    assert box["x"] + box["width"] / 2 == pytest.approx(pan["x"] + pan["width"] / 2, abs=1)
    dialog.get_by_role("button", name="100%").click()
    expect(dialog.locator(".stage-percent")).to_be_hidden()


@pytest.mark.parametrize(
    ("description", "shown"),
    [
        ("the same image", ""),
        ("the same image, mirrored, half the size", "Mirrored, half the size"),
        (
            "the same image or template; 3 parts added or changed",
            "The same image or template; 3 parts added or changed",
        ),
        ("the same template or scene; one part differs", "The same template or scene; one part differs"),
    ],
)
def test_what_was_done_is_said_in_whole_words(library: str, open_page: OpenPage, description: str, shown: str) -> None:
    page = open_page(library)
    hit = {"evidence": "variant", "verified": True, "verification": {"description": description}}
    assert page.evaluate("async (hit) => (await import('/page/js/hit.js')).changesOf(hit)", hit) == shown


def test_names_are_cut_in_their_middle_but_for_those_from_right_to_left(library: str, open_page: OpenPage) -> None:
    page = open_page(library)
    script = """async (name) => {
        const {middleCut} = await import("/page/js/dom.js");
        return [...middleCut(name).children].map((part) => part.textContent);
    }"""
    assert page.evaluate(script, "summer in the mountains.jpg") == ["summer in the mo", "untains.jpg"]
    for name in ("שלום עולם.jpg", "صورة من الرحلة.jpg"):
        assert page.evaluate(script, name) == [name, ""]
