"""`index`: move the index of a pipeline to another engine while the gallery is in use, move it back, drop one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import GALLERY, Group, Session, app, command, flag, open_gallery_or_client, option
from lookalike.cli.output import counted, emit, print_error, print_line, printable

if TYPE_CHECKING:
    from lookalike.gallery import Gallery
    from lookalike.results import IndexMove

index_app = typer.Typer(
    cls=Group,
    help="The index of a pipeline: move it to another engine and back while the gallery is searched and written to.",
    no_args_is_help=True,
)
app.add_typer(index_app, name="index", rich_help_panel=GALLERY)
PipelineArgument = Annotated[str, typer.Argument(metavar="PIPELINE", help="Name of a pipeline.", show_default=False)]


@command(index_app, "move", remote=True)
def move(
    session: Session,
    pipeline: PipelineArgument,
    to: Annotated[
        str, option("--to ADDRESS", "Its new index: flat, mih, hnsw, or the URL of an engine, without a password.")
    ],
    force: Annotated[
        bool, flag("--force", "Switch whatever the comparison finds, also where the old engine is down.")
    ] = False,
    drop_old: Annotated[bool, flag("--drop-old", "Also delete the old index; else it is kept, to move back.")] = False,
) -> int:
    """Build a new index beside the one that answers, compare the two, and let all processes switch to it.

    A move that was stopped goes on when the command is run again. The old index is kept until `lookalike index drop`:
    moving back to its address only applies what was changed meanwhile. With --server it runs in a job of the server.
    """
    from lookalike.gallery import Gallery

    with open_gallery_or_client(session) as gallery:
        if isinstance(gallery, Gallery):
            moved = _move_here(session, gallery, pipeline, to, force=force)
        else:
            moved = gallery.move_index(pipeline, to, force=force)
        _show(session, moved)
        if drop_old and moved.kept:
            _dropped(session, gallery.drop_index(pipeline))
    return ExitCode.OK


@command(index_app, "drop", remote=True)
def drop(
    session: Session,
    pipeline: PipelineArgument,
    forget: Annotated[bool, flag("--forget", "Do not delete it: its server is gone for good.")] = False,
) -> int:
    """Delete the index that does not answer: the one that was moved away from, or a new one that was not finished."""
    with open_gallery_or_client(session) as gallery:
        _dropped(session, gallery.drop_index(pipeline, forget=forget))
    return ExitCode.OK


def _move_here(session: Session, gallery: Gallery, pipeline: str, to: str, *, force: bool) -> IndexMove:
    from lookalike.cli.progress import ProgressBar
    from lookalike.results import IndexMoveProgress

    total = gallery.catalog.changes.last_sequence()
    with ProgressBar("building", total, quiet=session.json, unit="changes") as bar:
        done = 0

        def report(progress: IndexMoveProgress) -> None:
            nonlocal done
            bar.advance(max(progress.applied - done, 0))
            done = max(progress.applied, done)

        return gallery.move_index(pipeline, to, force=force, report=report)


def _show(session: Session, moved: IndexMove) -> None:
    if session.json:
        from lookalike.wire.objects import to_dict
        from lookalike.wire.pipelines import IndexMove as IndexMoveObject

        emit(to_dict(IndexMoveObject.of(moved)))
        return
    name, compared = printable(moved.pipeline), moved.comparison
    if not moved.moved:
        print_line(f"The index of {name} is {printable(moved.after)} already.")
    else:
        print_line(
            f"{name} is searched in {printable(moved.after)} now, instead of {printable(moved.before)}: "
            f"{counted(moved.rows, 'row')}."
        )
    if compared is not None:
        print_line(
            f"{counted(compared.queries, 'search', 'searches')} compared: overlap@10 {100 * compared.overlap:.1f} %, "
            f"of {counted(compared.copies, 'hit')} within the copy threshold {100 * compared.copies_overlap:.1f} %; "
            f"{counted(compared.missing_rows, 'row')} missing."
        )
    if moved.kept:
        print_error(f"The other index is kept, to move back: `lookalike index drop {name}` deletes it.")


def _dropped(session: Session, address: str) -> None:
    if session.json:
        emit({"dropped": address})
    else:
        print_line(f"Dropped {printable(address)}.")
