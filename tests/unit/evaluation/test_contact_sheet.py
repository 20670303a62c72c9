"""Contact sheets: everything on them, nothing from outside, and no name that can break out of its place."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from lookalike.evaluation.contact_sheet import SheetHit, SheetRow, write_html

HOSTILE = '"><script>alert(1)</script><img src="https://example.org/x.png" onerror=alert(2)>&amp;\n\u202e\udcff'


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (640, 400)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG")
    return file.getvalue()


def hit(path: Path | bytes | None, key: str = "a.jpg", *, right: bool = False) -> SheetHit:
    return SheetHit(path, key, "copy", 0.125, "phash", right)


@pytest.fixture
def rows(tmp_path: Path) -> list[SheetRow]:
    original = tmp_path / "original.jpg"
    original.write_bytes(jpeg((20, 120, 220)))
    other = tmp_path / "other.jpg"
    other.write_bytes(jpeg((200, 60, 30), (200, 600)))
    query = jpeg((20, 120, 200))
    return [
        SheetRow(query, "mirrored", (hit(original, "original.jpg", right=True), hit(other, "other.jpg"))),
        SheetRow(query, "cropped", (hit(other, "other.jpg"), hit(original, "original.jpg", right=True))),
        SheetRow(
            query, "pasted", (hit(other, "other.jpg"), hit(tmp_path / "gone.jpg", "gone.jpg"), hit(None, "bytes"))
        ),
        SheetRow(b"not an image", HOSTILE, (hit(Path("a\0b"), HOSTILE),), expected=False),
        SheetRow(query, "nothing found", ()),
    ]


class Page(HTMLParser):
    """What is on a page: its tags with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def count(self, tag: str, of: str = "") -> int:
        return sum(name == tag and of in (attributes.get("class") or "").split(" ") for name, attributes in self.tags)


@pytest.fixture
def page(rows: list[SheetRow], tmp_path: Path) -> Page:
    write_html(rows, tmp_path / "sheet.html", title=f"Sheet {HOSTILE}", summary=["One line", HOSTILE])
    return Page((tmp_path / "sheet.html").read_text(encoding="utf-8"))


def test_the_page_holds_every_row_and_hit(page: Page, rows: list[SheetRow]) -> None:
    assert page.count("section", "row") == len(rows)
    assert page.count("figure", "query") == len(rows)
    assert page.count("figure", "hit") == sum(len(row.hits) for row in rows)
    assert page.count("figure", "right") == 2
    assert "One line" in page.words
    for words in ("found first", "found at rank 2", "not found", "nothing to find", "0.125", "phash", "gone.jpg"):
        assert words in page.words


def test_the_page_loads_nothing_and_runs_nothing(page: Page) -> None:
    assert {tag for tag, _ in page.tags} <= {
        *("html", "head", "meta", "title", "style", "body", "header", "main", "section", "div", "figure", "figcaption"),
        *("h1", "h2", "p", "ul", "li", "b", "bdi", "span", "img"),
    }
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") or name in {"href", "srcset", "action"} for name in attributes)
        if "src" in attributes:
            assert tag == "img"
            assert (attributes["src"] or "").startswith("data:image/jpeg;base64,")
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert "default-src 'none'" in (policy or "")


def test_no_address_stands_in_the_styles(page: Page, tmp_path: Path) -> None:
    style = re.search(r"<style>(.*?)</style>", (tmp_path / "sheet.html").read_text(encoding="utf-8"), re.DOTALL)
    assert style
    assert not re.search(r"url\(|@import|//", style.group(1))


def test_hostile_names_are_text(page: Page) -> None:
    assert page.count("script") == 0
    assert page.words.count('"><script>alert(1)</script>') >= 3
    assert "\\n" in page.words
    assert "\\udcff" in page.words
    assert "\u202e" not in page.words, "a mark that turns the direction of the text is spelled out"


def test_images_are_small_and_have_the_right_shape(page: Page) -> None:
    sources = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    sizes = {Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).size for source in sources}
    assert sizes == {(300, 188), (100, 300)}
    assert page.words.count("can't be shown") == 4


def test_a_page_without_rows_is_still_a_page(tmp_path: Path) -> None:
    write_html([], tmp_path / "sheet.html", title="Nothing")
    assert Page((tmp_path / "sheet.html").read_text(encoding="utf-8")).count("h1") == 1
