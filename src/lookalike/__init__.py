"""Search by image: hand in an image, get back the original and everything that looks like it.

import lookalike

gallery = lookalike.open("gallery")
gallery.add("~/Pictures")
for hit in gallery.search("copy.jpg").hits:
    print(hit.evidence, hit.distance, hit.key)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookalike.client import Client
    from lookalike.errors import LookalikeError
    from lookalike.factory import open_gallery as open  # noqa: A004 - the name that the library is called by
    from lookalike.gallery import Gallery
    from lookalike.types import Answer, Hit, Item, Outcome, Record

__version__ = "0.1.0"

# Loaded on first use: decoding processes import this package too, and must start quickly.
_HOMES = {
    "Client": "client",
    "LookalikeError": "errors",
    "Gallery": "gallery",
    "Answer": "types",
    "Hit": "types",
    "Item": "types",
    "Outcome": "types",
    "Record": "types",
    "open": "factory",
}
__all__ = ["Answer", "Client", "Gallery", "Hit", "Item", "LookalikeError", "Outcome", "Record", "open"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(home, "open_gallery" if name == "open" else name)
