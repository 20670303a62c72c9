"""Loads `vgg16-copy` and its variants: the factors of the package, with its head or one trained by the user."""

from pathlib import Path

from lookalike.encoders.identity import architecture, weights_of_copy
from lookalike.encoders.model_config import ModelEntry
from lookalike.encoders.openvino_runtime import Network
from lookalike.encoders.vgg16_copy import FACTORS_FILE
from lookalike.encoders.vgg16_copy.network import build
from lookalike.encoders.vgg16_copy.weights import narrowed, read_factors, read_head
from lookalike.encoders.weight_files import check_sha256, read_file


def store(data: bytes, entry: ModelEntry, source: str) -> bytes:
    """The bytes of a head, after it was verified."""
    check_sha256(data, entry.sha256, source)
    read_head(data, source)
    return data


def open_network(path: Path, entry: ModelEntry) -> Network:
    """The network with the head of a file, whose first `dimensions` columns count; raises Damaged for other files."""
    data = read_file(path, entry)
    check_sha256(data, entry.sha256, str(path))
    head, head_digest = read_head(data, str(path))
    factors, factors_digest = read_factors(FACTORS_FILE)
    head = narrowed(head, entry.dimensions, entry.name)
    model = build(factors, entry.size[0], head.matrix, head.offset)
    return Network(model, weights_of_copy(factors_digest, head_digest), architecture(entry))
