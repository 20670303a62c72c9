"""Claims on indexes: one holder at a time, freed by death, progress seen by all."""

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, make_url, text

from lookalike.catalog import Catalog, leases
from lookalike.catalog import postgresql as postgresql_dialect
from lookalike.errors import BadInput, Unavailable
from tests.support.catalogs import BACKENDS
from tests.support.engines import postgresql

HOLDER = textwrap.dedent(
    """
    import sys, time
    from lookalike.catalog import Catalog
    with Catalog.open(sys.argv[1]) as catalog, catalog.leases.try_acquire("phash/1") as lease:
        lease.record(7)
        print("held", flush=True)
        time.sleep(600)
    """
)


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with BACKENDS[request.param]() as fresh:
        Catalog.open(fresh, create=True).close()
        yield fresh


@pytest.fixture
def two(url: str) -> Iterator[tuple[Catalog, Catalog]]:
    with Catalog.open(url) as first, Catalog.open(url) as second:
        yield first, second


def test_one_holder_at_a_time(two: tuple[Catalog, Catalog]) -> None:
    first, second = two
    with first.leases.try_acquire("phash") as held:
        assert held is not None
        assert held.applied == 0
        with second.leases.try_acquire("phash") as refused, first.leases.try_acquire("phash") as again:
            assert refused is None
            assert again is None
        with second.leases.try_acquire("vgg16") as other:
            assert other is not None
    with pytest.raises(KeyError), second.leases.try_acquire("phash") as held:
        raise KeyError
    with first.leases.try_acquire("phash") as held:
        assert held is not None


def test_progress_is_seen_while_the_claim_is_held(two: tuple[Catalog, Catalog]) -> None:
    first, second = two
    before = time.time()
    with first.leases.try_acquire("Größe /..\\ 'x'") as held:
        assert held is not None
        held.record(5)
        held.record(12)
        assert held.applied == 12
        (name, progress), *others = second.leases.progress().items()
        assert (name, progress.applied, others) == ("Größe /..\\ 'x'", 12, [])
        assert progress.at is not None
        assert before <= progress.at <= time.time()
        assert progress.worker
    with second.leases.try_acquire("Größe /..\\ 'x'") as held:
        assert held is not None
        assert held.applied == 12


def test_names_that_cannot_be_stored_are_refused(two: tuple[Catalog, Catalog]) -> None:
    with pytest.raises(BadInput), two[0].leases.try_acquire("a\0b"):
        pass


def test_a_killed_holder_frees_its_claim(url: str) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with Catalog.open(url) as catalog:
            with catalog.leases.try_acquire("phash/1") as held:
                assert held is None
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:  # the server hears of it at once, but not at the same moment
                with catalog.leases.try_acquire("phash/1") as held:
                    if held is not None:
                        assert held.applied == 7
                        return
                time.sleep(0.01)
    pytest.fail("a dead process still has its claim")


@pytest.fixture
def on_server() -> Iterator[tuple[Catalog, str]]:
    with postgresql.database() as fresh, Catalog.open(fresh, create=True) as catalog:
        yield catalog, fresh


def disturb(url: str, statement: str) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(text(statement))
    engine.dispose()


def test_a_cut_connection_loses_the_claim(on_server: tuple[Catalog, str]) -> None:
    catalog, url = on_server
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    with catalog.leases.try_acquire("phash") as held:
        assert held is not None
        held.record(3)
        disturb(url, f"{others} AND pid <> pg_backend_pid()")
        with catalog.leases.try_acquire("phash") as successor:
            assert successor is not None
            successor.record(4)
        with pytest.raises(Unavailable, match="lost"):
            held.record(5)
    assert catalog.leases.progress()["phash"].applied == 4


def test_a_claim_outlives_idle_timeouts_and_renewals(
    on_server: tuple[Catalog, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_dialect, "IDLE_SECONDS", 0.05)
    with Catalog.open(on_server[1]) as catalog, catalog.leases.try_acquire("phash") as held:
        other = on_server[0]
        assert held is not None
        time.sleep(0.3)
        held.record(1)
        monkeypatch.setattr(leases, "LEASE_RENEWAL", 0.0)
        held.record(2)
        with other.leases.try_acquire("phash") as refused:
            assert refused is None
        time.sleep(0.3)
        held.record(3)
    assert other.leases.progress()["phash"].applied == 3
