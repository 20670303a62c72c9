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
    ("--images", "10B", "--tenants", "30M", "--qps", "500", "--machines", "50", "--cores", "32", "--sources"),
    ("--images", "7", "--pipelines", "phash,mine:1024", "--engine", "flat", "--thumbnails", "1"),
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


EXAMPLES = re.findall(r"```\n\$ lookalike (plan .*)\n((?:.*\n)*?)```", (DOCS_FOLDER / "capacity.md").read_text())


@pytest.mark.parametrize(("command", "printed"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_the_examples_in_the_docs_are_what_is_printed(command: str, printed: str) -> None:
    def out() -> Console:
        return Console(width=100, highlight=False, emoji=False, markup=False)

    with mock.patch("lookalike.cli.commands.plan.out", side_effect=out):
        text = lookalike(*command.split()).text
    assert [line.rstrip() for line in text.splitlines()] == printed.splitlines()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 4


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
    assert line.keys() <= documented
    for part in line["pipelines"]:
        assert part.keys() <= documented
    for name in ("catalog", "serving", "adding", "total"):
        assert line[name].keys() <= documented
    assert all(constant.keys() == {"name", "value", "unit", "source"} for constant in line["constants"])


def test_the_total_is_the_sum_of_its_parts() -> None:
    line = lookalike("plan", "--json", *CASES[1]).line
    outside = sum(part["memory"] for part in line["pipelines"])
    assert line["total"]["memory"] == outside + line["serving"]["processes"] * line["serving"]["memory"]
    assert line["total"]["disk"] == line["catalog"]["disk"] + sum(part["disk"] for part in line["pipelines"])


def test_an_engine_alone_is_taken_for_every_pipeline_it_can_hold() -> None:
    both = lookalike("plan", "--json", "--images", "1M", "--engine", "flat").line
    assert [part["engine"] for part in both["pipelines"]] == ["flat", "flat"]
    one = lookalike("plan", "--json", "--images", "1M", "--engine", "IVF_SQ8", "--engine", "phash=elasticsearch").line
    assert [(part["engine"], part["index_type"]) for part in one["pipelines"]] == [
        ("elasticsearch", None),
        ("milvus", "IVF_SQ8"),
    ]


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (("--images", "lots"), "such as 50000, 50k, 2.5M or 10B"),
        (("--images", "1M", "--memory", "64"), "such as 16GB"),
        (("--images", "1M", "--engine", "annoy"), "there are flat, mih, hnsw, elasticsearch, milvus"),
        (("--images", "1M", "--engine", "vgg16=mih"), "choose flat, hnsw, milvus"),
        (("--images", "1M", "--pipelines", "phash", "--engine", "HNSW"), "none of the pipelines has any"),
        (("--images", "1M", "--pipelines", "clip"), "give its dimensions (clip:768)"),
        (("--images", "1M", "--catalog", "oracle"), "one of sqlite, postgresql"),
        (("--images", "1M", "--features", "nowhere"), "catalog or engine"),
        (("--images", "10B", "--engine", "hnsw"), "choose milvus"),
        (("--tenants", "3"), "--images"),
    ],
)
def test_refusals_name_the_remedy(options: tuple[str, ...], remedy: str) -> None:
    ran = lookalike("plan", *options)
    assert ran.code == 2
    assert remedy in ran.err
    assert not ran.out
