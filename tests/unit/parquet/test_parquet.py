"""Exports as Parquet, and imports into other galleries: features stay bit for bit, foreign ones are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lookalike
from lookalike.catalog import Catalog
from lookalike.catalog.transfer import table_digests
from lookalike.config import GallerySettings, from_environment
from lookalike.errors import BadInput, FeatureMismatch, NotFound
from lookalike.factory import create_gallery
from lookalike.gallery import Gallery
from lookalike.parquet import export_parquet, import_parquet
from lookalike.parquet.columns import METADATA_KEY
from lookalike.verification import available
from tests.support.catalogs import HASH, INT8, VECTOR, entry, fresh, hash_row, vector_row
from tests.support.command import lookalike as command
from tests.support.drawn_images import drawn, encoded

IMAGES = 9
FLAT = encoded(drawn(20).resize((1, 1)).resize((50, 50)))


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"], create=True) as opened:
        items = [lookalike.Item(f"{n}/ü.png", encoded(drawn(n)), {"n": n, "x": [1.5, None]}) for n in range(IMAGES)]
        opened.add([*items, lookalike.Item("flat.png", FLAT)])
        opened.add([lookalike.Item("b.png", encoded(drawn(70)))], tenant="other")
        opened.set_attributes("1/ü.png", {"changed": True})
    return tmp_path / "gallery"


def exported(folder: Path, file: Path, tenant: str | None = None) -> Path:
    with lookalike.open(folder) as opened:
        export_parquet(opened.catalog, file, tenant=tenant)
    return file


def answers(opened: Gallery) -> list[Any]:
    queries = [encoded(drawn(n), "JPEG", quality=60) for n in (0, 4)]
    return [[(hit.key, hit.distance, hit.evidence) for hit in opened.search(query, k=20).hits] for query in queries]


@pytest.mark.parametrize("index", ["mih", "flat"])
def test_an_imported_gallery_answers_as_the_original(gallery: Path, tmp_path: Path, index: str) -> None:
    file = exported(gallery, tmp_path / "all.parquet")
    create_gallery(tmp_path / "new", GallerySettings(("phash",), {"phash": index}), from_environment({}))
    with lookalike.open(gallery) as original, lookalike.open(tmp_path / "new") as new:
        report = import_parquet(new, file, tenant=None)
        assert (report.added, report.updated, report.unchanged, report.rejected) == (IMAGES + 2, 0, 0, 0)
        assert answers(new) == answers(original)
        for tenant in ("default", "other"):
            for a, b in zip(original.ls(tenant=tenant), new.ls(tenant=tenant), strict=True):
                assert (a.key, a.attributes, a.sha256, a.pixels, a.border) == (
                    b.key,
                    b.attributes,
                    b.sha256,
                    b.pixels,
                    b.border,
                )
                assert (a.created, a.updated, a.exif, a.format) == (b.created, b.updated, b.exif, b.format)
                assert original.get_thumbnail(a.key, tenant=tenant) == new.get_thumbnail(b.key, tenant=tenant)
        before = new.status().sequence
        again = import_parquet(new, file, tenant=None)
        assert (again.added, again.updated, again.unchanged) == (0, 0, IMAGES + 2)
        assert new.status().sequence == before
        new.set_attributes("2/ü.png", {"n": 5})
        assert import_parquet(new, file, tenant=None).updated == 1
        assert new.get("2/ü.png").attributes["n"] == 2


@pytest.mark.skipif(not available(), reason="needs lookalike[verify]")
def test_verification_records_are_exported(tmp_path: Path) -> None:
    with lookalike.open(tmp_path / "g", pipelines=["phash"], verification_records="on", create=True) as opened:
        drawn(1).save(tmp_path / "1.png")
        opened.add([lookalike.Item("1", tmp_path / "1.png"), lookalike.Item("2", encoded(drawn(2)))])
        record = opened.catalog.verification_records.get(opened.get("1").id)
    file = exported(tmp_path / "g", tmp_path / "all.parquet")
    with lookalike.open(tmp_path / "new", pipelines=["phash"], create=True) as new:
        assert import_parquet(new, file, tenant=None).added == 2
        assert record is not None
        assert new.catalog.verification_records.get(new.get("1").id) == record
        assert new.catalog.verification_records.totals().images == 1


@pytest.mark.parametrize("target", ["sqlite", "vectors far from unit length"])
def test_features_stay_bit_for_bit(tmp_path: Path, target: str) -> None:
    """Vectors too, which are rounded once, to half precision or 8 bits, and never again."""

    class Encoded:
        """What an import needs of a gallery, over specs that no encoder of this machine has."""

        def __init__(self, catalog: Catalog) -> None:
            self.catalog = catalog

        def feature_specs(self) -> dict[Any, bool]:
            return {HASH: True, VECTOR: True, INT8: True}

        def put_encoded(self, batches: Any) -> Any:
            return (self.catalog.images.put(batch) for batch in batches)

    with fresh("sqlite") as original, fresh("sqlite") as copy:
        tenant = original.tenants.get_or_create("default")
        features = [
            {
                HASH: hash_row(n) if n % 3 else None,
                VECTOR: vector_row(n) if n % 4 else None,
                INT8: vector_row(n) if n % 5 else None,
            }
            for n in range(40)
        ]
        features[7] = {HASH: hash_row(7)}  # was never encoded as a vector
        more = {"etag": "e", "offset": 2**40, "verification_record": b"\0record"}
        original.images.put([entry(tenant, f"k{n}", n, features=one, **more) for n, one in enumerate(features)])
        export_parquet(original, tmp_path / "f.parquet", tenant="default")
        file = tmp_path / "f.parquet"
        if target != "sqlite":
            file = changed(file, lambda table: spoilt(table))
        report = import_parquet(Encoded(copy), file, tenant="default")  # type: ignore[arg-type]
        if target == "sqlite":
            assert report.added == 40
            names = [name for name in table_digests(original) if name.startswith(("features", "verification"))]
            assert copy.images.list_page(1)[3].offset == 2**40
            assert [table_digests(original)[name] for name in names] == [table_digests(copy)[name] for name in names]
        else:
            assert report.rejected == 1
            assert "length 1" in report.reasons["k1"]
            assert report.added == 39


def spoilt(table: pa.Table) -> pa.Table:
    """The table with a vector that is not of unit length."""
    name = "features.vgg16"
    rows = table.column(name).to_pylist()
    rows[1] = [np.float16(1.0)] * VECTOR.width
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(name), pa.array(rows, table.schema.field(name).type))


def changed(file: Path, change: Any) -> Path:
    table = change(pq.read_table(file))
    pq.write_table(table, file.with_name("changed.parquet"))
    return file.with_name("changed.parquet")


def described(table: pa.Table, **features: Any) -> pa.Table:
    """The table with another description of its features."""
    value = json.loads(table.schema.metadata[METADATA_KEY])
    value["features"]["phash"].update(features)
    return table.replace_schema_metadata({METADATA_KEY: json.dumps(value)})


def test_features_of_another_encoder_are_refused(gallery: Path, tmp_path: Path) -> None:
    file = exported(gallery, tmp_path / "all.parquet")
    other = changed(file, lambda table: described(table, fingerprint="f" * 64))
    create_gallery(tmp_path / "exact", GallerySettings(("phash",), exact_phash=True), from_environment({}))
    for folder, source in ((tmp_path / "exact", file), (gallery, other)):
        with lookalike.open(folder) as opened:
            before = opened.status().sequence
            with pytest.raises(FeatureMismatch, match="another encoder"):
                import_parquet(opened, source, tenant=None)
            assert opened.status().sequence == before


@pytest.mark.parametrize("what", ["foreign", "no file", "cut", "text", "no column", "later"])
def test_what_is_no_export_is_refused(gallery: Path, tmp_path: Path, what: str) -> None:
    file = exported(gallery, tmp_path / "all.parquet")
    if what == "foreign":
        pq.write_table(pa.table({"key": ["a"]}), file)
    elif what == "no file":
        file.unlink()
    elif what == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif what == "text":
        file.write_text("key,tenant\n")
    elif what == "no column":
        file = changed(file, lambda table: table.drop_columns(["sha256"]))
    else:
        later = json.dumps({"format": 2, "features": {}})
        file = changed(file, lambda table: table.replace_schema_metadata({METADATA_KEY: later}))
    with lookalike.open(gallery) as opened, pytest.raises((BadInput, NotFound), match=str(file.name)):
        import_parquet(opened, file, tenant=None)


def test_one_bad_row_stops_no_other(gallery: Path, tmp_path: Path) -> None:
    def spoil(table: pa.Table) -> pa.Table:
        keys = table.column("key").to_pylist()
        keys[2] = ""
        attributes = table.column("attributes").to_pylist()
        attributes[4] = "{"
        for name, values in (("key", keys), ("attributes", attributes)):
            table = table.set_column(
                table.schema.get_field_index(name), table.schema.field(name), pa.array(values, pa.string())
            )
        return table

    file = changed(exported(gallery, tmp_path / "all.parquet"), spoil)
    with lookalike.open(tmp_path / "new", pipelines=["phash"], create=True) as new:
        report = import_parquet(new, file, tenant=None)
        assert (report.added, report.rejected) == (IMAGES, 2)
        assert len(report.reasons) == 2


def test_tenants(gallery: Path, tmp_path: Path) -> None:
    everything = exported(gallery, tmp_path / "all.parquet")
    own = exported(gallery, tmp_path / "own.parquet", "default")
    with lookalike.open(tmp_path / "new", pipelines=["phash"], create=True) as new:
        with pytest.raises(BadInput, match="all-tenants"):
            import_parquet(new, everything, tenant="x")
        import_parquet(new, own, tenant="y")
        assert new.status().tenants.get("y") == IMAGES + 1
    with lookalike.open(gallery) as opened, pytest.raises(NotFound):
        export_parquet(opened.catalog, tmp_path / "n.parquet", tenant="nobody")
    assert not list(tmp_path.glob("n.parquet*"))


def test_commands(gallery: Path, tmp_path: Path) -> None:
    file = tmp_path / "e.parquet"
    assert command("export", file, "-g", gallery, "--json").lines == [{"file": str(file), "images": IMAGES + 1}]
    assert command("export", file, "-g", gallery).code == 2
    assert command("init", "--pipelines", "phash", "-g", tmp_path / "new").code == 0
    ran = command("import", file, "-g", tmp_path / "new", "--json")
    assert (ran.code, ran.lines[0]["added"]) == (0, IMAGES + 1)
