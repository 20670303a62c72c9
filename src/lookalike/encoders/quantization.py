"""Post-training quantisation to 8 bits: calibrated once by NNCF on the user's images, saved, run without NNCF."""

import contextlib
import hashlib
import importlib
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from lookalike.encoders.model_config import ModelEntry
from lookalike.encoders.openvino_runtime import Network, read_network
from lookalike.errors import BadSetting, Damaged, ImageRejected, Unavailable
from lookalike.imaging import prepare
from lookalike.optional import require
from lookalike.types import Pixels

MIN_IMAGES = 32
"""Fewer images do not show the range of each layer's output."""
MAX_IMAGES = 128
"""More add little: VGG16's features agree with fp32 to a mean cosine of 0.9994 with 40 of them already."""
FOLDER = "int8"


def calibrate(network: Network, entry: ModelEntry, fingerprint: str, folder: Path, images: Path) -> Path:
    """Quantise a network on up to `MAX_IMAGES` images spread over those below `images`; returns the .xml.

    Other files are skipped. Raises BadSetting without NNCF (extra "int8"), or with fewer than `MIN_IMAGES` images.
    """
    require("nncf", purpose="8-bit calibration")
    nncf = importlib.import_module("nncf")
    batches = [image[None] for image in islice(_calibration_images(images, entry), MAX_IMAGES)]
    if len(batches) < MIN_IMAGES:
        raise BadSetting(f"calibrating {entry.name} needs at least {MIN_IMAGES} images; {images} has {len(batches)}")
    nncf.set_log_level(logging.WARNING)
    with contextlib.redirect_stdout(sys.stderr):  # its progress bars; standard output is for results
        quantised = nncf.quantize(
            network.model, nncf.Dataset(batches), subset_size=len(batches), **_method(nncf, entry.network)
        )
    return _save(quantised, fingerprint, len(batches), folder)


def _method(nncf: Any, network: str) -> dict[str, Any]:
    """The options of NNCF for a network: symmetric ranges where a rectifier follows each convolution."""
    if network == "vgg16-copy":
        # Most of its convolutions have no rectifier, so that their ranges are not symmetric, and its means depend on
        # more than the peaks: mean cosine to fp32 0.951 instead of 0.878, of 60 photos (docs/numbers.md).
        return {"preset": nncf.QuantizationPreset.MIXED}
    # The widest range seen, where NNCF's default is the mean over images: a global max pool depends on the peaks.
    # VGG16, calibrated on 40 images of another source: mean cosine 0.9994 (least 0.995) instead of 0.9976.
    ranges = nncf.quantization.range_estimator.RangeEstimatorParametersSet.MINMAX
    parameters = nncf.AdvancedQuantizationParameters(activations_range_estimator_params=ranges)
    return {"preset": nncf.QuantizationPreset.PERFORMANCE, "advanced_parameters": parameters}


def _calibration_images(folder: Path, entry: ModelEntry) -> Iterator[Pixels]:
    """The images of a folder, prepared as for encoding, any first few spread evenly over its files in order of name."""
    if not folder.is_dir():
        raise BadSetting(f"the images to calibrate on must be in a folder; {folder} is not one")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    # golden-ratio (Kronecker) sequence: any prefix is spread over the whole list, however many are unreadable
    order = np.argsort(np.modf(np.arange(len(files)) * 0.6180339887498949)[0], kind="stable")
    for position in order:
        try:
            yield prepare(files[position].read_bytes(), [entry.input_spec]).inputs[0]
        except (ImageRejected, OSError):  # other and broken files among the images are skipped
            continue


def _save(model: Any, fingerprint: str, images: int, folder: Path) -> Path:
    target = folder / FOLDER
    with tempfile.TemporaryDirectory(dir=folder, prefix=".int8-") as name:
        temporary = Path(name) / FOLDER
        temporary.mkdir()
        ov.save_model(model, temporary / "model.xml", compress_to_fp16=False)
        about = {"of": fingerprint, "images": images, "sha256": _digest(temporary)}
        (temporary / "about.json").write_text(json.dumps(about), encoding="utf-8")
        if target.exists():
            shutil.move(target, Path(name) / "old")
        shutil.move(temporary, target)
    return target / "model.xml"


def _digest(folder: Path) -> str:
    """SHA-256 over graph and weights, which include the calibrated ranges."""
    total = hashlib.sha256()
    for file in ("model.xml", "model.bin"):
        total.update((folder / file).read_bytes())
    return total.hexdigest()


def open_calibrated(folder: Path, entry: ModelEntry, network: Network, fingerprint: str) -> tuple[Network, str]:
    """The calibrated form of a network, and a fingerprint that covers its ranges.

    Raises Unavailable where there is none (or one of other weights), Damaged where its files have been altered.
    """
    remedy = f"run: lookalike models pull {entry.name} --precision int8 --calibrate FOLDER"
    saved = folder / FOLDER
    if not (saved / "about.json").is_file():
        raise Unavailable(f"{entry.name} has not been calibrated in 8 bits on this machine; {remedy}")
    try:
        about = json.loads((saved / "about.json").read_text(encoding="utf-8"))
        digest = _digest(saved)
    except (OSError, ValueError) as error:
        raise Damaged(f"{saved}: the 8-bit form of {entry.name} cannot be read ({error}); {remedy}") from error
    if about["of"] != fingerprint:
        raise Unavailable(f"the 8-bit form of {entry.name} was made from other weights or preprocessing; {remedy}")
    if about["sha256"] != digest:
        raise Damaged(f"{saved}: the 8-bit form of {entry.name} has been altered; {remedy}")
    model = read_network(saved / "model.xml", str(saved))
    int8_fingerprint = hashlib.sha256(f"{fingerprint} int8 {digest}".encode()).hexdigest()[:32]
    return Network(model, digest, network.architecture, network.batch), int8_fingerprint
