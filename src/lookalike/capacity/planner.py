"""The plan: every part of it by a pure function of the wish and of the constants."""

from lookalike.capacity import catalog, engine_choice, workload
from lookalike.capacity.models import IndexPlan, OutgrowPoint, Plan
from lookalike.capacity.request import PlanRequest


def make_plan(wish: PlanRequest) -> Plan:
    """What a gallery takes; raises BadSetting for one that cannot be, with the remedy."""
    parts = tuple(engine_choice.part(pipeline, wish) for pipeline in wish.pipelines)
    kept = catalog.part(wish, parts)
    pairs = zip(wish.pipelines, parts, strict=True)
    ends = [engine_choice.leaving(pipeline, index, wish) for pipeline, index in pairs]
    return Plan(
        wish,
        parts,
        kept,
        workload.serving(wish, parts),
        workload.adding(wish, parts),
        tuple(end for end in ends if isinstance(end, OutgrowPoint)),
        tuple(_notes(wish, parts)),
    )


def _notes(wish: PlanRequest, parts: tuple[IndexPlan, ...]) -> list[str]:
    notes = []
    unknown = [pipeline.name for pipeline in wish.pipelines if pipeline.name not in ("phash", "vgg16")]
    if unknown:
        notes.append(f"the speed of {', '.join(unknown)} was not measured: add a thousand images and time it")
    if any(part.embedded for part in parts) and any(not part.embedded for part in parts):
        inside = ", ".join(part.pipeline for part in parts if part.embedded)
        notes.append(f"{inside} is embedded: every process that answers holds it; one machine shares the mapped files")
    return notes
