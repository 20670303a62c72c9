"""How well copies are found: edited copies, measures of ranked answers, distances between strangers, contact sheets."""

from lookalike.evaluation.edits import EDITS, Edit, apply

__all__ = ["EDITS", "Edit", "apply"]
