"""The wheel, built and installed alone into an empty environment: the base installation works as it is."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.drawn_images import drawn, encoded
from tests.support.requirements import skip_or_fail

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def run(*command: str | Path, environment: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a shell in which the environment is active, without those of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOOKALIKE_", "PYTHON"))}
    return kept | {
        "PATH": f"{folder / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "LOOKALIKE_GALLERY": str(folder / "gallery"),
        "LOOKALIKE_CACHE": str(folder / "cache"),
        "WHEEL_TEST_FOLDER": str(folder),
    }


@pytest.fixture(scope="module")
def installed(environment: dict[str, str]) -> Path:
    """A folder with `venv`, in which the wheel is installed with its base dependencies from pip's own index."""
    folder = Path(environment["WHEEL_TEST_FOLDER"])
    built = run(
        sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder / "dist",
        environment=environment, cwd=ROOT,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    [wheel] = (folder / "dist").glob("*.whl")
    made = run(sys.executable, "-m", "venv", folder / "venv", environment=environment, cwd=folder)
    assert made.returncode == 0, made.stderr
    pip = (folder / "venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet", "--retries", "1")
    reached = run(*pip, "download", "--no-deps", "--dest", folder, "filelock", environment=environment, cwd=folder)
    if reached.returncode:
        skip_or_fail("no package index that pip reaches, to install the wheel's dependencies from")
    done = run(*pip, "install", "--no-compile", "--only-binary", ":all:", wheel, environment=environment, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_base_installation_works_as_it_is(installed: Path, environment: dict[str, str]) -> None:
    def lookalike(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return run(installed / "venv" / "bin" / "lookalike", *arguments, environment=environment, cwd=installed)

    (installed / "images").mkdir()
    for seed in range(4):
        drawn(seed).save(installed / "images" / f"{seed}.png")
    (installed / "copy.jpg").write_bytes(encoded(drawn(2), "JPEG", quality=60))

    version = lookalike("--version")
    assert (version.returncode, version.stdout.split()[0]) == (0, "lookalike"), version.stderr
    added = lookalike("add", "images")
    assert (added.returncode, "lookalike[vgg16]" in added.stderr) == (0, True), added.stderr
    found = lookalike("search", "copy.jpg")
    assert (found.returncode, "2.png" in found.stdout) == (0, True), found.stderr
    served = lookalike("serve")
    assert (served.returncode, 'pip install "lookalike[server]"' in served.stderr) == (2, True), served.stderr
    client = run(
        installed / "venv" / "bin" / "python", "-c", "import lookalike; lookalike.Client('http://127.0.0.1:9').close()",
        environment=environment, cwd=installed,
    )  # fmt: skip
    assert client.returncode == 0, client.stderr


def test_the_wheel_has_what_the_program_reads(installed: Path, environment: dict[str, str]) -> None:
    code = """
from importlib.resources import files
package = files("lookalike")
for name in ("py.typed", "encoders/models.toml", "encoders/calibration.toml", "encoders/vgg16_copy/factors.npz",
             "encoders/vgg16_copy/head.npz", "encoders/vgg16_copy/NOTICE.md", "evaluation/contact_sheet.css",
             "server/page/index.html", "server/page/css/base.css", "samples/images/cat.jpg"):
    assert package.joinpath(name).is_file(), name
"""
    done = run(installed / "venv" / "bin" / "python", "-c", code, environment=environment, cwd=installed)
    assert done.returncode == 0, done.stderr
