"""Duplicates: the best of a cluster is kept, the others go; what is no match is remembered."""

from collections.abc import Callable

import httpx
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import OpenPage

Shot = Callable[[Page, str], None]


def opened(open_page: OpenPage, url: str) -> Page:
    """The clusters."""
    page = open_page(url, "#/duplicates")
    page.wait_for_selector(".member img.loaded")
    return page


def cluster(page: Page, key: str) -> Locator:
    """The cluster that has this image."""
    return page.locator(".cluster").filter(has=page.locator(f'.member[data-key="{key}"]'))


def test_clusters_propose_the_largest(library: str, open_page: OpenPage, shot: Shot) -> None:
    page = opened(open_page, library)
    expect(page.locator(".cluster")).to_have_count(3)
    cat = cluster(page, "photos/cat.jpg")
    expect(cat.locator(".member")).to_have_count(3)
    expect(cat.locator(".member.kept .member-flag")).to_have_text("Largest")
    smaller = cat.locator('.member[data-key="copies/cat-scale_half.jpg"]')
    expect(smaller.get_by_role("radio")).not_to_be_checked()
    smaller.get_by_role("radio").check()
    expect(smaller).to_have_class("card member kept")
    expect(cat.get_by_role("button", name="Remove the other 2")).to_be_visible()
    smaller.get_by_role("radio").press("ArrowUp")
    expect(smaller.get_by_role("radio")).not_to_be_checked()
    shot(page, "duplicates")


def test_members_are_compared(library: str, open_page: OpenPage) -> None:
    page = opened(open_page, library)
    cluster(page, "photos/wine.jpg").get_by_role("button", name="Compare wine-jpeg15.jpg with the best").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".verdict")).to_contain_text("A copy")
    expect(dialog.locator(".stage-yours .stage-label")).to_have_text("Kept")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Compare wine-jpeg15.jpg with the best")).to_be_focused()


def test_the_others_are_deleted_after_the_time_for_an_undo(workshop: str, open_page: OpenPage, shot: Shot) -> None:
    page = opened(open_page, workshop)
    wine = cluster(page, "photos/wine.jpg")
    wine.get_by_role("button", name="Remove the other").click()
    expect(wine).to_have_count(0)
    shot(page, "duplicates-undo")
    page.get_by_role("button", name="Undo").click()
    expect(wine).to_have_count(1)
    wine.get_by_role("button", name="Remove the other").click()
    with page.expect_response("**/v1/images:delete"):
        expect(page.get_by_text("1 image removed.", exact=True)).to_be_visible()
    assert httpx.get(f"{workshop}/v1/images/copies%2Fwine-jpeg15.jpg").status_code == 404
    assert httpx.get(f"{workshop}/v1/images/photos%2Fwine.jpg").status_code == 200


def test_what_is_no_match_is_never_proposed_again(workshop: str, open_page: OpenPage) -> None:
    page = opened(open_page, workshop)
    dogs = cluster(page, "photos/dogs.jpg")
    dogs.get_by_role("button", name="Not a match").click()
    expect(dogs).to_have_count(0)
    page.reload()
    page.wait_for_selector(".cluster")
    expect(dogs).to_have_count(0)
    cat = cluster(page, "photos/cat.jpg")
    cat.get_by_role("button", name="cat-grey.jpg is not a match").click()
    expect(cat.locator(".member")).to_have_count(2)
    page.get_by_role("button", name="Undo").click()
    expect(cat.locator(".member")).to_have_count(3)
    cat.get_by_role("button", name="cat-grey.jpg is not a match").click()
    expect(cat.locator(".member")).to_have_count(2)
    page.reload()
    page.wait_for_selector(".cluster")
    expect(cat.locator(".member")).to_have_count(2)
    page.get_by_role("link", name="Search", exact=True).click()
    expect(page.locator(".drop-zone")).to_be_visible()
