"""The Typer application, and the options that stand before the command's name."""

from typing import Annotated

import typer

from lookalike import __version__
from lookalike.cli.options import GalleryOption, Group, JsonOption, ServerOption, Session, TenantOption, flag
from lookalike.cli.output import emit, print_line

app = typer.Typer(
    name="lookalike",
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Search by image: find the original of an image, its edited copies and similar images.",
    epilog="Start with: lookalike add ~/Pictures, then: lookalike search copy.jpg",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
IMAGES, GALLERY, MACHINE = "Images", "The gallery", "The machine"
"""The panels of `lookalike --help`."""


def _show_version(ctx: typer.Context, requested: bool) -> None:
    """Print the version; as an eager option it runs before Typer loads what checks the values of other options."""
    if not requested:
        return
    if ctx.obj.json:
        emit({"version": __version__})
    else:
        print_line(f"lookalike {__version__}")
    raise typer.Exit


@app.callback(invoke_without_command=True)
def set_session(
    ctx: typer.Context,
    *,
    gallery: GalleryOption = None,
    tenant: TenantOption = None,
    json: JsonOption = False,
    server: ServerOption = None,
    version: Annotated[
        bool, flag("--version", "Print the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Read the common options that stand before the command's name."""
    ctx.obj = Session(gallery, tenant or "default", json, server)
    if ctx.invoked_subcommand is None:
        ctx.fail("Missing command.")
