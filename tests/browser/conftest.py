"""A browser, the galleries that are served to it, and pages whose errors fail the test."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.browser.served_galleries import fill, fill_with_many, init, serve
from tests.support.requirements import skip_or_fail
from tests.support.waiting import HANG_SECONDS

BROWSERS = (Path("/usr/bin/chromium-headless-shell"), Path("/usr/bin/chromium"))
"""Debian's: the headless shell is the same engine without the windows, at half the processor time."""
SCREENSHOTS = os.environ.get("LOOKALIKE_SCREENSHOTS")
"""The folder for images of the page; without it none are kept, for encoding one takes 0.15 s of processor time."""
WIDTHS = {320: 640, 360: 740, 390: 844, 820: 1100, 1440: 900}
MANY = 1100
TIMEOUT_MS = int(1000 * HANG_SECONDS)
expect.set_options(timeout=TIMEOUT_MS)
OpenPage = Callable[..., Page]


@pytest.fixture(scope="session")
def chromium() -> Path:
    named = os.environ.get("LOOKALIKE_CHROMIUM")
    browsers = (Path(named),) if named else BROWSERS
    for path in browsers:
        if path.is_file():
            return path
    skip_or_fail(
        f"no Chromium at {' or '.join(map(str, browsers))} "
        "(scripts/chromium.sh installs Debian's; LOOKALIKE_CHROMIUM names another)"
    )
    raise AssertionError


@pytest.fixture(
    scope="module"
)  # while it is there, an event loop runs in this thread, where other suites want their own
def browser(chromium: Path) -> Iterator[Browser]:
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    arguments = [*camera, "--disable-gpu"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium's own sandbox refuses to run as root
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield launched
        launched.close()


class Watch:
    """What a page complained of; each complaint must be expected by the test."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self._expected: list[str] = []

    def expect(self, pattern: str) -> None:
        """Let complaints pass that this is found in."""
        self._expected.append(pattern)

    def on(self, page: Page) -> None:
        """Listen to a page: errors of scripts and of the console (the security policy too), requests to elsewhere."""
        own = re.compile(r"^(blob|data|about):")
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on(
            "console", lambda said: self.complaints.append(f"console: {said.text}") if said.type == "error" else None
        )
        page.on(
            "request",
            lambda asked: (
                self.complaints.append(f"another host: {asked.url}")
                if not own.match(asked.url) and "//127.0.0.1:" not in asked.url
                else None
            ),
        )

    def check(self) -> None:
        """Fail for what was not expected."""
        left = [one for one in self.complaints if not any(re.search(p, one) for p in self._expected)]
        assert not left, left


@pytest.fixture
def watch() -> Iterator[Watch]:
    made = Watch()
    yield made
    made.check()


@pytest.fixture
def open_page(browser: Browser, watch: Watch) -> Iterator[OpenPage]:
    """Opens the page of a server: `open_page(url, "#/gallery", width=360, theme="dark", **context)`."""
    contexts = []

    def opened(url: str, route: str = "", *, width: int = 1440, theme: str = "light", **options: object) -> Page:
        size = {"width": width, "height": WIDTHS[width]}
        settings = {"viewport": size, "color_scheme": theme, "reduced_motion": "reduce"} | options
        context = browser.new_context(**settings)  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(TIMEOUT_MS)
        page = context.new_page()
        watch.on(page)
        page.goto(f"{url}/{route}" if "?" not in url else url)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def shot() -> Callable[[Page, str], None]:
    """Keeps an image of the page in the folder of LOOKALIKE_SCREENSHOTS."""

    def taken(page: Page, name: str) -> None:
        if SCREENSHOTS:
            page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")

    return taken


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of the samples and some copies of them; copied where a test changes it."""
    return fill(init(tmp_path_factory.mktemp("filled") / "gallery"))


@pytest.fixture(scope="session")
def library(filled: Path, chromium: Path) -> Iterator[str]:
    """The URL of a server whose gallery no test changes."""
    with serve(filled) as served:
        yield served.url


@pytest.fixture(scope="module")
def workshop(filled: Path, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server whose gallery the tests of one module may change."""
    folder = tmp_path_factory.mktemp("workshop") / "gallery"
    shutil.copytree(filled, folder)
    with serve(folder) as served:
        yield served.url


@pytest.fixture(scope="session")
def crowd(chromium: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with more than a thousand images."""
    with serve(fill_with_many(init(tmp_path_factory.mktemp("crowd") / "gallery"), MANY)) as served:
        yield served.url
