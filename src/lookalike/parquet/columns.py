"""The columns of an export, and the specs of its features, which stand in the file's metadata."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from lookalike.errors import BadInput
from lookalike.types import FeatureSpec

METADATA_KEY = b"lookalike"
FORMAT = 1
FEATURES, USABLE = "features.", "usable."
"""Prefixes of two columns for each spec: its features, null where there is none; and whether the image was encoded and
its feature is usable, null where it was not encoded."""

_RECORD = (
    pa.field("tenant", pa.string(), nullable=False),
    pa.field("key", pa.string(), nullable=False),
    pa.field("path", pa.string()),
    pa.field("sha256", pa.binary(32), nullable=False),
    pa.field("pixels", pa.binary(32)),
    pa.field("bytes", pa.int64(), nullable=False),
    pa.field("mtime_ns", pa.int64()),
    pa.field("width", pa.int32(), nullable=False),
    pa.field("height", pa.int32(), nullable=False),
    pa.field("format", pa.string(), nullable=False),
    pa.field("frames", pa.int32(), nullable=False),
    pa.field("truncated", pa.bool_(), nullable=False),
    pa.field("border", pa.list_(pa.int32(), 4), nullable=False),
    pa.field("attributes", pa.string(), nullable=False),  # JSON, as the next
    pa.field("exif", pa.string(), nullable=False),
    pa.field("created", pa.float64(), nullable=False),  # seconds since 1970, UTC, as the next
    pa.field("updated", pa.float64(), nullable=False),
    pa.field("sequence", pa.int64(), nullable=False),
    pa.field("thumbnail", pa.binary()),
    pa.field("verification_record", pa.binary()),
    pa.field("etag", pa.string()),  # of an object of a store
    pa.field("offset", pa.int64()),  # of a member in its archive
)


def column_names(specs: Collection[FeatureSpec]) -> dict[FeatureSpec, str]:
    """Name each spec's columns: by its name; of several of one name, all but the newest with the fingerprint, too."""
    newest = {spec.name: spec for spec in specs}
    return {s: s.name if newest[s.name] is s else f"{s.name}.{s.fingerprint[:12]}" for s in specs}


def schema_of(specs: Collection[FeatureSpec], version: str) -> pa.Schema:
    """The schema of a file with the features of these specs, oldest first."""
    names = column_names(specs)
    fields = list(_RECORD)
    for spec, name in names.items():
        fields += [pa.field(FEATURES + name, feature_type(spec)), pa.field(USABLE + name, pa.bool_())]
    described = {"format": FORMAT, "version": version, "features": {name: asdict(s) for s, name in names.items()}}
    return pa.schema(fields, metadata={METADATA_KEY: json.dumps(described).encode()})


def feature_type(spec: FeatureSpec) -> pa.DataType:
    """The type of a spec's column: bytes of a hash, numbers of 16 or 8 bits of a vector, as the catalog stores them."""
    if spec.metric == "hamming":
        return pa.binary(spec.width)
    return pa.list_(pa.int8() if spec.storage == "int8" else pa.float16(), spec.width)


def specs_in(schema: pa.Schema, file: object) -> Mapping[str, FeatureSpec]:
    """The specs of a file's features, by the name of their columns; raises BadInput for a file of another program."""
    try:
        described: Any = json.loads((schema.metadata or {})[METADATA_KEY])
        if described["format"] > FORMAT:
            raise BadInput(f"{file} has the format {described['format']}; upgrade Lookalike to import it")
        specs = {name: FeatureSpec(**spec) for name, spec in described["features"].items()}
    except (KeyError, TypeError, ValueError):
        raise BadInput(f"{file} was not made by `lookalike export`: it does not say which encoders it is of") from None
    expected = schema_of(specs.values(), "")
    for field in expected:
        if schema.get_field_index(field.name) < 0 or schema.field(field.name).type != field.type:
            raise BadInput(f"{file} has no column {field.name!r} of the type {field.type}; export it again")
    return specs
