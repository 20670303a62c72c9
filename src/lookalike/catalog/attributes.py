"""SQLite's index of attributes: a row for each value of each image, kept by triggers.

A filter by `eq`, `in` or `exists` then reads the images it finds, and not every image's JSON. PostgreSQL has
indexes for JSON itself.
"""

from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text
from sqlalchemy.types import NullType

MAX_INDEXED_LENGTH = 100
"""Characters of a text that are indexed; of longer ones the rest is compared with the image's."""

# Not made with the other tables: WITHOUT ROWID and a column of any type are SQLite's own.
attribute_values = Table(
    "attribute_values",
    MetaData(),
    Column("name", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("value", NullType, primary_key=True),
    Column("image_id", Integer, primary_key=True),
)

_ROWS = """
SELECT j.key,
       CASE WHEN j.type IN ('integer', 'real') THEN 'number' ELSE j.type END,
       CASE WHEN j.type IN ('integer', 'real') THEN j.atom WHEN j.type = 'text' THEN substr(j.atom, 1, {longest})
            ELSE '' END,
       {row}.id
"""
_STATEMENTS = (
    """
    CREATE TABLE attribute_values (
        name TEXT NOT NULL,
        kind TEXT NOT NULL,  -- text, number, true, false, null, array, object
        value NOT NULL,      -- of a text or number; else empty
        image_id INTEGER NOT NULL,
        PRIMARY KEY (name, kind, value, image_id)
    ) WITHOUT ROWID
    """,
    "CREATE TRIGGER attributes_put AFTER INSERT ON images WHEN NEW.attributes <> '{{}}' BEGIN"
    " INSERT INTO attribute_values {new} FROM json_each(NEW.attributes) AS j; END",
    "CREATE TRIGGER attributes_changed AFTER UPDATE OF attributes ON images WHEN OLD.attributes <> NEW.attributes BEGIN"
    " DELETE FROM attribute_values WHERE (name, kind, value, image_id) IN ({old} FROM json_each(OLD.attributes) AS j);"
    " INSERT INTO attribute_values {new} FROM json_each(NEW.attributes) AS j; END",
    "CREATE TRIGGER attributes_gone AFTER DELETE ON images WHEN OLD.attributes <> '{{}}' BEGIN"
    " DELETE FROM attribute_values WHERE (name, kind, value, image_id) IN ({old} FROM json_each(OLD.attributes) AS j);"
    " END",
    "INSERT INTO attribute_values {all} FROM images, json_each(images.attributes) AS j",
)


def create_index(conn: Connection) -> None:
    """Make the table and its triggers, and fill it from the images there are."""
    rows = {word: _ROWS.format(longest=MAX_INDEXED_LENGTH, row=row) for word, row in (("new", "NEW"), ("old", "OLD"))}
    rows["all"] = _ROWS.format(longest=MAX_INDEXED_LENGTH, row="images")
    for statement in _STATEMENTS:
        conn.exec_driver_sql(statement.format(**rows))


def disagreements(conn: Connection) -> int:
    """How many values differ between the images and the index."""
    if conn.dialect.name != "sqlite":
        return 0
    told = _ROWS.format(longest=MAX_INDEXED_LENGTH, row="images") + " FROM images, json_each(images.attributes) AS j"
    there = "SELECT name, kind, value, image_id FROM attribute_values"
    found = conn.exec_driver_sql(
        f"SELECT (SELECT count(*) FROM ({told} EXCEPT {there})) + (SELECT count(*) FROM ({there} EXCEPT {told}))"
    )
    return int(found.scalar_one())
