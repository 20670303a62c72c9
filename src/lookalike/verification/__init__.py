"""Verification: whether two images show the same pixels, by aligning them and comparing what they show."""

from lookalike.labels import Label, label
from lookalike.types import Box, Transform, Verification
from lookalike.verification.records import RECORD_SIDE, from_record, is_intact, to_record
from lookalike.verification.side import Side, VerificationEncoder
from lookalike.verification.verifier import Small, Verifier
from lookalike.verification.xfeat import available

__all__ = [
    "RECORD_SIDE",
    "Box",
    "Label",
    "Side",
    "Small",
    "Transform",
    "Verification",
    "VerificationEncoder",
    "Verifier",
    "available",
    "from_record",
    "is_intact",
    "label",
    "to_record",
]
