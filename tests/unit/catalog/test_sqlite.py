"""The catalog as a SQLite file: opening, refusing, sharing, migrating."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, text

from lookalike.catalog import Catalog
from lookalike.catalog.migrations import migrate, version_of
from lookalike.catalog.schema import VERSION
from lookalike.errors import BadInput, BadSetting, Damaged, GalleryBusy, NotFound, Unavailable
from lookalike.types import Condition
from tests.support.catalogs import HASH, entry


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery" / "catalog.sqlite"


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    with Catalog.open(path, create=True) as made:
        tenant = made.tenants.get_or_create("default")
        made.images.put([entry(tenant, f"k{n}", n, attributes={"n": n}) for n in range(300)])
        yield made


def raw(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def queried(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_nothing_is_made_unasked(path: Path) -> None:
    with pytest.raises(NotFound, match="lookalike init"):
        Catalog.open(path)
    with pytest.raises(NotFound):
        Catalog.open(path, read_only=True)
    assert not path.parent.exists()
    path.parent.mkdir()
    path.touch()
    with pytest.raises(NotFound):
        Catalog.open(path)


def test_a_path_with_odd_characters(tmp_path: Path) -> None:
    path = tmp_path / "a?b#c%20 ä" / "c.sqlite"
    with Catalog.open(path, create=True) as catalog:
        assert catalog.changes.last_sequence() == 0
    assert path.is_file()
    with Catalog.open(f"sqlite:///{tmp_path}/plain.sqlite", create=True):
        assert (tmp_path / "plain.sqlite").is_file()


@pytest.mark.parametrize("target", ["mysql://host/db", "sqlite://", ":memory:", "postgresql://host:port/x", "x://["])
def test_targets_without_sense(target: str) -> None:
    with pytest.raises(BadSetting):
        Catalog.open(target, create=True)


def test_the_driver_of_postgresql_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "lookalike.catalog.psycopg_connection", raising=False)
    monkeypatch.delattr("lookalike.catalog.psycopg_connection", raising=False)
    with pytest.raises(BadSetting, match=r"pip install \"lookalike\[postgresql\]\""):
        Catalog.open("postgresql://host/name")


def test_the_driver_of_postgresql_is_loaded_only_for_it(path: Path) -> None:
    code = (
        "import sys; from lookalike.catalog import Catalog;"
        " Catalog.open(sys.argv[1], create=True); sys.exit('psycopg' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_content_survives_closing(path: Path, catalog: Catalog) -> None:
    sequence = catalog.changes.last_sequence()
    catalog.close()
    catalog.close()
    with pytest.raises(BadInput, match="closed"):
        catalog.images.count()
    with Catalog.open(path) as again:
        assert (again.images.count(), again.changes.last_sequence()) == (300, sequence)
        again.check()


def test_every_commit_reaches_the_disk(catalog: Catalog) -> None:
    with catalog.database.write() as conn:
        assert conn.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2  # FULL
        assert conn.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert conn.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1


def test_read_only(path: Path, catalog: Catalog) -> None:
    with Catalog.open(path, read_only=True) as reader:
        assert reader.images.count() == 300
        with pytest.raises(BadInput, match="read-only"):
            reader.images.delete(1, ["k1"])
        catalog.images.delete(1, ["k1"])
        assert reader.images.count() == 299
    catalog.close()
    with Catalog.open(path, read_only=True) as reader:  # the log is gone, and nobody else is there
        assert reader.images.count() == 299
    with pytest.raises(BadInput):
        Catalog.open(path, create=True, read_only=True)


def test_readers_never_wait_for_a_writer(path: Path, catalog: Catalog) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM images")
        with Catalog.open(path, busy_seconds=0.05) as second:
            assert second.images.count() == 300
            assert len(second.changes.since(HASH, 0, 1000).upserts.ids) == 300
            with pytest.raises(GalleryBusy, match="another process"):
                second.images.delete(1, ["k1"])
        other.execute("ROLLBACK")
    assert catalog.images.count() == 300


def test_another_process_sees_commits(path: Path, catalog: Catalog) -> None:
    code = (
        "import sys; from lookalike.catalog import Catalog;"
        " print(Catalog.open(sys.argv[1], read_only=True).images.count())"
    )
    seen = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "300"


def test_a_foreign_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    raw(path, "CREATE TABLE recipes (id)")
    for create in (True, False):
        with pytest.raises(BadInput, match="recipes"):
            Catalog.open(path, create=create)


def test_a_newer_schema_is_refused(path: Path, catalog: Catalog) -> None:
    catalog.close()
    raw(path, f"UPDATE meta SET value = '{VERSION + 1}' WHERE key = 'schema'")
    for read_only in (True, False):
        with pytest.raises(BadInput, match=f"schema {VERSION + 1}.*upgrade"):
            Catalog.open(path, read_only=read_only)


def test_an_older_schema_is_refused_for_reading_and_without_a_migration_for_writing(
    path: Path, catalog: Catalog
) -> None:
    catalog.close()
    raw(path, "UPDATE meta SET value = '1' WHERE key = 'schema'")
    with pytest.raises(BadInput, match="for writing"):
        Catalog.open(path, read_only=True)
    with pytest.raises(BadInput, match=r"schema 1, which .* cannot migrate"):
        Catalog.open(path)


def test_migrations_run_in_order_or_not_at_all(path: Path, catalog: Catalog) -> None:
    catalog.close()
    done: list[int] = []

    def second(conn: Connection) -> None:
        conn.execute(text("CREATE TABLE second (id INTEGER)"))
        done.append(2)

    def third(conn: Connection) -> None:
        done.append(3)

    def broken(conn: Connection) -> None:
        conn.execute(text("CREATE TABLE half (id INTEGER)"))
        raise RuntimeError

    next_one = VERSION + 1
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as conn:
        migrate(conn, VERSION, version=VERSION + 2, migrations={next_one: second, VERSION + 2: third})
    assert done == [2, 3]
    with engine.connect() as conn:
        assert version_of(conn) == VERSION + 2
        assert conn.execute(text("SELECT count(*) FROM second")).scalar_one() == 0
    with Catalog.open(path.with_name("other.sqlite"), create=True) as other:
        with pytest.raises(RuntimeError), other.database.write() as conn:
            migrate(conn, VERSION, version=next_one, migrations={next_one: broken})
        with other.database.read() as conn:
            assert version_of(conn) == VERSION
            assert not conn.dialect.has_table(conn, "half")
    engine.dispose()


def test_a_file_that_is_no_database_is_damaged(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(os.urandom(5000))
    with pytest.raises(Damaged, match="backup"):
        Catalog.open(path)


def test_damaged_pages_are_found(path: Path, catalog: Catalog) -> None:
    catalog.checkpoint()
    catalog.close()
    data = bytearray(path.read_bytes())
    middle = len(data) // 4096 // 2 * 4096
    data[middle : middle + 3 * 4096] = os.urandom(3 * 4096)
    path.write_bytes(data)
    with pytest.raises(Damaged, match="backup"), Catalog.open(path) as broken:
        broken.check()


def test_a_truncated_file_is_damaged(path: Path, catalog: Catalog) -> None:
    catalog.checkpoint()
    catalog.close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(Damaged), Catalog.open(path) as broken:
        broken.check()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE state SET sequence = 5",
        "UPDATE images SET seq = 1 WHERE id < 3",
        "INSERT INTO deletions (seq, image_id) VALUES (999, 7)",
        "UPDATE features_1 SET vector = x'00' WHERE image_id = 9",
        "DELETE FROM attribute_values WHERE image_id = 9",
        "PRAGMA foreign_keys = OFF; DELETE FROM images WHERE id = 4",
    ],
)
def test_broken_promises_are_found(path: Path, catalog: Catalog, statement: str) -> None:
    catalog.check()
    raw(path, *statement.split(";"))
    with pytest.raises(Damaged, match="backup"):
        catalog.check()


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        Catalog.open(tmp_path, create=True)


def test_vacuum_gives_room_back(path: Path, catalog: Catalog) -> None:
    catalog.images.put([entry(1, f"k{n}", n, attributes={"n": n}) for n in range(300, 900)])
    before = path.stat().st_size
    catalog.checkpoint()
    full = path.stat().st_size
    assert full > before
    catalog.images.delete_by_filter(1, [Condition("n", "gte", 10)])
    catalog.vacuum()
    catalog.checkpoint()
    assert path.stat().st_size < full * 2 / 3
    assert catalog.images.count() == 10
    catalog.check()
