"""What is decided when a catalog is made, and kept in it: partitions, and who keeps the features."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import URL, Connection, insert, select

from lookalike.catalog.layout import check_partitions, partitions_of
from lookalike.catalog.schema import meta
from lookalike.errors import BadSetting

FeatureKeeper = Literal["catalog", "engine"]
"""Who keeps the features of images: the catalog, or, once every index has them, the engine alone."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options as asked for; None is as the catalog has it, or the default where it is made."""

    partitions: int | None = None
    features: FeatureKeeper | None = None


def taken_from(url: URL) -> tuple[URL, Options]:
    """The URL without the catalog's own options, and these; raises BadSetting."""
    partitions, features = (_single(url, name) for name in ("partitions", "features"))
    if partitions is not None and not (partitions.isascii() and partitions.isdigit() and len(partitions) < 5):
        raise BadSetting(f"partitions in the catalog's URL is a number, not {partitions!r}")
    if features is not None and features not in get_args(FeatureKeeper):
        raise BadSetting(f"features in the catalog's URL is catalog or engine, not {features!r}")
    keeper: Any = features
    found = Options(None if partitions is None else int(partitions), keeper)
    check_partitions(found.partitions or 0, url.get_backend_name())
    return url.difference_update_query(["partitions", "features"]), found


def _single(url: URL, name: str) -> str | None:
    value = url.query.get(name)
    if value is not None and not isinstance(value, str):
        raise BadSetting(f"{name} is given twice in the catalog's URL")
    return value


def keep(conn: Connection, options: Options) -> None:
    """Write the options of a new catalog into it."""
    conn.execute(insert(meta).values(key="features", value=options.features or "catalog"))


def keeper(conn: Connection) -> FeatureKeeper:
    """Who keeps the features in this catalog."""
    found = conn.execute(select(meta.c.value).where(meta.c.key == "features")).scalar_one_or_none()
    return "engine" if found == "engine" else "catalog"


def check(conn: Connection, asked: Options) -> None:
    """Raise BadSetting where the catalog was made with other options than those asked for."""
    if asked.features is not None and asked.features != (there := keeper(conn)):
        raise BadSetting(
            f"the catalog was made with features={there}, which cannot be changed; say the same, or nothing"
        )
    if asked.partitions is not None and asked.partitions != (number := partitions_of(conn)):
        raise BadSetting(f"the catalog was made with partitions={number}; say the same, or nothing")
