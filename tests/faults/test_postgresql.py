"""The catalog on a PostgreSQL that dies, freezes, refuses, fills up, or is cut off: nothing acknowledged is lost."""

import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, make_url, text

from lookalike.catalog import Catalog
from lookalike.catalog import postgresql as postgresql_dialect
from lookalike.catalog.statements import lock_state
from lookalike.errors import BadSetting, GalleryBusy, LookalikeError, Unavailable
from tests.faults.test_catalog_kill import Witness, contents
from tests.support.catalogs import HASH, entry
from tests.support.engines import postgresql
from tests.support.faults.small_disk import small_disk
from tests.support.waiting import HANG_SECONDS

KILLS = 5
BOUND = HANG_SECONDS
"""Seconds that a call may take with a server that does not answer: two time-outs and a busy machine."""


class Server:
    """A cluster of one's own, to be mistreated."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url

    def processes(self) -> list[psutil.Process]:
        with suppress(OSError, psutil.NoSuchProcess):
            first = psutil.Process(int((self.folder / "data" / "postmaster.pid").read_text().split()[0]))
            return [first, *first.children(recursive=True)]
        return []

    def signal(self, number: signal.Signals) -> None:
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        there = self.processes()
        for process in there:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(there, timeout=10)

    def start(self) -> None:
        self.url = postgresql.script("start", str(self.folder))

    def stop(self) -> None:
        postgresql.script("stop", str(self.folder))


@pytest.fixture(scope="module")
def durable() -> Iterator[Server]:
    """A server that waits for the disk, as a real one does."""
    postgresql.server()  # skips where there is none
    with postgresql.cluster(fast=False) as (folder, url):
        yield Server(folder, url)


@pytest.fixture
def url(durable: Server) -> Iterator[str]:
    with postgresql.database(durable.url) as fresh:
        Catalog.open(fresh, create=True).close()
        yield fresh


@contextmanager
def within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds, f"took {took:.1f} s"


def write_until_it_fails(catalog: Catalog, tenant: int, seed: str, dice: random.Random, witness: Witness) -> str:
    """Put and delete batches, telling the witness, until the server is gone; gives the error's words."""
    for step in range(1_000_000):
        keys = [f"k{dice.randrange(150)}" for _ in range(dice.randrange(1, 40))]
        try:
            if dice.random() < 0.3:
                witness.hear(json.dumps(["deleting", dict.fromkeys(keys)]))
                seqs = [gone.sequence for gone in catalog.images.delete(tenant, keys)]
            else:
                said = {key: f"{seed}-{step}-{n}" for n, key in enumerate(keys)}
                witness.hear(json.dumps(["putting", said]))
                seqs = [
                    put.sequence for put in catalog.images.put([entry(tenant, key, what) for key, what in said.items()])
                ]
        except Unavailable as error:
            return str(error)
        witness.hear(json.dumps(["done", seqs]))
    raise AssertionError("the server was never killed")


@contextmanager
def after_batches(witness: Witness, count: int, pause: float, act: Callable[[], object]) -> Iterator[None]:
    """Act in a thread once so many more batches are acknowledged and a while has passed, or else when the block ends.

    The block writes until it fails; on a busy machine a statement may time out before.
    """
    enough, ended = witness.batches + count, threading.Event()

    def wait() -> None:
        while witness.batches < enough and not ended.wait(0.01):
            pass
        ended.wait(pause)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_killed_server_loses_nothing_acknowledged(durable: Server, url: str) -> None:
    dice = random.Random(11)
    witness = Witness()
    with Catalog.open(url) as catalog:
        tenant = catalog.tenants.get_or_create("default")
        for round_ in range(KILLS):
            pause = dice.uniform(0.0, 0.8)
            with within(BOUND), after_batches(witness, 2, pause, durable.kill):
                why = write_until_it_fails(catalog, tenant, str(round_), dice, witness)
            assert "nothing was changed" in why or "may or may not" in why
            with within(BOUND), pytest.raises(Unavailable):
                catalog.images.count()
            durable.start()
            there = contents(catalog, witness)  # the same catalog goes on with the new server
            witness.settle(there)
            catalog.check()
            assert catalog.changes.last_sequence() >= max(witness.seqs, default=0)
            assert len(catalog.changes.since(HASH, 0, 1_000_000).upserts.ids) == len(there)
    assert witness.seqs == sorted(set(witness.seqs))
    assert witness.batches > KILLS
    print(
        f"{KILLS} kills, {witness.batches} batches, {len(witness.seqs)} changes acknowledged: none lost, none revived"
    )


def test_a_frozen_server_is_given_up_in_time(durable: Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_dialect, "GRACE_SECONDS", 1.0)
    with Catalog.open(f"{url}?statement_seconds=1") as catalog:
        tenant = catalog.tenants.get_or_create("default")
        catalog.images.put([entry(tenant, "before")])
        with catalog.leases.try_acquire("phash") as claim:
            assert claim is not None
            durable.signal(signal.SIGSTOP)
            try:
                with within(BOUND), pytest.raises(Unavailable, match="does not answer"):
                    catalog.images.put([entry(tenant, "lost")])
                with within(BOUND), pytest.raises(Unavailable):
                    catalog.images.get(tenant, "before")
                with within(BOUND), pytest.raises(Unavailable, match="lost"):
                    claim.record(1)
            finally:
                durable.signal(signal.SIGCONT)
        catalog.images.put([entry(tenant, "after")])
        assert {"before", "after"} <= {record.key for record in catalog.images.list_page(tenant)}
        deadline = time.monotonic() + BOUND
        while time.monotonic() < deadline:  # the server ends the given up connection when it notices
            with catalog.leases.try_acquire("phash") as claim:
                if claim is not None:
                    break
            time.sleep(0.1)
        assert claim is not None
        catalog.check()


def test_a_port_where_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with within(BOUND), pytest.raises(Unavailable, match="does not answer"):
        Catalog.open(f"postgresql://lookalike:secret@127.0.0.1:{port}/postgres")


def test_a_server_that_listens_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with within(BOUND), pytest.raises(Unavailable, match="does not answer"):
            Catalog.open(f"postgresql://lookalike:secret@127.0.0.1:{port}/postgres")


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"password": "topsecret"}, "password is wrong"),
        ({"password": None}, "password"),
        ({"database": "nowhere"}, "createdb"),
        ({"query": {"no_such_option": "1"}}, "no_such_option"),
        ({"query": {"statement_seconds": "0"}}, "statement_seconds"),
        ({"query": {"partitions": "1"}}, "partitions"),
        ({"query": {"features": "nobody"}}, "features"),
    ],
)
def test_settings_that_cannot_work(change: dict[str, str], remedy: str) -> None:
    url = make_url(postgresql.server())
    wrong = url.set(**change) if change.get("password", "") is not None else url._replace(password=None)
    with pytest.raises(BadSetting, match=remedy) as error:
        Catalog.open(wrong.render_as_string(hide_password=False), create=True)
    assert "topsecret" not in str(error.value)
    assert str(url.password) not in str(error.value)


def test_no_password_is_shown() -> None:
    with postgresql.database() as fresh, Catalog.open(fresh, create=True) as catalog:
        assert str(make_url(fresh).password) not in repr(catalog)
        assert "***" in repr(catalog)


def execute(url: str, statement: str) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(text(statement))
    engine.dispose()


def test_a_hanging_writer_loses_its_locks(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Catalog.open(url) as catalog:
        tenant = catalog.tenants.get_or_create("default")
        monkeypatch.setattr(postgresql_dialect, "IDLE_SECONDS", 1.0)
        hanging = Catalog.open(url)
        monkeypatch.undo()

        def hang() -> None:
            with hanging, hanging.database.write() as conn:
                lock_state(conn)
                with Catalog.open(url, busy_seconds=0.1) as hasty, pytest.raises(GalleryBusy):
                    hasty.images.put([entry(tenant, "hasty")])
                with within(BOUND):
                    catalog.images.put([entry(tenant, "patient")])  # once the server has ended the other's transaction
                lock_state(conn)

        with pytest.raises(Unavailable, match="nothing was changed"):
            hang()
        assert [record.key for record in catalog.images.list_page(tenant)] == ["patient"]


class CuttingProxy:
    """Passes everything to a server and back, until, once armed, a commit was passed on: then it cuts both off."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.armed = False
        self._silent = False
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, from_client: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                commit = from_client and self.armed and b"COMMIT\x00" in data
                if self._silent:
                    return  # the answer to the commit
                self._silent = commit
                target.sendall(data)
                if commit:
                    time.sleep(0.3)  # for the server to do it
                    self.armed = self._silent = False
                    self.cuts += 1
                    break
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def test_a_commit_whose_answer_is_lost_may_be_repeated(url: str) -> None:
    there = make_url(url)
    proxy = CuttingProxy(str(there.host), int(there.port or 0))
    through = there.set(port=proxy.port).render_as_string(hide_password=False)
    with Catalog.open(through) as catalog, Catalog.open(url) as other:
        tenant = catalog.tenants.get_or_create("default")
        catalog.images.put([entry(tenant, "a", 1)])
        proxy.armed = True
        with within(BOUND), pytest.raises(Unavailable, match="may or may not"):
            catalog.images.put([entry(tenant, "b", 2), entry(tenant, "c", 3)])
        assert proxy.cuts == 1
        before = {record.key: record.id for record in other.images.list_page(tenant)}
        catalog.images.put([entry(tenant, "b", 2), entry(tenant, "c", 3)])
        after = {record.key: record.id for record in other.images.list_page(tenant)}
        assert after.keys() == {"a", "b", "c"}
        assert before.items() <= after.items()
        other.check()
    proxy.close()


def test_a_connection_cut_in_the_middle_changes_nothing(url: str) -> None:
    with Catalog.open(url) as catalog:
        tenant = catalog.tenants.get_or_create("default")
        catalog.images.put([entry(tenant, "a", 1)])
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"

        def cut() -> None:
            with catalog.database.write() as conn:
                lock_state(conn)
                execute(url, f"{others} AND pid <> pg_backend_pid()")
                lock_state(conn)

        with pytest.raises(Unavailable, match="nothing was changed"):
            cut()
        catalog.images.put([entry(tenant, "b", 2)])
        assert catalog.images.count() == catalog.changes.last_sequence() == 2


def test_a_full_disk_takes_no_half_batch() -> None:
    postgresql.server()
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(160))
        folder, server_url = stack.enter_context(postgresql.cluster(fast=False, parent=disk.path))
        server = Server(folder, server_url)
        url = stack.enter_context(postgresql.database(server_url))
        ballast = disk.path / "ballast"
        ballast.write_bytes(bytes(24 << 20))
        catalog = stack.enter_context(Catalog.open(url, create=True))
        tenant = catalog.tenants.get_or_create("default")
        acknowledged = 0
        failed: LookalikeError | None = None
        began = time.monotonic()
        while failed is None and time.monotonic() < began + HANG_SECONDS:
            some = [
                entry(tenant, f"{acknowledged}-{n}", (acknowledged, n), features={}, thumbnail=os.urandom(20_000))
                for n in range(100)
            ]
            try:
                catalog.images.put(some)
                acknowledged += len(some)
            except Unavailable as error:
                failed = error
        assert failed is not None, "the disk did not fill"
        ballast.unlink()
        server.kill()  # a log that finds no room may have ended it already
        server.start()
        assert catalog.images.count() in (acknowledged, acknowledged + (100 if "may or may not" in str(failed) else 0))
        catalog.images.put([entry(tenant, "again")])
        catalog.check()
    print(f"{acknowledged} images acknowledged until the disk was full ({failed}): all there, no half batch")
