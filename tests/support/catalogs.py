"""The databases that the catalog's suites run on, and small images to put in.

A database joins by a function that yields the URL of a fresh, empty one.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import update

from lookalike.catalog import Catalog, NewImage
from lookalike.catalog.schema import meta
from lookalike.types import INT8_SUFFIX, FeatureSpec
from tests.support.engines import postgresql

HASH = FeatureSpec("phash", "hamming", 8, "one")
VECTOR = FeatureSpec("vgg16", "cosine", 64, "two")
INT8 = FeatureSpec("small", "cosine", 64, "three" + INT8_SUFFIX)


@contextmanager
def sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield str(Path(folder) / "catalog.sqlite")


@contextmanager
def partitioned() -> Iterator[str]:
    with postgresql.database() as url:
        yield f"{url}?partitions=3"


BACKENDS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "sqlite": sqlite,
    "postgresql": postgresql.database,
    "partitioned": partitioned,
}


@contextmanager
def fresh(backend: str) -> Iterator[Catalog]:
    """A new catalog, checked for soundness at the end."""
    with BACKENDS[backend]() as url, Catalog.open(url, create=True) as catalog:
        yield catalog
        catalog.check()


IMAGE_COLUMNS_AFTER_2 = ("frames", "truncated", "exif", "etag", "file_offset")


def make_schema_2(catalog: Catalog) -> None:
    """Take from a catalog what the schemas after 2 have added."""
    statements = [
        "DROP TABLE roots",
        "DROP TABLE removals",
        "DROP TABLE verification_records",
        "DROP TABLE compared_pairs",
        "DROP TABLE archives",
        "DROP TABLE pipelines",
        "DROP TABLE backfills",
        "DROP TABLE backfill_ranges",
        "DROP TABLE backfill_failures",
        "ALTER TABLE state DROP COLUMN pipelines",
        "DROP INDEX images_path",
    ]
    statements += [f"ALTER TABLE images DROP COLUMN {column}" for column in IMAGE_COLUMNS_AFTER_2]
    statements += [f"ALTER TABLE deletions DROP COLUMN {column}" for column in ("tenant_id", "key")]
    statements.append("ALTER TABLE access_keys DROP COLUMN expires")
    with catalog.database.write() as conn:
        for statement in statements:
            conn.exec_driver_sql(statement)
        conn.execute(update(meta).where(meta.c.key == "schema").values(value=2))


def digest(content: object) -> bytes:
    return hashlib.sha256(repr(content).encode()).digest()


def hash_row(content: object) -> np.ndarray[Any, Any]:
    return np.frombuffer(digest(content)[:8], dtype=np.uint8)


def vector_row(content: object) -> np.ndarray[Any, Any]:
    row = np.frombuffer(digest(content) * 2, dtype=np.uint8).astype(np.float32) - 127.5
    return row / np.linalg.norm(row)


def entry(tenant: int, key: str, content: object = 0, **more: Any) -> NewImage:
    """An image whose digest and features follow from `content`, unless `more` says otherwise."""
    if "copy_of" not in more:
        more.setdefault("features", {HASH: hash_row(content), VECTOR: vector_row(content)})
    settings = {"path": f"/photos/{key}", "sha256": digest(content), "nbytes": 1000, "width": 40, "height": 30}
    return NewImage(tenant, key, **{**settings, "format": "JPEG", **more})
