"""The public names of the package, what importing them loads, and the API that library and client share."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

import lookalike
from lookalike import errors, problem_details, results, types
from lookalike.interfaces import GalleryAPI

LIBRARY_ONLY = {
    "duplicates_page": {"seconds"},
    "move_index": {"report"},
    "pipeline_states": {"count"},
    "status": {"outages"},
}
"""Further parameters of `Gallery`, by method."""
API = [name for name in vars(GalleryAPI) if not name.startswith("_") or name in ("__enter__", "__exit__")]
IMPLEMENTATIONS = (lookalike.Gallery, lookalike.Client)


def test_every_public_name_can_be_imported() -> None:
    assert lookalike.__all__ == sorted(lookalike.__all__, key=lambda name: (not name[0].isupper(), name))
    assert set(lookalike.__all__) == set(lookalike._MODULE_OF) <= set(dir(lookalike))
    for name in lookalike.__all__:
        assert getattr(lookalike, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        lookalike.nothing  # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(lookalike.__file__).read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {
        alias.asname or alias.name: str(node.module).removeprefix("lookalike.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == lookalike._MODULE_OF
    assert (Path(lookalike.__file__).parent / "py.typed").exists()


def test_errors_and_results_are_public() -> None:
    """The whole error tree, and what the methods of the API take and return."""
    tree = {error.__name__ for error in subclasses(errors.LookalikeError)} | {"LookalikeError"}
    assert tree <= set(lookalike.__all__)
    assert tree == {kind.__name__ for kind, _, _ in problem_details.PROBLEMS}
    for error in tree:
        assert f"{error} " in str(errors.__doc__) or f"{error}\n" in str(errors.__doc__), error
    returned = {kind for name in API for kind in classes_in(hints_of(getattr(GalleryAPI, name)).get("return"))}
    for kind in returned:
        assert getattr(lookalike, kind.__name__) is kind
        for hint in get_type_hints(kind).values():
            assert all(getattr(lookalike, part.__name__) is part for part in classes_in(hint))


def subclasses(kind: type) -> Iterator[type]:
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield below
            yield from subclasses(below)


def classes_in(hint: Any) -> Iterator[type]:
    """The classes of results.py and types.py in an annotation."""
    if isinstance(hint, type) and hint.__module__ in (results.__name__, types.__name__):
        yield hint
    for part in get_args(hint):
        yield from classes_in(part)


def hints_of(method: Any) -> dict[str, Any]:
    return get_type_hints(method.fget if isinstance(method, property) else method)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", API)
def test_library_and_client_have_the_same_methods(implementation: type, name: str) -> None:
    declared, method = inspect.getattr_static(GalleryAPI, name), inspect.getattr_static(implementation, name)
    assert isinstance(method, property) == isinstance(declared, property)
    if isinstance(declared, property):
        assert hints_of(method) == hints_of(declared)
        return
    expected, found = inspect.signature(declared).parameters, dict(inspect.signature(method).parameters)
    further = LIBRARY_ONLY.get(name, set()) if implementation is lookalike.Gallery else set()
    for parameter in further:
        added = found.pop(parameter)
        assert added.kind is inspect.Parameter.KEYWORD_ONLY
        assert added.default is not inspect.Parameter.empty
    assert list(found) == list(expected)
    for parameter in expected:
        assert (found[parameter].kind, found[parameter].default) == (
            expected[parameter].kind,
            expected[parameter].default,
        )
    hints = {name: hint for name, hint in hints_of(method).items() if name not in further}
    assert hints == hints_of(declared)


@pytest.mark.parametrize("name", API)
def test_the_api_is_documented(name: str) -> None:
    if name.startswith("__"):
        return
    method = getattr(GalleryAPI, name)
    assert method.__doc__
    if isinstance(method, property) or name in ("add", "not_a_match_undo"):  # these refer to others
        return
    parameters = [p for p in inspect.signature(method).parameters if p not in ("self", "key", "tenant")]
    if parameters:
        assert "Args:" in method.__doc__
        for parameter in parameters:
            assert f"    {parameter}: " in method.__doc__, parameter


@pytest.mark.parametrize(
    ("name", "unwanted"),
    [
        ("NotFound", {"numpy", "PIL", "httpx", "sqlalchemy", "openvino", "faiss", "pillow_heif", "fastapi"}),
        ("Client", {"PIL", "sqlalchemy", "openvino", "faiss", "pillow_heif", "fastapi", "simplejpeg"}),
        ("Gallery", {"openvino", "faiss", "fastapi", "httpx"}),
    ],
)
def test_a_name_loads_only_what_it_needs(name: str, unwanted: set[str]) -> None:
    program = f"import sys, lookalike; lookalike.{name}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {module.split(".")[0] for module in ran.stdout.split()} & unwanted


def test_unknown_search_options_are_refused(tmp_path: Path) -> None:
    """An option that is ignored would change the meaning of an answer: `where` was the name of `filter` in 0.1."""
    with (
        lookalike.open(tmp_path, pipelines=["phash"], create=True) as gallery,
        lookalike.Client("http://127.0.0.1:1") as client,
    ):
        for of in (gallery, client):
            with pytest.raises(TypeError, match="unknown search option 'filters'; did you mean 'filter'"):
                of.search(b"", filters={})  # type: ignore[call-arg]
            with pytest.raises(TypeError, match="unknown search option 'where'"):
                list(of.search_many([b""], where={}))  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": "3"}, "'k' is a whole number, not '3'"),
        ({"k": True}, "'k' is a whole number, not True"),
        ({"page": 1.5}, "'page' is a whole number, not 1.5"),
        ({"threshold": "0.2"}, "'threshold' is a number, not '0.2'"),
        ({"verify_ms": None}, "'verify_ms' is a number, not None"),
        ({"orientations": "no"}, "'orientations' is True or False, not 'no'"),
        ({"deep": "yes"}, "'deep' is True, False or \"auto\", not 'yes'"),
        ({"tenant": 5}, "'tenant' is a name, not 5"),
        ({"pipelines": "phash"}, "'pipelines' is a list of names, not 'phash'"),
        ({"filter": "album=Alps"}, "'filter' is a dict, not 'album=Alps'"),
    ],
)
def test_search_options_of_another_type_are_refused(tmp_path: Path, options: dict[str, object], words: str) -> None:
    with (
        lookalike.open(tmp_path, pipelines=["phash"], create=True) as gallery,
        lookalike.Client("http://127.0.0.1:1") as client,
    ):
        for of in (gallery, client):
            with pytest.raises(TypeError, match=re.escape(words)):
                of.search(b"", **options)  # type: ignore[misc]


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    with lookalike.open(tmp_path, pipelines=["phash"], create=True) as gallery:
        image = np.arange(3072, dtype=np.uint8).reshape(32, 32, 3)
        assert gallery.search(image, k=np.int64(2), threshold=np.float32(0.5)).hits == ()  # type: ignore[arg-type]


def test_names_of_another_type_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="pipelines is a list of names, not 'phash'"):
        lookalike.open(tmp_path, pipelines="phash", create=True)
    with lookalike.open(tmp_path, pipelines=["phash"], create=True) as gallery:
        with pytest.raises(TypeError, match="key is text, not 5"):
            gallery.put(5, b"")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="not 'abs'"):
            gallery.put("a", b"", expected="abs")  # type: ignore[arg-type]
