"""Settings of the process (environment) and of a gallery (gallery.toml). The only reader of the environment."""

import errno
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, cast

from platformdirs import user_cache_path, user_data_path

from lookalike.errors import BadSetting, NotFound, Unavailable
from lookalike.imaging import Limits
from lookalike.results import DEFAULT_RECORDS, RECORD_SETTINGS, RecordSetting

GALLERY_FILE = "gallery.toml"
DEFAULT_PIPELINES = ("phash", "vgg16-copy")
DEFAULT_INDEX = {"hamming": "mih", "cosine": "hnsw"}
DEFAULT_RECALL_SHARE = 0.01
INDEX_VARIABLE = "LOOKALIKE_INDEX_"
Precision = Literal["auto", "fp32", "bf16", "int8"]
PRECISIONS = ("auto", "fp32", "bf16", "int8")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a process.

    `gallery` is the default gallery's folder; `cache` that of model weights; `models` a file of further encoders;
    `workers` the number of decoding processes (None: one a core); `precision` that of networks. `catalog` and `index`
    (by pipeline) are addresses that override those in a gallery's file, so that passwords need not be stored there.
    `recall_share` is the share of one core's time in which a server repeats searches exactly, to measure their recall.
    `server` and `key` are the URL of a server to use instead of a gallery, and its API key.
    """

    gallery: Path
    cache: Path
    models: Path | None = None
    workers: int | None = None
    precision: Precision = "auto"
    limits: Limits = field(default_factory=Limits)
    catalog: str | None = field(default=None, repr=False)
    index: Mapping[str, str] = field(default_factory=dict, repr=False)
    server: str | None = None
    key: str | None = field(default=None, repr=False)
    recall_share: float = DEFAULT_RECALL_SHARE


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Read LOOKALIKE_GALLERY, _CACHE, _MODELS, _WORKERS, _PRECISION, _CATALOG, _SERVER, _KEY, _RECALL_SHARE.

    LOOKALIKE_INDEX_NAME is the index of the pipeline NAME, in capitals, with _ for all characters but letters and
    digits. Raises BadSetting, naming the variable, for an invalid value.
    """
    env = os.environ if environment is None else environment
    workers = env.get("LOOKALIKE_WORKERS")
    if workers is not None and not (workers.isdecimal() and int(workers) > 0):
        raise BadSetting(f"LOOKALIKE_WORKERS must be an integer of 1 or more, not {workers!r}")
    models = env.get("LOOKALIKE_MODELS")
    return Settings(
        gallery=_path(env, "LOOKALIKE_GALLERY") or user_data_path("lookalike") / "gallery",
        cache=_path(env, "LOOKALIKE_CACHE") or user_cache_path("lookalike"),
        models=Path(models).expanduser() if models else None,
        workers=int(workers) if workers else None,
        precision=_precision(env.get("LOOKALIKE_PRECISION", "auto"), "LOOKALIKE_PRECISION"),
        catalog=env.get("LOOKALIKE_CATALOG") or None,
        index={
            name.removeprefix(INDEX_VARIABLE): address
            for name, address in env.items()
            if name.startswith(INDEX_VARIABLE)
        },
        server=env.get("LOOKALIKE_SERVER") or None,
        key=env.get("LOOKALIKE_KEY") or None,
        recall_share=_share(env.get("LOOKALIKE_RECALL_SHARE"), "LOOKALIKE_RECALL_SHARE"),
    )


def index_variable(pipeline: str) -> str:
    """The name of a pipeline in `Settings.index`: in capitals, with _ for all characters but letters and digits."""
    return re.sub(r"[^A-Z0-9]", "_", pipeline.upper())


def _share(value: str | None, where: str) -> float:
    try:
        share = DEFAULT_RECALL_SHARE if not value else float(value)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 0.5:
        raise BadSetting(f"{where} must be a share of time in 0..0.5, not {value!r}")
    return share


def _path(env: Mapping[str, str], name: str) -> Path | None:
    return Path(env[name]).expanduser() if env.get(name) else None


def _precision(value: object, where: str) -> Precision:
    if value not in PRECISIONS:
        raise BadSetting(f"{where}: the precision must be one of {', '.join(PRECISIONS)}, not {value!r}")
    return cast(Precision, value)


@dataclass(frozen=True, slots=True)
class GallerySettings:
    """Settings of a gallery, stored in its `gallery.toml`, which may be edited.

    `pipelines` are in order of precedence; the last ranks images that are only similar. `index` and `thresholds` are by
    pipeline, if they differ from the defaults: an index is a name with options (`mih?m=5`) or the URL of an engine.
    `catalog` is a URL, or None for a file in the gallery's folder. `exact_phash` hashes from every pixel, as imagehash
    does. `precision` is that of its networks (int8 has features of its own, so it belongs to the gallery).
    `verification_records` says which images get a record to verify them by when their file cannot be read.
    """

    pipelines: tuple[str, ...] = DEFAULT_PIPELINES
    index: Mapping[str, str] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    precision: Precision | None = None
    exact_phash: bool = False
    catalog: str | None = field(default=None, repr=False)
    verification_records: RecordSetting = DEFAULT_RECORDS

    def with_environment(self, settings: Settings) -> "GallerySettings":
        """Return these settings with the addresses of the environment, where there are any."""
        variables = {name: index_variable(name) for name in self.pipelines}
        overrides = {name: settings.index[v] for name, v in variables.items() if v in settings.index}
        return replace(self, catalog=settings.catalog or self.catalog, index={**self.index, **overrides})


def read_gallery(folder: Path) -> GallerySettings:
    """Read a gallery's settings; raises NotFound if there is no gallery, BadSetting with the file and the field."""
    path = folder / GALLERY_FILE
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise NotFound(f"no gallery at {folder}; create one with: lookalike add PATH... (or lookalike init)") from None
    except OSError as error:
        raise BadSetting(f"cannot read {path}: {error.strerror}") from error
    try:
        return _parse_gallery(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, BadSetting) as error:
        raise BadSetting(f"{path}: {error}") from error


def _parse_gallery(table: dict[str, Any]) -> GallerySettings:
    known = {f.name for f in fields(GallerySettings)} | {"version"}
    if unknown := sorted(table.keys() - known):
        raise BadSetting(f"unknown setting {unknown[0]!r}; the settings are {', '.join(sorted(known))}")
    if table.get("version", 1) != 1:
        raise BadSetting(f"version {table['version']!r} needs a newer Lookalike; install it")
    pipelines = table.get("pipelines", list(DEFAULT_PIPELINES))
    if not (isinstance(pipelines, list) and pipelines and all(isinstance(p, str) for p in pipelines)):
        raise BadSetting("pipelines must be a list of one or more names")
    if len(set(pipelines)) != len(pipelines):
        raise BadSetting("pipelines must not repeat a name")
    for section in ("index", "thresholds"):
        if not isinstance(table.get(section, {}), dict):
            raise BadSetting(f"[{section}] must be a table of values by pipeline")
        if extra := sorted(table.get(section, {}).keys() - set(pipelines)):
            raise BadSetting(f"[{section}] has a value for {extra[0]!r}, which is not one of the gallery's pipelines")
    for name, threshold in table.get("thresholds", {}).items():
        if not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
            raise BadSetting(f"the threshold of {name} must be in 0..1, not {threshold!r}")
    for name, address in table.get("index", {}).items():
        if not isinstance(address, str):
            raise BadSetting(f"the index of {name} must be a name or a URL, not {address!r}")
    precision = table.get("precision")
    return GallerySettings(
        tuple(pipelines),
        table.get("index", {}),
        table.get("thresholds", {}),
        None if precision is None else _precision(precision, "precision"),
        _flag(table, "exact_phash"),
        _text(table, "catalog"),
        record_setting(table.get("verification_records", DEFAULT_RECORDS), "verification_records"),
    )


def record_setting(value: object, where: str) -> RecordSetting:
    """Check which images are to have a verification record; raises BadSetting, naming `where` the value comes from."""
    for setting in RECORD_SETTINGS:
        if value == setting:
            return setting
    raise BadSetting(f"{where} must be one of {', '.join(RECORD_SETTINGS)}, not {value!r}")


def _flag(table: dict[str, Any], name: str) -> bool:
    value = table.get(name, False)
    if not isinstance(value, bool):
        raise BadSetting(f"{name} must be true or false, not {value!r}")
    return value


def _text(table: dict[str, Any], name: str) -> str | None:
    value = table.get(name)
    if value is not None and not (isinstance(value, str) and value):
        raise BadSetting(f"{name} must be a string that is not empty, not {value!r}")
    return value


def write_gallery(folder: Path, settings: GallerySettings) -> None:
    """Write a new gallery's file, and create the folder if necessary; an existing file is never overwritten.

    Raises BadSetting for invalid settings or an existing gallery, Unavailable if the disk is full.
    """
    lines = ["# A Lookalike gallery. Settings may be edited; see docs/cli.md.", "version = 1"]
    lines.append(f"pipelines = [{', '.join(_quoted(p) for p in settings.pipelines)}]")
    if settings.catalog is not None:
        lines.append(f"catalog = {_quoted(settings.catalog)}")
    if settings.precision is not None:
        lines.append(f"precision = {_quoted(settings.precision)}")
    if settings.exact_phash:
        lines.append("exact_phash = true")
    if settings.verification_records != DEFAULT_RECORDS:
        lines.append(f"verification_records = {_quoted(settings.verification_records)}")
    lines += ["", "[index]", *(f"{_quoted(name)} = {_quoted(engine)}" for name, engine in settings.index.items())]
    lines += ["", "[thresholds]", *(f"{_quoted(name)} = {value}" for name, value in settings.thresholds.items())]
    text = "\n".join(lines) + "\n"
    _parse_gallery(tomllib.loads(text))  # rejects settings that could not be read again
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / GALLERY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # may hold passwords
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
        except OSError:
            (folder / GALLERY_FILE).unlink()  # a partial file would be mistaken for a gallery
            raise
    except FileExistsError as error:
        raise BadSetting(f"there is already a gallery at {folder}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unavailable(f"no space is left for a gallery at {folder}; free some and try again") from error
        raise BadSetting(f"cannot create a gallery at {folder}: {error.strerror}") from error


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
