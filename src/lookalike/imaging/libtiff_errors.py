"""What libtiff writes to standard error while it decodes: it fills damaged lines of some compressions, and goes on.

Pillow does not pass these messages on, so that garbage would look like an image.
"""

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_STDERR: Final = 2
_DECODING: Final = re.compile(
    r"^(\w*Decode\w*|tempfile\.tif|JPEGLib|OJPEG\w*|PackBits\w*|TIFFFill\w+|TIFFRead\w+|LZW\w*|Zip\w*): ."
)
"""Messages of its decoders, which name themselves, or the file as Pillow names it; others are of other threads."""
_lock = threading.Lock()


@contextmanager
def decoding_errors() -> Iterator[list[str]]:
    """A list that has libtiff's messages when the block ends; other lines go to standard error then."""
    found: list[str] = []
    with _lock, tempfile.TemporaryFile() as caught:
        try:
            saved = os.dup(_STDERR)
        except OSError:  # there is no standard error, and nothing is written to it
            yield found
            return
        os.dup2(caught.fileno(), _STDERR)
        try:
            yield found
        finally:
            os.dup2(saved, _STDERR)
            os.close(saved)
            caught.seek(0)
            others = []
            for line in caught.read().splitlines(keepends=True):
                text = line.decode(errors="replace").strip()
                if _DECODING.match(text):
                    found.append(text)
                elif text:
                    others.append(line)
            if others:
                os.write(_STDERR, b"".join(others))
