"""The object of a folder whose files are uploaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lookalike.wire.objects import WireObject, doc


@dataclass(frozen=True, slots=True)
class Folder(WireObject):
    """What the gallery calls a folder."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {"prefix": "card2/"}

    prefix: str = field(metadata=doc("What the keys of its files begin with, before the path below the folder."))
