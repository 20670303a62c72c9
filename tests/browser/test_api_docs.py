"""The interactive API documentation: complete, usable, and nothing of it from another host."""

from playwright.sync_api import expect

from tests.browser.conftest import OpenPage


def test_the_api_can_be_read_and_tried(library: str, open_page: OpenPage) -> None:
    """Opened at once: going there from the page would break off what the page is loading, which it reports."""
    page = open_page(library, "docs")  # its watch fails for requests to another host
    operation = page.locator("#operations-operations-getStatus")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    expect(operation.locator(".live-responses-table")).to_contain_text("pipelines")
