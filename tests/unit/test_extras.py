"""Without the optional extras: the base installation works, and what is missing is named with its install command."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lookalike import optional
from lookalike.errors import BadSetting
from tests.support.command import Ran, program
from tests.support.drawn_images import drawn, encoded

EXTRA_NAMES = list(dict.fromkeys(extra for _, extra in optional.EXTRAS.values()))
BLOCKED = (*optional.EXTRAS, "starlette", "elastic_transport", "milvus_lite", "grpc")
HOOK = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""
"""A `sitecustomize` module: Python imports it at start-up, in processes for decoding as well."""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images and an environment in which no package of an extra can be imported."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hook"))
    monkeypatch.setenv("LOOKALIKE_GALLERY", str(tmp_path / "gallery"))
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    for seed in range(4):
        drawn(seed).save(tmp_path / "images" / f"{seed}.png")
    (tmp_path / "copy.jpg").write_bytes(encoded(drawn(2), "JPEG", quality=60))
    return tmp_path


def lookalike(*arguments: str | Path) -> Ran:
    return program(*arguments, environment=os.environ)


def install(extra: str) -> str:
    return f'pip install "lookalike[{extra}]"'


def test_a_new_gallery_has_hashes_only_and_one_line_says_so(base: Path) -> None:
    added = lookalike("add", base / "images")
    assert (added.code, len(added.err.splitlines())) == (0, 1), added.err
    assert "pipeline phash only" in added.err
    assert install("vgg16") in added.err
    found = lookalike("search", base / "copy.jpg", "--json")
    assert (found.code, found.err) == (0, "")
    assert (found.line["hits"][0]["key"], found.line["hits"][0]["evidence"]) == ("2.png", "copy")
    again = lookalike("add", base / "images")
    assert (again.code, again.err) == (0, ""), "an existing gallery needs no remark"
    for command in (["status"], ["duplicates"], ["repair"], ["models", "list"]):
        ran = lookalike(*command)
        assert (ran.code, ran.err) == (0, ""), command


def test_init_falls_back_in_the_same_way(base: Path) -> None:
    ran = lookalike("init", "--json")
    assert (ran.code, ran.line["pipelines"]) == (0, ["phash"])
    assert install("vgg16") in ran.err


def test_the_network_is_refused_where_it_is_asked_for(base: Path) -> None:
    made = lookalike("init", "--pipelines", "phash,vgg16")
    assert made.code == 2
    assert f"the pipeline vgg16 needs OpenVINO: {install('vgg16')}" in made.err
    pulled = lookalike("models", "pull", "vgg16")
    assert (pulled.code, install("vgg16") in pulled.err) == (2, True)


def test_a_gallery_with_a_network_names_the_extra(base: Path) -> None:
    (base / "gallery").mkdir()
    (base / "gallery" / "gallery.toml").write_text('version = 1\npipelines = ["phash", "vgg16"]\n')
    ran = lookalike("add", base / "images")
    assert (ran.code, f"needs OpenVINO: {install('vgg16')}" in ran.err) == (2, True), ran.err
    checks = {line["name"]: line for line in lookalike("doctor", "--json").lines}
    assert checks["engine openvino"]["status"] == checks["engine faiss"]["status"] == "fail"
    assert checks["engine openvino"]["remedy"] == install("vgg16")


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("elasticsearch://127.0.0.1:9", "elasticsearch", "elasticsearch"),
        ("milvus://127.0.0.1:9", "PyMilvus", "milvus"),
        ("hnsw", "Faiss", "vgg16"),
    ],
)
def test_an_engine_names_its_extra(base: Path, url: str, package: str, extra: str) -> None:
    assert lookalike("init", "--index", f"phash={url}").code == 0
    ran = lookalike("add", base / "images")
    assert (ran.code, f"needs {package}: {install(extra)}" in ran.err) == (2, True), ran.err


def test_postgresql_names_its_extra(base: Path) -> None:
    ran = lookalike("init", "--catalog", "postgresql://127.0.0.1:9/lookalike")
    assert (ran.code, f"a catalog in PostgreSQL needs Psycopg: {install('postgresql')}" in ran.err) == (2, True)


def test_serve_names_its_extra(base: Path) -> None:
    ran = lookalike("serve")
    assert (ran.code, ran.err) == (2, f"lookalike: lookalike serve needs FastAPI: {install('server')}\n")


def test_doctor_lists_missing_extras_and_does_not_fail(base: Path) -> None:
    ran = lookalike("doctor", "--json")
    checks = {line["name"]: line for line in ran.lines}
    assert checks["engine openvino"]["status"] == "warn"
    assert checks["extras"]["found"] == f"none; not installed: {', '.join(EXTRA_NAMES)}"
    assert not [line for line in ran.lines if line["status"] == "fail"]


def test_the_library_and_the_client_need_no_extra(base: Path) -> None:
    code = """
import lookalike
with lookalike.open(create=True) as gallery:
    gallery.add("images")
    assert gallery.search("copy.jpg").hits[0].key == "2.png"
lookalike.Client("http://127.0.0.1:9").close()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=base, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_package_of_an_extra_is_declared() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    base, extras = " ".join(project["dependencies"]), project["optional-dependencies"]
    assert set(extras) == {*EXTRA_NAMES, "all"}
    assert all(extra in extras["all"][0] for extra in EXTRA_NAMES)
    for module, (_, extra) in optional.EXTRAS.items():
        package = {"cv2": "opencv-python-headless"}.get(module, module.replace("_", "-"))
        assert any(text.startswith(package) for text in extras[extra]), module
        assert package not in base


def test_a_package_that_cannot_be_loaded_is_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(module: str) -> None:
        raise ImportError("libopenvino.so: wrong ELF class")

    monkeypatch.setattr(optional, "import_module", fails)
    with pytest.raises(BadSetting, match=r"OpenVINO, which cannot be loaded: .*ELF"):
        optional.require("openvino", purpose="a network")
