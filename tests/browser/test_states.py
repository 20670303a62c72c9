"""Waiting, trouble, and a thousand hits."""

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import MANY, OpenPage, Watch
from tests.support.browser.page_actions import choose, found, said, sample, search_with
from tests.support.browser.served_galleries import init, serve
from tests.support.waiting import HANG_SECONDS

Shot = Callable[[Page, str], None]
BUSY = '{"type": "urn:lookalike:error:unavailable", "title": "Busy", "status": 503, "detail": "All are at work."}'


def test_skeletons_stand_where_images_will(library: str, open_page: OpenPage, shot: Shot) -> None:
    page = open_page(library)
    held: list[Route] = []
    page.route("**/v1/search**", lambda route: held.append(route))
    with page.expect_request("**/v1/search**"):
        choose(page, "Choose images", sample("cat"))
    expect(page.locator(".found-title")).to_have_text("Searching …")
    expect(page.locator(".skeleton").first).to_be_visible()
    shot(page, "loading")
    held[0].continue_()
    found(page)
    expect(page.locator(".skeleton")).to_have_count(0)


def test_a_busy_server_is_asked_again_by_itself(library: str, open_page: OpenPage, watch: Watch, shot: Shot) -> None:
    watch.expect("status of (503|429)")
    page = open_page(library)
    answers = [503, 429]

    def refuse(route: Route) -> None:
        if answers:
            status = answers.pop(0)
            headers = {"Retry-After": "1", "Content-Type": "application/problem+json"}
            route.fulfill(status=status, headers=headers, body=BUSY)
        else:
            route.continue_()

    page.route("**/v1/search**", refuse)
    choose(page, "Choose images", sample("cat"))
    expect(page.locator(".state.error")).to_contain_text("The server is busy")
    expect(page.locator(".state.error")).to_contain_text("Retrying in")
    shot(page, "busy")
    found(page)
    assert answers == []


def test_a_server_that_is_gone_is_told_and_can_be_asked_again(
    filled: Path, open_page: OpenPage, watch: Watch, shot: Shot, browser: object
) -> None:
    watch.expect("ERR_INTERNET_DISCONNECTED")
    with serve(filled) as served:
        page = open_page(served.url)
        page.wait_for_selector(".hero-strip")
        page.context.set_offline(True)
        choose(page, "Choose images", sample("cat"))
        expect(page.locator(".state.error h2")).to_have_text("The server cannot be reached")
        said(page, "The server cannot be reached")
        shot(page, "offline")
        page.context.set_offline(False)
        page.get_by_role("button", name="Try again").click()
        found(page)
        page.close()


def test_a_thousand_hits_stay_smooth(crowd: str, open_page: OpenPage, shot: Shot) -> None:
    page = open_page(crowd, "#/gallery")
    page.wait_for_selector(".tile img.loaded")
    page.locator(".tile [data-main]").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Find similar").click()
    found(page)
    page.get_by_role("button", name=re.compile("less similar")).click()
    while (total := page.locator(".hit").count()) < 1000:
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_function("n => document.querySelectorAll('.hit').length > n", arg=total)
    keys = page.locator(".hit").evaluate_all("cards => cards.map((card) => card.dataset.key)")
    total = len(keys)
    assert 1000 <= total <= MANY
    assert len(set(keys)) == total, "going on shows nothing twice"
    usual = page.evaluate(
        """async () => {
            const slider = document.querySelector('#search .threshold input');
            const all = [];
            for (const value of ['0.1', '0.3', '0.45', '0.5', '0.2']) {
                slider.value = value;
                const start = performance.now();
                slider.dispatchEvent(new Event('input', {bubbles: true}));
                await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
                all.push(performance.now() - start);
            }
            return all.sort((a, b) => a - b)[2];
        }"""
    )
    assert usual < 1000 * HANG_SECONDS, f"the slider took {usual:.0f} ms with {total} hits"
    page.get_by_role("button", name="Automatic").click()
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(300)
    shot(page, "thousand")
    expect(page.locator(".beyond-head")).to_contain_text(re.compile(r"\d{3}"))


def test_the_gallery_goes_on_as_one_scrolls(crowd: str, open_page: OpenPage) -> None:
    page = open_page(crowd, "#/gallery")
    page.wait_for_selector(".tile img.loaded")
    first = page.locator(".tile").count()
    assert first < 300
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function("n => document.querySelectorAll('.tile').length > n", arg=first)
    waiting = page.locator(".tile img:not(.loaded)").count()
    assert waiting > 0, "images far from the window are not loaded"


def test_a_plain_image_finds_nothing(tmp_path: Path, open_page: OpenPage, browser: object, shot: Shot) -> None:
    with serve(init(tmp_path / "nothing")) as served:
        page = open_page(served.url)
        choose(page, "Choose images", sample("cat"))
        expect(page.locator(".state h2")).to_have_text("No results")
        shot(page, "nothing")
        page.close()


def test_more_is_loaded_by_the_button_alone(crowd: str, open_page: OpenPage) -> None:
    page = open_page(crowd)
    search_with(page, sample("cat"))
    few = page.locator(".hit").count()
    assert few < 20, "a search shows the nearest images, and the others when asked for"
    page.get_by_role("button", name=re.compile("less similar")).click()
    page.wait_for_function("n => document.querySelectorAll('.hit').length > n", arg=few)
    before = page.locator(".hit").count()
    page.locator("#search .endless button").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("n => document.querySelectorAll('.hit').length > n", arg=before)
