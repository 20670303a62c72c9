"""The 8-bit form of a network: calibrated once by NNCF on images of the user's own, kept, run without NNCF."""

import contextlib
import hashlib
import importlib
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from lookalike.encoders.model_config import ModelEntry
from lookalike.encoders.network import Network
from lookalike.errors import BadSetting, Damaged, ImageRejected, Unavailable
from lookalike.imaging import prepare
from lookalike.optional import require
from lookalike.types import Pixels

MIN_IMAGES = 32
"""Fewer images than this do not show the range of what comes out of each layer."""
MAX_IMAGES = 128
"""More add little: VGG16's features agree with fp32 to a mean cosine of 0.9994 with 40 of them already."""
FOLDER = "int8"


def calibrate(network: Network, entry: ModelEntry, fingerprint: str, folder: Path, images: Path) -> Path:
    """Quantise a network after training, on up to 128 images spread over those below `images`; gives the .xml.

    Needs NNCF (extra "int8"). Files that are no images are passed over. Raises BadSetting without NNCF, or with fewer
    than 32 images.
    """
    require("nncf", purpose="8-bit calibration")
    nncf = importlib.import_module("nncf")
    batches = [image[None] for image in _images(images, entry)]
    if len(batches) < MIN_IMAGES:
        raise BadSetting(f"calibrating {entry.name} needs at least {MIN_IMAGES} images; {images} has {len(batches)}")
    nncf.set_log_level(logging.WARNING)
    # The widest range seen, where NNCF's default takes the mean of each image's: a maximum over all places lives by
    # its peaks. VGG16, calibrated on 40 images of another source: mean cosine 0.9994 (least 0.995) instead of 0.9976.
    ranges = nncf.quantization.range_estimator.RangeEstimatorParametersSet.MINMAX
    with contextlib.redirect_stdout(sys.stderr):  # its progress bars; standard output belongs to the answer
        quantised = nncf.quantize(
            network.model,
            nncf.Dataset(batches),
            subset_size=len(batches),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            advanced_parameters=nncf.AdvancedQuantizationParameters(activations_range_estimator_params=ranges),
        )
    return _keep(quantised, fingerprint, len(batches), folder)


def _images(folder: Path, entry: ModelEntry) -> Iterator[Pixels]:
    """Up to `MAX_ENTRIES` images, prepared as for encoding, spread evenly over the folder's files in order of name."""
    if not folder.is_dir():
        raise BadSetting(f"the images to calibrate on are to be in a folder; {folder} is none")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    # a golden-ratio walk: any beginning of it is spread over the whole list, whatever share turns out unreadable
    order = np.argsort(np.modf(np.arange(len(files)) * 0.6180339887498949)[0], kind="stable")
    found = 0
    for place in order:
        if found == MAX_IMAGES:
            return
        try:
            pixels = prepare(files[place].read_bytes(), [entry.input_spec]).inputs[0]
        except (ImageRejected, OSError):  # a note or a broken file among the images does not matter here
            continue
        found += 1
        yield pixels


def _keep(model: Any, fingerprint: str, images: int, folder: Path) -> Path:
    """Save the quantised network beside the others, all of it or nothing."""
    target = folder / FOLDER
    with tempfile.TemporaryDirectory(dir=folder, prefix=".int8-") as name:
        made = Path(name) / FOLDER
        made.mkdir()
        ov.save_model(model, made / "model.xml", compress_to_fp16=False)
        about = {"of": fingerprint, "images": images, "sha256": _digest(made)}
        (made / "about.json").write_text(json.dumps(about), encoding="utf-8")
        if target.exists():
            shutil.move(target, Path(name) / "old")
        shutil.move(made, target)
    return target / "model.xml"


def _digest(folder: Path) -> str:
    """SHA-256 over graph and values, and so over the calibrated ranges."""
    total = hashlib.sha256()
    for file in ("model.xml", "model.bin"):
        total.update((folder / file).read_bytes())
    return total.hexdigest()


def open_calibrated(folder: Path, entry: ModelEntry, network: Network, fingerprint: str) -> tuple[Network, str]:
    """The calibrated form of a network, and a fingerprint that covers its ranges too.

    Raises Unavailable where there is none (or one of other weights), Damaged where its files are not as they were
    written.
    """
    remedy = f"run: lookalike models pull {entry.name} --precision int8 --calibrate FOLDER"
    kept = folder / FOLDER
    if not (kept / "about.json").is_file():
        raise Unavailable(f"{entry.name} has not been calibrated in 8 bits on this machine; {remedy}")
    try:
        about = json.loads((kept / "about.json").read_text(encoding="utf-8"))
        found = _digest(kept)
    except (OSError, ValueError) as error:
        raise Damaged(f"{kept}: the 8-bit form of {entry.name} cannot be read ({error}); {remedy}") from error
    if about["of"] != fingerprint:
        raise Unavailable(f"the 8-bit form of {entry.name} was made of other weights or preprocessing; {remedy}")
    if about["sha256"] != found:
        raise Damaged(f"{kept}: the 8-bit form of {entry.name} has been altered; {remedy}")
    model = ov.Core().read_model(kept / "model.xml")
    mark = hashlib.sha256(f"{fingerprint} int8 {found}".encode()).hexdigest()[:32]
    return Network(model, found, network.architecture, network.batch), mark
