"""Composition root: builds a gallery from its settings. The only module that names index engines."""

import dataclasses
import functools
import logging
import re
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from lookalike.catalog import Catalog, StoredIndex
from lookalike.config import (
    DEFAULT_INDEX,
    DEFAULT_PIPELINES,
    GALLERY_FILE,
    INDEX_VARIABLE,
    GallerySettings,
    Settings,
    from_environment,
    index_variable,
    read_gallery,
    record_setting,
    write_gallery,
)
from lookalike.encoders import calibration_of, encoder_spec, load_encoder, model_entries
from lookalike.errors import BadSetting, Damaged, FeatureMismatch, NotFound
from lookalike.gallery import Gallery
from lookalike.gallery.pipeline_pool import CurrentPipelines
from lookalike.gallery.writer_lock import WriterLock
from lookalike.imaging.decode_pool.pool import INLINE_LIMIT
from lookalike.indexes.address import Address, without_password, without_secret
from lookalike.indexes.circuit_breaker import LazyIndex
from lookalike.indexes.snapshot import saved_sequence, wipe
from lookalike.interfaces import Encoder, VectorIndex
from lookalike.optional import install_command, is_installed, require, require_installed
from lookalike.pipeline import Calibration, ClosedPipeline, Pipeline
from lookalike.results import DEFAULT_RECORDS, RecordSetting
from lookalike.types import FeatureSpec
from lookalike.unknown_names import suggests_keywords


@dataclass(frozen=True, slots=True)
class EmbeddedEngine:
    """An embedded index engine; `factory` is `module:class`, called with (spec, folder, writable=..., **options)."""

    factory: str
    options: Mapping[str, str] = field(default_factory=dict)
    """Argument of the class by option of the address; all are integers."""
    package: str | None = None
    """A package of an extra that it needs."""


@dataclass(frozen=True, slots=True)
class ServerEngine:
    """An index engine on a server, opened by `open_index(spec, address, gallery)` in `module`.

    `probe(address)` in `probe_module` checks whether it can be used; `package` is the client that it needs.
    `external_option` is the option of an address that stores the rows in an index of another application, which may
    delete them.
    """

    module: str
    probe_module: str
    package: str
    external_option: str | None = None


INDEXES: Mapping[str, EmbeddedEngine | ServerEngine] = {
    "flat": EmbeddedEngine("lookalike.indexes.flat:FlatIndex"),
    "mih": EmbeddedEngine("lookalike.indexes.mih.index:MihIndex", {"m": "equal_bytes"}),
    "windows": EmbeddedEngine("lookalike.indexes.windows:WindowsIndex"),
    "hnsw": EmbeddedEngine(
        "lookalike.indexes.hnsw.index:HnswIndex", {name: name for name in ("m", "ef_construction", "ef")}, "faiss"
    ),
    "elasticsearch": ServerEngine(
        "lookalike.indexes.elasticsearch.index", "lookalike.indexes.elasticsearch.client", "elasticsearch", "index"
    ),
    "milvus": ServerEngine("lookalike.indexes.milvus.index", "lookalike.indexes.milvus.client", "pymilvus"),
    "milvus-lite": ServerEngine("lookalike.indexes.milvus.index", "lookalike.indexes.milvus.client", "pymilvus"),
}
"""Index engines by their name, or the scheme of their URL, in settings."""

WINDOWS_INDEX = "windows"
"""The index of pipelines of windows, which have no other."""
CATALOG_FILE = "catalog.sqlite"
INDEX_FOLDER = re.compile("[0-9a-f]{12}-[a-z-]+?(?:-([0-9]+))?")
"""The name of the folder of an embedded index, after the pipeline's: fingerprint, engine, and generation from 1 on."""
HASH_PIPELINES = ("phash",)
"""The pipelines of a new gallery without the extra vgg16."""

log = logging.getLogger("lookalike")


@suggests_keywords
def open_gallery(
    folder: str | Path | None = None,
    *,
    pipelines: Sequence[str] | None = None,
    verification_records: RecordSetting | None = None,
    create: bool = False,
    serving: bool = False,
    settings: Settings | None = None,
    source_prefixes: Sequence[str] | None = None,
) -> Gallery:
    """Open the gallery in a folder. Pipelines are opened, and weights downloaded, when they are first needed.

    Args:
        folder: Folder of the gallery; by default that of LOOKALIKE_GALLERY, or one in the user's data folder.
        pipelines: Names of its pipelines in order of precedence; ("phash", "vgg16-copy") for a new gallery.
        verification_records: Which images added from a file get a record of about 5 KB, by which they are verified
            when the file cannot be read: "off", "on", or "no-original" for those on another file system than the
            gallery. By default the gallery's setting; "no-original" for a new one.
        create: Create the gallery if there is none.
        serving: For a server: every image is decoded in a worker process, which may crash without harm, and the
            recall of some searches is measured.
        settings: Settings of the process; by default those of the environment.
        source_prefixes: URLs below which originals in object stores may be read; by default all, and for a server none.

    Raises:
        NotFound: There is no gallery, and `create` is False.
        BadSetting: The gallery has other pipelines, or its settings are invalid.
        Unavailable: The catalog's database does not answer.
    """
    if isinstance(pipelines, str):
        raise TypeError(f"pipelines is a list of names, not {pipelines!r}")
    settings = settings or from_environment()
    folder = Path(folder).expanduser().absolute() if folder is not None else settings.gallery.absolute()
    if not (folder / GALLERY_FILE).is_file() and create:
        records = record_setting(verification_records or DEFAULT_RECORDS, "verification_records")
        names = tuple(pipelines or new_gallery_pipelines())
        create_gallery(folder, GallerySettings(names, verification_records=records), settings)
    gallery_settings = read_gallery(folder).with_environment(settings)
    setting = record_setting(verification_records or gallery_settings.verification_records, "verification_records")
    catalog = Catalog.open(gallery_settings.catalog or folder / CATALOG_FILE, create=True)
    lock = WriterLock(folder, shared=gallery_settings.catalog is not None)
    builder = GalleryPipelines(folder, gallery_settings, settings, catalog, lock)
    try:
        current = CurrentPipelines(catalog, gallery_settings.pipelines)
        for name in current.last.encoded:
            builder.check_feature_retention(name, current.last.indexes[name])
        _check_pipelines(folder, current.last.active, pipelines)
    except BaseException:
        catalog.close()
        raise
    return Gallery(
        catalog,
        current,
        builder,
        lock,
        limits=settings.limits,
        workers=settings.workers,
        inline_limit=0 if serving else INLINE_LIMIT,
        recall_share=settings.recall_share if serving else 0.0,
        source_prefixes=() if serving and source_prefixes is None else source_prefixes,
        verification_records=setting,
    )


def _check_pipelines(folder: Path, active: tuple[str, ...], requested: Sequence[str] | None) -> None:
    """Raise BadSetting where other pipelines than those of a gallery are requested."""
    if requested is not None and tuple(requested) != active:
        raise BadSetting(
            f"the gallery {folder} has the pipelines {', '.join(active)}; `lookalike pipelines` changes them"
        )


def open_catalog(folder: Path, settings: Settings) -> Catalog:
    """Open the catalog of a gallery without its pipelines; raises NotFound if there is no gallery."""
    gallery_settings = read_gallery(folder).with_environment(settings)
    return Catalog.open(gallery_settings.catalog or folder / CATALOG_FILE)


def new_gallery_pipelines() -> tuple[str, ...]:
    """The pipelines of a new gallery: the default ones, or, with a warning, phash alone without the extra vgg16."""
    if is_installed("vgg16"):
        return DEFAULT_PIPELINES
    log.warning(
        "the extra vgg16 is not installed: the new gallery has the pipeline phash only, which finds copies but not "
        "similar images. For both: %s, then create a gallery in another folder",
        install_command("vgg16"),
    )
    return HASH_PIPELINES


def create_gallery(folder: Path, gallery_settings: GallerySettings, settings: Settings) -> None:
    """Create an empty gallery; raises BadSetting for unknown pipelines or engines, or if the gallery exists."""
    for name in gallery_settings.pipelines:
        _check_encoder(name, settings)
        if is_windowed(name, settings):
            raise BadSetting(
                f"{name} holds windows of stored images and cannot rank: create the gallery without it, then add it "
                f"(lookalike pipelines add {name})"
            )
    for name, address in gallery_settings.index.items():
        _engine(address, name)
    server = gallery_settings.with_environment(settings).catalog
    if server is not None:  # before anything is written, because the server may be down or the password wrong
        with Catalog.open(server, create=True) as catalog:
            indexes = gallery_settings.with_environment(settings).index
            for name in gallery_settings.pipelines:
                _check_feature_retention(catalog, name, indexes.get(name))
    write_gallery(folder, gallery_settings)
    Catalog.open(server or folder / CATALOG_FILE, create=True).close()


def _check_encoder(name: str, settings: Settings) -> None:
    """Raise BadSetting for an unknown encoder, or one that needs a package that is not installed."""
    entries = model_entries(settings.models, settings.cache)
    if name not in entries:
        raise BadSetting(f"unknown encoder {name!r}; available: {', '.join(sorted(entries))}")
    if entries[name].network != "phash":
        require("openvino", purpose=f"the pipeline {name}")


def is_windowed(name: str, settings: Settings) -> bool | None:
    """Whether the rows of a pipeline hold windows of images; None for an unknown one. Reads the model entries."""
    entry = model_entries(settings.models, settings.cache).get(name)
    return None if entry is None else entry.windows


def _check_feature_retention(catalog: Catalog, name: str, address: str | None) -> None:
    """Raise BadSetting if the catalog leaves features to an index that cannot be relied on to keep them."""
    if catalog.features.keeper() != "engine":
        return
    engine = None if address is None else _engine(address, name)
    if address is None or not isinstance(engine, ServerEngine):
        raise BadSetting(
            f"the catalog was created with features=engine, which needs an index on a server for {name}: set one "
            f"([index] in {GALLERY_FILE}, or `lookalike init --index {name}=URL`), or use a catalog that stores "
            "features"
        )
    if engine.external_option is not None and engine.external_option in Address.parse(address).options:
        raise BadSetting(
            f"the catalog was created with features=engine, and the index of {name} belongs to another application "
            f"({engine.external_option}=), which may replace its documents without the features: use an index of "
            f"its own for {name}, or a catalog that stores features"
        )


class GalleryPipelines:
    """Opens the pipelines of a gallery (a `PipelineBuilder`)."""

    def __init__(
        self, folder: Path, gallery_settings: GallerySettings, settings: Settings, catalog: Catalog, lock: WriterLock
    ) -> None:
        self._gallery_settings = gallery_settings
        self._settings = settings
        self._catalog = catalog
        self._lock = lock
        # By catalog: if the settings name another catalog later, the old one's rows must not be used with it.
        self._indexes = folder / "indexes" / catalog.gallery_id() if gallery_settings.catalog else folder / "indexes"
        self._encoders: dict[str, Encoder] = {}
        self._encoders_lock = threading.Lock()
        self._windowed: dict[str, bool] = {}

    def encoder(self, name: str) -> Encoder:
        """The encoder of a pipeline, which is kept: a pipeline may be reopened for writing."""
        with self._encoders_lock:
            if name not in self._encoders:
                self._encoders[name] = load_encoder(
                    name,
                    self._settings.cache,
                    precision=self._gallery_settings.precision or self._settings.precision,
                    exact_phash=self._gallery_settings.exact_phash,
                    user_file=self._settings.models,
                )
            return self._encoders[name]

    def spec(self, name: str) -> FeatureSpec:
        """The features of a pipeline; the encoder is loaded only where there is no other way to know them."""
        with self._encoders_lock:
            if name in self._encoders:
                return self._encoders[name].spec
            known = encoder_spec(
                name,
                self._settings.cache,
                precision=self._gallery_settings.precision or self._settings.precision,
                exact_phash=self._gallery_settings.exact_phash,
                user_file=self._settings.models,
            )
        return self.encoder(name).spec if known is None else known

    def pipeline(self, name: str, stored: StoredIndex) -> Pipeline:
        """A pipeline with this index."""
        encoder, full, at, engine = self.encoder(name), *self._engine(name, stored)
        if isinstance(engine, ServerEngine):
            index = _open_shared(engine, encoder.spec, full, self._gallery_name(stored))
        else:
            folder = self._index_folder(encoder.spec, at, stored.generation)
            index = _open_embedded(engine, encoder.spec, at, folder, self._lock)
        return Pipeline(encoder, index, self._calibration(name), engine=str(at))

    def describe(self, name: str, stored: StoredIndex) -> ClosedPipeline | None:
        """What is known of a pipeline without opening its index; None where that must be opened."""
        _, at, engine = self._engine(name, stored)
        if isinstance(engine, ServerEngine):
            return None
        spec = self.spec(name)
        saved = saved_sequence(self._index_folder(spec, at, stored.generation))
        return None if saved is None else ClosedPipeline(spec, self._calibration(name), str(at), saved)

    def drop_index(self, name: str, stored: StoredIndex) -> None:
        """Delete an index of a pipeline: on its server, or its files; raises Unavailable where it does not answer."""
        spec, (full, _, engine) = self.spec(name), self._engine(name, stored)
        if isinstance(engine, ServerEngine):
            _load_adapter(engine, f"{engine.module}:drop_index", full)(spec, full, self._gallery_name(stored))
        self.wipe(name, stored.generation)

    def is_windowed(self, name: str) -> bool:
        """Whether the rows of a pipeline hold windows of images; it is not loaded.

        Searches ask for it, so that it is kept, as encoders are; an unknown pipeline may become known.
        """
        windowed = self._windowed.get(name)
        if windowed is None and (windowed := is_windowed(name, self._settings)) is not None:
            self._windowed[name] = windowed
        return bool(windowed)

    def address(self, name: str, stored: StoredIndex) -> str:
        """The address of an index of a pipeline, without a password; empty where it is the default one."""
        address = self._address(name, stored)
        return "" if address is None else str(Address.parse(address))

    def engine(self, name: str, stored: StoredIndex) -> str:
        """What an index of a pipeline runs on: its address without password and options."""
        return str(self._engine(name, stored)[1])

    def is_at(self, name: str, stored: StoredIndex, address: str) -> bool:
        """Whether an index of a pipeline is at this address, which has no password."""
        return without_secret(self._engine(name, stored)[0]) == address

    def is_named(self, address: str) -> bool:
        """Whether the gallery's settings, or this process's, name this address, with or without a password."""
        named = (*self._settings.index.values(), *self._gallery_settings.index.values())
        return address in map(without_secret, named)

    def check(self, name: str, address: str | None) -> None:
        """Raise BadSetting where a gallery like this one cannot have such a pipeline."""
        _check_encoder(name, self._settings)
        if address is not None:
            _engine(address, name, windowed=self.is_windowed(name))
            if address.strip() != without_secret(address):
                raise BadSetting(
                    f"the catalog stores no passwords and keys: name the index of {name} without one, and set "
                    f"{INDEX_VARIABLE}{index_variable(name)} to the whole address on each host (of an index that the "
                    f"pipeline is moved to, {INDEX_VARIABLE}{index_variable(name)}_NEXT)"
                )
        self.check_feature_retention(name, StoredIndex(address))

    def check_feature_retention(self, name: str, stored: StoredIndex) -> None:
        """Raise BadSetting if the catalog leaves features to an index that cannot be relied on to keep them."""
        _check_feature_retention(self._catalog, name, self._address(name, stored))

    def wipe(self, name: str, generation: int | None = None) -> None:
        """Delete the files of the embedded indexes of a pipeline, or of one of them."""
        for folder in self._indexes.iterdir() if self._indexes.is_dir() else ():
            rest = folder.name.removeprefix(f"{name}-")
            found = INDEX_FOLDER.fullmatch(rest)
            if rest == folder.name or found is None:  # that of a pipeline whose name begins so
                continue
            if generation is None or int(found[1] or 0) == generation:
                shutil.rmtree(folder)

    def _address(self, name: str, stored: StoredIndex) -> str | None:
        """The whole address: that of the environment, else that of the catalog, else that of the settings.

        Once the index was moved the catalog says where it is, and the environment only adds the password.
        """
        if stored.generation and stored.address is not None:
            whole = (address for address in self._settings.index.values() if without_secret(address) == stored.address)
            return next(whole, stored.address)
        from_environment = self._settings.index.get(index_variable(name))
        return from_environment or stored.address or self._gallery_settings.index.get(name)

    def _engine(self, name: str, stored: StoredIndex) -> tuple[str, Address, EmbeddedEngine | ServerEngine]:
        """The whole address of an index of a pipeline, its parts, and the engine."""
        windowed = self.is_windowed(name)
        default = WINDOWS_INDEX if windowed else DEFAULT_INDEX[self.spec(name).metric]
        address = self._address(name, stored) or default
        return address, Address.parse(address), _engine(address, name, windowed=windowed)

    def _calibration(self, name: str) -> Calibration:
        calibration = calibration_of(name, user_file=self._settings.models)
        thresholds = self._gallery_settings.thresholds
        return dataclasses.replace(calibration, threshold=thresholds[name]) if name in thresholds else calibration

    def _index_folder(self, spec: FeatureSpec, at: Address, generation: int) -> Path:
        name = f"{spec.name}-{spec.fingerprint[:12]}-{at.scheme}"
        return self._indexes / (f"{name}-{generation}" if generation else name)

    def _gallery_name(self, stored: StoredIndex) -> str:
        """What the names of an index on a server begin with."""
        gallery = self._catalog.gallery_id()
        return f"{gallery}_{stored.generation}" if stored.generation else gallery


def _engine(address: str, pipeline: str, *, windowed: bool = False) -> EmbeddedEngine | ServerEngine:
    """Return the engine of an address; raises BadSetting for an unknown one, or invalid options of an embedded one.

    `windowed` pipelines have an index of windows, and no other has.
    """
    at = Address.parse(address)
    engine = INDEXES.get(at.scheme)
    if engine is None:
        raise BadSetting(f"unknown index engine {at.scheme!r} (for {pipeline}); available: {', '.join(INDEXES)}")
    if windowed and at.scheme != WINDOWS_INDEX:
        raise BadSetting(f"{pipeline} has the embedded index {WINDOWS_INDEX} and no other: leave out {at}")
    if at.scheme == WINDOWS_INDEX and not windowed:
        raise BadSetting(f"the index {WINDOWS_INDEX} is for pipelines of windows, such as vgg16-copy-windows only")
    if isinstance(engine, EmbeddedEngine):
        if at.host or at.path:
            raise BadSetting(f"{at.scheme} (for {pipeline}) is embedded: write {at.scheme}, not {at}")
        at.check_options(*engine.options)
        for option in at.options:
            at.number(option, 1)
    return engine


def _open_embedded(
    engine: EmbeddedEngine, spec: FeatureSpec, at: Address, folder: Path, lock: WriterLock
) -> VectorIndex:
    """Open an index; a damaged one, or one of other features, is replaced by an empty one, which the catalog refills.

    A process without the writer lock leaves the folder alone and works in memory.
    """
    options = {engine.options[option]: at.number(option, 1) for option in at.options}
    if engine.package is not None:  # an index imports it when it first needs it
        require_installed(engine.package, purpose=f"the index {at} of {spec.name}")
    make: Callable[..., VectorIndex] = _load(engine.factory)
    try:
        return make(spec, folder, writable=lock.held, **options)
    except (Damaged, FeatureMismatch) as error:
        log.warning("the index of %s is rebuilt from the catalog: %s", spec.name, error)
    if not lock.held:
        return make(spec, None, **options)
    wipe(folder)
    return make(spec, folder, writable=True, **options)


def _open_shared(engine: ServerEngine, spec: FeatureSpec, address: str, gallery: str) -> VectorIndex:
    open_index = _load_adapter(engine, f"{engine.module}:open_index", address)
    return LazyIndex(spec, str(Address.parse(address)), lambda: open_index(spec, address, gallery))


def _load_adapter(engine: ServerEngine, name: str, address: str) -> Callable[..., Any]:
    """Import a function (`module:name`) of an engine's adapter; raises BadSetting if its client is not installed."""
    require(engine.package, purpose=str(Address.parse(address)))
    return _load(name)


def _load(name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    loaded: Callable[..., Any] = getattr(import_module(module), attribute)
    return loaded


def probes(gallery_settings: GallerySettings) -> dict[str, Callable[[], str]]:
    """Return a check for each server of a gallery, by its address without password.

    Each returns a short description, and raises BadSetting or Unavailable if the server cannot be used.
    """
    checks: dict[str, Callable[[], str]] = {}
    if gallery_settings.catalog is not None:
        checks[without_password(gallery_settings.catalog)] = functools.partial(_probe_catalog, gallery_settings.catalog)
    for name, address in gallery_settings.index.items():
        engine = _engine(address, name)
        if isinstance(engine, ServerEngine):
            checks[str(Address.parse(address))] = functools.partial(_probe_engine, engine, address)
    return checks


def _probe_catalog(url: str) -> str:
    try:
        with Catalog.open(url, read_only=True) as catalog:
            return f"answers; {catalog.images.count():,} images"
    except NotFound:
        return "answers; no catalog in it yet"


def _probe_engine(engine: ServerEngine, address: str) -> str:
    result = _load_adapter(engine, f"{engine.probe_module}:probe", address)(address)
    facts: Mapping[str, Any] = result if isinstance(result, Mapping) else dataclasses.asdict(result)
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())
