"""What a person does on the page, in a line each."""

import base64
from collections.abc import Sequence
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from lookalike.samples import sample_paths

GRAVE = {"serious", "critical"}
AXE = Axe().axe_script
COLORS_JS = """(img) => {
    const context = new OffscreenCanvas(16, 16).getContext("2d");
    context.drawImage(img, 0, 0, 16, 16);
    const {data} = context.getImageData(0, 0, 16, 16);
    return Array.from({length: 256}, (_, at) => [...data.slice(4 * at, 4 * at + 4)]);
}"""
"""The colors of 16 x 16 places of an image, as the page shows it."""


def sample(name: str) -> Path:
    """One of the samples by its name."""
    [path] = [p for p in sample_paths() if p.stem == name]
    return path


def choose(page: Page, button: str, *files: Path | dict[str, object]) -> None:
    """Press a button that opens the file chooser, and choose."""
    with page.expect_file_chooser() as opening:
        page.get_by_role("button", name=button, exact=True).first.click()
    opening.value.set_files(list(files))  # type: ignore[arg-type]


def search_with(page: Page, path: Path) -> None:
    """Search with a file, and wait for the hits."""
    choose(page, "Choose images", path)
    found(page)


def found(page: Page) -> None:
    """Wait until hits and the first of their images are shown."""
    page.wait_for_selector(".hit img.loaded")


def drop(page: Page, paths: Sequence[Path]) -> None:
    """Drop files or folders as the desktop would, in the middle of the page."""
    client = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        client.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})


def copy_to_clipboard(page: Page, png: bytes) -> None:
    """Put an image into the browser's clipboard, as copying it elsewhere does."""
    page.evaluate(
        """async (text) => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            await navigator.clipboard.write([new ClipboardItem({"image/png": new Blob([bytes], {type: "image/png"})})]);
        }""",
        base64.b64encode(png).decode(),
    )


def hit(page: Page, key: str) -> "object":
    """The card of a hit."""
    return page.locator(f'.hit[data-key="{key}"]')


def accessible(page: Page, *rules: str) -> None:
    """Fail for what axe-core, by these of its rules or by all of them, takes for serious or critical."""
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    violations = page.evaluate("async (options) => (await axe.run(options)).violations", options)
    grave = [
        f"{one['id']}: {node['target']} {node['html'][:160]} {[a['message'] for a in node['any'] + node['all']]}"
        for one in violations
        if one["impact"] in GRAVE
        for node in one["nodes"]
    ]
    assert not grave, "\n".join(grave)


def fits(page: Page) -> None:
    """Fail where the page is wider than the window."""
    wide, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window


def said(page: Page, text: str) -> None:
    """Wait until this was said to screen readers."""
    expect(page.locator("#live, #alarm").filter(has_text=text).first).to_be_attached()
