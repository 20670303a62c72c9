"""Evaluation of searches: edited copies of images, and contact sheets of what was found."""

from lookalike.evaluation.edits import EDITS, Edit, apply

__all__ = ["EDITS", "Edit", "apply"]
