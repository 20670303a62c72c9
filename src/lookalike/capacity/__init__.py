"""Capacity planning: what a gallery of so many images takes, by pure functions over measured constants."""

from lookalike.capacity.engine_choice import ENGINES
from lookalike.capacity.measurements import Constant
from lookalike.capacity.models import Adding, CatalogPart, Leaving, Part, Plan, Serving
from lookalike.capacity.planner import make_plan
from lookalike.capacity.request import PHASH, VGG16, PipelineWish, Wish, count_of, size_of

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
