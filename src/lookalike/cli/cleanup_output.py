"""The clean-up of `duplicates`: the plan as a table, CSV or JSON lines, and the outcomes of applying and undoing it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from lookalike.cleanup import CleanupOptions, CleanupPlan, Planner, apply_cleanup, undo_cleanup
from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.json_output import cleanup_outcome_object, group_object, undo_outcome_object
from lookalike.cli.options import Session
from lookalike.cli.output import CsvWriter, counted, emit, print_error, print_line, printable, size
from lookalike.results import CleanupGroup, CleanupImage, CleanupOutcome, UndoOutcome
from lookalike.types import Record

IMAGE_COLUMNS = ("mark", "reason", "frees", "width", "height", "format", "bytes", "key", "path")
PLAN_COLUMNS = ("group", *IMAGE_COLUMNS[:3], "evidence", "distance", *IMAGE_COLUMNS[3:])
"""Columns of the CSV of a plan."""
_DONE = {"trash": "moved to the trash", "hardlink": "replaced by links", "reflink": "replaced by shared storage"}


def clean_up(session: Session, options: CleanupOptions, format_: str, *, yes: bool) -> int:
    """Plan a clean-up and print the plan, each group as it is found; with `yes`, apply it and print the outcomes."""
    with session.open() as gallery:
        planner = Planner(gallery, options)
        clusters = gallery.duplicates(tenant=options.tenant, pipelines=options.pipelines)
        printer = PlanPrinter("none" if yes else format_)
        groups: list[CleanupGroup] = []
        for group in planner.plan(clusters):
            printer.print_group(group)
            groups.append(group)
        plan = CleanupPlan(options, tuple(groups), planner.out_of_scope)
        if not yes:
            if format_ == "table":
                _print_totals(plan)
            return ExitCode.OK
        csv = CsvWriter("outcome", "reason", "frees", "key", "path", "destination") if format_ == "csv" else None
        try:
            report = apply_cleanup(gallery, plan, on_outcome=lambda outcome: _print_outcome(outcome, format_, csv))
        except KeyboardInterrupt:
            print_error("interrupted; undo what was done with: lookalike duplicates --undo")
            raise
    failed = sum(outcome.outcome == "failed" for outcome in report.outcomes)
    if format_ == "table":
        done = len(report.outcomes) - failed
        print_line(f"{counted(done, 'file')} ({size(report.frees)}) {_done(report.to)}, {failed:,} failed")
        _print_skipped(report.skipped)
        if done:
            print_line(f"Undo it with: lookalike duplicates --undo --run {report.run}")
    return ExitCode.PARTIAL if failed else ExitCode.OK


def undo(session: Session, run: str | None, format_: str) -> int:
    """Undo a clean-up, the last one by default, and print the outcomes."""
    with session.open() as gallery:
        report = undo_cleanup(gallery, run, tenant=session.tenant)
    _print_undo_outcomes(report.outcomes, format_)
    counts = Counter(outcome.outcome for outcome in report.outcomes)
    if format_ == "table":
        print_line(f"clean-up {report.run}: " + ", ".join(f"{count:,} {kind}" for kind, count in counts.items()))
    return ExitCode.PARTIAL if counts["failed"] or counts["lost"] else ExitCode.OK


def _done(to: str) -> str:
    """What happened to files, after "were"."""
    return _DONE.get(to, "deleted for good" if to == "delete" else f"moved to {printable(to)}")


def heading(images: int, evidence: str, distance: float) -> str:
    """The line above a cluster."""
    how = "the same image" if evidence == "exact" else f"copies, at most {distance:.3f} apart"
    return f"{counted(images, 'image')}, {how}:"


def dimensions(record: Record) -> str:
    """`1600x1200`."""
    return f"{record.width}x{record.height}"


class PlanPrinter:
    """Prints groups in a format; `none` prints nothing. Paths come last in a line and are never cut."""

    def __init__(self, format_: str) -> None:
        self._print: Callable[[CleanupGroup], None] = {
            "table": self._table,
            "csv": self._csv,
            "json": self._json,
            "none": lambda _: None,
        }[format_]
        self._writer = CsvWriter(*PLAN_COLUMNS) if format_ == "csv" else None

    def print_group(self, group: CleanupGroup) -> None:
        self._print(group)

    def _table(self, group: CleanupGroup) -> None:
        print_line(heading(len(group.images), group.evidence, group.distance))
        for planned in group.images:
            print_line(_row(planned))

    def _csv(self, group: CleanupGroup) -> None:
        assert self._writer is not None
        found = group_object(group)
        for image in found["images"]:
            row = {name: image[name] for name in IMAGE_COLUMNS}
            self._writer.row({"group": group.id, "evidence": group.evidence, "distance": group.distance, **row})

    def _json(self, group: CleanupGroup) -> None:
        emit(group_object(group))


def _row(planned: CleanupImage) -> str:
    record = planned.image
    about = f"{dimensions(record):>11}  {record.format:<5} {size(record.nbytes):>8}"
    return f"  {planned.mark:<6}  {about}  {planned.reason}:  {printable(record.path or record.key)}"


def _print_totals(plan: CleanupPlan) -> None:
    images = sum(len(group.images) for group in plan.groups)
    print_line(f"{counted(len(plan.groups), 'cluster')} of copies, {counted(images, 'image')} in all")
    if plan.out_of_scope:
        print_line(f"{counted(plan.out_of_scope, 'image')} of clusters left out by the options")
    _print_skipped(plan.skipped)
    if plan.removed:
        would = f"would be {_done(str(plan.options.to))}"
        print_line(f"{counted(plan.removed, 'file')} ({size(plan.frees)}) {would}.")
        print_line("Nothing was changed. To do it, add: --yes")


def _print_skipped(skipped: Mapping[str, int]) -> None:
    for reason, count in skipped.items():
        print_line(f"{count:,} left alone: {reason}")


def _print_outcome(one: CleanupOutcome, format_: str, csv: CsvWriter | None) -> None:
    if format_ == "json":
        emit(cleanup_outcome_object(one))
    elif csv is not None:
        csv.row(cleanup_outcome_object(one))
    elif one.outcome == "failed":
        print_error(f"not removed: {one.reason}: {one.path}")
    else:
        print_line(f"{one.outcome}  {size(one.frees):>8}  {printable(one.path)}")


def _print_undo_outcomes(outcomes: Sequence[UndoOutcome], format_: str) -> None:
    csv = CsvWriter("outcome", "reason", "key", "path") if format_ == "csv" else None
    for one in outcomes:
        if format_ == "json":
            emit(undo_outcome_object(one))
        elif csv is not None:
            csv.row(undo_outcome_object(one))
        elif one.outcome in ("failed", "lost"):
            print_error(f"{one.outcome}: {one.reason}: {one.path}")
        else:
            print_line(f"{one.outcome}  {printable(one.path)}")
