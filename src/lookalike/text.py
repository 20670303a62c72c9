"""Text that every database stores faithfully."""

from lookalike.errors import BadInput


def check_text(what: str, text: str) -> None:
    """Raise BadInput for text that no database stores faithfully: broken Unicode, or a NUL character.

    Raises TypeError for what is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"{what} is text, not {text!r}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadInput(f"{what} {text!r} is not valid Unicode; give another name") from None
    if "\0" in text:
        raise BadInput(f"{what} {text!r} contains a NUL character, which is not allowed")


def check_key(key: str) -> None:
    """Raise BadInput for a key under which no image can be stored; TypeError for what is no text."""
    check_text("key", key)
    if not key:
        raise BadInput("an image needs a key that is not empty")


def storable(text: str) -> bool:
    """Return whether a key can be stored at all; one that cannot is not found when it is looked up."""
    try:
        check_text("key", text)
    except BadInput:
        return False
    return True
