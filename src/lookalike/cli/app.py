"""The grammar's core and its image commands: each with its arguments and options, and no work.

Each command imports its work when it runs: numpy, SQLAlchemy and the rest take half a second that `--help` and
`--version` would otherwise wait for. The other commands are in `commands_gallery` and `commands_machine`.
"""
# ruff: noqa: PLC0415

from typing import Annotated

import typer

from lookalike import __version__
from lookalike.cli.options import (
    FLAG,
    FilterOption,
    GalleryOption,
    JsonOption,
    NullOption,
    PipelineNamesOption,
    ServerOption,
    Session,
    TenantOption,
    command,
)
from lookalike.cli.output import emit, print_line

app = typer.Typer(
    name="lookalike",
    help="Search by image: hand in an image, get back the original and everything that looks like it.",
    epilog="Begin with: lookalike add ~/Pictures, then: lookalike search copy.jpg",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
IMAGES, UPKEEP, MACHINE = "Images", "The gallery", "The machine"


@app.callback(invoke_without_command=True)
def program(
    ctx: typer.Context,
    *,
    gallery: GalleryOption = None,
    tenant: TenantOption = None,
    json: JsonOption = False,
    server: ServerOption = None,
    version: Annotated[bool, typer.Option("--version", metavar=FLAG, help="Show the version, and stop.")] = False,
) -> None:
    """Options that every command takes may stand before it as well."""
    ctx.obj = Session(gallery, tenant or "default", json, server)
    if version:
        if json:
            emit({"version": __version__})
        else:
            print_line(f"lookalike {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        ctx.fail("Missing command.")


@command(app, served=True, rich_help_panel=IMAGES)
def add(
    session: Session,
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Images, and folders of them.")],
    key: Annotated[
        str | None,
        typer.Option(metavar="KEY", show_default=False, help="The key of a single file, instead of its name."),
    ] = None,
    attr: Annotated[
        list[str] | None,
        typer.Option(
            "--attr",
            metavar="NAME=VALUE",
            show_default=False,
            help="Keep this with every image given here (a JSON value, or text). Repeatable.",
        ),
    ] = None,
) -> int:
    """Add images, or bring them up to date; makes the gallery where there is none.

    An image's key is its path below the folder given, or the file's name. Adding the same again changes nothing and
    costs little, so after an interruption run the same command again.
    """
    from lookalike.cli.commands.add import add

    return add(session, paths, key, attr)


@command(app, served=True, rich_help_panel=IMAGES)
def search(
    session: Session,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE...",
            show_default=False,
            help="Images, folders, or - for a list of paths on standard input.",
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY", show_default=False, help="An image of the gallery, whose file is not needed. Repeatable."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", metavar="N", help="The most hits for each image.")] = 10,
    page: Annotated[int, typer.Option(metavar="N", help="The next N hits: page 2, 3, ...")] = 1,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="0..1", show_default=False, help="Leave out what is farther away than this."),
    ] = None,
    filter: FilterOption = None,
    pipeline: PipelineNamesOption = None,
    orientations: Annotated[
        bool,
        typer.Option(
            "--orientations/--no-orientations", metavar=FLAG, help="Find turned and mirrored copies by their hash, too."
        ),
    ] = True,
    all_tenants: Annotated[
        bool, typer.Option("--all-tenants", metavar=FLAG, help="Search the images of every tenant.")
    ] = False,
    engine_filter: Annotated[
        str | None,
        typer.Option(
            metavar="ENGINE=FILTER",
            show_default=False,
            help='A further filter in the engine\'s own words: elasticsearch={"match": {"title": "Alps"}}.',
        ),
    ] = None,
    null: NullOption = False,
    preview: Annotated[
        bool, typer.Option("--preview/--no-preview", metavar=FLAG, help="Small images, in a terminal.")
    ] = True,
) -> int:
    """Find the original of an image, and everything that looks like it.

    Evidence: **exact** is the same file or the same pixels, **copy** a copy that was edited, **similar** what merely
    looks like it, nearest first.
    """
    if not (images or key):
        raise typer.BadParameter("no image to search with; name one, or one of the gallery by --key.")
    from lookalike.cli.commands.search import SearchArguments, search

    return search(
        session,
        images or [],
        key or [],
        SearchArguments(k, page, threshold, filter, pipeline, orientations, all_tenants, engine_filter),
        null=null,
        preview=preview,
    )


@command(app, served=True, rich_help_panel=IMAGES)
def show(
    session: Session,
    key: Annotated[str, typer.Argument(metavar="KEY")],
    preview: Annotated[
        bool, typer.Option("--preview/--no-preview", metavar=FLAG, help="A small image, in a terminal.")
    ] = True,
) -> int:
    """Show what is known of an image."""
    from lookalike.cli.commands.images import show

    return show(session, key, preview=preview)


@command(app, served=True, rich_help_panel=IMAGES)
def rm(
    session: Session,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Keys, or - for a list on standard input.")],
    null: NullOption = False,
) -> int:
    """Forget images. The files themselves are never touched."""
    from lookalike.cli.commands.images import rm

    return rm(session, keys, null=null)


@command(app, served=True, rich_help_panel=IMAGES)
def ls(
    session: Session,
    filter: FilterOption = None,
    prefix: Annotated[
        str, typer.Option(metavar="TEXT", show_default=False, help="Only keys that begin so; case counts.")
    ] = "",
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=0, show_default=False, help="Stop after so many images.")
    ] = None,
) -> int:
    """List the images by key."""
    from lookalike.cli.commands.images import ls

    return ls(session, filter, prefix, limit)


@command(app, served=True, rich_help_panel=IMAGES)
def duplicates(session: Session, pipeline: PipelineNamesOption = None) -> int:
    """Find the images of the gallery that are copies of one another."""
    from lookalike.cli.commands.duplicates import duplicates

    return duplicates(session, pipeline)


@command(app, served=True, rich_help_panel=IMAGES)
def compare(
    session: Session,
    a: Annotated[str, typer.Argument(metavar="A", help="An image, in the gallery or not.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another.")],
) -> int:
    """Say how alike two files are, and who says so."""
    from lookalike.cli.commands.duplicates import compare

    return compare(session, a, b)
