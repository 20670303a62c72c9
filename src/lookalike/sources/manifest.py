"""Manifests: tables of images to add, as Parquet, CSV or JSON lines, and S3 Inventory reports.

A row names an image by `uri` (also `url`, `path` or `file`), and has its `key`, `etag`, `size`, `tenant` and
`attributes` where these columns exist. An inventory names it by `Bucket` and `Key`.
"""

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from glob import glob
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import unquote_plus

from lookalike.errors import BadInput, NotFound
from lookalike.optional import require
from lookalike.sources.objects import clean_etag, expand_glob, open_object
from lookalike.sources.urls import canonical_url, default_key, is_url, parent_of
from lookalike.types import Attributes, FoundObject, Outcome

COLUMNS = {
    "uri": ("uri", "url", "path", "file"),
    "key": ("key",),
    "etag": ("etag", "e_tag"),
    "size": ("size", "nbytes", "bytes"),
    "tenant": ("tenant",),
    "attributes": ("attributes",),
    "bucket": ("bucket",),
    "is_latest": ("is_latest", "islatest"),
    "is_delete_marker": ("is_delete_marker", "isdeletemarker"),
}
"""What a row says, and the names of its column, in any case, with `_`, a space or nothing between words."""
PARQUET = (".parquet", ".pq")
PARQUET_ROWS = 4096
"""Rows read at a time."""
WINDOW_ROWS = 4096
"""Rows that are put in order of their tenants."""
MAX_SCHEMA_BYTES = 16 * 1024 * 1024
"""Bytes of the `manifest.json` of an inventory."""
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """A row: what to add, or why it cannot be, and the tenant where the manifest has a column of tenants."""

    found: FoundObject | Outcome
    tenant: str | None = None


@dataclass(slots=True)
class Manifest:
    """The rows of one manifest file or more. `others` counts the rows that name no image to add.

    Args:
        source: Path or URL, also with `*`: `.parquet`, `.csv`, `.jsonl` (these two also `.gz`), or an inventory's
            `manifest.json`.
        shard: This process's part, counted from 1, and the number of parts: of the files where there are as many, else
            of the rows.
        is_passed_over: Whether an object of an inventory is no image, by its key.
    """

    source: str
    shard: tuple[int, int] = (1, 1)
    is_passed_over: Callable[[str], bool] = lambda _: False
    attributes: Attributes | None = None
    others: Counter[str] = field(default_factory=Counter)

    def entries(self) -> Iterator[ManifestEntry]:
        """Yield the rows; raises NotFound where there is no manifest, BadInput for one of another format."""
        files = manifest_files(self.source)
        number, parts = self.shard
        by_file = len(files) >= parts
        if by_file:
            files = files[number - 1 :: parts]
        for file in files:
            rows = enumerate(_rows(file), 1)
            for position, row in rows if by_file else islice(rows, number - 1, None, parts):
                entry = self._entry(file, position, row)
                if entry is not None:
                    yield entry

    def _entry(self, file: str, position: int, row: Row | str) -> ManifestEntry | None:
        where = f"row {position:,} of {file}"
        if isinstance(row, str):
            return ManifestEntry(Outcome(where, None, "rejected", f"other: {row}"))
        values = _named(row)
        tenant = values.get("tenant")
        try:
            found = self._found(file, values)
        except (BadInput, ValueError) as error:
            return ManifestEntry(Outcome(where, None, "rejected", f"other: {error}"), tenant and str(tenant))
        return None if found is None else ManifestEntry(found, tenant and str(tenant))

    def _found(self, file: str, values: Row) -> FoundObject | None:
        """What a row names; None for one that is passed over, which is counted. Raises BadInput or ValueError."""
        uri, key = values.get("uri"), values.get("key")
        etag, size = values.get("etag"), values.get("size")
        if uri is None and values.get("bucket") is not None:
            if (kind := _not_current(values)) is not None or self.is_passed_over(str(key)):
                if kind is not None:
                    self.others[kind] += 1
                return None
            uri = f"s3://{values['bucket']}/{key}"
        if not uri:
            raise BadInput(f"it names no image: it has no column {', '.join(COLUMNS['uri'])}, or no value there")
        location = _location(str(uri), file)
        return FoundObject(
            location,
            None,
            _merged(_attributes(values.get("attributes")), self.attributes),
            key=str(key) if key not in (None, "") else default_key(location if is_url(str(uri)) else str(uri)),
            etag=clean_etag(str(etag)) if etag else None,
            nbytes=None if size in (None, "") else int(size),
            replaces=key not in (None, ""),
        )


def by_tenant(entries: Iterable[ManifestEntry], default: str) -> Iterator[tuple[str, Iterator[FoundObject | Outcome]]]:
    """Yield what to add by tenant, in runs: entries are put in order of their tenants some thousand at a time."""
    rest = iter(entries)

    def in_order() -> Iterator[tuple[str, FoundObject | Outcome]]:
        while window := list(islice(rest, WINDOW_ROWS)):
            by_name: dict[str, list[FoundObject | Outcome]] = {}
            for entry in window:
                by_name.setdefault(entry.tenant or default, []).append(entry.found)
            yield from ((name, found) for name, several in by_name.items() for found in several)

    for name, run in groupby(in_order(), key=itemgetter(0)):
        yield name, (found for _, found in run)


def parse_shard(text: str) -> tuple[int, int]:
    """Parse `3/16`, the third of sixteen parts; raises BadInput for another text."""
    number, slash, parts = text.partition("/")
    if slash and number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts):
        return int(number), int(parts)
    raise BadInput(f"--shard must be a number and the number of shards, such as 3/16, not {text!r}")


def manifest_files(source: str) -> list[str]:
    """Return the files of a manifest, by name; raises NotFound where a pattern matches nothing."""
    if is_url(source):
        url = canonical_url(source)
        return expand_glob(url) if is_url(url) and "*" in url else [url]
    if "*" not in source:
        return [str(Path(source).expanduser())]
    if found := sorted(glob(str(Path(source).expanduser()))):  # noqa: PTH207 - of a pattern that may be absolute
        return found
    raise NotFound(f"nothing matches {source}")


def row_count(files: Iterable[str]) -> int | None:
    """Return the number of rows of Parquet files, which their ends tell; None where a file is of another format."""
    total = 0
    for file in files:
        if not file.lower().endswith(PARQUET):
            return None
        with _parquet(file) as table:
            total += table.metadata.num_rows
    return total


def _rows(file: str) -> Iterator[Row | str]:
    """The rows of a file by column; a row that cannot be read is the reason."""
    name = file.lower().removesuffix(".gz")
    if name.endswith(PARQUET):
        return _parquet_rows(file)
    if name.endswith((".jsonl", ".ndjson")):
        return _json_rows(file)
    if name.endswith(".csv"):
        return _csv_rows(file)
    if name.endswith("manifest.json"):
        return _inventory_rows(file)
    raise BadInput(f"{file} is no manifest: its name must end in .parquet, .csv, .jsonl or manifest.json")


@contextmanager
def _opened(file: str) -> Iterator[IO[bytes]]:
    try:
        opened = open_object(file) if is_url(file) else Path(file).open("rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        raise NotFound(f"no such file: {file}") from None
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from error
    with opened:
        yield opened


def _parquet_rows(file: str) -> Iterator[Row | str]:
    with _parquet(file) as table:
        for batch in table.iter_batches(PARQUET_ROWS):
            yield from batch.to_pylist()


@contextmanager
def _parquet(file: str) -> Iterator[Any]:
    """A Parquet file to read; raises BadInput where what is read is none."""
    require("pyarrow", purpose=f"reading {file}")
    import pyarrow as pa  # noqa: PLC0415 - of the extra remote
    import pyarrow.parquet as pq  # noqa: PLC0415

    with _opened(file) as opened:
        try:
            yield pq.ParquetFile(opened)
        except pa.ArrowInvalid as error:
            raise BadInput(f"{file} is no Parquet file, or a damaged one: {error}") from error


@contextmanager
def _text(file: str) -> Iterator[IO[str]]:
    with _opened(file) as opened:
        data = cast(IO[bytes], gzip.GzipFile(fileobj=opened)) if file.lower().endswith(".gz") else opened
        with io.TextIOWrapper(data, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            yield text


def _json_rows(file: str) -> Iterator[Row | str]:
    with _text(file) as lines:
        for line in lines:
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield f"it is no JSON: {error}"
                continue
            yield row if isinstance(row, dict) else "it is no JSON object"


def _csv_rows(file: str, columns: Sequence[str] | None = None) -> Iterator[Row | str]:
    """The rows of a CSV file; an inventory's has no header, its keys are URL-encoded, and its columns are given."""
    with _text(file) as lines:
        reader = csv.reader(lines)
        header = list(columns) if columns is not None else next(reader, [])
        encoded = _position(header, "bucket") is not None and _position(header, "uri") is None
        key = _position(header, "key")
        while True:
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield str(error)
                continue
            if not values:
                continue
            if len(values) != len(header):
                yield f"it has {len(values)} values for {len(header)} columns"
                continue
            if encoded and key is not None:
                values[key] = unquote_plus(values[key])
            yield {name: value if value != "" else None for name, value in zip(header, values, strict=True)}


def _inventory_rows(file: str) -> Iterator[Row | str]:
    """The rows of all files of an S3 Inventory report, which its `manifest.json` lists."""
    with _opened(file) as opened:
        text = opened.read(MAX_SCHEMA_BYTES)
    try:
        report = json.loads(text)
        kind, schema, parts = report["fileFormat"], report["fileSchema"], report["files"]
        bucket = str(report["destinationBucket"]).rpartition(":::")[2]
        keys = [str(part["key"]) for part in parts]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{file} is no manifest.json of an S3 Inventory report: {error!r}") from error
    if kind not in ("CSV", "Parquet"):
        raise BadInput(f"{file} lists {kind} files; inventories in CSV and Parquet can be read")
    columns = [name.strip() for name in schema.split(",")]
    for key in keys:
        part = f"s3://{bucket}/{key}"
        yield from _csv_rows(part, columns) if kind == "CSV" else _parquet_rows(part)


def _position(header: Sequence[str], what: str) -> int | None:
    """The number of the column that says this."""
    names = [_plain(name) for name in header]
    return next((names.index(_plain(name)) for name in COLUMNS[what] if _plain(name) in names), None)


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "").replace(" ", "")


def _named(row: Row) -> dict[str, Any]:
    """The values of a row by what they say."""
    plain = {_plain(name): value for name, value in row.items()}
    found: dict[str, Any] = {}
    for what, names in COLUMNS.items():
        value = next((plain[_plain(name)] for name in names if plain.get(_plain(name)) is not None), None)
        if value is not None:
            found[what] = value
    return found


def _not_current(values: Row) -> str | None:
    """What a row of an inventory is, if it is no object of today."""
    if str(values.get("is_delete_marker", False)).lower() == "true":
        return "delete markers"
    if str(values.get("is_latest", True)).lower() == "false":
        return "earlier versions"
    if str(values.get("key", "")).endswith("/"):
        return "folder markers"
    return None


def _location(uri: str, file: str) -> str:
    """The URL or the path of an image; a relative path is below the folder of the manifest."""
    if is_url(uri):
        return canonical_url(uri)
    if is_url(file) and not uri.startswith("/"):
        return canonical_url(f"{parent_of(file)}/{uri}")
    return str((Path(file).absolute().parent / Path(uri).expanduser()).absolute())


def _attributes(value: Any) -> Attributes | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"its attributes are no JSON: {error}") from None
    if isinstance(value, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
        value = dict(value)  # Parquet's type for a map
    if not isinstance(value, dict):
        raise BadInput("its attributes are no JSON object")
    return value


def _merged(own: Attributes | None, given: Attributes | None) -> Attributes | None:
    return own if given is None else {**(own or {}), **given}
