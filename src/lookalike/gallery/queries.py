"""Queries as they are asked: images prepared for the pipelines, or stored ones by key, whose features are there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookalike.catalog import Catalog
from lookalike.catalog import StoredFeatures as StoredFeatures
from lookalike.errors import NotFound, UnsupportedQuery
from lookalike.pipeline import Pipeline
from lookalike.types import EncodedViews, Features, Prepared, Record

DEFAULT_TENANT = "default"


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A query by key: an image of the gallery, asked by its stored features; its file is not needed.

    `tenant` is whose image it is; None for the tenant that is searched. It is itself among the hits, as `exact`. It
    is asked as it lies: turned and mirrored copies cannot be had from a stored hash, for their bits depend on the
    sizes of its coefficients, and of these it keeps the signs alone. Networks find such copies where they are alike.
    """

    key: str
    tenant: str | None = None


Query = str | Path | bytes | StoredImage
"""A query: the path of an image, its bytes, or the key of a stored one."""


@dataclass(frozen=True, slots=True)
class PreparedQuery:
    """A query that can be asked; `source` is where its bytes can be had again, if they can.

    `rows` are the stored features by pipeline, each `(width,)` or None where it means nothing; where `rows` is None,
    features come of the prepared inputs.
    """

    prepared: Prepared
    source: Path | bytes | None
    rows: tuple[Features | None, ...] | None = None


def encode_queries(
    queries: Sequence[PreparedQuery], at: int, pipeline: Pipeline, *, orientations: bool
) -> EncodedViews:
    """The features of queries, all prepared or all stored, in pipeline number `at`."""
    rows = [query.rows[at] for query in queries if query.rows is not None]
    if not rows:
        return pipeline.encode_views(np.stack([query.prepared.inputs[at] for query in queries]), views=orientations)
    features = np.zeros((len(rows), 1, pipeline.spec.width), pipeline.spec.dtype)
    for place, row in enumerate(rows):
        if row is not None:
            features[place, 0] = row
    return EncodedViews(features, np.array([row is not None for row in rows]))


def resolve_stored(
    catalog: Catalog, pipelines: Sequence[Pipeline], tenant: str | None, queries: Sequence[StoredImage]
) -> list[PreparedQuery | NotFound | UnsupportedQuery]:
    """Each stored image with its features, or why it cannot be asked."""
    found: list[Record | NotFound] = [_record(catalog, query, tenant) for query in queries]
    ids = [record.id for record in found if isinstance(record, Record)]
    stored = [catalog.features.get(pipeline.spec, ids) for pipeline in pipelines]
    columns = [_features(one) for one in stored]
    kept = {id_: p.name for p, one in zip(pipelines, stored, strict=True) for id_ in one.released.tolist()}
    answers: list[PreparedQuery | NotFound | UnsupportedQuery] = []
    for one in found:
        if isinstance(one, NotFound):
            answers.append(one)
            continue
        if one.id in kept:
            why = (
                f"the features of {one.key!r} for {kept[one.id]} are the engine's alone (this catalog was made with "
                "features=engine); search with the image's file instead of its key"
            )
            answers.append(UnsupportedQuery(why))
            continue
        missing = [p.name for p, column in zip(pipelines, columns, strict=True) if one.id not in column]
        if missing:
            why = f"the image {one.key!r} was never encoded for {missing[0]} as it is now; add it again"
            answers.append(UnsupportedQuery(why))
            continue
        rows = tuple(column[one.id] for column in columns)
        answers.append(PreparedQuery(_prepared(one), None if one.path is None else Path(one.path), rows))
    return answers


def _record(catalog: Catalog, query: StoredImage, tenant: str | None) -> Record | NotFound:
    name = query.tenant or tenant or DEFAULT_TENANT
    tenant_id = catalog.tenants.find(name)
    try:
        if tenant_id is not None:
            return catalog.images.get(tenant_id, query.key)
    except NotFound as error:
        return error
    return NotFound(f"there is no image {query.key!r}")


def _features(stored: StoredFeatures) -> dict[int, Features | None]:
    found: dict[int, Features | None] = dict.fromkeys(stored.empty.tolist())
    found.update(zip(stored.ids.tolist(), stored.features, strict=True))
    return found


def _prepared(record: Record) -> Prepared:
    return Prepared(
        sha256=record.sha256,
        pixels=record.pixels,
        nbytes=record.nbytes,
        width=record.width,
        height=record.height,
        format=record.format,
        border=record.border,
        inputs=(),
    )
