"""Exporting images as Parquet, from one snapshot of the catalog."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lookalike import __version__
from lookalike.catalog import Catalog
from lookalike.catalog.features import DTYPES, row_bytes
from lookalike.catalog.transfer import WholeImage, read_whole_images
from lookalike.durability import sync_folder
from lookalike.errors import BadInput, NotFound, Unavailable
from lookalike.parquet.columns import FEATURES, USABLE, column_names, feature_type, schema_of
from lookalike.types import FeatureSpec


def export_parquet(catalog: Catalog, file: Path, *, tenant: str | None) -> int:
    """Export the images of a tenant, or of all tenants, with their features; returns their number.

    Args:
        catalog: The catalog; it may be written to meanwhile.
        file: Path of the new file, which has its name only once it is complete.
        tenant: Owner of the images; None for all.

    Raises:
        BadInput: There is such a file, or the features are stored by an engine only.
        NotFound: There is no such tenant.
        Unavailable: The disk is full, or the catalog's database does not answer.
    """
    if file.exists():
        raise BadInput(f"there is a file {file} already; name another one")
    if catalog.features.keeper() == "engine":
        raise BadInput(
            "the catalog was created with features=engine: features are stored by the engine only, and an export would "
            "not have them"
        )
    tenant_id = None if tenant is None else catalog.tenants.find(tenant)
    if tenant is not None and tenant_id is None:
        raise NotFound(f"there are no images of the tenant {tenant!r}")
    specs = catalog.features.specs()
    partial = file.with_name(f"{file.name}.partial")
    number = 0
    try:
        with pq.ParquetWriter(partial, schema_of(specs, __version__), compression="zstd") as writer:
            for batch in read_whole_images(catalog, tenant_id):
                writer.write_batch(_record_batch(batch, specs, writer.schema))
                number += len(batch)
        _make_durable(partial, file)
    except OSError as error:
        raise Unavailable(f"cannot write {file}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return number


def _make_durable(partial: Path, file: Path) -> None:
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.rename(file)
    sync_folder(file.parent)


def _record_batch(batch: Sequence[WholeImage], specs: Sequence[FeatureSpec], schema: pa.Schema) -> pa.RecordBatch:
    columns: dict[str, Any] = {}
    rows = [_row(image) for image in batch]
    for name in rows[0]:
        columns[name] = pa.array([row[name] for row in rows], schema.field(name).type)
    for spec, name in column_names(specs).items():
        stored = [image.features.get(spec) for image in batch]
        columns[FEATURES + name] = _features(spec, stored)
        usable = [image.features[spec] is not None if spec in image.features else None for image in batch]
        columns[USABLE + name] = pa.array(usable, pa.bool_())
    return pa.record_batch([columns[field.name] for field in schema], schema=schema)


def _row(image: WholeImage) -> Mapping[str, Any]:
    record = image.record
    return {
        "tenant": record.tenant,
        "key": record.key,
        "path": _valid_path(record.path),
        "sha256": record.sha256,
        "pixels": record.pixels,
        "bytes": record.nbytes,
        "mtime_ns": image.mtime_ns,
        "width": record.width,
        "height": record.height,
        "format": record.format,
        "frames": record.frames,
        "truncated": record.truncated,
        "border": list(astuple(record.border)),
        "attributes": json.dumps(record.attributes, ensure_ascii=False),
        "exif": json.dumps(record.exif, ensure_ascii=False),
        "created": record.created,
        "updated": record.updated,
        "sequence": record.sequence,
        "thumbnail": image.thumbnail,
        "verification_record": image.verification_record,
        "etag": image.etag,
        "offset": record.offset,
    }


def _valid_path(path: str | None) -> str | None:
    """A path as UTF-8; None for one that is not, as the file cannot be named in Parquet."""
    try:
        return path if path is None else path.encode().decode()
    except UnicodeEncodeError:
        return None


def _features(spec: FeatureSpec, stored: Sequence[bytes | None]) -> pa.Array:
    """The column of a spec's features, of the bytes that the catalog stores."""
    if spec.metric == "hamming":
        return pa.array(stored, feature_type(spec))
    empty = bytes(row_bytes(spec))
    numbers = np.frombuffer(b"".join(empty if vector is None else vector for vector in stored), DTYPES[spec.storage])
    mask = pa.array([vector is None for vector in stored])
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers), spec.width, mask=mask)
