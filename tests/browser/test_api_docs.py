"""The interactive API documentation: complete, usable, and nothing of it from another host."""

from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage


def test_the_api_can_be_read_and_tried(library: str, open_page: OpenPage) -> None:
    page: Page = open_page(library)
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.goto(f"{library}/docs")
    operation = page.locator("#operations-operations-getStatus")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    expect(operation.locator(".live-responses-table")).to_contain_text("pipelines")
    assert hosts == {urlsplit(library).netloc}
