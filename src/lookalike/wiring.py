"""The only module that names backends: it puts a gallery together from its settings."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

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
from lookalike.errors import BadSetting, Damaged, FeatureMismatch
from lookalike.features import calibration_of, load_encoder, model_entries
from lookalike.pipeline import Pipeline
from lookalike.ports import Encoder, Index
from lookalike.service import SearchService
from lookalike.service.lock import WriterLock
from lookalike.stores.snapshot import wipe
from lookalike.types import FeatureSpec

INDEXES = {
    "flat": "lookalike.stores.flat:FlatIndex",
    "mih": "lookalike.stores.mih:MihIndex",
    "hnsw": "lookalike.stores.hnsw:HnswIndex",
}
"""Index engines by the name that settings use; each is made as `engine(spec, folder, writable=...)`."""

log = logging.getLogger("lookalike")


def open_gallery(
    folder: str | Path | None = None,
    *,
    pipelines: Sequence[str] | None = None,
    create: bool = True,
    settings: Settings | None = None,
) -> SearchService:
    """Open the gallery in a folder (the user's own by default), made with `pipelines` where there is none yet.

    Pipelines are opened, and weights fetched, when they are first needed. Raises NotFound where there is no gallery
    and `create` is False, BadSetting where there is one with other pipelines than those asked for.
    """
    settings = settings or from_environment()
    at = Path(folder).expanduser().absolute() if folder is not None else settings.gallery.absolute()
    if not (at / GALLERY_FILE).is_file() and create:
        create_gallery(at, GallerySettings(tuple(pipelines or DEFAULT_PIPELINES)), settings)
    made_with = read_gallery(at)
    if pipelines is not None and tuple(pipelines) != made_with.pipelines:
        raise BadSetting(f"the gallery {at} has the pipelines {', '.join(made_with.pipelines)}; they cannot be changed")
    catalog = Catalog.open(at / "catalog.sqlite", create=True)
    lock = WriterLock(at)
    build = _builder(at, made_with, settings, lock)
    return SearchService(catalog, made_with.pipelines, build, lock, limits=settings.limits, workers=settings.workers)


def create_gallery(folder: Path, made_with: GallerySettings, settings: Settings) -> None:
    """Make an empty gallery; raises BadSetting for unknown pipelines or engines, or where there is one already."""
    entries = model_entries(settings.models)
    for name in made_with.pipelines:
        if name not in entries:
            raise BadSetting(f"no encoder is called {name!r}; there are {', '.join(sorted(entries))}")
    for name, engine in made_with.index.items():
        if engine not in INDEXES:
            raise BadSetting(f"no index engine is called {engine!r} (for {name}); there are {', '.join(INDEXES)}")
    write_gallery(folder, made_with)
    Catalog.open(folder / "catalog.sqlite", create=True).close()


def _builder(
    folder: Path, made_with: GallerySettings, settings: Settings, lock: WriterLock
) -> Callable[[str], Pipeline]:
    precision = made_with.precision or settings.precision

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
        engine = made_with.index.get(name) or DEFAULT_INDEX[encoder.spec.metric]
        at = folder / "indexes" / f"{name}-{encoder.spec.fingerprint[:12]}-{engine}"
        return Pipeline(encoder, open_index(engine, encoder.spec, at, lock), calibration)

    return build


def open_index(engine: str, spec: FeatureSpec, folder: Path, lock: WriterLock) -> Index:
    """Open an index; a damaged one, or one of other features, is begun anew, for the catalog refills it.

    A process that does not write leaves the folder alone and works in memory.
    """
    make = _engine(engine)
    try:
        return make(spec, folder, writable=lock.held)
    except (Damaged, FeatureMismatch) as error:
        log.warning("the index of %s is built anew from the catalog: %s", spec.name, error)
    if not lock.held:
        return make(spec, None)
    wipe(folder)
    return make(spec, folder, writable=True)


def _engine(name: str) -> Callable[..., Index]:
    if name not in INDEXES:
        raise BadSetting(f"no index engine is called {name!r}; there are {', '.join(INDEXES)}")
    module, _, attribute = INDEXES[name].partition(":")
    made: Callable[..., Index] = getattr(import_module(module), attribute)
    return made
