"""What the command line shows and reads, piece by piece."""

import ast
import io
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lookalike import cli
from lookalike.cli.options import parse_pairs, read_entries
from lookalike.cli.output import counted, printable, size
from lookalike.cli.preview import can_preview, preview_of
from lookalike.cli.progress import Pace, ProgressBar
from lookalike.errors import BadSetting
from tests.support.command import lookalike
from tests.support.drawn_images import drawn, encoded

NAMES = st.lists(st.binary(min_size=1).filter(lambda name: b"\0" not in name), max_size=8)


@given(NAMES, st.integers(1, 50))
def test_lists_separated_by_nul_keep_every_name(names: list[bytes], chunk: int) -> None:
    data = b"".join(name + b"\0" for name in names)
    chunks = [data[i : i + chunk] for i in range(0, len(data), chunk)]
    assert [os.fsencode(name) for name in read_entries(chunks, null=True)] == names


@given(NAMES)
def test_lists_of_lines_keep_every_name(names: list[bytes]) -> None:
    names = [name for name in names if b"\n" not in name]
    stream = io.BytesIO(b"\n".join(names))
    assert [os.fsencode(name) for name in read_entries(stream, null=False)] == names


@given(st.text())
def test_what_is_shown_can_be_printed(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(text) == text or not text.isprintable()


def test_pairs_are_split_at_the_first_sign() -> None:
    assert parse_pairs(["a=1", "b==", " c = x"], "--attr") == {"a": "1", "b": "=", "c": " x"}
    with pytest.raises(BadSetting, match="--attr"):
        parse_pairs(["=1"], "--attr")


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_400, "99.4 kB"), (361_182, "361 kB"), (96_300_000, "96.3 MB")],
)
def test_sizes_for_people(nbytes: int, text: str) -> None:
    assert size(nbytes) == text


def test_counts_for_people() -> None:
    assert (counted(1, "image"), counted(2000, "image")) == ("1 image", "2,000 images")


@pytest.mark.parametrize("links", [1, 2])
def test_the_summary_counts_one_and_several(tmp_path: Path, links: int) -> None:
    folder = tmp_path / "pics"
    folder.mkdir()
    drawn(1).save(folder / "0.png")
    lookalike("init", "--pipelines", "phash", "--gallery", tmp_path / "g")
    lookalike("add", folder, "--gallery", tmp_path / "g")
    for number in range(links):
        os.link(folder / "0.png", folder / f"link {number}.png")
    text = lookalike("add", *folder.glob("link*"), "--gallery", tmp_path / "g").text
    said = {
        1: "1 image: 1 further link to a file of the gallery",
        2: "2 images: 2 further links to files of the gallery",
    }
    assert text.startswith(f"{said[links]}   (")


PLURAL = re.compile(r" (?:more )?[a-z]+s\b(?! an? )")


@pytest.mark.parametrize("path", sorted(Path(cli.__file__).parent.rglob("*.py")), ids=lambda path: path.stem)
def test_no_count_is_printed_with_a_fixed_plural(path: Path) -> None:
    """A number of thousands, or a length, is followed by a plural only in `1 of 5 checks`; `counted` does the rest."""
    found = []
    for text in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.JoinedStr)):
        for before, value, after in zip([None, *text.values], text.values, text.values[1:], strict=False):
            if not (isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant)):
                continue
            spec = "" if value.format_spec is None else ast.unparse(value.format_spec)
            is_count = ("," in spec and "." not in spec) or ast.unparse(value.value).startswith("len(")
            is_part = isinstance(before, ast.Constant) and str(before.value).endswith(" of ")
            if is_count and not is_part and PLURAL.match(str(after.value)):
                found.append(ast.unparse(text))
    assert found == []


def test_progress_of_one() -> None:
    pace = Pace()
    pace.advance()
    assert pace.text(1).startswith("1 of 1 image ")
    assert pace.text(2).startswith("1 of 2 images ")


def test_pace_outlives_a_long_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("lookalike.cli.progress.time.monotonic", lambda: now)
    pace = Pace()
    assert pace.text(1000) == "0 of 1,000 images"
    for _ in range(20):  # a burst of fifty every five seconds
        now += 5
        for _ in range(50):
            pace.advance()
    assert pace.rate() == pytest.approx(10, rel=0.3)
    assert pace.text(2000).startswith("1,000 of 2,000 images")
    assert pace.text(2000).endswith("left")
    now += 500
    pace.advance()
    assert 0 < pace.rate() < 1


def test_progress_elsewhere_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr("lookalike.cli.progress.time.monotonic", lambda: now)
    with ProgressBar("Adding", lambda: range(30), quiet=False) as counting:
        for _ in range(30):
            now += 1
            counting.advance()
    assert capsys.readouterr().err.splitlines() == [
        "lookalike: 1 image  1/s",
        "lookalike: 11 images  1/s",
        "lookalike: 21 images  1/s",
    ]


def test_previews_are_two_pixels_a_character(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    drawn(1, (400, 100)).save(path)
    image = preview_of(str(path), 16, 5)
    assert image is not None
    assert image.plain == "\n".join(["▀" * 16] * 2)
    (tmp_path / "broken.jpg").write_bytes(encoded(drawn(1), "JPEG")[:300])
    assert preview_of(str(tmp_path / "broken.jpg")) is None
    assert preview_of(str(tmp_path / "nothing.jpg")) is None


def test_previews_are_for_terminals_with_colours() -> None:
    colours = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    assert can_preview(colours)
    assert not can_preview(Console(file=io.StringIO()))
    assert not can_preview(Console(file=io.StringIO(), force_terminal=True, color_system="standard"))


def test_search_draws_previews_in_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn(1).save(tmp_path / "a.png")
    lookalike("init", "--pipelines", "phash", "-g", tmp_path / "g")
    lookalike("add", tmp_path / "a.png", "-g", tmp_path / "g")
    for name, value in {"FORCE_COLOR": "1", "COLORTERM": "truecolor", "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "▀" in lookalike("search", tmp_path / "a.png", "-g", tmp_path / "g").text
    assert "▀" not in lookalike("search", tmp_path / "a.png", "--no-preview", "-g", tmp_path / "g").text
    assert "▀" not in lookalike("search", tmp_path / "a.png", "--json", "-g", tmp_path / "g").text
    assert "▀" in lookalike("show", "a.png", "-g", tmp_path / "g").text
