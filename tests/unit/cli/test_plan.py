"""`lookalike plan`: the table for people at usual widths, the object for programs, and refusals."""

import io
import re
from pathlib import Path
from unittest import mock

import pytest
from rich.console import Console

from tests.support.command import lookalike

DOCS_FOLDER = Path(__file__).parents[3] / "docs"
DOCS = (DOCS_FOLDER / "cli.md").read_text()
CASES = (
    ("--images", "50k"),
    ("--images", "1B", "--tenants", "1M", "--qps", "100"),
    ("--images", "10B", "--tenants", "30M", "--qps", "500", "--machines", "50", "--cores", "32"),
    ("--images", "7", "--pipelines", "phash,mine:1024", "--engine", "mine=flat"),
)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[1])
def test_the_table_fits_the_terminal(case: tuple[str, ...], width: int) -> None:
    written = io.StringIO()
    console = Console(file=written, width=width, highlight=False, emoji=False, markup=False)
    with mock.patch("lookalike.cli.commands.plan.out", return_value=console):
        ran = lookalike("plan", *case)
    assert ran.code == 0, ran.err
    lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    for name in ("where", "memory", "while adding", "disk", "cores"):
        assert name in lines[0]
    assert not [line for line in lines if "…" in line], "nothing is cut off"


EXAMPLES = [
    example
    for name in ("capacity.md", "ingest.md")
    for example in re.findall(r"```\n\$ lookalike (plan .*)\n((?:.*\n)*?)```", (DOCS_FOLDER / name).read_text())
]


@pytest.mark.parametrize(("command", "printed"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_the_examples_in_the_docs_are_what_is_printed(command: str, printed: str) -> None:
    def out() -> Console:
        return Console(width=100, highlight=False, emoji=False, markup=False)

    with mock.patch("lookalike.cli.commands.plan.out", side_effect=out):
        text = lookalike(*command.split()).text
    assert [line.rstrip() for line in text.splitlines()] == printed.splitlines()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 5


def test_piped_output_is_not_wrapped() -> None:
    text = lookalike("plan", *CASES[1]).text
    assert '[index] vgg16 = "milvus://USER:PASSWORD@HOST:19530?index=' in text
    assert "1,000,000,000 images of 1,000,000 tenants, 100 searches a second" in text
    assert "512 floats of 4 bytes are 2,048 bytes an image, 2.0 TB in all" in text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[1])
def test_the_object_is_the_documented_one(case: tuple[str, ...]) -> None:
    line = lookalike("plan", "--json", *case).line
    section = DOCS[DOCS.index("**plan**") : DOCS.index("\n**", DOCS.index("**plan**") + 8)]
    documented = set(re.findall(r"`(\w+)`", section))
    for part in (line, line["request"], line["catalog"], *line["pipelines"]):
        assert part.keys() <= documented


def test_the_total_is_the_sum_of_its_parts() -> None:
    line = lookalike("plan", "--json", *CASES[1]).line
    outside = sum(part["memory"] for part in line["pipelines"])
    assert line["memory"] == outside + line["processes"] * line["process_memory"]
    assert line["disk"] == line["catalog"]["disk"] + sum(part["disk"] for part in line["pipelines"])


def test_engines_can_be_chosen() -> None:
    line = lookalike("plan", "--json", "--images", "1M", "--engine", "vgg16=IVF_SQ8", "--engine", "phash=flat").line
    assert [(part["engine"], part["index_type"]) for part in line["pipelines"]] == [
        ("flat", None),
        ("milvus", "IVF_SQ8"),
    ]


COUNTS = {
    "50000": 50_000,
    "50_000": 50_000,
    "50,000": 50_000,
    "50k": 50_000,
    "2.5M": 2_500_000,
    "10B": 10**10,
    " 7 ": 7,
}


@pytest.mark.parametrize(("text", "number"), COUNTS.items())
def test_counts_are_read_as_people_write_them(text: str, number: int) -> None:
    assert lookalike("plan", "--json", "--images", text).line["request"]["images"] == number


@pytest.mark.parametrize("text", ["", "many", "-5", "1.5", "1e9", "50 M M", "0x10", "k"])
def test_what_is_no_count_is_refused(text: str) -> None:
    ran = lookalike("plan", f"--images={text}")
    assert ran.code == 2
    assert "--images is a whole number" in ran.err


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (("--images", "lots"), "such as 50000, 50k, 2.5M or 10B"),
        (("--images", "1M", "--memory", "64"), "from 2 to 100,000"),
        (("--images", "1M", "--memory", "much"), "such as 100kB"),
        (("--images", "1M", "--engine", "flat"), "must be NAME=VALUE"),
        (("--images", "1M", "--engine", "vgg16=annoy"), "there are flat, mih, hnsw, elasticsearch, milvus"),
        (("--images", "1M", "--engine", "vgg16=mih"), "choose flat, hnsw, milvus"),
        (("--images", "1M", "--pipelines", "phash", "--engine", "vgg16=HNSW"), "none of the pipelines"),
        (("--images", "1M", "--pipelines", "clip"), "give its dimensions (clip:768)"),
        (("--images", "10B", "--engine", "vgg16=hnsw"), "choose milvus"),
        (("--tenants", "3"), "--images"),
    ],
)
def test_refusals_name_the_remedy(options: tuple[str, ...], remedy: str) -> None:
    ran = lookalike("plan", *options)
    assert ran.code == 2
    assert remedy in ran.err
    assert not ran.out


def test_machines_for_a_deadline() -> None:
    words = ("plan", "--json", "--images", "1B", "--pipelines", "phash,vgg16-copy", "--cores", "32")
    line = lookalike(*words, "--deadline", "2d").line
    assert line["request"]["machines"] == 6
    assert line["core_hours"] > 1000
    refused = lookalike(*words, "--deadline", "2d", "--machines", "3")
    assert (refused.code, "exclude each other" in refused.err) == (2, True)
    assert lookalike(*words, "--deadline", "1h").code == 2


def test_windows_of_stored_images_are_not_planned_for() -> None:
    ran = lookalike("plan", "--images", "1M", "--pipelines", "phash,vgg16-copy-windows")
    assert ran.code == 2
    assert "leave it out" in ran.err
