"""The duplicates view of the page with thousands of groups, in Chromium.

python -m benchmarks.page_duplicates [--groups 5000]: drawn images, each with an exact copy, every fifth with two.
Prints seconds from opening the view until the first groups and until all are known, milliseconds from the switch of a
rule to the next frame, the frames of a scroll, and the nodes of the document.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import CDPSession, Page, sync_playwright
from tests.support.drawn_images import encoded
from tests.support.waiting import HANG_SECONDS

import lookalike
from lookalike.types import Item

CHROMIUM = os.environ.get("LOOKALIKE_CHROMIUM", "/usr/bin/chromium")
TIMEOUT_MS = 600_000
WINDOW = {"width": 1280, "height": 860}
SCROLL_PIXELS = 100
"""Of a step, one a frame: at 60 frames a second 6,000 pixels a second, seven windows."""
MAX_FRAMES = 600
SCROLL = """async ([step, most]) => {
    const times = [];
    let last = performance.now();
    while (times.length < most && scrollY + innerHeight < document.documentElement.scrollHeight - 2) {
        scrollBy(0, step);
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        times.push(now - last);
        last = now;
    }
    return times;
}"""
IDLE_FRAMES = 120
IDLE = """async (most) => {
    const times = [];
    for (let last = performance.now(); times.length < most;) {
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        times.push(now - last);
        last = now;
    }
    return times;
}"""
SLOW_MS = 50
NODES = "document.querySelectorAll('*').length"
SWITCH = """async () => {
    const rule = document.querySelector('.dup-bar select');
    rule.value = 'bytes';
    const start = performance.now();
    rule.dispatchEvent(new Event('change', {bubbles: true}));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    return performance.now() - start;
}"""


def items(groups: int) -> Iterator[Item]:
    """The images of so many groups."""
    for number in range(groups):
        pixels = np.random.default_rng(number).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        data = encoded(Image.fromarray(pixels).resize((240, 180), Image.Resampling.BICUBIC), "JPEG", quality=80)
        for folder in ("camera", "sent", "backup")[: 3 if number % 5 == 0 else 2]:
            yield Item(f"{folder}/{number // 500:02}/IMG_{number:05}.jpg", data)


def main_thread_ms(devtools: CDPSession) -> float:
    """Milliseconds of processor time that the page's main thread has used."""
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return next(1000 * metric["value"] for metric in metrics if metric["name"] == "TaskDuration")


def measure(page: Page, url: str, groups: int) -> None:
    """Open the view, use it, and print what it took."""
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(url)
    page.wait_for_selector(".drop-zone")
    started = time.monotonic()
    page.get_by_role("link", name="Duplicates").click()
    page.wait_for_selector(".member img.loaded")
    first = time.monotonic() - started
    page.wait_for_selector(f".dup-bar .primary:has-text('Apply to all {groups:,} groups')")
    print(f"first groups {first:.2f} s, all {groups:,} {time.monotonic() - started:.2f} s")
    print(f"rule switched in {page.evaluate(SWITCH):.0f} ms")
    idle = np.median(page.evaluate(IDLE, IDLE_FRAMES))
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})  # processor time
    before = main_thread_ms(devtools)
    times = np.array(page.evaluate(SCROLL, [SCROLL_PIXELS, MAX_FRAMES]))
    busy = (main_thread_ms(devtools) - before) / len(times)
    print(
        f"{len(times)} frames of a scroll: median {np.median(times):.1f} ms, "
        f"95% {np.percentile(times, 95):.1f} ms, longest {times.max():.0f} ms, "
        f"{np.mean(times > SLOW_MS):.1%} longer than {SLOW_MS} ms; frames at rest: median {idle:.1f} ms"
    )
    print(f"{busy:.1f} ms of the main thread's processor time a frame")
    print(f"{page.evaluate(NODES):,} nodes of the document")
    started = time.monotonic()
    page.get_by_role("button", name="Apply to all").click()
    page.wait_for_selector(".review-group")
    print(f"review opened in {1000 * (time.monotonic() - started):.0f} ms")


def main() -> None:
    """Make the gallery, serve it, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=5000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        gallery = Path(folder) / "gallery"
        with lookalike.open(gallery, pipelines=["phash"], create=True) as opened:
            added = sum(1 for _ in opened.add_iter(items(given.groups)))
        print(f"{added:,} images in {given.groups:,} groups")
        command = [sys.executable, "-m", "lookalike", "serve", "-g", str(gallery), "--port", "0", "--json", "--no-log"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"]
            with sync_playwright() as playwright:
                sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--disable-gpu", *sandbox])
                measure(browser.new_page(viewport=WINDOW), url, given.groups)  # type: ignore[arg-type]
                browser.close()
        finally:
            server.terminate()
            server.wait(HANG_SECONDS)


if __name__ == "__main__":
    main()
