"""Time to find images by a part of their keys in a SQLite catalog.

python -m benchmarks.key_search [--images 1000000]: rows are inserted by SQL. Prints processor milliseconds (the best of
three) for texts that few, many and no keys contain.
"""

import argparse
import sqlite3
import tempfile
import time
from pathlib import Path

import lookalike

SEARCHES = (
    ("no such name", "key"),
    ("img_0999999", "key"),
    ("Größe", "key"),
    ("holiday 07", "key"),
    ("img_09999", "-file.bytes"),
)
ROWS = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO images (id, tenant_id, key, sha256, nbytes, width, height, format, attributes, created, updated, seq)
SELECT i, ?, printf('Photos/%04d/Holiday %02d/IMG_%07d.jpg', 1990 + i % 35, i % 12, i), randomblob(32), 1000, 10, 10,
       'JPEG', '{}', 0, 0, i
FROM n
"""


def main() -> None:
    """Fill a catalog, and print a line a search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        gallery = Path(folder) / "gallery"
        with lookalike.open(gallery, pipelines=["phash"], create=True) as opened:
            tenant = opened.catalog.tenants.get_or_create("default")
        connection = sqlite3.connect(gallery / "catalog.sqlite")
        connection.execute(ROWS, (given.images, tenant))
        connection.commit()
        connection.close()
        with lookalike.open(gallery) as opened:
            for text, sort in SEARCHES:
                times = []
                for _ in range(3):
                    started = time.process_time()
                    found = opened.catalog.images.list_page(tenant, contains=text, limit=100, sort=sort)
                    times.append(time.process_time() - started)
                print(f"{text!r}, sorted by {sort}: {len(found)} found, {1000 * min(times):.0f} ms")


if __name__ == "__main__":
    main()
