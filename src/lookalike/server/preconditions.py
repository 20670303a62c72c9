"""Keys in paths, and conditional requests: an image's ETag is the sequence number of its last change."""

import re
from urllib.parse import unquote

from lookalike.errors import BadInput
from lookalike.results import Precondition

_TAGS = re.compile(r'\s*(?:W/)?"(\d{1,18})"\s*')


def decode_key(quoted: str) -> str:
    """The key in a path; raises BadInput if it is not UTF-8."""
    try:
        return unquote(quoted, errors="strict")
    except UnicodeDecodeError:
        raise BadInput("the key in the path is not UTF-8, percent-encoded") from None


def parse_precondition(if_match: str | None, if_none_match: str | None) -> Precondition:
    """The precondition of a write; raises BadInput for invalid headers."""
    if if_match is not None and if_none_match is not None:
        raise BadInput("If-Match and If-None-Match cannot be combined")
    if if_none_match is not None:
        if if_none_match.strip() != "*":
            raise BadInput("If-None-Match of a write must be *")
        return "absent"
    return parse_if_match(if_match)


def parse_if_match(if_match: str | None) -> int | None:
    """The sequence number of an If-Match header."""
    if if_match is None:
        return None
    tags = parse_etags(if_match)
    if len(tags) != 1:
        raise BadInput('If-Match must be one ETag of this server, such as "17"')
    return tags[0]


def parse_etags(header: str) -> list[int]:
    """The sequence numbers of a header's ETags; others are ignored."""
    matches = (_TAGS.fullmatch(tag) for tag in header.split(","))
    return [int(match[1]) for match in matches if match is not None]
