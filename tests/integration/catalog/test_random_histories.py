"""Random histories against a dictionary, and their changes replayed from every moment."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lookalike.catalog import Catalog, at_storage_precision
from lookalike.types import FeatureSpec
from tests.support.catalog_process import other_process
from tests.support.catalogs import BACKENDS, HASH, VECTOR, digest, entry, hash_row, vector_row

KEYS = st.sampled_from("abcde")
TENANTS = st.sampled_from(["anna", "bert"])
ROWS = st.sampled_from(["full", "empty", "absent"])
PUTS = st.lists(st.tuples(TENANTS, KEYS, st.integers(0, 3), ROWS, ROWS), min_size=1, max_size=6)
OPERATIONS = st.one_of(
    st.tuples(st.just("put"), PUTS),
    st.tuples(st.just("delete"), TENANTS, st.lists(KEYS, max_size=3)),
    st.tuples(st.just("attributes"), TENANTS, KEYS, st.integers(0, 9)),
    st.tuples(st.just("encode"), ROWS),
)


@dataclass
class Model:
    """What the catalog should hold: by (tenant, key) the id, content, attributes and kinds of rows by spec."""

    images: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def rows(self, spec: FeatureSpec) -> dict[int, bytes]:
        row_of = hash_row if spec == HASH else lambda content: at_storage_precision(VECTOR, vector_row(content)[None])
        return {
            image["id"]: row_of(image["content"]).tobytes()
            for image in self.images.values()
            if image["rows"].get(spec) == "full"
        }


def features(content: int, kinds: dict[FeatureSpec, str]) -> dict[FeatureSpec, Any]:
    rows = {HASH: hash_row(content), VECTOR: vector_row(content)}
    return {spec: rows[spec] if kind == "full" else None for spec, kind in kinds.items() if kind != "absent"}


def put(catalog: Catalog, model: Model, ids: dict[str, int], puts: list[tuple[str, str, int, str, str]]) -> None:
    entries = []
    for tenant, key, content, hash_kind, vector_kind in puts:
        kinds = {HASH: hash_kind, VECTOR: vector_kind}
        entries.append(entry(ids[tenant], key, content, features=features(content, kinds)))
    for (tenant, key, content, hash_kind, vector_kind), done in zip(puts, catalog.images.put(entries), strict=True):
        old = model.images.get((tenant, key))
        assert done.created == (old is None)
        assert old is None or old["id"] == done.id
        rows = dict(old["rows"]) if old is not None and old["content"] == content else {}
        rows.update((s, k) for s, k in ((HASH, hash_kind), (VECTOR, vector_kind)) if k != "absent")
        attributes = old["attributes"] if old is not None else {}
        model.images[tenant, key] = {"id": done.id, "content": content, "attributes": attributes, "rows": rows}


def apply(catalog: Catalog, model: Model, ids: dict[str, int], operation: tuple[Any, ...]) -> None:
    if operation[0] == "put":
        put(catalog, model, ids, operation[1])
    elif operation[0] == "delete":
        _, tenant, keys = operation
        gone = catalog.images.delete(ids[tenant], keys)
        expected = [
            (key, model.images.pop((tenant, key))["id"]) for key in dict.fromkeys(keys) if (tenant, key) in model.images
        ]
        assert [(one.key, one.id) for one in gone] == expected
    elif operation[0] == "attributes":
        _, tenant, key, value = operation
        if (tenant, key) in model.images:
            catalog.images.set_attributes(ids[tenant], key, {"n": value})
            model.images[tenant, key]["attributes"] = {"n": value}
    elif operation[1] != "absent":
        lacking = catalog.features.missing(VECTOR)
        contents = {digest(content): content for content in range(4)}
        rows = [features(contents[r.sha256], {VECTOR: operation[1]})[VECTOR] for r in lacking]
        catalog.features.put(VECTOR, [r.id for r in lacking], [r.sha256 for r in lacking], rows)
        assert {r.id for r in lacking} == {p["id"] for p in model.images.values() if VECTOR not in p["rows"]}
        for image in model.images.values():
            image["rows"].setdefault(VECTOR, operation[1])


def replay(catalog: Catalog, spec: FeatureSpec, rows: dict[int, bytes], since: int, limit: int) -> dict[int, bytes]:
    more = True
    while more:
        changes = catalog.changes.since(spec, since, limit)
        assert len(changes.upserts.ids) + len(changes.deletes) <= limit
        assert not set(changes.upserts.ids.tolist()) & set(changes.deletes.tolist())
        assert changes.sequence > since or not changes.more
        for id_ in changes.deletes.tolist():
            rows.pop(id_, None)
        for id_, row in zip(changes.upserts.ids.tolist(), changes.upserts.features, strict=True):
            rows[id_] = row.tobytes()
        since, more = changes.sequence, changes.more
    assert since == catalog.changes.last_sequence()
    return rows


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_history_equals_its_model_and_its_replay(backend: str) -> None:
    """Told by two processes in turns; what they do must be what one would."""
    # A database on a server takes a while to make, and so shrinking does.
    phases = tuple(Phase) if backend == "sqlite" else (Phase.explicit, Phase.generate)
    with other_process() as other:

        @settings(max_examples=50 if backend == "sqlite" else 14, deadline=None, phases=phases)
        @given(operations=st.lists(OPERATIONS, max_size=12), limit=st.integers(1, 7))
        def check(operations: list[Any], limit: int) -> None:
            with BACKENDS[backend]() as url, Catalog.open(url, create=True) as catalog:
                other.open(url)
                compare(itertools.cycle([catalog, other.as_catalog()]), operations, limit)
                catalog.check()

        check()


def compare(catalogs: Iterator[Catalog], operations: list[Any], limit: int) -> None:
    model = Model()
    ids = {name: next(catalogs).tenants.get_or_create(name) for name in ("anna", "bert")}
    moments = [(0, {HASH: {}, VECTOR: {}})]
    for operation in operations:
        apply(next(catalogs), model, ids, operation)
        sequence = next(catalogs).changes.last_sequence()
        next(catalogs)
        assert sequence >= moments[-1][0]
        moments.append((sequence, {HASH: model.rows(HASH), VECTOR: model.rows(VECTOR)}))
    for catalog in (next(catalogs), next(catalogs)):
        for name, tenant in ids.items():
            mine = {key: image for (owner, key), image in model.images.items() if owner == name}
            there = {record.key: record.attributes for record in catalog.images.list_page(tenant)}
            assert there == {key: image["attributes"] for key, image in mine.items()}
            known = catalog.images.existing_images(tenant, "abcde")
            assert {key: (one.id, one.sha256, one.encoded) for key, one in known.items()} == {
                key: (p["id"], digest(p["content"]), frozenset(p["rows"])) for key, p in mine.items()
            }
    for since, rows in moments:
        for spec in (HASH, VECTOR):
            assert replay(next(catalogs), spec, dict(rows[spec]), since, limit) == model.rows(spec)
