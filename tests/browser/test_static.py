"""The page's files: complete, small, cached, and nothing of them from elsewhere."""

import re

import httpx
import pytest

from lookalike.image_files import EXTENSIONS
from lookalike.server.routes.page import ROOT
from tests.support.waiting import HANG_SECONDS

FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file())
LONGEST = 300


def test_no_module_is_long() -> None:
    lengths = {name: (ROOT / name).read_bytes().count(b"\n") for name in FILES if name.endswith(".js")}
    assert len(lengths) > 20
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}


def test_everything_that_is_named_is_there() -> None:
    named = set()
    for name in FILES:
        text = (ROOT / name).read_text()
        named |= set(re.findall(r'"/page/([^"#$]+)', text))
        folder = name.rpartition("/")[0]
        named |= {f"{folder}/{module}" for module in re.findall(r'from "\./([\w.-]+)"', text)}
    assert named <= set(FILES)
    assert {name for name in FILES if name not in named} == {"index.html"}


def test_files_are_passed_over_by_the_same_names_as_in_folders() -> None:
    [listed] = re.findall(r"EXTENSIONS = \(\n(.*?)\n\)", (ROOT / "js/file-input.js").read_text(), re.DOTALL)
    assert set(re.findall(r"\.\w+", listed)) == EXTENSIONS


def test_every_icon_that_is_used_is_drawn() -> None:
    drawn = set(re.findall(r'<symbol id="([\w-]+)"', (ROOT / "icons/icons.svg").read_text()))
    html = (ROOT / "index.html").read_text()
    scripts = "\n".join(path.read_text() for path in ROOT.glob("js/*.js"))
    used = set(re.findall(r"icons\.svg#([\w-]+)", html))
    used |= set(re.findall(r'symbol: "([\w-]+)"', scripts)) | set(re.findall(r'icon\("([\w-]+)"\)', scripts))
    used |= set(re.findall(r'iconButton\([^"`]*["`][^"`]*["`], "([\w-]+)"', scripts))
    assert len(used) > 20
    assert used <= drawn


@pytest.mark.parametrize("name", FILES)
def test_nothing_comes_from_elsewhere_or_is_inline(name: str) -> None:
    text = (ROOT / name).read_text()
    hosts = {host for host in re.findall(r"https?://([\w.-]+)", text) if host != "www.w3.org"}
    assert hosts == set()
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=\"|<style|\sstyle=\"|innerHTML|document\.write|eval\(", text)


def test_files_are_cached_until_they_change(library: str) -> None:
    first = httpx.get(f"{library}/page/js/main.js", timeout=HANG_SECONDS)
    assert first.headers["content-type"].startswith("text/javascript")
    assert first.headers["cache-control"] == "no-cache"
    again = httpx.get(
        f"{library}/page/js/main.js", headers={"If-None-Match": first.headers["etag"]}, timeout=HANG_SECONDS
    )
    assert (again.status_code, again.content) == (304, b"")
    head = httpx.head(f"{library}/", timeout=HANG_SECONDS)
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "page/none.js",
        "page/../app.py",
        "page/%2e%2e/app.py",
        "page/..%2fapp.py",
        "page//etc/passwd",
        "page/",
        "page",
        "page/js",
    ],
)
def test_no_other_file_can_be_asked_for(library: str, path: str) -> None:
    assert httpx.get(f"{library}/{path}", timeout=HANG_SECONDS).status_code == 404


def test_the_policy_is_strict(library: str) -> None:
    policy = httpx.get(library, timeout=HANG_SECONDS).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
