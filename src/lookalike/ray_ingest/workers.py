"""How many workers a run has."""

import re
from dataclasses import dataclass

from lookalike.errors import BadSetting


@dataclass(frozen=True, slots=True)
class Workers:
    """Fewest and most workers; `most` is None for as many as the cluster has room for."""

    fewest: int = 1
    most: int | None = None


def parse_workers(text: str) -> Workers:
    """Parse `4`, `2-16` or `2-`; raises BadSetting for anything else."""
    match = re.fullmatch(r"(\d+)(?:(-)(\d*))?", text)
    if match is not None:
        fewest = int(match[1])
        most = fewest if match[2] is None else int(match[3]) if match[3] else None
        if fewest >= 1 and (most is None or most >= fewest):
            return Workers(fewest, most)
    raise BadSetting(f"--workers must be a number or a range, such as 8, 2-16 or 2-, not {text!r}")
