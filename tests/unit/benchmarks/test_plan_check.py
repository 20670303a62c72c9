"""The plan against galleries that are really built: within 15 per cent."""

import pytest
from benchmarks.plan_check import Measured, measure, planned

WITHIN = 0.15


@pytest.mark.parametrize(("engine", "rows"), [("flat", 20_000), ("mih", 100_000), ("hnsw", 20_000), ("sqlite", 20_000)])
def test_a_gallery_takes_what_was_planned(engine: str, rows: int) -> None:
    found, said = measure(engine, rows), planned(engine, rows)
    assert said.disk == pytest.approx(found.disk, rel=WITHIN)
    assert said.searching == pytest.approx(found.searching, rel=WITHIN)
    assert _adding_holds(found, said)


def _adding_holds(found: Measured, said: Measured) -> bool:
    """What is held while adding depends on when arrays were last copied: the plan says the most, within the same."""
    return 0 <= found.adding <= (1 + WITHIN) * said.adding
