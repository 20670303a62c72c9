"""The plan against galleries that are built and measured, within 15 per cent."""

import pytest
from benchmarks.plan_check import Measured, measure, planned

WITHIN = 0.15


@pytest.mark.parametrize(("engine", "rows"), [("flat", 20_000), ("mih", 100_000), ("hnsw", 10_000), ("sqlite", 10_000)])
def test_a_gallery_takes_what_was_planned(engine: str, rows: int) -> None:
    measured, plan = measure(engine, rows), planned(engine, rows)
    assert plan.disk == pytest.approx(measured.disk, rel=WITHIN)
    assert plan.searching == pytest.approx(measured.searching, rel=WITHIN)
    assert _adding_holds(measured, plan)


def _adding_holds(measured: Measured, plan: Measured) -> bool:
    """The peak while adding depends on when arrays were last copied: the plan is an upper bound."""
    return 0 <= measured.adding <= (1 + WITHIN) * plan.adding
