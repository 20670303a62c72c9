"""Packages of optional extras: whether they are installed, and the error that names what to install."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

from lookalike.errors import BadSetting

EXTRAS = {
    "openvino": ("OpenVINO", "vgg16"),
    "faiss": ("Faiss", "vgg16"),
    "cv2": ("OpenCV", "verify"),
    "fastapi": ("FastAPI", "server"),
    "uvicorn": ("Uvicorn", "server"),
    "python_multipart": ("python-multipart", "server"),
    "prometheus_client": ("prometheus-client", "server"),
    "elasticsearch": ("elasticsearch", "elasticsearch"),
    "pymilvus": ("PyMilvus", "milvus"),
    "psycopg": ("Psycopg", "postgresql"),
    "nncf": ("NNCF", "int8"),
    "pillow_jxl": ("pillow-jxl-plugin", "jxl"),
    "fsspec": ("fsspec", "remote"),
    "s3fs": ("s3fs", "remote"),
    "watchfiles": ("watchfiles", "watch"),
    "pyarrow": ("PyArrow", "parquet"),
    "ray": ("Ray", "ray"),
}
"""By module: the package's name, and the extra that installs it."""
_UNUSED_PART = {"openvino": "openvino.tools.ovc"}
"""By module: a part that it imports if it can, and that is not used here. OpenVINO's converter of models takes as long
to load as all the rest, and reports every import to its maker, unless the user has opted out."""


def require(*modules: str, purpose: str) -> None:
    """Import the modules; raises BadSetting naming `purpose`, the package and its install command where one fails."""
    for module in modules:
        package, extra = EXTRAS[module]
        try:
            with _without(_UNUSED_PART.get(module)):
                import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise BadSetting(f"{purpose} needs {package}, which cannot be loaded: {error}") from error
            raise BadSetting(f"{purpose} needs {package}: {install_command(extra)}") from error
        except ImportError as error:  # built for another platform, or a shared library is missing
            raise BadSetting(f"{purpose} needs {package}, which cannot be loaded: {error}") from error


def require_installed(module: str, *, purpose: str) -> None:
    """Raise BadSetting, as `require` does, where a module cannot be found; it is not imported."""
    package, extra = EXTRAS[module]
    if not _found(module):
        raise BadSetting(f"{purpose} needs {package}: {install_command(extra)}")


@contextmanager
def _without(module: str | None) -> Iterator[None]:
    """Imports of this module fail inside the block, unless it was imported before."""
    if module is None or module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # documented: an import of it raises ModuleNotFoundError
    try:
        yield
    finally:
        if sys.modules.get(module) is None:
            sys.modules.pop(module, None)


def install_command(extra: str) -> str:
    """The command that installs an extra."""
    return f'pip install "lookalike[{extra}]"'


def is_installed(extra: str) -> bool:
    """Whether all packages of an extra can be found; they are not imported."""
    return all(_found(module) for module, (_, of_extra) in EXTRAS.items() if of_extra == extra)


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
