"""Keys: the page asks for one where the server wants one, and shows what it allows."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage, Watch
from tests.support.browser.page_actions import accessible, found, sample, search_with
from tests.support.browser.served_galleries import Served, serve
from tests.support.command import lookalike

Shot = Callable[[Page, str], None]
Locked = tuple[Served, dict[str, str]]


@pytest.fixture(scope="module")
def locked(filled: Path, browser: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    """A server that wants keys, and one key for each scope."""
    folder = tmp_path_factory.mktemp("locked") / "gallery"
    shutil.copytree(filled, folder)
    keys = {}
    for scope in ("read", "admin"):
        made = lookalike("keys", "create", "--gallery", folder, "--scope", scope, "--json")
        assert made.code == 0, made.err
        keys[scope] = next(str(v) for v in json.loads(made.out).values() if str(v).startswith("lk_"))
    with serve(folder) as served:
        yield served, keys


def root_of(served: Served) -> str:
    """The address of the page, without the link that signs in."""
    return served.url.split("/session")[0]


def test_the_page_asks_for_a_key(locked: Locked, open_page: OpenPage, watch: Watch, shot: Shot) -> None:
    watch.expect("status of 401")
    served, keys = locked
    page = open_page(root_of(served))
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("API key required")
    expect(dialog.get_by_label("API key")).to_be_focused()
    accessible(page)
    dialog.get_by_label("API key").fill("lk_wrong")
    page.keyboard.press("Enter")
    expect(dialog.locator(".notice")).to_be_visible()
    shot(page, "key")
    dialog.get_by_label("API key").fill(keys["admin"])
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.locator(".hero-lead")).to_contain_text("43 images")
    page.wait_for_selector(".strip img.loaded")
    search_with(page, sample("cat"))
    assert page.evaluate("document.cookie") == "", "no script can read the key"
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert keys["admin"] not in kept
    page.reload()
    page.wait_for_selector(".strip img.loaded")
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="API key required")).to_be_visible()  # once the settings have closed


def test_a_key_that_only_reads_is_shown_nothing_to_change(locked: Locked, open_page: OpenPage, watch: Watch) -> None:
    watch.expect("status of 401")
    served, keys = locked
    page = open_page(root_of(served), "#/gallery")
    page.get_by_role("dialog").get_by_label("API key").fill(keys["read"])
    page.keyboard.press("Enter")
    page.wait_for_selector(".tile img.loaded")
    expect(page.get_by_role("button", name="Add images")).to_have_count(0)
    expect(page.get_by_role("checkbox")).to_have_count(0)
    page.goto(f"{root_of(served)}/#/duplicates")
    page.wait_for_selector(".member img.loaded")
    expect(page.get_by_role("button", name="Remove from gallery")).to_have_count(0)


def test_the_link_that_the_server_prints_signs_in(filled: Path, open_page: OpenPage, tmp_path: Path) -> None:
    """By a server of its own: the link is good for once."""
    folder = tmp_path / "gallery"
    shutil.copytree(filled, folder)
    assert lookalike("keys", "create", "--gallery", folder, "--scope", "read").code == 0
    with serve(folder) as served:
        page = open_page(served.url)
        expect(page.locator(".hero-lead")).to_contain_text("43 images")
        page.close()  # before its server


def test_tenants_are_chosen_and_their_images_shown(library: str, open_page: OpenPage) -> None:
    page = open_page(library)
    expect(page.locator(".hero-lead")).to_contain_text("images")  # by now its buttons listen
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Tenant (for API keys bound to none)").fill("nobody here")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".hero-lead")).to_contain_text("gallery is empty")
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Tenant (for API keys bound to none)").fill("default")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_selector(".strip img.loaded")
    assert page.locator(".strip img.loaded").first.evaluate("(img) => img.src").startswith("blob:")
    search_with(page, sample("wine"))
    found(page)
