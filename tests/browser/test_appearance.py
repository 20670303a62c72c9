"""Every view at five widths, light and dark: nothing wider than what it is in, axe-core's findings."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import OpenPage
from tests.support.browser.page_actions import accessible, contained, fits, sample, search_with

Shot = Callable[[Page, str], None]
ACCESSIBLE = (360, 1440)
"""What axe-core looks at (names, roles, colours) is that of the narrow or the wide page, and there it looks."""
BOTH = 1440
"""The width that most people see: here the colours of both themes are looked at, in the same page."""
LOOKS = [(320, "light"), (360, "dark"), (390, "light"), (820, "light"), (BOTH, "light")]


@pytest.mark.parametrize(("width", "theme"), LOOKS)
def test_every_view(library: str, open_page: OpenPage, shot: Shot, width: int, theme: str) -> None:
    page = open_page(library, width=width, theme=theme)

    def look(name: str) -> None:
        fits(page)
        contained(page)
        if width in ACCESSIBLE:
            accessible(page)
        shot(page, f"{name}-{width}-{theme}")
        if width == BOTH:
            page.emulate_media(color_scheme="dark")
            accessible(page, "color-contrast")
            shot(page, f"{name}-{width}-dark")
            page.emulate_media(color_scheme=theme)

    page.wait_for_selector(".strip img.loaded")
    look("begin")
    search_with(page, sample("cat"))
    look("found")
    page.locator(".hit [data-main]").nth(1).click()
    page.wait_for_selector(".verdict")
    page.locator(".numbers-box summary").click()
    page.wait_for_selector(".measures")
    look("compare")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Crop").click()
    page.wait_for_selector(".crop-box")  # the image is loaded first: Escape would come too early
    look("crop")
    page.keyboard.press("Escape")
    page.locator("#search").get_by_role("button", name="Filter", exact=True).click()
    look("filter")
    page.goto(f"{library}/#/gallery")
    page.wait_for_selector(".tile img.loaded")
    page.locator(".tile").nth(2).hover()
    page.get_by_role("checkbox").nth(2).check()
    look("gallery")
    page.get_by_role("button", name="Clear").click()
    page.locator(".tile [data-main]").nth(2).click()
    page.wait_for_selector("dialog img.loaded")
    look("image")
    page.keyboard.press("Escape")
    page.goto(f"{library}/#/duplicates")
    page.wait_for_selector(".member img.loaded")
    look("duplicates")
    page.get_by_role("button", name="Apply to all").click()
    page.wait_for_selector(".review-group img.loaded")
    look("review")
    page.keyboard.press("Escape")
    page.locator(".member [data-main]").first.click()
    page.wait_for_selector(".verdict")
    look("group-compare")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Settings").click()
    look("settings")


@pytest.mark.parametrize("width", [320, 360, 390])
def test_no_small_button_is_alone_on_a_line(library: str, open_page: OpenPage, width: int) -> None:
    page = open_page(library, width=width)
    search_with(page, sample("cat"))
    replace, photo = (page.locator(".query").get_by_role("button", name=name) for name in ("Replace", "Take a photo"))
    assert middle(photo) == pytest.approx(middle(replace), abs=1)
    page.locator(".hit [data-main]").nth(1).click()
    before, after = (page.get_by_role("button", name=f"{way} image") for way in ("Previous", "Next"))
    assert middle(before) == pytest.approx(middle(after), abs=1)


def middle(button: Locator) -> float:
    """The vertical middle of a button."""
    box = button.bounding_box()
    assert box is not None
    return box["y"] + box["height"] / 2


@pytest.mark.parametrize("number", [7, 8_449_000, 120_000_000_000])
def test_no_line_breaks_between_a_number_and_its_unit(library: str, open_page: OpenPage, number: int) -> None:
    page = open_page(library)
    lines = page.evaluate(
        """async (number) => {
            const {bytes} = await import("/page/js/format.js");
            const box = document.createElement("p");
            box.style.width = "1px";
            box.textContent = bytes(number);
            document.body.append(box);
            const range = document.createRange();
            range.selectNodeContents(box);
            return range.getClientRects().length;
        }""",
        number,
    )
    assert lines == 1


def test_the_theme_is_chosen_and_kept(library: str, open_page: OpenPage) -> None:
    page = open_page(library, theme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    for expected in ("Theme: light", "Theme: dark"):
        page.locator("#theme").click()
        expect(page.locator("#theme")).to_have_attribute("aria-label", expected)
    dark = page.evaluate(paper)
    assert dark != light
    page.reload()
    assert page.evaluate(paper) == dark
    page.locator("#theme").click()
    expect(page.locator("#theme")).to_have_attribute("aria-label", "Theme: system")
    assert page.evaluate(paper) == light
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(paper) == dark


def test_the_keyboard_reaches_everything_in_order(library: str, open_page: OpenPage) -> None:
    page = open_page(library)
    page.wait_for_selector(".strip img.loaded")
    names = []
    for _ in range(12):
        page.keyboard.press("Tab")
        names.append(
            page.evaluate(
                """() => {
                    const at = document.activeElement;
                    return at.getAttribute('aria-label') || at.textContent.trim();
                }"""
            )
        )
    assert names[0] == "Skip to the content"
    assert names[2:5] == ["Search", "Gallery", "Duplicates"]
    assert names[7:12] == ["Choose images", "Take a photo", "Paste", "Address of an image", "Search"]
    page.reload()
    page.wait_for_selector(".strip img.loaded")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_motion_is_left_out_where_asked(library: str, open_page: OpenPage) -> None:
    page = open_page(library)
    page.wait_for_selector(".strip img.loaded")
    quick = page.locator(".strip img").first.evaluate("(img) => getComputedStyle(img).transitionDuration")
    assert all(float(part.removesuffix("s")) < 0.001 for part in quick.split(", "))
