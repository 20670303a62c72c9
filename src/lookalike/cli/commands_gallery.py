"""The grammar of the commands for a gallery as a whole: arguments and options, and no work (see `app`)."""
# ruff: noqa: PLC0415

from typing import Annotated

import typer

from lookalike.cli.app import UPKEEP, app
from lookalike.cli.options import FLAG, Session, command


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
            help="Another index for a pipeline: flat, mih (hashes), hnsw (vectors), or the URL of an engine: "
            "elasticsearch://host:9200, milvus://host:19530, milvus-lite:///file. Repeatable.",
        ),
    ] = None,
    catalog: Annotated[
        str | None,
        typer.Option(
            "--catalog",
            metavar="URL",
            show_default=False,
            help="Keep the records in postgresql://user@host/name. [default: a file in the gallery's folder]",
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
    from lookalike.cli.commands.gallery import init

    return init(session, pipelines, index, catalog, precision, exact_phash=exact_phash)


@command(app, served=True, rich_help_panel=UPKEEP)
def status(session: Session) -> int:
    """Say how the gallery stands."""
    from lookalike.cli.commands.gallery import status

    return status(session)


@command(app, served=True, rich_help_panel=UPKEEP)
def repair(session: Session) -> int:
    """Check the catalog, and build every index anew from it. No image is read again."""
    from lookalike.cli.commands.gallery import repair

    return repair(session)
