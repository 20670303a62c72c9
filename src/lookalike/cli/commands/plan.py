"""`plan`: what a gallery of a certain size takes, and how its engines are set up."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from lookalike.cli.app import MACHINE, app
from lookalike.cli.exit_codes import ExitCode
from lookalike.cli.options import FLAG, Session, command, parse_pairs
from lookalike.cli.output import counted, emit, out, print_line, size
from lookalike.errors import BadSetting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lookalike.capacity import IndexPlan, PipelineSpec, Plan, PlanRequest


@dataclass(frozen=True, slots=True)
class PlanArguments:
    """The options of `plan`, as they were written."""

    images: str
    pipelines: Sequence[str] | None
    engine: Sequence[str] | None
    tenants: str
    qps: float
    replicas: int | None
    machines: int
    cores: int
    memory: str
    precision: str
    catalog: str | None
    features: str
    thumbnails: float


@command(app, rich_help_panel=MACHINE)
def plan(
    session: Session,
    images: Annotated[str, typer.Option(metavar="N", help="Number of images: 50000, 50k, 2.5M, 10B.")],
    tenants: Annotated[str, typer.Option(metavar="N", help="Number of tenants.")] = "1",
    qps: Annotated[float, typer.Option(metavar="N", help="Searches per second, each within one tenant.")] = 1,
    pipelines: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,...",
            show_default=False,
            help="The pipelines; NAME:DIMENSIONS for a model of your own. [default: phash,vgg16]",
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
        typer.Option(metavar="N", show_default=False, help="Replicas of indexes on servers. [default: 1]"),
    ] = None,
    memory: Annotated[str, typer.Option(metavar="SIZE", help="Memory per machine.")] = "64GB",
    cores: Annotated[int, typer.Option(metavar="N", help="Cores per machine.")] = 8,
    machines: Annotated[int, typer.Option(metavar="N", help="Machines that add images.")] = 1,
    precision: Annotated[
        str, typer.Option(metavar="NAME", help="Arithmetic precision of networks: fp32, bf16, int8.")
    ] = "bf16",
    catalog: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default=False, help="sqlite or postgresql. [default: chosen by size]"),
    ] = None,
    features: Annotated[
        str, typer.Option(metavar="WHERE", help="Where features are stored: catalog, or engine (servers only).")
    ] = "catalog",
    thumbnails: Annotated[
        float, typer.Option(metavar="0..1", help="Share of images added as bytes, for which thumbnails are stored.")
    ] = 0,
    sources: Annotated[
        bool, typer.Option("--sources", metavar=FLAG, help="Show every constant and its source.")
    ] = False,
) -> int:
    """Plan capacity: memory, disk, cores, indexing time and engine settings for a gallery of a given size."""
    from lookalike.capacity import make_plan

    arguments = PlanArguments(
        images, pipelines, engine, tenants, qps, replicas, machines, cores, memory, precision, catalog, features,
        thumbnails,
    )  # fmt: skip
    made = make_plan(_wish(session, arguments))
    if session.json:
        emit(plan_object(made))
        return ExitCode.OK
    _show(made)
    if sources:
        _show_sources(made)
    return ExitCode.OK


def _wish(session: Session, asked: PlanArguments) -> PlanRequest:
    from lookalike.capacity import PlanRequest, count_of, size_of
    from lookalike.capacity.request import DATABASES

    if asked.catalog is not None and asked.catalog not in DATABASES:
        raise BadSetting(f"--catalog is one of {', '.join(DATABASES)}, not {asked.catalog!r}")
    if asked.features not in ("catalog", "engine"):
        raise BadSetting(f"--features are kept by catalog or engine, not by {asked.features!r}")
    pipelines = tuple(_pipelines(session, asked.pipelines or ("phash,vgg16",)))
    return PlanRequest(
        count_of(asked.images, "--images"),
        pipelines,
        _engines(asked.engine or (), pipelines),
        tenants=count_of(asked.tenants, "--tenants"),
        searches=asked.qps,
        replicas=asked.replicas,
        machines=asked.machines,
        cores=asked.cores,
        memory=size_of(asked.memory, "--memory"),
        precision=asked.precision,
        catalog=asked.catalog,
        features="engine" if asked.features == "engine" else "catalog",
        thumbnails=asked.thumbnails,
    )


def _pipelines(session: Session, written: Iterable[str]) -> Iterable[PipelineSpec]:
    """`NAME`, as the models know it, or `NAME:DIMENSIONS` for vectors of a model that is none of them."""
    from lookalike.capacity import PipelineSpec, count_of
    from lookalike.encoders import model_entries

    known = model_entries(session.settings.models)
    for text in (part.strip() for line in written for part in line.split(",") if part.strip()):
        name, colon, dimensions = text.partition(":")
        if colon:
            yield PipelineSpec(name, "cosine", count_of(dimensions, f"the dimensions of {name}"))
        elif name in known:
            yield PipelineSpec(name, known[name].metric, known[name].dimensions)
        else:
            raise BadSetting(
                f"no encoder is called {name!r}; give its dimensions ({name}:768), or one of {', '.join(known)}"
            )


def _engines(written: Iterable[str], pipelines: Sequence[PipelineSpec]) -> dict[str, str]:
    """`NAME=ENGINE`, or an engine alone for every pipeline that it can hold."""
    from lookalike.capacity import ENGINES

    engines: dict[str, str] = {}
    for text in written:
        if "=" in text:
            engines |= parse_pairs([text], "--engine")
            continue
        if text.removeprefix("milvus:") not in ENGINES:
            raise BadSetting(f"no engine is called {text!r}; there are {', '.join(ENGINES)}")
        metrics = {"flat": ("hamming", "cosine"), "mih": ("hamming",), "elasticsearch": ("hamming",)}.get(
            text, ("cosine",)
        )
        fitting = [pipeline.name for pipeline in pipelines if pipeline.metric in metrics]
        if not fitting:
            held = "hashes" if metrics == ("hamming",) else "vectors"
            raise BadSetting(f"{text} holds {held}, and none of the pipelines has any; see --pipelines")
        engines |= dict.fromkeys(fitting, text)
    return engines


def plan_object(made: Plan) -> dict[str, Any]:
    """The plan as docs/cli.md describes it."""
    wish = made.wish
    asked = {key: value for key, value in asdict(wish).items() if key not in ("pipelines", "engines")}
    return {
        **asked,
        "pipelines": [
            _pipeline_object(pipeline, part) for pipeline, part in zip(wish.pipelines, made.parts, strict=True)
        ],
        "catalog": {key: value for key, value in asdict(made.catalog).items() if key != "used"},
        "serving": {key: value for key, value in asdict(made.serving).items() if key != "used"},
        "adding": {key: value for key, value in asdict(made.adding).items() if key != "used"},
        "total": {"memory": _memory(made), "disk": _disk(made), "cores": _cores(made)},
        "leaving": [asdict(end) for end in made.leaving],
        "notes": list(made.notes),
        "constants": [asdict(constant) for constant in made.used],
    }


def _pipeline_object(pipeline: PipelineSpec, part: IndexPlan) -> dict[str, Any]:
    told = {key: value for key, value in asdict(part).items() if key not in ("pipeline", "used")}
    raw = {"metric": pipeline.metric, "dimensions": pipeline.dimensions, "feature_bytes": pipeline.raw}
    return {"name": pipeline.name, **raw, **told, "embedded": part.embedded}


def _memory(made: Plan) -> int:
    """Bytes while searching, of everything; embedded indexes count once for each process, as if each had a machine."""
    inside = sum(part.memory for part in made.parts if part.embedded)
    outside = sum(part.memory for part in made.parts if not part.embedded)
    return outside + made.serving.processes * (inside + made.serving.memory)


def _disk(made: Plan) -> int:
    inside = sum(part.disk for part in made.parts if part.embedded) * made.serving.processes
    return made.catalog.disk + inside + sum(part.disk for part in made.parts if not part.embedded)


def _cores(made: Plan) -> float | None:
    if made.serving.cores is None:
        return None
    return made.serving.cores + sum(part.cores for part in made.parts)


def _show(made: Plan) -> None:
    wish = made.wish
    print_line(
        f"{counted(wish.images, 'image')} of {counted(wish.tenants, 'tenant')}, "
        f"{wish.searches:,g} {'search' if wish.searches == 1 else 'searches'} a second; "
        f"machines with {wish.memory / 1e9:,g} GB and {counted(wish.cores, 'core')}"
    )
    for pipeline in wish.pipelines:
        if pipeline.metric == "cosine":
            each = f"{pipeline.dimensions:,} floats of 4 bytes are {pipeline.raw:,} bytes an image"
            print_line(f"{pipeline.name}: {each}, {size(pipeline.raw * wish.images)} in all.")
    print_line()
    out().print(_table(made))
    print_line()
    _show_words(made)


def _table(made: Plan) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim", pad_edge=False)
    table.add_column("")
    table.add_column("where", overflow="fold")
    for name in ("memory", "while adding", "disk", "cores"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in made.parts:
        held = size(part.adding) if part.adding else ""
        table.add_row(part.pipeline, _where(part), size(part.memory), held, size(part.disk), _number(part.cores))
    table.add_row("catalog", _catalog_where(made), "", "", size(made.catalog.disk), "")
    serving = made.serving
    where = "1 process that answers" if serving.processes == 1 else f"{serving.processes:,} processes that answer"
    table.add_row("queries", where, size(serving.processes * serving.memory), "", "", _number(serving.cores))
    table.add_section()
    table.add_row("all", "", size(_memory(made)), "", size(_disk(made)), _number(_cores(made)), style="bold")
    return table


def _where(part: IndexPlan) -> str:
    name = f"Milvus {part.index_type}" if part.engine == "milvus" else part.engine
    if part.embedded:
        return f"{name}, embedded"
    name = name if part.engine == "milvus" else "Elasticsearch"
    copies = f"{part.copies} copies on " if part.copies > 1 else ""
    return f"{name}, {copies}{counted(part.machines, 'machine')}"


def _catalog_where(made: Plan) -> str:
    name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[made.catalog.database]
    extra = []
    if made.catalog.features:
        extra.append(f"features {size(made.catalog.features)}")
    if made.catalog.thumbnails:
        extra.append(f"small images {size(made.catalog.thumbnails)}")
    return f"{name} ({', '.join(extra)})" if extra else name


def _number(cores: float | None) -> str:
    if cores is None:
        return "?"
    return "< 0.1" if cores < 0.05 else f"{cores:,.1f}" if cores < 10 else f"{cores:,.0f}"


def _days(days: float) -> str:
    for unit, length in (("days", 1.0), ("hours", 24.0), ("minutes", 1440.0)):
        if days * length >= 1.95 or unit == "minutes":
            return f"{days * length:,.1f} {unit}" if days * length < 10 else f"{days * length:,.0f} {unit}"
    return ""


def _show_words(made: Plan) -> None:
    grid = Table(box=None, padding=(0, 2), show_header=False, pad_edge=False)
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    adding, wish = made.adding, made.wish
    by = f"{counted(wish.machines, 'machine')} of {counted(wish.cores, 'core')}"
    if adding.days is None or adding.rate is None:
        grid.add_row("adding", f"by {by}: not known")
    else:
        building = (
            f", {_days(adding.building)} of them for building the graph" if adding.building > adding.days / 20 else ""
        )
        grid.add_row("adding", f"{_days(adding.days)} by {by}, {adding.rate:,.0f} images/s{building}")
    for part in made.parts:
        grid.add_row(part.pipeline, Text(_reasoned(_where(part), part.why)))
        if not part.embedded:
            grid.add_row("", Text(", ".join(f"{name} {_setting(value)}" for name, value in part.settings.items())))
            grid.add_row("", Text(f'[index] {part.pipeline} = "{part.url}"'))
        for text in part.notes:
            grid.add_row("", Text(text))
    grid.add_row("catalog", Text(_reasoned(_catalog_where(made).split(" ")[0], made.catalog.why)))
    if made.catalog.url:
        grid.add_row("", Text(f'catalog = "{made.catalog.url}"'))
    for text in (*made.catalog.notes, *made.notes):
        grid.add_row("note", Text(text))
    for end in made.leaving:
        grid.add_row("until", Text(f"{end.images:,} images for {end.pipeline}, then {end.to}: {end.because}"))
    out().print(grid)


def _reasoned(where: str, why: str) -> str:
    return f"{where.split(',')[0]}, {why if why == 'as wished' else f'because {why}'}"


def _setting(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:,}" if value >= 10_000 else f"{value:g}"


def _show_sources(made: Plan) -> None:
    print_line()
    table = Table(box=None, padding=(0, 2), header_style="dim", pad_edge=False)
    table.add_column("constant")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("unit")
    table.add_column("from", overflow="fold")
    for constant in made.used:
        table.add_row(constant.name, f"{constant.value:,.4g}", Text(constant.unit), Text(constant.source))
    out().print(table)
