"""The keys of files that are uploaded: as the gallery would name them if their folder were on its own machine."""

import os
import platform
from collections.abc import Callable

from lookalike.sources.urls import is_local, is_url
from lookalike.types import FoundFile, FoundObject

AskPrefix = Callable[..., str]
"""Asks the server what the keys of a folder's files begin with: `(folder, machine, alone=..., remember=...)`."""


class FolderPrefixes:
    """What the keys of the files of one call begin with; each folder is asked for once."""

    def __init__(self, ask: AskPrefix) -> None:
        self._ask = ask
        self._machine = platform.node() or "unknown"
        self._known: dict[tuple[str, bool], str] = {}

    def __call__(self, found: FoundFile | FoundObject) -> str:
        """The prefix of a file or an object; members of local archives have the names that they have there."""
        if isinstance(found, FoundObject):
            own = found.key is not None or found.root is None or is_local(found.root) or not is_url(found.root)
            return "" if own else self._of(found.root or "", alone=found.is_alone, remember=True)
        if found.root is not None:
            return self._of(os.path.abspath(found.root), alone=found.is_alone, remember=True)  # noqa: PTH100
        return self._of(os.path.dirname(os.path.abspath(found.path)), alone=True, remember=False)  # noqa: PTH100, PTH120

    def _of(self, folder: str, *, alone: bool, remember: bool) -> str:
        if (folder, remember) not in self._known:
            portable = folder if is_url(folder) else folder.replace(os.sep, "/")
            self._known[folder, remember] = self._ask(portable, self._machine, alone=alone, remember=remember)
        return self._known[folder, remember]
