"""Capacity planning: what a gallery of so many images takes, by pure functions over measured constants."""

from lookalike.capacity.engine_choice import ENGINES
from lookalike.capacity.measurements import Constant
from lookalike.capacity.models import CatalogPart, IndexPlan, IngestPlan, OutgrowPoint, Plan, ServingPlan
from lookalike.capacity.planner import make_plan
from lookalike.capacity.request import PHASH, VGG16, PipelineSpec, PlanRequest, count_of, size_of

__all__ = [
    "ENGINES",
    "PHASH",
    "VGG16",
    "CatalogPart",
    "Constant",
    "IndexPlan",
    "IngestPlan",
    "OutgrowPoint",
    "PipelineSpec",
    "Plan",
    "PlanRequest",
    "ServingPlan",
    "count_of",
    "make_plan",
    "size_of",
]
