"""Making what was written to a disk durable."""

import errno
import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable; Windows does so by itself."""
    if os.name == "nt":
        return
    try:
        file = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return  # a folder that may be written but not read
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
            raise
    finally:
        os.close(file)
