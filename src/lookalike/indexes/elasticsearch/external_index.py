"""An index that is there already: our fields in documents of somebody else's, and nothing else of theirs touched.

An image's document is the one that an attribute of the image names, by `_id` or by another field of theirs. Our
fields are added by partial updates. There is no taking a field out of a document without its owner's copy of it, so an
image that is removed leaves our fields behind with null in them, which is indexed as if they were not there.

What belongs to the whole (spec, sequence number) is in the `meta` of our fields' own mappings: it goes with the index
into snapshots and copies, and touches nobody's `_meta`.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from elasticsearch import NotFoundError

from lookalike.errors import BadInput, BadSetting, FeatureMismatch
from lookalike.indexes.elasticsearch.bulk import Operation, send_operations
from lookalike.indexes.elasticsearch.client import ElasticClient
from lookalike.indexes.elasticsearch.config import ExternalSettings, Settings
from lookalike.indexes.elasticsearch.storage import (
    FieldNames,
    HashRows,
    HitSource,
    attribute_updates,
    encode_rows,
    refresh,
)
from lookalike.types import Attributes, FeatureSpec, Ids

_LOOKUP_BATCH = 1000
_MAX_META_LENGTH = 50  # characters of a value in a field's `meta`
_MAX_NAMED_KEYS = 5  # missing documents that a warning names

JSON = dict[str, Any]
log = logging.getLogger("lookalike")


@dataclass(frozen=True, slots=True)
class _Document:
    """A document of theirs: its id and routing, and the key or our id that it was looked up by."""

    id: str
    routing: str | None
    matched_value: str


class ExternalIndex:
    """A `HashStorage` in somebody's index, under a prefix of our own. One image has one document, and the reverse."""

    def __init__(self, server: ElasticClient, spec: FeatureSpec, gallery: str, settings: Settings) -> None:
        assert settings.external is not None
        self.server = server
        self.missing = 0
        self._target: ExternalSettings = settings.external
        self.fields = FieldNames(self._target.prefix)
        self.segmentation = settings.plan.segmentation
        self._spec = spec
        self._gallery = gallery
        name, page, self._durable_writes = self._inspect()
        self.source = HitSource(server, name, self.fields["id"], self.fields["hash"], page)
        meta = self._meta()
        if meta is None:
            self._store_meta(0)
        else:
            self._check(meta)
            if meta.get("state") == "clearing":
                self.clear()

    def filters(self) -> list[JSON]:
        """Documents that have our fields."""
        return [{"exists": {"field": self.fields["id"]}}]

    def routing(self, tenant: int | None) -> str | None:
        """Their routing is not ours to know."""
        return None

    def write(self, rows: HashRows) -> None:
        """Add our fields to the documents of these rows; those that do not exist are warned of, not made."""
        keys = self._keys(rows)
        refresh(self.server, self.source.index)
        targets = self._documents(self._target.id_field, sorted({key for key in keys if key is not None}))
        by_key: dict[str, list[_Document]] = {}
        for document in targets:
            by_key.setdefault(document.matched_value, []).append(document)
        operations: list[Operation] = []
        owner: dict[str, str] = {}
        for id_, key, text in zip(
            rows.ids.tolist(), keys, encode_rows(rows, self.fields, self.segmentation), strict=True
        ):
            for document in by_key.get(key or "", ()):
                operations.append((_update_operation(document), f'{{"doc":{text}}}'))
                owner[document.id] = str(id_)
        stale = [old for old in self._documents(self.fields["id"], rows.ids.tolist()) if owner.get(old.id) is None]
        operations += self._clear_fields(stale)
        gone = send_operations(self.server, self.source.index, operations, require_alias=False)
        lost = [key for key in keys if key is None or key not in by_key]
        self._warn_missing([key or "(no such attribute)" for key in lost], len(lost) + len(gone))

    def update(self, ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> None:
        """Change our attributes in the documents of these rows, which stay their documents."""
        refresh(self.server, self.source.index)
        new = dict(zip(map(str, ids.tolist()), attribute_updates(attributes, self.fields), strict=True))
        found = self._documents(self.fields["id"], ids.tolist())
        operations: list[Operation] = [(_update_operation(document), new[document.matched_value]) for document in found]
        send_operations(self.server, self.source.index, operations, require_alias=False)

    def delete(self, ids: Ids) -> None:
        """Empty our fields in the documents of these rows."""
        refresh(self.server, self.source.index)
        found = self._documents(self.fields["id"], ids.tolist())
        send_operations(self.server, self.source.index, self._clear_fields(found), require_alias=False)

    def sequence(self) -> int:
        """From the mapping of our field."""
        return int((self._meta() or {}).get("sequence", 0))

    def store_sequence(self, sequence: int) -> None:
        """Into the mapping of our field."""
        self._store_meta(sequence)

    def flush(self) -> None:
        """Where their index puts writes on disk later only, do it now."""
        if not self._durable_writes:
            self.server.call(
                lambda client: client.indices.flush(index=self.source.index, wait_if_ongoing=True), bulk=True
            )

    def clear(self) -> None:
        """Empty our fields in all documents. A crash in between is noticed, and made good, at the next opening."""
        self._store_meta(0, state="clearing")
        while True:
            refresh(self.server, self.source.index)
            found = self._find({"exists": {"field": self.fields["id"]}}, self.fields["id"], self.source.page)
            if not found:
                break
            send_operations(self.server, self.source.index, self._clear_fields(found), require_alias=False)
        self._store_meta(0)

    @contextmanager
    def rebuilding(self) -> Iterator["ExternalIndex"]:
        """The same place, emptied: their documents cannot have our fields twice."""
        self.clear()
        yield self

    def _keys(self, rows: HashRows) -> list[str | None]:
        """The key of each row's document."""
        found: list[str | None] = []
        for attributes in rows.attributes or [{}] * len(rows.ids):
            value = attributes.get(self._target.id_attribute)
            known = isinstance(value, (str, int)) and not isinstance(value, bool)
            found.append(str(value) if known else None)
        return found

    def _documents(self, field: str, values: Sequence[str | int]) -> list[_Document]:
        """The documents with these values in a field."""
        found: list[_Document] = []
        for start in range(0, len(values), _LOOKUP_BATCH):
            part = list(values[start : start + _LOOKUP_BATCH])
            query: JSON = {"ids": {"values": part}} if field == "_id" else {"terms": {field: part}}
            some = self._find(query, field, self.source.page)
            if len(some) == self.source.page:
                raise BadInput(
                    f"{self.source.index}: {len(part)} values of {field} name {len(some)} documents or more; an image "
                    "has one document, so choose a field whose values are unique"
                )
            found += some
        return found

    def _find(self, query: JSON, field: str, size: int) -> list[_Document]:
        more: JSON = {} if field == "_id" else {"docvalue_fields": [field]}
        answer = self.server.call(
            lambda client: client.search(
                index=self.source.index,
                query=query,
                size=size,
                source=False,
                allow_partial_search_results=False,
                filter_path="hits.hits._id,hits.hits._routing,hits.hits.fields",
                **more,
            ),
            bulk=True,
        )
        return [
            _Document(hit["_id"], hit.get("_routing"), str(hit["fields"][field][0]) if more else hit["_id"])
            for hit in answer.get("hits", {}).get("hits", ())
        ]

    def _clear_fields(self, found: Sequence[_Document]) -> list[Operation]:
        nulls = json.dumps({"doc": dict.fromkeys(self.fields.mapping())})
        return [(_update_operation(document), nulls) for document in found]

    def _warn_missing(self, keys: Sequence[str], count: int) -> None:
        if count:
            self.missing += count
            names = ", ".join(keys[:_MAX_NAMED_KEYS]) + (", ..." if len(keys) > _MAX_NAMED_KEYS else "")
            log.warning(
                "%d images have no document in %s and are not searched for there: %s; `lookalike repair` looks again",
                count,
                self.source.index,
                names,
            )

    def _inspect(self) -> tuple[str, int, bool]:
        """The index's own name, rows a page may hold, and whether writes are on disk when acknowledged."""
        name = self._target.index

        def request(client: Any) -> Mapping[str, Any] | None:
            try:
                found: Mapping[str, Any] = client.indices.get_settings(
                    index=name, include_defaults=True, flat_settings=True
                )
            except NotFoundError:
                return None
            return found

        found = self.server.call(request)
        if not found:
            raise BadSetting(f"{self.server.name} has no index {name}; index=NAME is one that is there already")
        if len(found) > 1:
            raise BadSetting(f"{name} stands for {len(found)} indexes ({', '.join(sorted(found))}); name one of them")
        concrete, of_index = next(iter(found.items()))
        all_settings = {**of_index.get("defaults", {}), **of_index["settings"]}
        page = int(all_settings.get("index.max_result_window", 10_000))
        return (
            concrete,
            min(10_000, page),
            all_settings.get("index.translog.durability", "REQUEST").upper() == "REQUEST",
        )

    def _meta(self) -> dict[str, str] | None:
        """What the mappings of our fields say; None where they are not there yet."""
        found = self.server.call(lambda client: client.indices.get_mapping(index=self.source.index))
        properties = next(iter(found.values()))["mappings"].get("properties", {})
        ours = {name: properties[name] for name in self.fields.mapping() if name in properties}
        joined: dict[str, str] = {}
        for mapping in ours.values():
            joined |= mapping.get("meta", {})
        if ours and "fingerprint" not in joined:
            raise BadSetting(
                f"{self.source.index} has fields {', '.join(ours)} that are not ours; choose another prefix"
            )
        return joined or None

    def _store_meta(self, sequence: int, *, state: str = "") -> None:
        """Write our fields' mappings, which adds them where they are missing."""
        mark = self._spec.fingerprint
        if len(mark) > 2 * _MAX_META_LENGTH or len(self._spec.name) > _MAX_META_LENGTH:
            raise BadSetting(f"the name or fingerprint of {self._spec.name} is too long for a mapping's meta")
        mapping = self.fields.mapping()
        mapping[self.fields["hash"]]["meta"] = {
            "sequence": str(sequence),
            "gallery": self._gallery[:_MAX_META_LENGTH],
            "segments": str(self.segmentation.count),
            **({"state": state} if state else {}),
        }
        mapping[self.fields["id"]]["meta"] = {
            "name": self._spec.name,
            "fingerprint": mark[:_MAX_META_LENGTH],
            **({"fingerprint_end": mark[_MAX_META_LENGTH:]} if mark[_MAX_META_LENGTH:] else {}),
        }
        try:
            self.server.call(
                lambda client: client.indices.put_mapping(index=self.source.index, properties=mapping), bulk=True
            )
        except BadInput as error:
            raise BadSetting(
                f"our fields do not fit into {self.source.index}; choose another prefix ({error})"
            ) from None

    def _check(self, meta: Mapping[str, str]) -> None:
        mark = meta.get("fingerprint", "") + meta.get("fingerprint_end", "")
        here = (self._spec.name, self._spec.fingerprint, self._gallery[:_MAX_META_LENGTH], str(self.segmentation.count))
        there = (meta.get("name", ""), mark, meta.get("gallery", ""), meta.get("segments", ""))
        if here != there:
            raise FeatureMismatch(
                f"the fields {self.fields.prefix}* of {self.source.index} hold features of {' '.join(there)} segments, "
                f"not of {' '.join(here)} segments; choose another prefix"
            )


def _update_operation(document: _Document) -> str:
    routing = {} if document.routing is None else {"routing": document.routing}
    return json.dumps({"update": {"_id": document.id, "retry_on_conflict": 3, **routing}})
