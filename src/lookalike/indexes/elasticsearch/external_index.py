"""External index: our fields in the documents of an existing index, whose other content is never changed.

Elasticsearch cannot remove a field from a document without rewriting the document, so deleting an image sets our fields
to null, which is indexed as if they were missing. Metadata (spec, sequence number) is in the `meta` of our fields' own
mappings: it is part of snapshots and copies of the index, and leaves the owner's `_meta` unchanged.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lookalike.errors import BadInput, BadSetting, FeatureMismatch
from lookalike.indexes.elasticsearch.bulk import Operation, send_operations
from lookalike.indexes.elasticsearch.client import ElasticClient
from lookalike.indexes.elasticsearch.config import ExternalSettings, Settings
from lookalike.indexes.elasticsearch.filters import JSON
from lookalike.indexes.elasticsearch.storage import FieldNames, HashRows, HitSource, attribute_updates, encode_rows
from lookalike.types import Attributes, FeatureSpec, Ids

_LOOKUP_BATCH = 1000
_MAX_META_LENGTH = 50  # characters of a value in a field's `meta`
_MAX_NAMED_KEYS = 5  # missing documents named in a warning

log = logging.getLogger("lookalike")


@dataclass(frozen=True, slots=True)
class _Document:
    """An existing document: its id and routing, and the value that it was looked up by."""

    id: str
    routing: str | None
    matched_value: str


class ExternalIndex:
    """A `HashStorage` in an existing index, under a field prefix. Images and documents are one to one."""

    def __init__(self, server: ElasticClient, spec: FeatureSpec, gallery: str, settings: Settings) -> None:
        assert settings.external is not None
        self.server = server
        self._target: ExternalSettings = settings.external
        self.fields = FieldNames(self._target.prefix)
        self.segmentation = settings.plan.segmentation
        self._spec = spec
        self._gallery = gallery
        name, page, self._durable_writes = self._inspect()
        self.source = HitSource(server, name, self.fields["id"], self.fields["hash"], page)
        meta = self._meta()
        if meta is None:
            self.store_sequence(0)
        else:
            self._check(meta)
            if meta.get("state") == "clearing":
                self.clear()

    def filters(self) -> list[JSON]:
        return [{"exists": {"field": self.fields["id"]}}]

    def routing(self, tenant: int | None) -> str | None:
        """None: the routing of existing documents is unknown."""
        return None

    def write(self, rows: HashRows) -> None:
        """Set our fields in the documents of these rows; a missing document is warned of, not created."""
        keys = self._keys(rows)
        self.server.refresh(self.source.index)
        by_key: dict[str, list[_Document]] = {}
        for document in self._documents(self._target.id_field, sorted({key for key in keys if key is not None})):
            by_key.setdefault(document.matched_value, []).append(document)
        operations: list[Operation] = []
        written: set[str] = set()
        for key, text in zip(keys, encode_rows(rows, self.fields, self.segmentation), strict=True):
            for document in by_key.get(key or "", ()):
                operations.append((_update_operation(document), f'{{"doc":{text}}}'))
                written.add(document.id)
        previous = self._documents(self.fields["id"], rows.ids.tolist())
        operations += self._clear_fields([document for document in previous if document.id not in written])
        deleted = send_operations(self.server, self.source.index, operations, require_alias=False)
        missing = [key or "(no such attribute)" for key in keys if key is None or key not in by_key]
        if missing or deleted:
            names = ", ".join(missing[:_MAX_NAMED_KEYS]) + (", ..." if len(missing) > _MAX_NAMED_KEYS else "")
            log.warning(
                "%d images have no document in %s and cannot be found: %s; `lookalike repair` retries them",
                *(len(missing) + len(deleted), self.source.index, names),
            )

    def update(self, ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> None:
        self.server.refresh(self.source.index)
        new = dict(zip(map(str, ids.tolist()), attribute_updates(attributes, self.fields), strict=True))
        found = self._documents(self.fields["id"], ids.tolist())
        operations: list[Operation] = [(_update_operation(document), new[document.matched_value]) for document in found]
        send_operations(self.server, self.source.index, operations, require_alias=False)

    def delete(self, ids: Ids) -> None:
        self.server.refresh(self.source.index)
        found = self._documents(self.fields["id"], ids.tolist())
        send_operations(self.server, self.source.index, self._clear_fields(found), require_alias=False)

    def sequence(self) -> int:
        return int((self._meta() or {}).get("sequence", 0))

    def flush(self) -> None:
        """Flush if the index uses asynchronous translog durability."""
        if not self._durable_writes:
            index = self.source.index
            self.server.call(lambda client: client.indices.flush(index=index, wait_if_ongoing=True), bulk=True)

    def clear(self) -> None:
        """Set our fields to null in all documents. After a crash, the next opening completes it."""
        self.store_sequence(0, state="clearing")
        while True:
            self.server.refresh(self.source.index)
            found = self._find(self.filters()[0], self.fields["id"])
            if not found:
                break
            send_operations(self.server, self.source.index, self._clear_fields(found), require_alias=False)
        self.store_sequence(0)

    @contextmanager
    def rebuilding(self) -> Iterator["ExternalIndex"]:
        """Clear this storage and yield it: a document cannot have our fields twice."""
        self.clear()
        yield self

    def _keys(self, rows: HashRows) -> list[str | None]:
        """The value that identifies each row's document; None for a row without one."""
        values = [each.get(self._target.id_attribute) for each in rows.attributes or [{}] * len(rows.ids)]
        return [str(each) if isinstance(each, (str, int)) and not isinstance(each, bool) else None for each in values]

    def _documents(self, field: str, values: Sequence[str | int]) -> list[_Document]:
        found: list[_Document] = []
        for start in range(0, len(values), _LOOKUP_BATCH):
            part = list(values[start : start + _LOOKUP_BATCH])
            query: JSON = {"ids": {"values": part}} if field == "_id" else {"terms": {field: part}}
            documents = self._find(query, field)
            if len(documents) == self.source.page:
                raise BadInput(
                    f"{self.source.index}: {len(part)} values of {field} match {len(documents)} documents or more; an "
                    "image has one document, so choose an id_field whose values are unique"
                )
            found += documents
        return found

    def _find(self, query: JSON, field: str) -> list[_Document]:
        options: JSON = {} if field == "_id" else {"docvalue_fields": [field]}
        answer = self.server.call(
            lambda client: client.search(
                index=self.source.index,
                query=query,
                size=self.source.page,
                source=False,
                allow_partial_search_results=False,
                filter_path="hits.hits._id,hits.hits._routing,hits.hits.fields",
                **options,
            ),
            bulk=True,
        )
        return [
            _Document(hit["_id"], hit.get("_routing"), str(hit["fields"][field][0]) if options else hit["_id"])
            for hit in answer.get("hits", {}).get("hits", ())
        ]

    def _clear_fields(self, found: Sequence[_Document]) -> list[Operation]:
        nulls = json.dumps({"doc": dict.fromkeys(self.fields.mapping())})
        return [(_update_operation(document), nulls) for document in found]

    def _inspect(self) -> tuple[str, int, bool]:
        """The index's name, its maximum page size, and whether every write is synced before it is acknowledged."""
        name = self._target.index
        found = self.server.find(
            lambda client: client.indices.get_settings(index=name, include_defaults=True, flat_settings=True)
        )
        if not found:
            raise BadSetting(f"{self.server.name} has no index {name}; index=NAME must name an existing one")
        if len(found) > 1:
            raise BadSetting(f"{name} matches {len(found)} indexes ({', '.join(sorted(found))}); name one of them")
        index, answer = next(iter(found.items()))
        settings = {**answer.get("defaults", {}), **answer["settings"]}
        page = min(10_000, int(settings.get("index.max_result_window", 10_000)))
        return index, page, settings.get("index.translog.durability", "REQUEST").upper() == "REQUEST"

    def _meta(self) -> dict[str, str] | None:
        """The metadata in the mappings of our fields; None if they do not exist yet."""
        found = self.server.call(lambda client: client.indices.get_mapping(index=self.source.index))
        properties = next(iter(found.values()))["mappings"].get("properties", {})
        ours = {name: properties[name] for name in self.fields.mapping() if name in properties}
        joined = {name: value for mapping in ours.values() for name, value in mapping.get("meta", {}).items()}
        if ours and "fingerprint" not in joined:
            raise BadSetting(f"{self.source.index} has other fields {', '.join(ours)}; choose another prefix")
        return joined or None

    def store_sequence(self, sequence: int, *, state: str = "") -> None:
        """Put the mappings of our fields with their metadata; creates missing fields."""
        name, fingerprint = self._spec.name, self._spec.fingerprint
        if len(fingerprint) > 2 * _MAX_META_LENGTH or len(name) > _MAX_META_LENGTH:
            raise BadSetting(f"the name or fingerprint of {name} is too long for a mapping's meta")
        mapping = self.fields.mapping()
        mapping[self.fields["hash"]]["meta"] = {
            "sequence": str(sequence),
            "gallery": self._gallery[:_MAX_META_LENGTH],
            "segments": str(self.segmentation.count),
            **({"state": state} if state else {}),
        }
        meta = mapping[self.fields["id"]]["meta"] = {"name": name, "fingerprint": fingerprint[:_MAX_META_LENGTH]}
        if len(fingerprint) > _MAX_META_LENGTH:
            meta["fingerprint_end"] = fingerprint[_MAX_META_LENGTH:]
        try:
            index = self.source.index
            self.server.call(lambda client: client.indices.put_mapping(index=index, properties=mapping), bulk=True)
        except BadInput as error:
            fields = f"fields {self.fields.prefix}* to {self.source.index}"
            raise BadSetting(f"cannot add {fields}; choose another prefix ({error})") from None

    def _check(self, meta: Mapping[str, str]) -> None:
        fingerprint = meta.get("fingerprint", "") + meta.get("fingerprint_end", "")
        spec, segments = self._spec, str(self.segmentation.count)
        expected = (spec.name, spec.fingerprint, self._gallery[:_MAX_META_LENGTH], segments)
        stored = (meta.get("name", ""), fingerprint, meta.get("gallery", ""), meta.get("segments", ""))
        if expected != stored:
            raise FeatureMismatch(
                f"the fields {self.fields.prefix}* of {self.source.index} hold features of {' '.join(stored)} "
                f"segments, not of {' '.join(expected)} segments; choose another prefix"
            )


def _update_operation(document: _Document) -> str:
    routing = {} if document.routing is None else {"routing": document.routing}
    return json.dumps({"update": {"_id": document.id, "retry_on_conflict": 3, **routing}})
