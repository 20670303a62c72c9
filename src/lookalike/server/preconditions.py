"""Keys in paths, and conditional requests: an image's ETag is the number of its last change."""

import re
from urllib.parse import unquote

from lookalike.errors import BadInput
from lookalike.results import Precondition

_TAGS = re.compile(r'\s*(?:W/)?"(\d{1,18})"\s*')


def key_of(quoted: str) -> str:
    """The key in a path; raises BadInput for what is not UTF-8."""
    try:
        return unquote(quoted, errors="strict")
    except UnicodeDecodeError:
        raise BadInput("the key in the path is not UTF-8, percent-encoded") from None


def expected_of(if_match: str | None, if_none_match: str | None) -> Precondition:
    """Where an image must stand for a change; raises BadInput for conditions that make no sense."""
    if if_match is not None and if_none_match is not None:
        raise BadInput("If-Match and If-None-Match cannot both hold")
    if if_none_match is not None:
        if if_none_match.strip() != "*":
            raise BadInput('for writing, If-None-Match is *, "only if there is none yet"')
        return "absent"
    return number_in(if_match)


def number_in(if_match: str | None) -> int | None:
    """The sequence number that If-Match asks for."""
    if if_match is None:
        return None
    tags = tags_in(if_match)
    if len(tags) != 1:
        raise BadInput('If-Match is one ETag that this service gave, as "17"')
    return tags[0]


def tags_in(header: str) -> list[int]:
    """The sequence numbers of a header's ETags; those of others are passed over."""
    found = (_TAGS.fullmatch(tag) for tag in header.split(","))
    return [int(match[1]) for match in found if match is not None]
