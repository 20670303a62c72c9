#!/usr/bin/env python3
"""openapi-python-client in an environment of its own, for its requirements are not this project's.

    python scripts/openapi_client.py install      install it once, print the path of its Python

Uses the standard library only.
"""

import fcntl
import os
import subprocess
import sys
import venv
from pathlib import Path

VERSION = "0.29.1"


class Missing(Exception):
    """The generator cannot be had here; the message says why."""


def install() -> Path:
    """Install the generator unless that was done; returns its Python. Raises Missing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lookalike"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"openapi-python-client-{VERSION}"
    python, done = folder / "bin" / "python", folder / "installed"
    with (cache / "openapi-python-client.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            venv.create(folder, with_pip=True, clear=True)
            pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            ran = subprocess.run(
                [*pip, f"openapi-python-client=={VERSION}"], capture_output=True, text=True, check=False
            )
            if ran.returncode:
                raise Missing(f"openapi-python-client cannot be installed: {ran.stderr.strip()[-500:]}")
            done.touch()
    return python


if __name__ == "__main__":
    if sys.argv[1:] != ["install"]:
        sys.exit(__doc__)
    try:
        print(install())
    except Missing as error:
        sys.exit(str(error))
