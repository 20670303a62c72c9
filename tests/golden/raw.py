"""Galleries in engines as data: written out, and put back, by the engines' own clients alone."""

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psycopg
from pymilvus import DataType, MilvusClient

from tests.support.engines import elasticsearch, milvus, postgresql

WAYS = {
    "engines": ("", "/test-golden?mode=exact", "?index=FLAT"),
    "engines-left": (
        "?features=engine&partitions=2",
        "/test-golden?mode=guaranteed&shards=2",
        "?index=HNSW&tenants=partitions",
    ),
}
"""Options of the addresses of catalog, hashes and vectors; in the second way features are left to the engines."""

Object = dict[str, Any]
database = postgresql.database
elasticsearch_url = elasticsearch.server
milvus_url = milvus.milvus_url


@dataclass(frozen=True)
class Names:
    """The aliases that a gallery has in the engines."""

    elasticsearch: str
    milvus: str


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as conn:
        yield conn


@contextmanager
def milvus_client() -> Iterator[MilvusClient]:
    at = urlsplit(milvus.milvus_url())
    client = MilvusClient(uri=f"http://{at.netloc}", timeout=60)
    try:
        yield client
    finally:
        client.close()


def names(url: str) -> Names:
    """Those of the gallery whose catalog this is."""
    with connected(url) as conn:
        [gallery] = conn.execute("SELECT value FROM meta WHERE key = 'gallery'").fetchone() or [""]
    with elasticsearch.raw(elasticsearch.server()) as client:
        found = client.indices.get_alias(index=f"test-golden-{gallery}-*")
    [alias] = {name for one in found.values() for name in one["aliases"]}
    return Names(alias, f"lookalike_{gallery}_vgg16")


def names_in(folder: Path) -> Names:
    """Those of a recorded gallery."""
    [alias] = json.loads((folder / "elasticsearch.json").read_text())["aliases"]
    return Names(alias, json.loads((folder / "milvus.json").read_text())["alias"])


def sweep(these: Names) -> None:
    """Delete what the engines have under these names."""
    with elasticsearch.raw(elasticsearch.server()) as client:
        found = list(client.indices.get_alias(index=f"{these.elasticsearch}*", expand_wildcards="all"))
        if found:
            client.indices.delete(index=",".join(found))
    with milvus_client() as client:
        for name in client.list_collections():
            if name.startswith(these.milvus):
                for alias in client.list_aliases(name)["aliases"]:
                    client.drop_alias(alias)
                client.drop_collection(name)


# -- PostgreSQL


def dump_postgresql(url: str, to: Path) -> None:
    words = ["pg_dump", "--inserts", "--no-owner", "--no-privileges", "--no-comments", f"--dbname={url}"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    # comments, the client's own words, and what one version of it alone says
    lines = (line for line in text.splitlines() if line and not line.startswith(("--", "\\", "SET ")))
    to.write_text("\n".join(lines) + "\n")


def load_postgresql(url: str, sql: Path) -> None:
    with connected(url) as conn:
        conn.execute("SET client_encoding = 'UTF8'")
        conn.execute(sql.read_bytes())


def state_of_postgresql(url: str) -> Object:
    """Every row of every table but `followers`, where whoever looks after an index signs; of that, how far it is."""
    with connected(url) as conn:
        found = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows: Object = {name: sorted(map(repr, conn.execute(f"TABLE {name}").fetchall())) for (name,) in found}
        rows["followers"] = sorted(conn.execute("SELECT name, applied FROM followers").fetchall())
        return rows


# -- Elasticsearch


def dump_elasticsearch(these: Names, to: Path) -> None:
    """The index behind the alias: settings, mapping, aliases, and every document with its id and routing."""
    with elasticsearch.raw(elasticsearch.server()) as client:
        [(name, found)] = client.indices.get(index=these.elasticsearch).items()
        settings = found["settings"]["index"]
        for own in ("creation_date", "uuid", "version", "provided_name"):
            settings.pop(own)
        hits = client.search(index=name, size=1000, query={"match_all": {}})["hits"]["hits"]
        documents = [
            {"_id": hit["_id"], "routing": hit.get("_routing"), "source": hit["_source"]}
            for hit in sorted(hits, key=lambda hit: int(hit["_id"]))
        ]
    saved = {"index": name, "settings": settings, "mappings": found["mappings"], "aliases": found["aliases"]}
    to.write_text(_lined(saved, "documents", documents))


def load_elasticsearch(file: Path) -> str:
    """Gives the name of the index."""
    saved = json.loads(file.read_text())
    with elasticsearch.raw(elasticsearch.server()) as client:
        client.indices.create(
            index=saved["index"],
            settings={"index": saved["settings"]},
            mappings=saved["mappings"],
            aliases=saved["aliases"],
            wait_for_active_shards="1",
        )
        for document in saved["documents"]:
            routing = {"routing": document["routing"]} if document["routing"] else {}
            client.index(index=saved["index"], id=document["_id"], document=document["source"], **routing)
        client.indices.refresh(index=saved["index"])
    return str(saved["index"])


def state_of_elasticsearch(these: Names) -> Object:
    """What shows whether anything was written: the index behind the alias, its mapping, documents and operations."""
    with elasticsearch.raw(elasticsearch.server()) as client:
        [(name, found)] = client.indices.get(index=these.elasticsearch).items()
        total = client.indices.stats(index=name)["_all"]["primaries"]
        hits = client.search(index=name, size=1000, version=True, seq_no_primary_term=True)["hits"]["hits"]
        return {
            "name": name,
            "created": found["settings"]["index"]["creation_date"],
            "mappings": found["mappings"],
            "aliases": found["aliases"],
            "every index": sorted(client.indices.get_alias(index=f"{these.elasticsearch}*")),
            "written": [total["indexing"]["index_total"], total["indexing"]["delete_total"], total["docs"]["count"]],
            "documents": sorted((hit["_id"], hit["_version"], hit["_seq_no"]) for hit in hits),
        }


# -- Milvus


def dump_milvus(these: Names, to: Path) -> None:
    """The collection behind the alias: schema, properties, index, and every row with its partition."""
    with milvus_client() as client:
        found = client.describe_collection(these.milvus)
        name = found["collection_name"]
        index = client.describe_index(name, "vector")
        index = {part: index[part] for part in ("index_type", "metric_type", "M", "efConstruction") if part in index}
        by_key = any(field.get("is_partition_key") for field in found["fields"])
        partitions = [None] if by_key else client.list_partitions(name)
        saved = {
            "alias": these.milvus,
            "collection": name,
            "fields": [
                {
                    "name": field["name"],
                    "type": field["type"].name,
                    "params": field.get("params", {}),
                    "is_primary": bool(field.get("is_primary")),
                    "is_partition_key": bool(field.get("is_partition_key")),
                }
                for field in found["fields"]
            ],
            "properties": {key: value for key, value in found["properties"].items() if key.startswith("lookalike.")},
            "num_shards": found["num_shards"],
            "num_partitions": found["num_partitions"] if by_key else None,
            "consistency_level": "Bounded",
            "index": index,
            "partitions": partitions,
        }
        rows = [
            {**_packed(row), "partition": partition}
            for partition in partitions
            for row in _rows(client, name, partition)
        ]
    to.write_text(_lined(saved, "rows", rows))


def load_milvus(file: Path) -> str:
    """Gives the name of the collection."""
    saved = json.loads(file.read_text())
    name = saved["collection"]
    with milvus_client() as client:
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        for field in saved["fields"]:
            more = {"dim": int(field["params"]["dim"])} if "dim" in field["params"] else {}
            more |= {part: True for part in ("is_primary", "is_partition_key") if field[part]}
            schema.add_field(field["name"], DataType[field["type"]], **more)
        client.create_collection(
            name,
            schema=schema,
            num_shards=saved["num_shards"],
            consistency_level=saved["consistency_level"],
            properties=saved["properties"],
            **({"num_partitions": saved["num_partitions"]} if saved["num_partitions"] else {}),
        )
        wanted = MilvusClient.prepare_index_params()
        more = {part: int(saved["index"][part]) for part in ("M", "efConstruction") if part in saved["index"]}
        wanted.add_index(
            "vector", index_type=saved["index"]["index_type"], metric_type=saved["index"]["metric_type"], params=more
        )
        client.create_index(name, wanted)
        for partition in saved["partitions"]:
            if partition not in (None, "_default"):
                client.create_partition(name, partition)
            rows = [_unpacked(row) for row in saved["rows"] if row["partition"] == partition]
            if rows:
                client.insert(name, rows, partition_name=partition or "")
        client.load_collection(name)
        client.create_alias(name, saved["alias"])
        # seen by every search from now on
        client.query(name, filter="id >= 0", output_fields=["count(*)"], consistency_level="Strong")
    return str(name)


def state_of_milvus(these: Names) -> Object:
    """What shows whether anything was written: the collection behind the alias, its rows, and every collection."""
    with milvus_client() as client:
        found = client.describe_collection(these.milvus)
        name = found["collection_name"]
        rows = _rows(client, name, None)
        return {
            "name": name,
            "id": found.get("collection_id"),
            "properties": {key: value for key, value in found["properties"].items() if key.startswith("lookalike.")},
            "every collection": sorted(one for one in client.list_collections() if one.startswith(these.milvus)),
            "rows": [_packed(row) for row in rows],
        }


def _rows(client: MilvusClient, name: str, partition: str | None) -> list[Object]:
    rows = client.query(
        name,
        filter="id >= 0",
        output_fields=["id", "tenant", "vector", "attributes"],
        partition_names=[partition] if partition else None,
        consistency_level="Strong",
        limit=1000,
    )
    return sorted(map(dict, rows), key=lambda row: row["id"])


def _packed(row: Object) -> Object:
    vector = np.array(row["vector"], "<f4").tobytes()
    return {name: row[name] for name in ("id", "tenant", "attributes")} | {"vector": base64.b64encode(vector).decode()}


def _unpacked(row: Object) -> Object:
    vector = np.frombuffer(base64.b64decode(row["vector"]), "<f4")
    return {name: row[name] for name in ("id", "tenant", "attributes")} | {"vector": vector.tolist()}


def _lined(saved: Object, name: str, rows: list[Object]) -> str:
    """As JSON, a line a row."""
    head = json.dumps(saved, indent=1, ensure_ascii=False).removesuffix("\n}")
    return head + f',\n "{name}": [\n' + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]}\n"
