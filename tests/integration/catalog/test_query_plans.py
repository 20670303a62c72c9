"""No query on the way of a search, an ingest or a replay reads a whole table.

The catalog's own statements are caught, and the database is asked how it carries them out, with many rows in it:
LOOKALIKE_PLAN_ROWS of them, 100,000 by default (a million were tried too).
"""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event

from lookalike.catalog import Catalog
from lookalike.types import Condition
from tests.support.catalogs import BACKENDS, HASH, VECTOR, entry

ROWS = int(os.environ.get("LOOKALIKE_PLAN_ROWS", "100000"))
LARGE = ("images", "features_", "deletions", "attribute_values")

_POSTGRESQL = """
INSERT INTO images (id, tenant_id, key, path, sha256, pixels, nbytes, mtime_ns, width, height, format, attributes,
                    created, updated, seq)
SELECT n, 1 + (n % 10 = 0)::int, 'k' || lpad(n::text, 9, '0'), '/photos/' || n, sha256(n::text::bytea),
       sha256(n::text::bytea), 1000, n, 40, 30, 'JPEG',
       jsonb_build_object('album', n % 1000, 'name', 'n' || n, CASE WHEN n % 5000 = 0 THEN 'rare' ELSE 'common' END, 1),
       n, n, n
FROM generate_series(10, {rows}) AS n;
INSERT INTO features_1 SELECT n, substring(sha256(n::text::bytea) FOR 8) FROM generate_series(10, {rows} - 1000) AS n;
INSERT INTO features_2 SELECT n, decode(repeat('003c', 64), 'hex') FROM generate_series(10, {rows} - 1000) AS n;
INSERT INTO deletions (seq, image_id) SELECT {rows} + n, {rows} + n FROM generate_series(1, 20000) AS n;
UPDATE state SET sequence = {rows} + 20000;
SELECT setval('image_ids', {rows} + 20000);
"""
_SQLITE = """
INSERT INTO images (id, tenant_id, key, path, sha256, pixels, nbytes, mtime_ns, width, height, format, attributes,
                    created, updated, seq)
WITH RECURSIVE r(n) AS (SELECT 10 UNION ALL SELECT n + 1 FROM r WHERE n < {rows})
SELECT n, 1 + (n % 10 = 0), printf('k%09d', n), '/photos/' || n, CAST(printf('%032d', n) AS BLOB),
       CAST(printf('%032d', n) AS BLOB), 1000, n, 40, 30, 'JPEG',
       json_object('album', n % 1000, 'name', 'n' || n, CASE WHEN n % 5000 = 0 THEN 'rare' ELSE 'common' END, 1),
       n, n, n
FROM r;
INSERT INTO features_1 SELECT id, substr(sha256, 25) FROM images WHERE id BETWEEN 10 AND {rows} - 1000;
INSERT INTO features_2 SELECT id, x'{vector}' FROM images WHERE id BETWEEN 10 AND {rows} - 1000;
INSERT INTO deletions (seq, image_id) SELECT {rows} + id, {rows} + id FROM images WHERE id BETWEEN 10 AND 20000;
UPDATE state SET sequence = {rows} + 20000, last_id = {rows} + 20000;
"""


@pytest.fixture(scope="module", params=BACKENDS)
def full(request: pytest.FixtureRequest) -> Iterator[Catalog]:
    with BACKENDS[request.param]() as url, Catalog.open(patient(url), create=True) as catalog:
        for name in ("default", "other"):
            catalog.tenants.get_or_create(name)
        catalog.images.put([entry(1, "a", 1)])
        with catalog.database.write() as conn:
            script = _SQLITE if conn.dialect.name == "sqlite" else _POSTGRESQL
            for statement in script.format(rows=ROWS, vector=64 * "003c").split(";")[:-1]:
                conn.exec_driver_sql(statement.replace("%", "%%") if conn.dialect.name != "sqlite" else statement)
        with catalog.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.exec_driver_sql("ANALYZE")
        yield catalog


def patient(url: str) -> str:
    """With room for statements that fill a large table."""
    return f"{url}{'&' if '?' in url else '?'}statement_seconds=3600" if "://" in url else url


def digest_of(catalog: Catalog, n: int) -> bytes:
    return next(iter(catalog.images.by_ids([n]).values())).sha256


SOME = [*range(20, ROWS, ROWS // 300)]
LAST = ROWS + 20000
HOT: dict[str, Callable[[Catalog], Any]] = {
    "known": lambda catalog: catalog.images.existing_images(1, [f"k{n:09d}" for n in SOME]),
    "get": lambda catalog: catalog.images.get(1, "k000000021"),
    "records": lambda catalog: catalog.images.by_ids(SOME),
    "twins": lambda catalog: catalog.images.same_bytes(1, [digest_of(catalog, n) for n in SOME[:20]]),
    "by digest": lambda catalog: catalog.images.by_digest("sha256", 1, [digest_of(catalog, 21)], limit=5),
    "by pixels": lambda catalog: catalog.images.by_digest("pixels", None, [digest_of(catalog, 21)], limit=5),
    "browse": lambda catalog: catalog.images.list_page(1, after="k000050000", limit=100),
    "the first page": lambda catalog: catalog.images.list_page(1, limit=100),
    "a prefix": lambda catalog: catalog.images.list_page(1, prefix="k00005", limit=100),
    "a page of a prefix": lambda catalog: catalog.images.list_page(1, prefix="k0000", after="k000050000", limit=100),
    "a prefix and a filter": lambda catalog: catalog.images.list_page(
        1, prefix="k00005", conditions=[Condition("x", "eq", 1)]
    ),
    "changes": lambda catalog: catalog.changes.since(HASH, ROWS // 2, 1000),
    "the first changes": lambda catalog: catalog.changes.since(VECTOR, 0, 1000, attributes=True),
    "the last changes": lambda catalog: catalog.changes.since(VECTOR, LAST - 100, 1000),
    "missing": lambda catalog: catalog.features.missing(HASH, after_id=ROWS - 1200, limit=100),
    "features": lambda catalog: catalog.features.get(VECTOR, SOME),
    "sequence": lambda catalog: catalog.changes.last_sequence(),
    "ids of an album": lambda catalog: catalog.images.ids_matching(1, [Condition("album", "eq", 77)]),
    "ids of some names": lambda catalog: catalog.images.ids_matching(1, [Condition("name", "in", ("n21", "n22"))]),
    "ids of a rare attribute": lambda catalog: catalog.images.ids_matching(None, [Condition("rare", "exists", True)]),
    "put": lambda catalog: catalog.images.put([entry(1, f"k{n:09d}", ("new", n)) for n in SOME[:50]]),
    "attributes": lambda catalog: catalog.images.set_attributes(1, "k000000021", {"x": 1}, merge=True),
    "delete": lambda catalog: catalog.images.delete(1, ["k000000023"]),
}


@pytest.mark.parametrize("name", HOT)
def test_no_hot_query_reads_a_whole_table(full: Catalog, name: str) -> None:
    dialect = full.database.engine.dialect.name
    said: list[tuple[str, Any]] = []

    def hear(conn: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
        said.append((statement, parameters[0] if executemany else parameters))

    event.listen(full.database.engine, "before_cursor_execute", hear)
    try:
        assert HOT[name](full) is not None
    finally:
        event.remove(full.database.engine, "before_cursor_execute", hear)
    explained = 0
    with full.database.read() as conn:
        for statement, parameters in said:
            if statement.split()[0] in ("SELECT", "UPDATE", "DELETE", "WITH"):
                explained += 1
                whole = _whole_sqlite if dialect == "sqlite" else _whole_postgresql
                assert not (found := whole(conn, statement, parameters)), f"{found} in {statement}"
    assert explained


@pytest.mark.parametrize("after", [None, "k000050150"])
def test_a_prefix_is_a_range_of_the_index(full: Catalog, after: str | None) -> None:
    """Keys before and beyond it are not even looked at, also by a page in its middle."""
    dialect = full.database.engine.dialect.name
    said: list[tuple[str, Any]] = []

    def hear(conn: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
        said.append((statement, parameters))

    event.listen(full.database.engine, "before_cursor_execute", hear)
    try:
        found = full.images.list_page(1, prefix="k0000502", after=after, limit=1000)
    finally:
        event.remove(full.database.engine, "before_cursor_execute", hear)
    assert [record.key for record in found] == [f"k{n:09d}" for n in range(50200, 50300) if n % 10]
    [(statement, parameters)] = [one for one in said if "FROM images" in one[0]]
    with full.database.read() as conn:
        if dialect == "sqlite":
            plan = [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            assert any(line.endswith("(tenant_id=? AND key>? AND key<?)") for line in plan), plan
        else:
            rows = conn.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars().all()
            conditions = [line for line in rows if "Index Cond" in line and "tenant_id" in line]
            assert conditions, rows
            assert all("key >" in line and "key <" in line for line in conditions), rows


def _whole_sqlite(conn: Connection, statement: str, parameters: Any) -> list[str]:
    plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    details = [row[3] for row in plan]
    by_tenant = [line for line in details if line.endswith("(tenant_id=?)") and "attribute_values" in statement]
    return by_tenant + [
        line for line in details if line.startswith("SCAN") and any(f" {name}" in line for name in LARGE)
    ]


def _whole_postgresql(conn: Connection, statement: str, parameters: Any) -> list[str]:
    found = conn.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    plan = found if isinstance(found, list) else json.loads(found)
    return [
        f"{node['Node Type']} of {node['Relation Name']}"
        for node in _nodes(plan[0]["Plan"])
        if node.get("Relation Name", "").startswith(LARGE)
        and not any("Cond" in word for word in node)
        and node["Node Type"] not in ("Bitmap Heap Scan", "ModifyTable", "LockRows")
    ]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
