"""Capacity planning: what a gallery of so many pictures takes, by pure functions over measured constants."""

from lookalike.plan.choosing import ENGINES
from lookalike.plan.constants import Constant
from lookalike.plan.parts import Adding, CatalogPart, Leaving, Part, Plan, Serving
from lookalike.plan.planning import make_plan
from lookalike.plan.wishes import PHASH, VGG16, PipelineWish, Wish, count_of, size_of

__all__ = [
    "ENGINES",
    "PHASH",
    "VGG16",
    "Adding",
    "CatalogPart",
    "Constant",
    "Leaving",
    "Part",
    "PipelineWish",
    "Plan",
    "Serving",
    "Wish",
    "count_of",
    "make_plan",
    "size_of",
]
