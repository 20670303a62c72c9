"""What people and programs meet of the package, as sets of words: commands with their options, and the HTTP API."""

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.golden.access import command, served
from tests.support.command import Ran, lookalike
from tests.support.waiting import HANG_SECONDS

Object = dict[str, Any]

# -- commands

OWN_PANELS = ("Options", "Arguments", "Common options")
OF_THE_SHELL = ("--install-completion", "--show-completion")
"""Not ours, and they would change the shell's files."""


def helps(run: Callable[..., Ran], *words: str) -> dict[str, str]:
    """By the words of each command, what its --help prints; below these words, themselves included."""
    ran = run(*words, "--help")
    assert ran.code == 0, ran.err
    text = "\n".join(line.rstrip() for line in ran.text.splitlines()).strip("\n") + "\n"
    found = {" ".join(words): text}
    for name in commands(text):
        found |= helps(run, *words, name)
    return found


def commands(text: str) -> list[str]:
    """The commands that a help text lists."""
    rows = [row for title, row in _rows(text) if title not in OWN_PANELS]
    return [row.split()[0] for row in rows if re.match(r"[a-z][\w-]*( |$)", row)]


def options(text: str) -> list[str]:
    """The options that a help text lists, with their other names."""
    rows = [row for title, row in _rows(text) if title.endswith("ptions") and row.startswith("-")]
    names = [name for row in rows for name in re.split(r"  +|,", row) if re.fullmatch(r"--?[\w-]+", name)]
    return [name for name in names if name not in OF_THE_SHELL]


def _rows(text: str) -> Iterator[tuple[str, str]]:
    """The lines inside each frame, but not those that go on with the line before, and the frame's title."""
    title = ""
    for line in text.splitlines():
        if begins := re.match(r"╭─ (.+?) ─+╮", line):
            title = begins[1]
        elif (row := re.match(r"│ (\S.*?) *│$", line)) and title:
            yield title, row[1]


def json_fields(folder: Path, images: Path) -> dict[str, list[str]]:
    """By command, the fields of what it prints with --json about this gallery, which is changed by the last of them."""
    one, other = str(images / "one.jpg"), str(images / "one-hard.jpg")
    asked = (
        ("search", one),
        ("search", str(images / "none.jpg")),
        ("search", "--key", "one"),
        ("show", "one"),
        ("ls",),
        ("duplicates",),
        ("compare", one, other),
        ("status",),
        ("keys", "create", "--rate", "2"),
        ("keys", "list"),
        ("add", one, str(images / "flat.png")),
        ("rm", "one", "none"),
        ("repair",),
        ("show", "none"),
        ("models", "list"),
        ("models", "info", "vgg16"),
        ("plan", "--images", "1M"),
        ("doctor",),
    )
    found = {}
    for words in asked:
        title = " ".join(Path(word).name for word in words)
        lines = lookalike(*words, "--gallery", folder, "--json").lines
        found[title] = sorted({name for line in lines for name in _named(line)})
    return found


def _named(reply: Any) -> Iterator[str]:
    """The fields of a JSON value and of those in it: `hits[].key`."""
    if isinstance(reply, dict):
        for name, value in reply.items():
            yield name
            yield from (f"{name}{'' if below.startswith('[') else '.'}{below}" for below in _named(value))
    elif isinstance(reply, list):
        for value in reply:
            yield from (f"[]{'' if below.startswith('[') else '.'}{below}" for below in _named(value))


# -- the API


def described() -> Object:
    """The description of the API, as a server gives it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "gallery"
        made = command("init", "--pipelines", "phash", "--gallery", folder)
        assert made.code == 0, made.err
        with served(folder) as url:
            reply: Object = httpx.get(f"{url}/v1/openapi.json", timeout=HANG_SECONDS).raise_for_status().json()
            return reply


def parts(api: Object) -> set[str]:
    """Every operation, parameter, kind of body, answer and field of a description, each as a line."""
    return {" ".join(words) for words in _parts(api)}


def _parts(api: Object) -> Iterator[tuple[str, ...]]:
    for path, operations in api["paths"].items():
        for method, operation in operations.items():
            here = (method.upper(), path)
            yield here
            for parameter in operation.get("parameters", ()):
                yield (*here, parameter["in"], parameter["name"])
            for kind, one in operation.get("requestBody", {}).get("content", {}).items():
                yield (*here, "takes", kind)
                yield from _fields((*here, "takes", kind), one.get("schema", {}))
            for status, answer in operation["responses"].items():
                yield (*here, status)
                for header in answer.get("headers", ()):
                    yield (*here, status, "header", header)
                for kind, one in answer.get("content", {}).items():
                    yield (*here, status, kind)
                    yield from _fields((*here, status, kind), one.get("schema", {}))
    for name, schema in api["components"]["schemas"].items():
        yield ("schema", name)
        yield from _fields(("schema", name), schema)


def _fields(here: tuple[str, ...], schema: Any) -> Iterator[tuple[str, ...]]:
    """Fields with the kinds of values that they take, and values that are listed."""
    if not isinstance(schema, Mapping):
        return
    if "$ref" in schema:
        yield (*here, "is", schema["$ref"].rpartition("/")[2])
    for value in schema.get("enum", ()) or ([schema["const"]] if "const" in schema else []):
        yield (*here, "=", str(value))
    if isinstance(schema.get("type"), str):
        yield (*here, "is", schema["type"])
    for name, field in schema.get("properties", {}).items():
        yield (*here, f".{name}")
        yield from _fields((*here, f".{name}"), field)
    for part in ("items", "additionalProperties"):
        yield from _fields((*here, "[]"), schema.get(part))
    for part in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(part, ()):
            yield from _fields(here, one)


def renamed(part: str, table: Mapping[str, str]) -> str:
    """A part under its new name: by whole parts, by beginnings of parts, and by `schema NAME` wherever it is used."""
    for old, new in table.items():
        if old.startswith("schema ") and part.endswith(f" is {old.removeprefix('schema ')}"):
            part = f"{part.removesuffix(old.removeprefix('schema '))}{new.removeprefix('schema ')}"
        if part == old or part.startswith(f"{old} "):
            part = new + part.removeprefix(old)
    return part
