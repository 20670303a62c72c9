"""What is decided when a catalog is created, and stored in it: partitions, and where features are kept."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import URL, Connection, insert, select

from lookalike.catalog.schema import check_partitions, count_partitions, meta
from lookalike.errors import BadSetting

FeatureKeeper = Literal["catalog", "engine"]
"""What keeps the features of images: the catalog, or, once every index has them, the engine alone."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options as requested; None stands for what the catalog has, or for the default where it is created."""

    partitions: int | None = None
    features: FeatureKeeper | None = None


def take_options(url: URL) -> tuple[URL, Options]:
    """The URL without the catalog's own options, and these; raises BadSetting."""
    partitions, features = (_single(url, name) for name in ("partitions", "features"))
    if partitions is not None and not (partitions.isascii() and partitions.isdigit() and len(partitions) < 5):
        raise BadSetting(f"partitions in the catalog's URL is a number, not {partitions!r}")
    if features is not None and features not in get_args(FeatureKeeper):
        raise BadSetting(f"features in the catalog's URL is catalog or engine, not {features!r}")
    keeper: Any = features
    options = Options(None if partitions is None else int(partitions), keeper)
    check_partitions(options.partitions or 0, url.get_backend_name())
    return url.difference_update_query(["partitions", "features"]), options


def _single(url: URL, name: str) -> str | None:
    value = url.query.get(name)
    if value is not None and not isinstance(value, str):
        raise BadSetting(f"{name} is given twice in the catalog's URL")
    return value


def save_options(conn: Connection, options: Options) -> None:
    """Write the options of a new catalog into it."""
    conn.execute(insert(meta).values(key="features", value=options.features or "catalog"))


def feature_keeper(conn: Connection) -> FeatureKeeper:
    """What keeps the features of this catalog."""
    found = conn.execute(select(meta.c.value).where(meta.c.key == "features")).scalar_one_or_none()
    return "engine" if found == "engine" else "catalog"


def check(conn: Connection, requested: Options) -> None:
    """Raise BadSetting where the catalog was created with other options than those requested."""
    if requested.features is not None and requested.features != (keeper := feature_keeper(conn)):
        raise BadSetting(
            f"the catalog was created with features={keeper}, which cannot be changed; give the same value, or none"
        )
    if requested.partitions is not None and requested.partitions != (number := count_partitions(conn)):
        raise BadSetting(f"the catalog was created with partitions={number}; give the same number, or none")
