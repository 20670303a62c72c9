"""The only module that names backends: it puts a gallery together from its settings."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from lookalike.catalog import Catalog
from lookalike.config import (
    DEFAULT_INDEX,
    DEFAULT_PIPELINES,
    GALLERY_FILE,
    GallerySettings,
    Settings,
    from_environment,
    read_gallery,
    write_gallery,
)
from lookalike.encoders import calibration_of, load_encoder, model_entries
from lookalike.errors import BadSetting, Damaged, FeatureMismatch, NotFound
from lookalike.gallery import Gallery
from lookalike.gallery.decoder import INLINE_LIMIT
from lookalike.gallery.writer_lock import WriterLock
from lookalike.indexes.address import Address, without_password
from lookalike.indexes.lazy import LazyIndex
from lookalike.indexes.snapshot import wipe
from lookalike.interfaces import Encoder, VectorIndex
from lookalike.pipeline import Pipeline
from lookalike.types import FeatureSpec


@dataclass(frozen=True, slots=True)
class EmbeddedEngine:
    """An index engine of this process, made as `engine(spec, folder, writable=..., **options)`."""

    home: str
    options: Mapping[str, str] = field(default_factory=dict)
    """The argument that each option of an address sets, all of them whole numbers."""


@dataclass(frozen=True, slots=True)
class ServerEngine:
    """An index engine on a server, opened by `open_index(spec, address, gallery)` in the module `home`.

    `probe(address)` in the module `check` tells whether it can be used; `extra` installs its client. `guest` is the
    option that puts the rows into somebody else's index, where they may be lost without us.
    """

    home: str
    check: str
    extra: str
    guest: str | None = None


INDEXES: Mapping[str, EmbeddedEngine | ServerEngine] = {
    "flat": EmbeddedEngine("lookalike.indexes.flat:FlatIndex"),
    "mih": EmbeddedEngine("lookalike.indexes.mih.index:MihIndex", {"m": "equal_bytes"}),
    "hnsw": EmbeddedEngine(
        "lookalike.indexes.hnsw.index:HnswIndex", {name: name for name in ("m", "ef_construction", "ef")}
    ),
    "elasticsearch": ServerEngine(
        "lookalike.indexes.elasticsearch.index", "lookalike.indexes.elasticsearch.probe", "elasticsearch", "index"
    ),
    "milvus": ServerEngine("lookalike.indexes.milvus.index", "lookalike.indexes.milvus.probe", "milvus"),
    "milvus-lite": ServerEngine("lookalike.indexes.milvus.index", "lookalike.indexes.milvus.probe", "milvus"),
}
"""Index engines by the name, or the scheme of a URL, that settings use."""

CATALOG_FILE = "catalog.sqlite"

log = logging.getLogger("lookalike")


def open_gallery(
    folder: str | Path | None = None,
    *,
    pipelines: Sequence[str] | None = None,
    create: bool = True,
    serving: bool = False,
    settings: Settings | None = None,
) -> Gallery:
    """Open the gallery in a folder (the user's own by default), made with `pipelines` where there is none yet.

    Pipelines are opened, and weights fetched, when they are first needed. `serving` is for a long-running process of
    many threads: every image is decoded in a worker process, so that no image can crash this one. Raises NotFound
    where there is no gallery and `create` is False, BadSetting where there is one with other pipelines than those
    asked for.
    """
    settings = settings or from_environment()
    at = Path(folder).expanduser().absolute() if folder is not None else settings.gallery.absolute()
    if not (at / GALLERY_FILE).is_file() and create:
        create_gallery(at, GallerySettings(tuple(pipelines or DEFAULT_PIPELINES)), settings)
    made_with = read_gallery(at).with_environment(settings)
    if pipelines is not None and tuple(pipelines) != made_with.pipelines:
        raise BadSetting(f"the gallery {at} has the pipelines {', '.join(made_with.pipelines)}; they cannot be changed")
    catalog = Catalog.open(made_with.catalog or at / CATALOG_FILE, create=True)
    try:
        _check_keeper(catalog, made_with)
    except BadSetting:
        catalog.close()
        raise
    lock = WriterLock(at, shared=made_with.catalog is not None)
    build = _builder(at, made_with, settings, catalog, lock)
    return Gallery(
        catalog,
        made_with.pipelines,
        build,
        lock,
        limits=settings.limits,
        workers=settings.workers,
        few=0 if serving else INLINE_LIMIT,
    )


def open_catalog(folder: Path, settings: Settings) -> Catalog:
    """The catalog of a gallery alone, for what needs no pipeline; raises NotFound where there is no gallery."""
    made_with = read_gallery(folder).with_environment(settings)
    return Catalog.open(made_with.catalog or folder / CATALOG_FILE)


def create_gallery(folder: Path, made_with: GallerySettings, settings: Settings) -> None:
    """Make an empty gallery; raises BadSetting for unknown pipelines or engines, or where there is one already."""
    entries = model_entries(settings.models)
    for name in made_with.pipelines:
        if name not in entries:
            raise BadSetting(f"no encoder is called {name!r}; there are {', '.join(sorted(entries))}")
    for name, address in made_with.index.items():
        _engine(address, name)
    server = made_with.with_environment(settings).catalog
    if server is not None:  # before anything is written here, for it may be down, or the password wrong
        with Catalog.open(server, create=True) as catalog:
            _check_keeper(catalog, made_with.with_environment(settings))
    write_gallery(folder, made_with)
    Catalog.open(server or folder / CATALOG_FILE, create=True).close()


def _check_keeper(catalog: Catalog, made_with: GallerySettings) -> None:
    """Raise BadSetting where features would be left to what is no engine on a server, or not its rows' keeper."""
    if catalog.keeper() != "engine":
        return
    for name in made_with.pipelines:
        address = made_with.index.get(name)
        engine = None if address is None else _engine(address, name)
        if address is None or not isinstance(engine, ServerEngine):
            raise BadSetting(
                f"this catalog, made with features=engine, leaves features to the engine, and the index of {name} is "
                f"embedded: give {name} an index on a server ([index] in {GALLERY_FILE}, or `lookalike init --index "
                f"{name}=URL`), or the gallery a catalog that keeps its features"
            )
        if engine.guest is not None and engine.guest in Address.parse(address).options:
            raise BadSetting(
                f"this catalog, made with features=engine, leaves features to the engine, and the index of {name} is "
                f"somebody else's ({engine.guest}=), whose documents may be written anew without them: give {name} an "
                "index of its own, or the gallery a catalog that keeps its features"
            )


def _builder(
    folder: Path,
    made_with: GallerySettings,
    settings: Settings,
    catalog: Catalog,
    lock: WriterLock,
) -> Callable[[str], Pipeline]:
    precision = made_with.precision or settings.precision
    # A folder whose settings name another catalog now must not take the old one's rows for its own.
    indexes = folder / "indexes" / catalog.gallery() if made_with.catalog else folder / "indexes"

    @functools.cache  # opened again for writing, a pipeline keeps its encoder
    def encoder_of(name: str) -> Encoder:
        return load_encoder(
            name,
            settings.cache,
            precision=precision,
            exact_phash=made_with.exact_phash,
            user_file=settings.models,
        )

    def build(name: str) -> Pipeline:
        encoder = encoder_of(name)
        calibration = calibration_of(name, user_file=settings.models)
        if name in made_with.thresholds:
            calibration = dataclasses.replace(calibration, threshold=made_with.thresholds[name])
        address = made_with.index.get(name) or DEFAULT_INDEX[encoder.spec.metric]
        engine = _engine(address, name)
        at = Address.parse(address)
        if isinstance(engine, ServerEngine):
            index = _served(engine, encoder.spec, address, catalog.gallery())
        else:
            place = indexes / f"{name}-{encoder.spec.fingerprint[:12]}-{at.scheme}"
            index = _embedded(engine, encoder.spec, at, place, lock)
        return Pipeline(encoder, index, calibration, engine=str(at))

    return build


def _engine(address: str, pipeline: str) -> EmbeddedEngine | ServerEngine:
    """The engine of an address; raises BadSetting for an unknown one, or embedded options that make no sense."""
    at = Address.parse(address)
    engine = INDEXES.get(at.scheme)
    if engine is None:
        raise BadSetting(f"no index engine is called {at.scheme!r} (for {pipeline}); there are {', '.join(INDEXES)}")
    if isinstance(engine, EmbeddedEngine):
        if at.host or at.path:
            raise BadSetting(f"{at.scheme} (for {pipeline}) runs in this process: write {at.scheme}, not {at}")
        at.only(*engine.options)
        for option in at.options:
            at.number(option, 1)
    return engine


def _embedded(engine: EmbeddedEngine, spec: FeatureSpec, at: Address, folder: Path, lock: WriterLock) -> VectorIndex:
    """Open an index; a damaged one, or one of other features, is begun anew, for the catalog refills it.

    A process that does not write leaves the folder alone and works in memory.
    """
    options = {engine.options[option]: at.number(option, 1) for option in at.options}
    make: Callable[..., VectorIndex] = _loaded(engine.home)
    try:
        return make(spec, folder, writable=lock.held, **options)
    except (Damaged, FeatureMismatch) as error:
        log.warning("the index of %s is built anew from the catalog: %s", spec.name, error)
    if not lock.held:
        return make(spec, None, **options)
    wipe(folder)
    return make(spec, folder, writable=True, **options)


def _served(engine: ServerEngine, spec: FeatureSpec, address: str, gallery: str) -> VectorIndex:
    connect = _client(engine, f"{engine.home}:open_index", address)
    return LazyIndex(spec, str(Address.parse(address)), lambda: connect(spec, address, gallery))


def _client(engine: ServerEngine, home: str, address: str) -> Callable[..., Any]:
    """Something of an engine's adapter; raises BadSetting where its client is not installed."""
    try:
        return _loaded(home)
    except ModuleNotFoundError as error:
        at = Address.parse(address)
        raise BadSetting(f"{at} needs the package {error.name}: pip install 'lookalike[{engine.extra}]'") from error


def _loaded(home: str) -> Callable[..., Any]:
    module, _, attribute = home.partition(":")
    made: Callable[..., Any] = getattr(import_module(module), attribute)
    return made


def probes(made_with: GallerySettings) -> dict[str, Callable[[], str]]:
    """By address, as people may see it, what asks each server of a gallery how it is.

    Each gives a few words, and raises BadSetting or Unavailable where the server cannot be used.
    """
    found: dict[str, Callable[[], str]] = {}
    if made_with.catalog is not None:
        found[without_password(made_with.catalog)] = functools.partial(_probe_catalog, made_with.catalog)
    for name, address in made_with.index.items():
        engine = _engine(address, name)
        if isinstance(engine, ServerEngine):
            found[str(Address.parse(address))] = functools.partial(_probe_engine, engine, address)
    return found


def _probe_catalog(url: str) -> str:
    try:
        with Catalog.open(url, read_only=True) as catalog:
            return f"answers; {catalog.count():,} images"
    except NotFound:
        return "answers; no catalog in it yet"


def _probe_engine(engine: ServerEngine, address: str) -> str:
    told = _client(engine, f"{engine.check}:probe", address)(address)
    facts: Mapping[str, Any] = told if isinstance(told, Mapping) else dataclasses.asdict(told)
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())
