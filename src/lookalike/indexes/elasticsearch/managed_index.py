"""Managed index: one that we create per gallery and pipeline, behind an alias, so that a rebuilt one can replace it."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from elasticsearch import BadRequestError

from lookalike.errors import BadSetting, FeatureMismatch, LookalikeError
from lookalike.indexes.elasticsearch.bulk import Operation, send_operations
from lookalike.indexes.elasticsearch.client import ElasticClient
from lookalike.indexes.elasticsearch.config import Settings
from lookalike.indexes.elasticsearch.segments import Segmentation
from lookalike.indexes.elasticsearch.storage import FieldNames, HashRows, HitSource, attribute_updates, encode_rows
from lookalike.types import Attributes, FeatureSpec, Ids

METADATA_TIMEOUT = 60.0
"""Seconds for changes of settings and mappings, on which the nodes of a cluster must agree."""
META = "lookalike"
"""Key in the mapping's `_meta` under which spec, segmentation and sequence number are stored."""
_ALREADY_EXISTS = "resource_already_exists_exception"
_LOOKUP_BATCH = 5000

JSON = dict[str, Any]
log = logging.getLogger("lookalike")


class ManagedIndex:
    """A `HashStorage` behind an alias; the index itself is named after the alias and a number.

    A document's `_id` is the catalog's id. With several shards all rows of a tenant are in one of them, so a row that
    changes its tenant is looked up first, and deleted from the old shard.
    """

    def __init__(
        self, server: ElasticClient, spec: FeatureSpec, gallery: str, settings: Settings, *, alias: str | None = None
    ) -> None:
        self.server = server
        self.fields = FieldNames()
        self.segmentation = settings.plan.segmentation
        self._spec = spec
        self._gallery = gallery
        self._settings = settings
        self.alias = alias or alias_of(settings, spec, gallery)
        if self._meta() is None:
            self._create(max(self._existing_numbers(), default=0) + 1, self.alias)
        self._check(self._meta() or {})
        answer = server.call(
            lambda client: client.indices.get_settings(index=self.alias, name="index.number_of_shards")
        )
        self._shards = int(next(iter(answer.values()))["settings"]["index"]["number_of_shards"])
        self.source = HitSource(server, self.alias, "id", "hash")

    def filters(self) -> list[JSON]:
        return []

    def routing(self, tenant: int | None) -> str | None:
        """The tenant's shard; None with routing by id."""
        return None if tenant is None or self._settings.routing == "id" else str(tenant)

    def write(self, rows: HashRows) -> None:
        """Insert or replace rows; copies in another tenant's shard are deleted."""
        operations: list[Operation] = []
        if self._settings.routing == "tenant" and self._shards > 1:
            new_tenant = dict(zip(rows.ids.tolist(), rows.tenants.tolist(), strict=True))
            stored = self._locate(rows.ids)
            operations = [_delete_operation(id_, old) for id_, old in stored if old != str(new_tenant[id_])]
        heads = self._actions("index", rows.ids, rows.tenants)
        operations += zip(heads, encode_rows(rows, self.fields, self.segmentation), strict=True)
        send_operations(self.server, self.alias, operations, require_alias=True)

    def update(self, ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> None:
        heads = self._actions("update", ids, tenants, ',"retry_on_conflict":3')
        operations = list(zip(heads, attribute_updates(attributes, self.fields), strict=True))
        send_operations(self.server, self.alias, operations, require_alias=True)

    def delete(self, ids: Ids) -> None:
        """Delete documents, whatever their shard."""
        unrouted = self._settings.routing == "id" or self._shards == 1
        found = ((id_, None) for id_ in ids.tolist()) if unrouted else self._locate(ids)
        operations = [_delete_operation(id_, tenant) for id_, tenant in found]
        send_operations(self.server, self.alias, operations, require_alias=True)

    def sequence(self) -> int:
        """Read from the mapping, which is part of snapshots and copies of the index."""
        return int((self._meta() or {}).get("sequence", 0))

    def store_sequence(self, sequence: int) -> None:
        meta = {**(self._meta() or {}), "sequence": sequence}
        self.server.call(lambda client: client.indices.put_mapping(index=self.alias, meta={META: meta}), bulk=True)

    def flush(self) -> None:
        """Do nothing: the index is created so that every write is on disk before it is acknowledged."""

    def clear(self) -> None:
        """Replace the index by an empty one."""
        with self.rebuilding():
            pass

    @contextmanager
    def rebuilding(self) -> Iterator["ManagedIndex"]:
        """Build a new index under an alias of its own; the old one is deleted once the alias is switched."""
        numbers = self._existing_numbers()
        current = next(iter(self.server.find(lambda client: client.indices.get_alias(name=self.alias)) or ()), None)
        for name in map(self._numbered_name, numbers):
            if name != current:
                log.warning("deleting %s, left by an incomplete rebuild", name)
                self._drop(name)
        building = f"{self.alias}-building"
        new = self._create(max(numbers, default=0) + 1, building, refresh_interval="-1")
        try:
            yield ManagedIndex(self.server, self._spec, self._gallery, self._settings, alias=building)
            settings = {"index.refresh_interval": None}
            self.server.call(lambda client: client.indices.put_settings(index=new, settings=settings), bulk=True)
            self.server.refresh(new)
            self._switch_alias(new, current)
        except BaseException:
            self._drop_or_warn(new)
            raise
        if current is not None:
            self._drop_or_warn(current)

    def _actions(self, action: str, ids: Ids, tenants: Ids, options: str = "") -> list[str]:
        """The first lines of operations, each routed to its tenant's shard unless routing is by id."""
        if self._settings.routing == "id":
            return [f'{{"{action}":{{"_id":"{id_}"{options}}}}}' for id_ in ids.tolist()]
        pairs = zip(ids.tolist(), tenants.tolist(), strict=True)
        return [f'{{"{action}":{{"_id":"{id_}","routing":"{tenant}"{options}}}}}' for id_, tenant in pairs]

    def _switch_alias(self, new: str, current: str | None) -> None:
        actions: list[JSON] = [{"add": {"index": new, "alias": self.alias, "is_write_index": True}}]
        removed = [(new, f"{self.alias}-building")] + ([] if current is None else [(current, self.alias)])
        actions += [{"remove": {"index": index, "alias": alias}} for index, alias in removed]
        self.server.call(lambda client: client.indices.update_aliases(actions=actions), bulk=True)

    def _create(self, number: int, alias: str, **more: object) -> str:
        """Create an index; one that another process has just created is used instead."""
        name = self._numbered_name(number)
        settings = self._settings
        replicas: JSON = {"number_of_replicas": settings.replicas, "auto_expand_replicas": False}
        if settings.replicas is None:
            replicas = {"auto_expand_replicas": "0-1"}
        spec = {"gallery": self._gallery, "name": self._spec.name, "fingerprint": self._spec.fingerprint}
        meta = {**spec, "segments": self.segmentation.count, "sequence": 0}
        options = {"number_of_shards": settings.shards, "translog.durability": "request", **replicas, **more}

        def request(client: Any) -> None:
            try:
                client.indices.create(
                    index=name,
                    aliases={alias: {"is_write_index": True}},
                    settings=options,
                    mappings={"dynamic": "strict", "_meta": {META: meta}, "properties": self.fields.mapping()},
                    timeout=f"{METADATA_TIMEOUT:.0f}s",
                )
            except BadRequestError as error:
                if error.error != _ALREADY_EXISTS:
                    raise

        self.server.call(request, bulk=True)
        return name

    def _meta(self) -> JSON | None:
        """Our metadata in the mapping; None if there is no index."""
        found = self.server.find(
            lambda client: client.indices.get_mapping(index=self.alias, filter_path="*.mappings._meta")
        )
        if found is None:
            return None
        meta: JSON | None = next(iter(found.values()))["mappings"]["_meta"].get(META) if len(found) == 1 else None
        if meta is None:
            raise BadSetting(f"{self.alias} at {self.server.name} was not created by lookalike; choose another name")
        return meta

    def _check(self, meta: JSON) -> None:
        if (meta.get("name"), meta.get("fingerprint")) != (self._spec.name, self._spec.fingerprint):
            raise FeatureMismatch(
                f"{self.alias} at {self.server.name} holds features of {meta.get('name')} {meta.get('fingerprint')}, "
                f"not of {self._spec.name} {self._spec.fingerprint}; name another index, or delete it"
            )
        if meta.get("segments") != self.segmentation.count:
            raise FeatureMismatch(
                f"{self.alias} at {self.server.name} holds hashes in {meta.get('segments')} segments, and this mode "
                f"needs {self.segmentation.count}; name another index, or delete it"
            )

    def _locate(self, ids: Ids) -> list[tuple[int, str]]:
        """Id and tenant of the documents with these ids; an id may occur twice after an interrupted move."""
        self.server.refresh(self.alias)
        found: list[tuple[int, str]] = []
        for start in range(0, len(ids), _LOOKUP_BATCH):
            part = ids[start : start + _LOOKUP_BATCH].tolist()
            answer = self.server.call(
                lambda client, part=part: client.search(  # type: ignore[misc]
                    index=self.alias,
                    query={"terms": {"id": part}},
                    docvalue_fields=["id", "tenant"],
                    source=False,
                    stored_fields="_none_",
                    size=2 * _LOOKUP_BATCH,
                    allow_partial_search_results=False,
                    filter_path="hits.hits.fields",
                ),
                bulk=True,
            )
            hits = answer.get("hits", {}).get("hits", ())
            found += [(int(hit["fields"]["id"][0]), hit["fields"]["tenant"][0]) for hit in hits]
        return found

    def _existing_numbers(self) -> list[int]:
        return _existing_numbers(self.server, self.alias)

    def _numbered_name(self, number: int) -> str:
        return _numbered_name(self.alias, number)

    def _drop(self, name: str) -> None:
        _delete(self.server, name)

    def _drop_or_warn(self, name: str) -> None:
        """Delete an unused index; if that fails, the next rebuild deletes it."""
        try:
            self._drop(name)
        except LookalikeError as error:
            log.warning("%s could not be deleted, and will be at the next rebuild: %s", name, error)


def drop_managed_index(server: ElasticClient, spec: FeatureSpec, gallery: str, settings: Settings) -> None:
    """Delete the index behind an alias, and what incomplete rebuilds of it have left."""
    alias = alias_of(settings, spec, gallery)
    for number in _existing_numbers(server, alias):
        _delete(server, _numbered_name(alias, number))


def alias_of(settings: Settings, spec: FeatureSpec, gallery: str) -> str:
    """The alias of an index: as the address names it, or by gallery and pipeline."""
    return settings.name or index_name(settings, spec, gallery)


def _existing_numbers(server: ElasticClient, alias: str) -> list[int]:
    answer = server.call(lambda client: client.indices.get_alias(index=f"{alias}-*", expand_wildcards="all"))
    matches = (re.fullmatch(rf"{re.escape(alias)}-(\d{{6}})", name) for name in answer)
    return sorted(int(match[1]) for match in matches if match)


def _numbered_name(alias: str, number: int) -> str:
    return f"{alias}-{number:06d}"


def _delete(server: ElasticClient, name: str) -> None:
    server.call(lambda client: client.indices.delete(index=name, ignore_unavailable=True), bulk=True)


def index_name(settings: Settings, spec: FeatureSpec, gallery: str) -> str:
    """`lookalike-GALLERY-PIPELINE-FINGERPRINT`, followed by the segmentation unless it is the published one."""
    segmentation = settings.plan.segmentation
    parts = [settings.name_prefix, gallery, spec.name, spec.fingerprint[:12]]
    parts += [] if segmentation == Segmentation(8) else [segmentation.name]
    return "-".join(re.sub(r"[^a-z0-9_.-]+", "_", part.lower()) for part in parts)


def _delete_operation(id_: int, tenant: object) -> Operation:
    routing = "" if tenant is None else f',"routing":"{tenant}"'
    return (f'{{"delete":{{"_id":"{id_}"{routing}}}}}',)
