"""Clean-up of duplicates: which image of a cluster is kept, what happens to the files of the others, and undoing it.

`plan_cleanup` changes nothing; `apply_cleanup` does what a plan says, with a journal; `undo_cleanup` reverses a run.
"""

from lookalike.cleanup.apply import apply_cleanup
from lookalike.cleanup.plan import CleanupPlan, Planner, plan_chosen, plan_cleanup, revise_plan
from lookalike.cleanup.rules import CleanupOptions
from lookalike.cleanup.undo import undo_cleanup

__all__ = [
    "CleanupOptions",
    "CleanupPlan",
    "Planner",
    "apply_cleanup",
    "plan_chosen",
    "plan_cleanup",
    "revise_plan",
    "undo_cleanup",
]
