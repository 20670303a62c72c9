"""What a network's fingerprint is made of, read from its files without the network runtime."""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np

from lookalike.encoders.model_config import ModelEntry
from lookalike.encoders.vgg16_copy import FACTORS_FILE, POOLED
from lookalike.encoders.weight_files import read_file

VGG16_FILE = "weights.npz"
VGG16_ARCHITECTURE = "vgg16 configuration D, rgb minus mean, global max pool after block 5, l2"


def architecture(entry: ModelEntry) -> str:
    """Everything that determines a network's output beside its weights and its input's size."""
    if entry.network == "vgg16":
        return VGG16_ARCHITECTURE
    if entry.network == "vgg16-copy":
        return f"vgg16-copy {' '.join(POOLED)} mean max root unit, whitened {entry.metric}"
    steps = (entry.as_written, entry.layout, entry.dtype, entry.colour, entry.scale, entry.mean, entry.std)
    return f"onnx {entry.input} {steps} {entry.output} {entry.pooling} {entry.normalise} {entry.metric}"


def weights_of_copy(factors_digest: str, head_digest: str) -> str:
    """The digest of the weights of a `vgg16-copy` network, from those of its files."""
    return hashlib.sha256(f"{factors_digest} {head_digest}".encode()).hexdigest()


def stated_weights(path: Path, entry: ModelEntry) -> str | None:
    """The digest of a network's weights as its files state it, which opening it verifies; None where none is stated.

    Raises BadInput where the file cannot be read.
    """
    if entry.network == "onnx":
        return hashlib.sha256(read_file(path, entry)).hexdigest()
    if entry.network == "vgg16" and path.name == VGG16_FILE:
        return _stated_digest(path)
    if entry.network == "vgg16-copy":
        factors, head = _stated_digest(FACTORS_FILE), _stated_digest(path)
        return None if factors is None or head is None else weights_of_copy(factors, head)
    return None


def fingerprint(entry: ModelEntry, weights: str, architecture: str) -> str:
    """32 hexadecimal digits over weights, architecture and preprocessing, the same in fp32 and bf16."""
    spec = entry.input_spec
    preprocessing = [spec.width, spec.height, spec.mode, spec.resample, spec.oversample, spec.full_decode]
    text = json.dumps([weights, architecture, preprocessing, entry.dimensions])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _stated_digest(path: Path) -> str | None:
    """The digest that one of our own .npz files holds; None where it is not one."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return str(archive["digest"])
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile):
        return None
