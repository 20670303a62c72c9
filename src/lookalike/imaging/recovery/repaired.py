"""A file that was rewritten so that its reader takes it."""

from typing import NamedTuple


class Repaired(NamedTuple):
    """The rewritten file, whether pixels are missing, channels of more than 8 bits were reduced, or it was animated."""

    data: bytes
    truncated: bool
    reduced: bool = False
    animated: bool = False
