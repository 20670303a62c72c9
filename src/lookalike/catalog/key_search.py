"""Images by a part of their keys, ignoring case."""

import re

from sqlalchemy import ColumnElement, String, and_, func, literal, type_coerce

from lookalike.catalog.schema import images
from lookalike.errors import BadInput

MAX_CONTAINS = 1000
"""Characters of a part of a key that can be searched for."""


def check_contains(text: str) -> None:
    """Raise BadInput for a part of a key that is too long to be searched for."""
    if len(text) > MAX_CONTAINS:
        raise BadInput(
            f"a part of a key to search for must have at most {MAX_CONTAINS:,} characters, not {len(text):,}"
        )


def key_contains(text: str, dialect: str) -> ColumnElement[bool]:
    """Whether a key contains a text, ignoring case; every character of it stands for itself.

    It reads all keys of a tenant. PostgreSQL compares letters beyond ASCII as the locale of the database says.
    """
    pattern = "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"
    if dialect == "postgresql":
        return type_coerce(images.c.key, String()).collate("default").ilike(literal(pattern, String()), escape="\\")
    # SQLite ignores the case of ASCII letters alone; the others match anything first, for folded they may be longer.
    like = images.c.key.like(re.sub(r"[^\x00-\x7f]+", "%", pattern), escape="\\")
    return like if text.isascii() else and_(like, func.instr(func.casefold(images.c.key), text.casefold()) > 0)
