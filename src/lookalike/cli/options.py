"""The options that commands share, and what holds for one run of the program."""

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.exit_codes import ExitCode
from lookalike.errors import BadSetting

if TYPE_CHECKING:
    from lookalike.config import Settings
    from lookalike.gallery import Gallery

COMMON = "Common options"
FLAG = " "
"""The metavar of options without a value: Typer would show a type, as if one had to be given."""
GalleryOption = Annotated[
    str | None,
    typer.Option(
        "--gallery",
        "-g",
        metavar="DIR",
        show_default=False,
        rich_help_panel=COMMON,
        help="The gallery's folder; else LOOKALIKE_GALLERY, else one in your data folder.",
    ),
]
TenantOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        show_default=False,
        rich_help_panel=COMMON,
        help="Whose images: each tenant has keys of its own and sees no other's. [default: default]",
    ),
]
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        show_default=False,
        rich_help_panel=COMMON,
        help="Use the gallery of this service, with the key in LOOKALIKE_KEY; else LOOKALIKE_SERVER, if set.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", metavar=FLAG, rich_help_panel=COMMON, help="One JSON object a line, for programs.")
]

FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        "--where",
        metavar="CONDITION",
        show_default=False,
        help="Only images with this attribute: album=Alps, year>=2019, tag!=old. Repeat it: all must hold.",
    ),
]
NullOption = Annotated[
    bool,
    typer.Option(
        "-0", "--null", metavar=FLAG, help="The list on standard input is separated by NUL bytes, not by lines."
    ),
]
PipelineNamesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--pipeline", metavar="NAME", show_default=False, help="Ask this generation alone: phash or vgg16. Repeatable."
    ),
]


@dataclass(frozen=True, slots=True)
class Session:
    """What the common options say."""

    gallery: str | None = None
    tenant: str = "default"
    json: bool = False
    server: str | None = None

    @property
    def settings(self) -> "Settings":
        """The settings of the environment."""
        from lookalike.config import from_environment  # noqa: PLC0415 - loads numpy and Pillow: 0.2 s that --help spares

        return from_environment()

    @property
    def folder(self) -> Path:
        """Where the gallery is."""
        return Path(self.gallery).expanduser().absolute() if self.gallery else self.settings.gallery.absolute()

    def open(self, *, create: bool = False) -> "Gallery":
        """Open the gallery; raises NotFound where there is none and `create` is False."""
        from lookalike.factory import open_gallery  # noqa: PLC0415 - loads SQLAlchemy: 0.3 s that --help spares

        return open_gallery(self.folder, create=create)


def command(
    app: typer.Typer, name: str | None = None, *, served: bool = False, **settings: Any
) -> Callable[[Callable[..., int]], None]:
    """Register `action(session, ...)` as a command that also takes the common options, after its name or before it.

    The action gives the exit code. `served` commands work on a service's gallery, too.
    """

    def register(action: Callable[..., int]) -> None:
        @functools.wraps(action, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
        def run(
            ctx: typer.Context,
            *,
            gallery: GalleryOption = None,
            tenant: TenantOption = None,
            json: JsonOption = False,
            server: ServerOption = None,
            **given: Any,
        ) -> int:
            before: Session = ctx.obj
            session = Session(
                gallery or before.gallery, tenant or before.tenant, json or before.json, server or before.server
            )
            if session.server is not None and not served:
                raise BadSetting("this command works on this machine; leave out --server")
            try:
                code = action(session, **given)
                sys.stdout.flush()
            except BrokenPipeError:
                # whoever read our output has gone, as `head` does: nothing to say, and nothing more to flush at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return ExitCode.PIPE_CLOSED
            return code

        common = list(inspect.signature(run, follow_wrapped=False).parameters.values())[: -1 if served else -2]
        own = list(inspect.signature(action).parameters.values())[1:]
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        parameters = [common[0], *own, *common[1:]]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(name or action.__name__, **settings)(run)

    return register


def pairs(written: Iterable[str] | None, option: str) -> dict[str, str]:
    """`NAME=VALUE` texts as a mapping; raises BadSetting naming the option."""
    found = {}
    for text in written or ():
        name, equals, value = text.partition("=")
        if not (name.strip() and equals):
            raise BadSetting(f"{option} is written NAME=VALUE, not {text!r}")
        found[name.strip()] = value
    return found


def listed(stream: Iterable[bytes], *, null: bool) -> Iterator[str]:
    """The entries of a list on standard input, as they come; empty ones are passed over.

    Bytes that are not UTF-8 become lone surrogates, as in the names of files that Python gives.
    """
    for entry in _split_at_nul(stream) if null else (line.removesuffix(b"\n") for line in stream):
        if entry:
            yield os.fsdecode(entry)


def _split_at_nul(stream: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in stream:
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole
    yield rest
