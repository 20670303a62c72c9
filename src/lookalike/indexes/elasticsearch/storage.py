"""Where rows live in Elasticsearch: an index of our own, or fields of ours in somebody's documents."""

import json
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from lookalike.indexes.elasticsearch.client import ElasticClient
from lookalike.indexes.elasticsearch.filters import terms_of
from lookalike.indexes.elasticsearch.segments import Codes, Segmentation
from lookalike.types import Attributes, Features, Ids

JSON = dict[str, Any]
METADATA_TIMEOUT = 60.0
"""Seconds that settings and mappings may take: the nodes of a cluster must agree."""


@dataclass(frozen=True, slots=True)
class HitSource:
    """Where rows are: an index or alias, the fields of id and code, and how many rows a page may hold."""

    server: ElasticClient
    index: str
    id_field: str
    code_field: str
    page: int = 10_000


@dataclass(frozen=True, slots=True)
class FieldNames:
    """The names of our fields."""

    prefix: str = ""

    def __getitem__(self, name: str) -> str:
        return self.prefix + name

    def mapping(self) -> JSON:
        """What they are to Elasticsearch. Tenants are keywords, for they are only ever compared."""
        return {
            self["id"]: {"type": "long"},
            self["tenant"]: {"type": "keyword"},
            self["hash"]: {"type": "long", "index": False},
            self["segments"]: {"type": "keyword", "doc_values": False},
            self["attributes"]: {"type": "keyword", "doc_values": False},
        }


@dataclass(frozen=True, slots=True)
class HashRows:
    """Checked rows: ids, codes and tenants `(n,)`, attributes n or none."""

    ids: Ids
    codes: Codes
    tenants: Ids
    attributes: Sequence[Attributes] | None


class HashStorage(Protocol):
    """What an index asks of the place where its rows live. One thread writes at a time."""

    server: ElasticClient
    fields: FieldNames
    source: HitSource
    segmentation: Segmentation

    def filters(self) -> list[JSON]:
        """What tells our rows from other documents."""
        ...

    def routing(self, tenant: int | None) -> str | None:
        """Which part of the index has a tenant's rows; None: any."""
        ...

    def write(self, rows: HashRows) -> None:
        """Put rows in, in place of those with the same ids."""
        ...

    def update(self, ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> None:
        """Change the attributes of rows that are there."""
        ...

    def delete(self, ids: Ids) -> None:
        """Take rows out; unknown ids are passed over."""
        ...

    def sequence(self) -> int:
        """The sequence number stored with the rows."""
        ...

    def store_sequence(self, sequence: int) -> None:
        """Store it."""
        ...

    def flush(self) -> None:
        """Make durable what was written, where the index does not do so with every write."""
        ...

    def clear(self) -> None:
        """Take all rows out, and set the sequence number to 0."""
        ...

    def rebuilding(self) -> "AbstractContextManager[HashStorage]":
        """An empty place, which takes this one's place when the block ends well."""
        ...


def refresh(server: ElasticClient, index: str, *, bulk: bool = True) -> None:
    """Let searches see what was written, in every copy of the data; as patiently as a write, if `bulk`."""
    answer = server.call(lambda client: client.indices.refresh(index=index), bulk=bulk)
    if answer["_shards"]["failed"]:
        raise server.error_for(503, "refresh", f"{answer['_shards']['failed']} copies of {index} did not take part")


def encode_rows(rows: HashRows, fields: FieldNames, segmentation: Segmentation) -> list[str]:
    """The rows as JSON, without the last brace where attributes follow; ten thousand in about 50 ms."""
    written = ",".join(f'"{segment}"' for segment in segmentation.formats)
    pattern = (
        f'{{"{fields["id"]}":%d,"{fields["tenant"]}":"%d","{fields["hash"]}":%d,"{fields["segments"]}":[{written}]%s}}'
    )
    columns = (
        rows.ids.tolist(),
        rows.tenants.tolist(),
        rows.codes.view(np.int64).tolist(),
        *segmentation.values(rows.codes).T.tolist(),
        _attributes(rows, fields["attributes"]),
    )
    return [pattern % row for row in zip(*columns, strict=True)]


def _attributes(rows: HashRows, field: str) -> Iterable[str]:
    if rows.attributes is None:
        return [f',"{field}":[]'] * len(rows.ids)
    return [f',"{field}":{json.dumps(terms_of(each or {}))}' for each in rows.attributes]


def attribute_updates(attributes: Sequence[Attributes], fields: FieldNames) -> list[str]:
    """Partial updates, as JSON, that put attributes in place of those that are there."""
    return [f'{{"doc":{{"{fields["attributes"]}":{json.dumps(terms_of(each or {}))}}}}}' for each in attributes]


def pack_codes(features: Features) -> Codes:
    """Packed bits `(n, 8)` as one number each; which number is the same on every machine."""
    return np.ascontiguousarray(features).view("<u8").reshape(-1).astype(np.uint64)
