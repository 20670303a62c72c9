"""The catalog: records, digests, keys, features and small images, in the pages of SQLite and of PostgreSQL."""

import math

from lookalike.capacity import measurements as c
from lookalike.capacity.models import CatalogPart, IndexPlan
from lookalike.capacity.request import Database, PipelineSpec, PlanRequest
from lookalike.errors import BadSetting


def part(wish: PlanRequest, parts: tuple[IndexPlan, ...]) -> CatalogPart:
    """The catalog that these indexes need."""
    grown = [index.pipeline for index in parts if not index.embedded]
    database, why = _database(wish, grown)
    if wish.features == "engine" and len(grown) < len(parts):
        left = ", ".join(index.pipeline for index in parts if index.embedded)
        raise BadSetting(
            f"features can be left to an engine on a server alone, and {left} is embedded: "
            "leave out --features, or choose elasticsearch and milvus"
        )
    sizes = SQLITE if database == "sqlite" else POSTGRESQL
    kept = () if wish.features == "engine" else wish.pipelines
    features = wish.images * sum(sizes.feature(pipeline) for pipeline in kept)
    thumbnails = wish.images * wish.thumbnails * sizes.blob(int(c.THUMBNAIL.value))
    records = wish.images * sizes.record(wish)
    notes = []
    if wish.features == "engine":
        notes.append(
            "Catalog.release_features gives features up once every index has them: an index that is lost then comes "
            "back from its engine's own backups, or by reading images again"
        )
    elif features > c.TB and len(grown) == len(parts):
        notes.append(f"--features engine would save {features / c.TB:,.1f} TB, and what repair can do from the catalog")
    return CatalogPart(
        database,
        math.ceil(records + features + thumbnails),
        math.ceil(features),
        math.ceil(thumbnails),
        why,
        _url(wish) if database == "postgresql" else None,
        tuple(notes),
        (*sizes.used, c.HALF, *((c.THUMBNAIL,) if wish.thumbnails else ())),
    )


def _url(wish: PlanRequest) -> str:
    options = []
    if wish.images > c.PG_PARTITIONED.value:
        wanted = 2 ** math.ceil(math.log2(wish.images / c.PG_PARTITION.value))
        options.append(f"partitions={min(wanted, int(c.PG_PARTITIONS.value))}")
    if wish.features == "engine":
        options.append("features=engine")
    return "postgresql://USER:PASSWORD@HOST:5432/lookalike" + ("?" + "&".join(options) if options else "")


def _database(wish: PlanRequest, grown: list[str]) -> tuple[Database, str]:
    if wish.catalog == "sqlite":
        if wish.images > c.SQLITE_MOST.value:
            raise BadSetting(
                f"a catalog of {wish.images:,} images is more than one file should hold "
                f"({c.SQLITE_MOST.value:,.0f}): choose --catalog postgresql"
            )
        return "sqlite", "as wished"
    if wish.catalog == "postgresql":
        return "postgresql", "as wished"
    if grown:
        return "postgresql", "several machines search and add"
    if wish.images > c.SQLITE_MOST.value:
        return "postgresql", f"more than {c.SQLITE_MOST.value:,.0f} images"
    return "sqlite", "one machine is enough"


class Sqlite:
    """Bytes in a file of pages of 4 KB: a row that does not fill them leaves the rest empty."""

    used = (c.IMAGE, c.KEY_COPIES, c.TEXT_COPIES, c.HASH_RECORD, c.PAGE)

    def record(self, wish: PlanRequest) -> float:
        """An image without its features."""
        return c.IMAGE.value + c.KEY_COPIES.value * wish.key + c.TEXT_COPIES.value * (wish.path + wish.attributes)

    def feature(self, pipeline: PipelineSpec) -> float:
        """A feature as it is stored: hashes as they are, vectors at half precision."""
        if pipeline.metric == "hamming":
            return c.HASH_RECORD.value + pipeline.raw
        return self.blob(pipeline.raw // 2)

    def blob(self, size: int) -> float:
        """A row of so many bytes: whole rows a page, and overflow pages (SQLite, Database file format, 1.6)."""
        page = c.PAGE.value
        payload = size + 4  # header of the record
        if payload <= page - 35:
            return page / math.floor((page - 8) / (payload + 7))
        least = math.floor((page - 12) * 32 / 255) - 23
        local = least + (payload - least) % (page - 4)
        if local > page - 35:
            local = least
        rows = math.floor((page - 8) / (local + 11))
        return page / rows + page * math.ceil((payload - local) / (page - 4))


class Postgresql:
    """Bytes in tables of pages of 8 KB; what is longer than 2 KB lies in pieces in a table beside."""

    used = (
        c.PG_RECORD,
        c.PG_KEY_COPIES,
        c.PG_TEXT,
        c.PG_ATTRIBUTES,
        c.PG_PAGE,
        c.PG_TUPLE,
        c.PG_KEY,
        c.PG_PIECE,
        c.PG_PARTITIONED,
        c.PG_PARTITION,
        c.PG_PARTITIONS,
    )

    def record(self, wish: PlanRequest) -> float:
        """An image without its features."""
        texts = c.PG_TEXT.value * wish.path + c.PG_ATTRIBUTES.value * wish.attributes
        return c.PG_RECORD.value + c.PG_KEY_COPIES.value * wish.key + texts

    def feature(self, pipeline: PipelineSpec) -> float:
        """A feature as it is stored: hashes as they are, vectors at half precision."""
        return self.blob(pipeline.raw if pipeline.metric == "hamming" else pipeline.raw // 2)

    def blob(self, size: int) -> float:
        """A row of so many bytes, and its place in the primary key."""
        room = c.PG_PAGE.value - 24
        payload = c.PG_TUPLE.value + size + (1 if size < 127 else 4)
        if payload <= 2032:
            return c.PG_PAGE.value / math.floor(room / (8 * math.ceil(payload / 8) + 4)) + c.PG_KEY.value
        pieces = math.ceil(size / c.PG_PIECE.value)
        stored = size + 44 * pieces
        pages = 1 / math.floor(room / stored) if stored <= room else stored / room
        return c.PG_PAGE.value * pages + 26 * pieces + 60 + c.PG_KEY.value


SQLITE, POSTGRESQL = Sqlite(), Postgresql()
