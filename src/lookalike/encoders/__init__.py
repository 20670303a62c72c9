"""Encoders: the perceptual hash, and networks run by OpenVINO, whose weights are downloaded, verified and cached."""

from lookalike.encoders.model_config import ModelEntry, Precision, calibration_of, model_entries
from lookalike.encoders.registry import ModelInfo, encoder_spec, find_entry, info, is_pulled, load_encoder, pull, verify

__all__ = [
    "ModelEntry",
    "ModelInfo",
    "Precision",
    "calibration_of",
    "encoder_spec",
    "find_entry",
    "info",
    "is_pulled",
    "load_encoder",
    "model_entries",
    "pull",
    "verify",
]
