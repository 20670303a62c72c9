"""The application, the options and paths that commands share, the gallery they name, and the decorator of a command."""

import functools
import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeAlias, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from lookalike import __version__
from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.output import emit, print_error, print_line
from lookalike.errors import BadSetting

if TYPE_CHECKING:
    from lookalike.client import Client
    from lookalike.config import Settings
    from lookalike.gallery import Gallery

    AnyGallery: TypeAlias = Gallery | Client
    """Both have the methods that commands call."""

COMMON = "Common options"
OUTPUT_FORMATS = ("table", "json", "csv")
WITH_VALUE = ("-g", "--gallery", "--tenant", "--server")
"""The common options that take a value."""


def option(usage: str, text: str, *, show_default: bool = False, **settings: Any) -> Any:
    """Declare an option by its usage, such as `-k --k N`."""
    *names, metavar = usage.split()
    return typer.Option(*names, metavar=metavar, show_default=show_default, help=text, **settings)


class _Parameters:
    """A command whose options without a value show no type, which Typer prints for those that it adds itself."""

    def get_params(self, ctx: Any) -> Any:
        found = super().get_params(ctx)  # type: ignore[misc]
        for parameter in found:
            if getattr(parameter, "is_flag", False) and parameter.metavar is None:
                parameter.metavar = " "
            if not isinstance(parameter.get_runtime_param, _Coercion):
                parameter.get_runtime_param = _Coercion(parameter.get_runtime_param)
        return found


class _Coercion:
    """Typer's coercion of a parameter's value, where that is needed.

    Typer makes a schema for every parameter, which loads pydantic, 0.1 s. Texts, which are what a command line
    consists of, defaults and what is not given have the declared type already.
    """

    def __init__(self, build: Callable[[], Any]) -> None:
        self._build = build

    def __call__(self) -> Self:
        return self

    def coerce(self, value: Any, *, param: Any, ctx: Any) -> Any:
        """As `RuntimeParam.coerce` of Typer."""
        declared = param.type_descriptor.annotation
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if declared == list[str] and isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            return list(value)
        if type(value) is declared and (declared is str or value == param.default):
            return value
        return self._build().coerce(value, param=param, ctx=ctx)


class Command(_Parameters, TyperCommand):
    """A command."""


class Group(_Parameters, TyperGroup):
    """A group of commands, whose common options may also stand before a command's name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if ctx.parent is None else _behind_the_name(args))


def _behind_the_name(arguments: list[str]) -> list[str]:
    """The arguments of a group with the common options before a command's name behind it; none where it is missing."""
    at = 0
    while at < len(arguments) and (name := arguments[at].partition("=")[0]) in (*WITH_VALUE, "--json"):
        at += 2 if name in WITH_VALUE and "=" not in arguments[at] else 1
    return [arguments[at], *arguments[:at], *arguments[at + 1 :]] if at < len(arguments) else []


def flag(names: str, text: str, **settings: Any) -> Any:
    """Declare an option without a value; Typer would show a type where the metavar is empty."""
    return typer.Option(*names.split(), metavar=" ", help=text, **settings)


GalleryOption = Annotated[
    str | None,
    option(
        "--gallery -g DIR",
        "The gallery's folder. [default: LOOKALIKE_GALLERY, else a folder in your data directory]",
        rich_help_panel=COMMON,
    ),
]
TenantOption = Annotated[
    str | None,
    option(
        "--tenant NAME",
        "The tenant whose images are used; tenants do not see each other's images. [default: default]",
        rich_help_panel=COMMON,
    ),
]
ServerOption = Annotated[
    str | None,
    option(
        "--server URL",
        "Use the gallery of this server, with the API key in LOOKALIKE_KEY. [default: LOOKALIKE_SERVER]",
        rich_help_panel=COMMON,
    ),
]
JsonOption = Annotated[bool, flag("--json", "Print JSON, one object per line.", rich_help_panel=COMMON)]

FilterOption = Annotated[
    list[str] | None,
    option(
        "--filter --where CONDITION",
        "Only images whose attributes match: album=Alps, year>=2019, tag!=old. Repeatable; all must match.",
    ),
]
OutputOption = Annotated[
    str, option("--output -o FORMAT", "table, json (as --json), or csv with a header row.", show_default=True)
]
NullOption = Annotated[bool, flag("-0 --null", "Entries on standard input are separated by NUL bytes, not lines.")]
PipelineNamesOption = Annotated[
    list[str] | None, option("--pipeline NAME", "Use this pipeline only, such as phash. Repeatable.")
]
Action = TypeVar("Action", bound=Callable[..., int])


@dataclass(frozen=True, slots=True)
class Session:
    """The values of the common options."""

    gallery: str | None = None
    tenant: str = "default"
    json: bool = False
    server: str | None = None

    @property
    def settings(self) -> "Settings":
        from lookalike.config import from_environment  # noqa: PLC0415 - loads numpy and Pillow, 0.2 s

        return from_environment()

    @property
    def folder(self) -> Path:
        return Path(self.gallery).expanduser().absolute() if self.gallery else self.settings.gallery.absolute()

    def open(self, *, create: bool = False) -> "Gallery":
        """Open the gallery; raises NotFound where there is none and `create` is False."""
        from lookalike.factory import open_gallery  # noqa: PLC0415 - loads SQLAlchemy, 0.3 s

        return open_gallery(self.folder, create=create)


def open_gallery_or_client(session: Session, *, create: bool = False) -> "AnyGallery":
    """Open the local gallery, or connect to the server that is configured; raises NotFound where there is no gallery.

    The API key is read from LOOKALIKE_KEY only: a command line is visible to every process of the machine.
    """
    url = server_of(session)
    if url is None:
        return session.open(create=create)
    from lookalike.client import Client  # noqa: PLC0415 - loads httpx, which local galleries do not need

    return Client(url, session.settings.key)


def server_of(session: Session) -> str | None:
    """The server's URL: that of `--server`, or, without `--gallery`, that of LOOKALIKE_SERVER."""
    if session.server is None:
        return session.settings.server if session.gallery is None else None
    if session.gallery is not None:
        raise BadSetting("--server and --gallery exclude each other; remove one of them")
    return session.server


def name_of(session: Session) -> str:
    """The gallery's folder or the server's URL, to show."""
    return server_of(session) or str(session.folder)


def command(
    app: typer.Typer, name: str | None = None, *, remote: bool = False, **settings: Any
) -> Callable[[Action], Action]:
    """Register `action(session, ...)` as a command that also takes the common options, before or after its name.

    The action returns the exit code, and can still be called as a function. `remote` commands also accept --server.
    """

    def register(action: Action) -> Action:
        @functools.wraps(action, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
        def run(
            ctx: typer.Context,
            *,
            gallery: GalleryOption = None,
            tenant: TenantOption = None,
            json: JsonOption = False,
            server: ServerOption = None,
            **arguments: Any,
        ) -> int:
            before: Session = ctx.obj
            session = Session(
                gallery or before.gallery, tenant or before.tenant, json or before.json, server or before.server
            )
            if session.server is not None and not remote:
                raise BadSetting("this command works on local galleries only; remove --server")
            try:
                code = action(session, **arguments)
                sys.stdout.flush()
            except BrokenPipeError:
                # the reader closed the pipe, as `head` does; with /dev/null in its place the flush at exit succeeds
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return ExitCode.PIPE_CLOSED
            return code

        common = list(inspect.signature(run, follow_wrapped=False).parameters.values())[: -1 if remote else -2]
        own = list(inspect.signature(action, eval_str=True).parameters.values())[1:]
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        parameters = [common[0], *own, *common[1:]]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(name or action.__name__.replace("_", "-"), cls=Command, **settings)(run)
        return action

    return register


def parse_size(text: str, option: str) -> int:
    """Parse a number of bytes such as `100kB`, `1.5 MB` or `2GiB`; raises BadSetting naming the option."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kMGT]?)(i?)B?)", text.strip(), re.IGNORECASE)
    if match is None:
        raise BadSetting(f"{option} must be a number of bytes, such as 100kB or 1.5MB, not {text!r}")
    number, prefix, binary = match.groups()
    return round(float(number) * math.pow(1024 if binary else 1000, "_kmgt".index(prefix.lower() or "_")))


def parse_duration(text: str, option: str) -> float:
    """Parse a time such as `90d`, `12 h`, `30m` or `45s` into seconds; raises BadSetting naming the option."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if match is None:
        raise BadSetting(f"{option} must be a time, such as 90d, 12h, 30m or 45s, not {text!r}")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def parse_pairs(arguments: Iterable[str] | None, option: str) -> dict[str, str]:
    """Parse `NAME=VALUE` arguments; raises BadSetting naming the option."""
    pairs = {}
    for text in arguments or ():
        name, equals, value = text.partition("=")
        if not (name.strip() and equals):
            raise BadSetting(f"{option} must be NAME=VALUE, not {text!r}")
        pairs[name.strip()] = value
    return pairs


def output_format(session: Session, output: str) -> str:
    """The format of a command's output; raises BadSetting for an unknown one."""
    if output not in OUTPUT_FORMATS:
        raise BadSetting(f"--output must be one of {', '.join(OUTPUT_FORMATS)}, not {output!r}")
    return "json" if session.json else output


def read_entries(stream: Iterable[bytes], *, null: bool) -> Iterator[str]:
    """The entries of a list on standard input, as they arrive, without empty ones.

    Bytes that are not UTF-8 become lone surrogates, as in file names that Python returns.
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


def paths_of(images: Sequence[str], *, null: bool) -> Iterator[str]:
    """Paths of images: files as given, files below folders, and paths listed on standard input."""
    for image in images:
        for path in read_entries(sys.stdin.buffer, null=null) if image == "-" else [image]:
            yield from _below(path) if Path(path).is_dir() else [path]


def _below(folder: str) -> Iterator[str]:
    from lookalike.image_files import FolderScan  # noqa: PLC0415 - loads numpy and Pillow
    from lookalike.types import Outcome  # noqa: PLC0415

    found = False
    for file in FolderScan().files_below(folder):
        found = True
        # an unreadable folder becomes a query, which fails with the reason like any other
        yield file.key if isinstance(file, Outcome) else file
    if not found:
        print_error(f"no images below {folder}")
