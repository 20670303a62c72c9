"""Importing an export into a gallery, of any catalog and any engines, whose encoders are the same."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.catalog import NewImage
from lookalike.distances import are_unit, normalise
from lookalike.errors import BadInput, FeatureMismatch, NotFound, Unavailable
from lookalike.gallery import Gallery
from lookalike.parquet.columns import FEATURES, USABLE, specs_in
from lookalike.types import Border, Features, FeatureSpec

BATCH_IMAGES = 1024
"""Images that one transaction stores."""
MAX_REASONS = 100
"""Rejected rows whose reasons are kept; all are counted."""


@dataclass(slots=True)
class ImportReport:
    """Numbers of images by outcome, reasons of the first rejected ones by key, features that the gallery lacks.

    `ignored` names the features of the file that no pipeline of the gallery has.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    reasons: dict[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def import_parquet(gallery: Gallery, file: Path, *, tenant: str | None) -> ImportReport:
    """Import the images of an export, with their features; no image file is read. Importing twice changes nothing.

    Args:
        gallery: The gallery; each of its pipelines needs features of its encoder in the file.
        file: Path of the export.
        tenant: Owner of the images in this gallery; None: those in the file.

    Raises:
        NotFound: There is no such file.
        BadInput: The file is no export, or has images of several tenants where one is to have them.
        FeatureMismatch: The features of a pipeline are missing, or were made by another encoder.
        GalleryBusy: Another process is writing to the gallery.
    """
    try:
        with pq.ParquetFile(file) as source:
            specs = specs_in(source.schema_arrow, file)
            wanted = _wanted_specs(gallery, specs, file)
            report = ImportReport(ignored=tuple(name for name in specs if name not in wanted))
            tenants = _Tenants(gallery, tenant, file)
            batches = (
                _new_images(gallery, batch, wanted, tenants, report)
                for batch in source.iter_batches(batch_size=BATCH_IMAGES)
            )
            for results in gallery.put_encoded(batches):
                added = sum(result.created for result in results)
                report.added += added
                report.updated += len(results) - added
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}") from None
    except pa.ArrowInvalid as error:
        raise BadInput(f"{file} is not a Parquet file, or a damaged one: {error}") from None
    except OSError as error:
        raise Unavailable(f"cannot read {file}: {error}") from error
    return report


class _Tenants:
    """Ids of tenants by their names in the file."""

    def __init__(self, gallery: Gallery, tenant: str | None, file: Path) -> None:
        self._gallery = gallery
        self._tenant = tenant
        self._file = file
        self._ids: dict[str, int] = {}

    def id_of(self, name: str) -> int:
        """The tenant in the gallery; raises BadInput for a second one where one is to have all images."""
        if name not in self._ids:
            if self._tenant is not None and self._ids:
                raise BadInput(
                    f"{self._file} has images of the tenants {next(iter(self._ids))!r} and {name!r}: import them with "
                    "their own tenants (--all-tenants), or export one of them"
                )
            self._ids[name] = self._gallery.catalog.tenants.get_or_create(self._tenant or name)
        return self._ids[name]


def _wanted_specs(gallery: Gallery, specs: Mapping[str, FeatureSpec], file: Path) -> dict[str, FeatureSpec]:
    """The columns whose features the gallery stores; raises FeatureMismatch where those of a pipeline are missing."""
    wanted = {}
    for spec, required in gallery.feature_specs().items():
        column = next((name for name, found in specs.items() if found == spec), None)
        if column is not None:
            wanted[column] = spec
        elif required:
            others = [found.fingerprint[:12] for found in specs.values() if found.name == spec.name]
            found = f"those of another encoder (fingerprint {others[-1]})" if others else "none"
            raise FeatureMismatch(
                f"the gallery needs features of {spec.name} (fingerprint {spec.fingerprint[:12]}), and {file} has "
                f"{found}: import it into a gallery with the same encoders, or add the image files"
            )
    return wanted


def _new_images(
    gallery: Gallery,
    batch: pa.RecordBatch,
    wanted: Mapping[str, FeatureSpec],
    tenants: _Tenants,
    report: ImportReport,
) -> list[NewImage]:
    """The images of a batch that the gallery does not have as they are."""
    features = {spec: _rows_of(batch, name, spec) for name, spec in wanted.items()}
    record_columns = [name for name in batch.schema.names if not name.startswith((FEATURES, USABLE))]
    images = []
    for number, row in enumerate(batch.select(record_columns).to_pylist()):
        tenant_id = tenants.id_of(row["tenant"])
        try:
            own = {spec: rows[number][1] for spec, rows in features.items() if rows[number][0]}
            _check_vectors(own)
            images.append(_new_image(row, tenant_id, own))
        except (ValueError, TypeError, KeyError) as error:
            _reject(report, row, f"invalid: {error}")
        except BadInput as error:
            _reject(report, row, str(error))
    changed = _changed(gallery, images)
    report.unchanged += len(images) - len(changed)
    return changed


def _check_vectors(features: Mapping[FeatureSpec, Features | None]) -> None:
    """Raise BadInput for a vector that the catalog would refuse, with all others of its transaction."""
    for spec, row in features.items():
        if row is not None and spec.metric == "cosine" and not are_unit(row[None]).all():
            raise BadInput(f"the vector of {spec.name} is not finite and of length 1")


def _reject(report: ImportReport, row: Mapping[str, Any], reason: str) -> None:
    report.rejected += 1
    if len(report.reasons) < MAX_REASONS:
        report.reasons[str(row.get("key"))] = reason


def _new_image(row: Mapping[str, Any], tenant_id: int, features: Mapping[FeatureSpec, Features | None]) -> NewImage:
    return NewImage(
        tenant_id=tenant_id,
        key=row["key"],
        path=row["path"],
        sha256=row["sha256"],
        nbytes=row["bytes"],
        width=row["width"],
        height=row["height"],
        format=row["format"],
        pixels=row["pixels"],
        mtime_ns=row["mtime_ns"],
        border=Border(*row["border"]),
        attributes=json.loads(row["attributes"]),
        features=features,
        thumbnail=row["thumbnail"],
        verification_record=row["verification_record"],
        etag=row["etag"],
        offset=row["offset"],
        frames=row["frames"],
        truncated=row["truncated"],
        exif=json.loads(row["exif"]),
        created=row["created"],
        updated=row["updated"],
    )


def _rows_of(batch: pa.RecordBatch, name: str, spec: FeatureSpec) -> Sequence[tuple[bool, Features | None]]:
    """For each image whether it was encoded, and its feature, None where that is not usable."""
    column, usable = batch.column(FEATURES + name), batch.column(USABLE + name).to_pylist()
    rows = list(_arrays(column, spec))
    return [(flag is not None, row if flag else None) for flag, row in zip(usable, rows, strict=True)]


def _arrays(column: pa.Array, spec: FeatureSpec) -> Iterator[Features | None]:
    if spec.metric == "hamming":
        for value in column.to_pylist():
            yield None if value is None else np.frombuffer(value, np.uint8)
        return
    width = spec.width
    numbers = column.values.to_numpy(zero_copy_only=False).reshape(-1, width)  # of null rows, too
    if spec.storage == "int8":
        numbers = normalise(numbers)
    for number, valid in enumerate(column.is_valid().to_pylist(), column.offset):
        yield numbers[number].astype(np.float32) if valid else None


def _changed(gallery: Gallery, images: Sequence[NewImage]) -> list[NewImage]:
    """Those that the gallery does not have with the same bytes, attributes and specs."""
    by_tenant: dict[int, list[str]] = {}
    for image in images:
        by_tenant.setdefault(image.tenant_id, []).append(image.key)
    known = {id_: gallery.catalog.images.existing_images(id_, keys) for id_, keys in by_tenant.items()}
    changed = []
    for image in images:
        stored = known[image.tenant_id].get(image.key)
        same = stored is not None and (stored.sha256, stored.attributes) == (image.sha256, image.attributes)
        if stored is None or not same or not image.features.keys() <= stored.encoded:
            changed.append(image)
    return changed
