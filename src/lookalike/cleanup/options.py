"""Options of a clean-up."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lookalike.cleanup.rules import DEFAULT_RULES
from lookalike.errors import BadInput
from lookalike.results import DEFAULT_TENANT, Filter


@dataclass(frozen=True, slots=True)
class CleanupOptions:
    """Options of a clean-up, all optional; raises BadInput for an invalid value.

    Args:
        keep: Rules in order; the first that tells two images apart decides (see `rules.parse_rules`).
        to: What happens to the files of the others: "trash", "hardlink", "reflink", "delete", or a folder to move
            them to.
        references: Folders whose files are never touched, only compared against.
        exact_only: Only images with the same bytes or pixels.
        across_folders: Remove an image only if the kept one is in another folder.
        min_bytes: Remove only files of at least this size.
        max_distance: Remove an image only up to this distance (0..1) from the kept one.
        filter: Only images with these attributes take part: the others are neither removed nor kept instead of one.
        pipelines: Pipelines to find copies with, by name; all of the gallery's by default.
        tenant: Owner of the images.
    """

    keep: Sequence[str] = DEFAULT_RULES
    to: str | Path = "trash"
    references: Sequence[str | Path] = ()
    exact_only: bool = False
    across_folders: bool = False
    min_bytes: int = 0
    max_distance: float | None = None
    filter: Filter | None = None
    pipelines: Sequence[str] | None = None
    tenant: str = DEFAULT_TENANT

    def __post_init__(self) -> None:
        if self.min_bytes < 0:
            raise BadInput(f"the minimum size must be 0 bytes or more, not {self.min_bytes}")
        if self.max_distance is not None and not (math.isfinite(self.max_distance) and 0 <= self.max_distance <= 1):
            raise BadInput(f"the maximum distance must be 0 to 1, not {self.max_distance}")
