"""A real PostgreSQL for the suites: one cluster a test run, started when first asked for, gone at the end.

LOOKALIKE_POSTGRESQL_URL names another server to use, on which the suites may make databases.
"""

import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import NullPool, create_engine, make_url

from tests.support import supervisor
from tests.support.engines import shared

SCRIPT = Path(__file__).parents[3] / "scripts" / "postgresql.py"


def script(*words: str, check: bool = True) -> str:
    """Run the script that installs, starts and stops servers; gives what it printed."""
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(done.stderr.strip()[-2000:])
    return done.stdout.strip()


@contextmanager
def cluster(*, fast: bool, parent: Path | None = None) -> Iterator[tuple[Path, str]]:
    """The folder and the URL of a server of one's own; stopped, and its folder deleted, in the end."""
    folder = Path(tempfile.mkdtemp(prefix="lookalike-postgresql-", dir=parent or supervisor.run_folder()))
    folder.chmod(0o755)  # the server is not run by root
    try:
        yield folder, script("start", str(folder), *(["--fast"] if fast else []))
    finally:
        script("stop", str(folder), check=False)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _own() -> Iterator[str]:
    try:
        with cluster(fast=True) as (_, url):
            yield url
    except RuntimeError as problem:
        raise shared.Missing(problem) from problem


def server() -> str:
    """The URL of this run's server; skips the test where there is none, or fails it where all are required."""
    return shared.url_of("PostgreSQL", "LOOKALIKE_POSTGRESQL_URL", _own)


@contextmanager
def database(url: str | None = None) -> Iterator[str]:
    """The URL of a fresh, empty database, dropped in the end."""
    there = make_url(url or server()).set(drivername="postgresql+psycopg")
    engine = create_engine(there, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    name = f"lookalike_{uuid.uuid4().hex}"
    with engine.connect() as conn:
        conn.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield there.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as conn:
            conn.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
