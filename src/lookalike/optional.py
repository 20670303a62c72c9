"""Packages of optional extras: whether they are installed, and the error that names what to install."""

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


def require(*modules: str, purpose: str) -> None:
    """Import the modules; raises BadSetting naming `purpose`, the package and its install command where one fails."""
    for module in modules:
        package, extra = EXTRAS[module]
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise BadSetting(f"{purpose} needs {package}, which cannot be loaded: {error}") from error
            raise BadSetting(f"{purpose} needs {package}: {install_command(extra)}") from error
        except ImportError as error:  # built for another platform, or a shared library is missing
            raise BadSetting(f"{purpose} needs {package}, which cannot be loaded: {error}") from error


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
